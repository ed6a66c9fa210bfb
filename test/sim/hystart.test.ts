/** The simulated sender's end of slow start. */
import { expect, test } from "bun:test";
import { HyStart } from "./hystart.ts";
import { MILLISECOND } from "./world.ts";

const RTT = 40 * MILLISECOND;

/** Rounds of ten segments, each acknowledged `gap` after the one before; true when slow start ended in the last. */
function rounds(rtts: readonly number[], gap = 3 * MILLISECOND, window = 100): boolean {
  const hystart = new HyStart();
  let end = 0;
  let now = 0;
  let ended = false;
  for (const rtt of rtts) {
    ended = false;
    for (let i = 0; i < 10; i++) hystart.onSent(now + i * gap, end + i + 1);
    for (let i = 0; i < 10; i++) ended ||= hystart.onAck(now + i * gap + rtt, end + i + 1, end + 10, window);
    end += 10;
    now += rtt + 10 * gap;
  }
  return ended;
}

test("a round whose least round trip is an eighth longer, and 4 ms", () => {
  expect(rounds([RTT, RTT, RTT])).toBe(false);
  expect(rounds([RTT, RTT, RTT + 5 * MILLISECOND])).toBe(false);
  expect(rounds([RTT, RTT, RTT + 5 * MILLISECOND + 1])).toBe(true);
});

test("a train of acknowledgements longer than half the round trip", () => {
  expect(rounds([RTT, RTT], 2 * MILLISECOND)).toBe(false);
  expect(rounds([RTT / 3, RTT / 3], 2 * MILLISECOND)).toBe(true);
});

test("not below 16 segments", () => {
  expect(rounds([RTT, RTT, 2 * RTT], 3 * MILLISECOND, 15)).toBe(false);
});
