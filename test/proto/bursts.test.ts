import { expect, test } from "bun:test";
import { ACK_BUDGET, Bursts } from "../../src/proto/bursts.ts";
import { MILLISECOND, SECOND } from "../../src/proto/limits.ts";

const RATE = 1_000_000;
/** Bytes that arrive in a millisecond: a little less than the greatest rate seen. */
const EACH = (0.9 * RATE * MILLISECOND) / SECOND;
/** What acknowledgements make on any path. */
const BY_ACKS = (RATE * ACK_BUDGET) / SECOND;

/** Ten rounds of 20 ms; in so many of them the last so many milliseconds are silent, and come at its end. */
function stretch(bursts: Bursts, from: number, withBurst: number, silence: number, full = true): number {
  let now = from;
  for (let round = 0; round < 10; round++) {
    const silentFrom = round < withBurst ? 20 - silence : 20;
    for (let i = 1; i <= 20; i++) {
      now += MILLISECOND;
      if (i <= silentFrom) bursts.onAcked(now, EACH, RATE);
      else if (i === 20) bursts.onAcked(now, silence * EACH, RATE);
    }
    bursts.onRound(now, true, full);
  }
  return now;
}

test("acknowledgements at a steady rate make none", () => {
  const bursts = new Bursts(0);
  let now = 0;
  for (let i = 0; i < 4; i++) now = stretch(bursts, now, 0, 0);
  expect(bursts.greatest(RATE)).toBeLessThanOrEqual(EACH);
  expect(bursts.usual(RATE)).toBeLessThanOrEqual(EACH);
});

test("a burst is as great as what came at once after a silence", () => {
  const bursts = new Bursts(0);
  stretch(bursts, 0, 1, 10);
  expect(bursts.greatest(RATE)).toBeGreaterThan(6 * EACH);
  expect(bursts.greatest(RATE)).toBeLessThanOrEqual(10 * EACH);
});

test("what comes in one stretch only is not usual; what comes in two of three is", () => {
  const bursts = new Bursts(0);
  let now = stretch(bursts, 0, 0, 0);
  now = stretch(bursts, now, 1, 10);
  now = stretch(bursts, now, 0, 0);
  expect(bursts.greatest(RATE)).toBeGreaterThan(6 * EACH);
  expect(bursts.usual(RATE)).toBeLessThanOrEqual(EACH);
  stretch(bursts, now, 1, 10);
  expect(bursts.usual(RATE)).toBeLessThanOrEqual(EACH);

  const often = new Bursts(0);
  now = stretch(often, 0, 3, 10);
  stretch(often, now, 3, 10);
  expect(often.usual(RATE)).toBe(often.greatest(RATE) - BY_ACKS);
  expect(often.usual(RATE)).toBeGreaterThan(5 * EACH);
});

test("is forgotten after three stretches without", () => {
  const bursts = new Bursts(0);
  let now = stretch(bursts, 0, 5, 10);
  for (let i = 0; i < 3; i++) now = stretch(bursts, now, 0, 0);
  expect(bursts.greatest(RATE)).toBeLessThanOrEqual(EACH);
});

test("none counts for more than 150 ms", () => {
  const bursts = new Bursts(0);
  bursts.onAcked(SECOND, EACH, RATE);
  bursts.onAcked(SECOND, SECOND, RATE);
  expect(bursts.greatest(RATE)).toBe((RATE * 150 * MILLISECOND) / SECOND);
});

test("without load it is forgotten in time", () => {
  const bursts = new Bursts(0);
  let now = 0;
  for (let i = 0; i < 4; i++) now = stretch(bursts, now, 5, 10);
  expect(bursts.usual(RATE)).toBeGreaterThan(5 * EACH);
  for (let i = 0; i < 3; i++) {
    now += 5 * SECOND;
    bursts.onAcked(now, EACH, RATE);
    bursts.onRound(now, false, true);
  }
  expect(bursts.usual(RATE)).toBeLessThanOrEqual(EACH);
});

test("one acknowledgement alone may tell of a burst", () => {
  const bursts = new Bursts(0);
  let now = 0;
  for (let round = 0; round < 20; round++) {
    now += 50 * MILLISECOND;
    bursts.onAcked(now, 50 * EACH, RATE);
    bursts.onRound(now, true, true);
  }
  expect([bursts.greatest(RATE), bursts.usual(RATE)]).toEqual([50 * EACH, 50 * EACH - BY_ACKS]);
});

test("a path that was silent begins anew", () => {
  const bursts = new Bursts(0);
  let now = 0;
  for (let i = 0; i < 4; i++) now = stretch(bursts, now, 5, 10);
  bursts.forget();
  expect([bursts.greatest(RATE), bursts.usual(RATE), bursts.known]).toEqual([0, 0, false]);
});

test("is known after three stretches with the path full, not before", () => {
  const bursts = new Bursts(0);
  let now = 0;
  for (let i = 0; i < 4; i++) now = stretch(bursts, now, 1, 5, false);
  for (let i = 0; i < 3; i++) {
    expect(bursts.known).toBe(false);
    now = stretch(bursts, now, 1, 5);
  }
  expect(bursts.known).toBe(true);
});

test("none is smaller than what delays vary by, and none longer than any burst may be", () => {
  const bursts = new Bursts(0);
  bursts.onAcked(MILLISECOND, EACH, RATE, 40 * MILLISECOND);
  expect([bursts.greatest(RATE), bursts.usual(RATE)]).toEqual([0.04 * RATE, 0.04 * RATE]);
  expect(bursts.greatest(2 * RATE)).toBe(0.08 * RATE);
  bursts.onAcked(2 * MILLISECOND, EACH, RATE, SECOND);
  expect(bursts.greatest(RATE)).toBe(0.15 * RATE);
});
