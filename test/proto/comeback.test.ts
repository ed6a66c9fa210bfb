import { describe, expect, test } from "bun:test";
import { Comeback } from "../../src/proto/comeback.ts";
import { FALSE_ALARM, FLAPS_FORGOTTEN, REST_LONGEST, SECOND } from "../../src/proto/limits.ts";

const TIMEOUT = 50_000;
const RTT = 20_000;

/** Answers every 100 ms from `from` until it may carry, at most for a minute; when that was. */
function answersUntilReady(comeback: Comeback, from: number, alone = false): number {
  for (let now = from; now < from + 60 * SECOND; now += 100_000) {
    comeback.onAnswer(now, TIMEOUT);
    if (comeback.ready(now, TIMEOUT, alone)) return now;
  }
  return Number.POSITIVE_INFINITY;
}

/** Fails, is silent for a second, answers until it carries, over and over; how long it had to answer each time. */
function flap(comeback: Comeback, times: number, upFor = SECOND, silentFor = SECOND): number[] {
  const rests: number[] = [];
  let now = 0;
  for (let i = 0; i < times; i++) {
    const upSince = now;
    now += upFor;
    comeback.onGivenUp(now, upSince);
    now += silentFor;
    const readyAt = answersUntilReady(comeback, now);
    rests.push(readyAt - now);
    now = readyAt;
    comeback.onReturned(RTT);
  }
  return rests;
}

describe("a path that was given up", () => {
  test("returns with two answers in a row, the first time", () => {
    const comeback = new Comeback();
    comeback.onGivenUp(0, -SECOND);
    comeback.onAnswer(SECOND, TIMEOUT);
    expect(comeback.ready(SECOND, TIMEOUT, false)).toBe(false);
    expect(comeback.ready(SECOND, TIMEOUT, true)).toBe(false);
    comeback.onAnswer(SECOND + RTT, TIMEOUT);
    expect(comeback.ready(SECOND + RTT, TIMEOUT, false)).toBe(true);
  });

  test("two answers with a long silence between them are not in a row", () => {
    const comeback = new Comeback();
    comeback.onGivenUp(0, -SECOND);
    comeback.onAnswer(SECOND, TIMEOUT);
    comeback.onAnswer(3 * SECOND, TIMEOUT);
    expect(comeback.ready(3 * SECOND, TIMEOUT, true)).toBe(false);
    comeback.onAnswer(3 * SECOND + RTT, TIMEOUT);
    expect(comeback.ready(3 * SECOND + RTT, TIMEOUT, true)).toBe(true);
  });

  test("does not return on answers of long ago, or from before it failed, or before a doubt", () => {
    const comeback = new Comeback();
    const now = SECOND + RTT;
    comeback.onGivenUp(0, -SECOND);
    for (const at of [SECOND, now]) comeback.onAnswer(at, TIMEOUT);
    expect(comeback.ready(now + SECOND, TIMEOUT, true)).toBe(false);
    expect(comeback.resting(now, TIMEOUT)).toBe(true);
    expect(comeback.resting(now + SECOND, TIMEOUT)).toBe(false);
    comeback.onDoubt();
    expect(comeback.ready(now, TIMEOUT, true)).toBe(false);
    for (const at of [SECOND, now]) comeback.onAnswer(at, TIMEOUT);
    comeback.onGivenUp(now, now);
    expect(comeback.ready(now, TIMEOUT, true)).toBe(false);
  });

  test("one proof counts as two answers", () => {
    const comeback = new Comeback();
    comeback.onGivenUp(0, -SECOND);
    comeback.onProof(SECOND);
    expect(comeback.ready(SECOND, TIMEOUT, false)).toBe(true);
  });
});

describe("flapping", () => {
  test("must answer for longer each time, up to a bound", () => {
    const seconds = flap(new Comeback(), 9).map((micros) => Math.round(micros / SECOND));
    expect(seconds).toEqual([0, 1, 2, 4, 8, 16, REST_LONGEST / SECOND, 30, 30]);
  });

  test("is forgotten after a long time up, not before", () => {
    for (const [upFor, rest] of [
      [FLAPS_FORGOTTEN, 0],
      [FLAPS_FORGOTTEN - 1, 4 * SECOND],
    ] as const) {
      const comeback = new Comeback();
      flap(comeback, 3);
      comeback.onGivenUp(upFor, 0);
      expect(comeback.rest).toBe(rest);
    }
  });

  test("does not matter to the only path", () => {
    const comeback = new Comeback();
    flap(comeback, 6);
    comeback.onGivenUp(1000 * SECOND, 999 * SECOND);
    const from = 1001 * SECOND;
    expect(answersUntilReady(comeback, from, true)).toBe(from + 100_000);
  });

  test("a path that answers as soon as it is asked had not failed", () => {
    const silentFor = FALSE_ALARM + 2 * RTT;
    expect(flap(new Comeback(), 5, SECOND, silentFor)).toEqual(new Array(5).fill(100_000));
    expect(Math.max(...flap(new Comeback(), 5, SECOND, silentFor + 1))).toBeGreaterThan(SECOND);
  });

  test("a longer rest costs no more probes than a short one", () => {
    const comeback = new Comeback();
    flap(comeback, 3);
    for (const rest of [4, 30]) {
      comeback.rest = rest * SECOND;
      expect(comeback.interval * 10).toBe(comeback.rest);
    }
    comeback.rest = 0;
    expect(comeback.interval).toBeGreaterThanOrEqual(100_000);
  });
});
