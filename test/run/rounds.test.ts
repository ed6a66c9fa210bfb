/** Rounds of the event loop: rare while nothing comes, and not between a packet and its answer. */
import { expect, test } from "bun:test";
import { Rounds } from "../../src/run/rounds.ts";

const MILLISECOND = 1_000;

/** What the loop does: packets at these moments, rounds when they are due. When the rounds were, up to `end`. */
function roundsAmong(packets: readonly number[], end: number): number[] {
  const rounds = new Rounds();
  rounds.onRound(0);
  const had: number[] = [];
  const left = [...packets];
  for (;;) {
    const packet = left[0] ?? Number.POSITIVE_INFINITY;
    const now = Math.min(packet, rounds.nextAt);
    if (now > end) return had;
    if (packet === now) {
      left.shift();
      rounds.onPackets(now);
    }
    if (now < rounds.nextAt) continue;
    had.push(now);
    rounds.onRound(now);
  }
}

const every = (interval: number, end: number) =>
  Array.from({ length: Math.ceil(end / interval) }, (_, i) => (i + 1) * interval);

test("the first is due at once", () => {
  expect(new Rounds().nextAt).toBe(Number.NEGATIVE_INFINITY);
});

test("ten a second while nothing comes", () => {
  expect(roundsAmong([], 1000 * MILLISECOND)).toEqual(every(100 * MILLISECOND, 1000 * MILLISECOND));
});

test("pings every 5 ms with answers 0.2 ms later: always between an answer and the next ping", () => {
  const pings = every(5 * MILLISECOND, 1000 * MILLISECOND);
  const packets = pings.flatMap((at) => [at, at + 200]);
  const had = roundsAmong(packets, 1000 * MILLISECOND);
  expect(had.length).toBeGreaterThan(35);
  for (const at of had) {
    const since = at - Math.max(...packets.filter((packet) => packet <= at));
    expect(since).toBe(MILLISECOND);
  }
});

test("packets without a pause: the rounds do not wait for one", () => {
  const had = roundsAmong(every(100, 1000 * MILLISECOND), 1000 * MILLISECOND);
  expect(had).toHaveLength(24);
});

test("one packet after a long silence brings one round more, once it is quiet", () => {
  expect(roundsAmong([150 * MILLISECOND], 251 * MILLISECOND)).toEqual([
    100 * MILLISECOND,
    151 * MILLISECOND,
    251 * MILLISECOND,
  ]);
});
