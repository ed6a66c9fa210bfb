/** Comparing authentication tags. */

const TAG_BYTES = 16;

/** True when two 16-byte tags are equal. Looks at every byte whatever it finds, so that timing tells a forger nothing. */
export function sameTag(a: Uint8Array, aOffset: number, b: Uint8Array, bOffset: number): boolean {
  let difference = 0;
  for (let i = 0; i < TAG_BYTES; i++) difference |= a[aOffset + i]! ^ b[bOffset + i]!;
  return difference === 0;
}
