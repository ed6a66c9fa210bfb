/**
 * Seeded random numbers for the laboratory and the simulator: the same seed gives the same run on every machine.
 *
 * The generator is sfc32 (Doty-Humphrey, PractRand), 128 bits of state of which 32 count, so no seed has a short
 * cycle. It is not for keys, nonces or anything a stranger should not guess.
 */

/** Gives numbers in 0..1 (1 excluded), as Math.random does. */
export type Random = () => number;

export function seededRandom(seed: number): Random {
  let a = seed | 0;
  let b = Math.floor(seed / 2 ** 32) | 0;
  let c = 0x9e3779b9 | 0;
  let counter = 1;
  const next = (): number => {
    const result = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + result) | 0;
    return (result >>> 0) / 2 ** 32;
  };
  // Neighbouring seeds differ in a few bits; a dozen rounds spread them over the whole state.
  for (let i = 0; i < 12; i++) next();
  return next;
}

/** A number of the standard normal distribution (Box and Muller). */
export function normal(random: Random): number {
  // 1 - x, because the logarithm of 0 is not a number of microseconds anybody can wait.
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}
