/** How BBR looks for more: what it tries first, when it tries more, and when that ends. */
import { expect, test } from "bun:test";
import { MILLISECOND } from "../../src/proto/limits.ts";
import { UP_GAIN, Upwards } from "../../src/proto/upwards.ts";

const RATE = 1_000_000;

function begun(): Upwards {
  const upwards = new Upwards();
  upwards.begin(RATE);
  return upwards;
}

test.each([
  { rtt: 1, gain: UP_GAIN },
  { rtt: 24, gain: UP_GAIN },
  { rtt: 40, gain: 1.15 },
  { rtt: 60, gain: 1.1 },
  { rtt: 600, gain: 1.1 },
])("$gain of the rate over $rtt ms, until it has grown", ({ rtt, gain }) => {
  const upwards = begun();
  expect(upwards.gain(rtt * MILLISECOND)).toBeCloseTo(gain, 6);
  upwards.onRound(1.05 * RATE - 1);
  expect(upwards.gain(rtt * MILLISECOND)).toBeCloseTo(gain, 6);
  upwards.onRound(1.05 * RATE);
  expect(upwards.gain(rtt * MILLISECOND)).toBe(UP_GAIN);
  upwards.begin(RATE);
  expect(upwards.gain(rtt * MILLISECOND)).toBeCloseTo(gain, 6);
});

test("it pauses after a round that brings no more, and ends after four", () => {
  const upwards = begun();
  expect(upwards.pauses).toBe(false);
  for (let i = 1; i <= 3; i++) {
    upwards.onRound(RATE);
    expect([upwards.pauses, upwards.ended]).toEqual([true, false]);
  }
  upwards.onRound(1.1 * RATE);
  expect([upwards.pauses, upwards.ended]).toEqual([false, false]);
  for (let i = 1; i <= 4; i++) upwards.onRound(1.1 * RATE);
  expect([upwards.pauses, upwards.ended]).toEqual([true, true]);
});
