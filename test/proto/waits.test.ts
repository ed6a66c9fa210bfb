import { expect, test } from "bun:test";
import { INTERVAL } from "../../src/proto/codel.ts";
import { MAX_HOLD_STREAM, MAX_TARGET } from "../../src/proto/limits.ts";
import type { Session } from "../../src/proto/session.ts";
import { Waits } from "../../src/proto/waits.ts";

const MS = 1000;

interface Plan {
  readonly status?: string;
  readonly carries?: boolean;
  readonly srtt: number;
  readonly searching?: boolean;
  readonly pausing?: boolean;
}

/** What is made of a session with these paths. */
function waitsOf(...plans: readonly Plan[]) {
  return waitsAt(new Waits(), 0, ...plans);
}

function waitsAt(waits: Waits, now: number, ...plans: readonly Plan[]) {
  const order = plans.map(({ status = "up", carries = true, srtt, searching = false, pausing = false }) => ({
    status,
    carries,
    recovery: { rtt: { srtt, rttvar: MS }, congestion: { searching, pausing } },
  }));
  const codel = { target: 0, interval: 0 };
  const resequencer = { bounds: new Float64Array(2) };
  waits.set(now, {
    order,
    queues: { codel },
    resequencer,
    scheduler: { joiningQueue: 0 },
  } as unknown as Session);
  return { ...codel, hold: resequencer.bounds[0]! };
}

test("a flow's queue may be as long as the round trip of the paths that carry, and 45 ms at least", () => {
  expect(waitsOf({ srtt: 20 * MS }).target).toBe(45 * MS);
  expect(waitsOf({ srtt: 80 * MS }, { srtt: 300 * MS, carries: false }).target).toBe(84 * MS);
  expect(waitsOf({ srtt: 900 * MS }).target).toBe(MAX_TARGET);
});

test("what they took lately counts as well, the less the longer ago", () => {
  const waits = new Waits();
  const target = (seconds: number, plan: Plan) => waitsAt(waits, seconds * 1000 * MS, plan).target;
  const usual = { srtt: 56 * MS };
  expect(target(1, { srtt: 196 * MS })).toBe(200 * MS);
  expect(target(2, usual)).toBeCloseTo(186 * MS);
  for (let i = 3; i < 10; i++) target(i, usual);
  expect(target(10, usual)).toBeGreaterThan(100 * MS);
  for (let i = 11; i < 40; i++) target(i, usual);
  expect(target(40, usual)).toBeLessThan(65 * MS);
  // Not what they took while they learnt their rate, or a moment later, nor of before a long silence.
  target(41, { srtt: 250 * MS, searching: true });
  target(41.5, { srtt: 250 * MS });
  expect(target(42, usual)).toBeLessThan(65 * MS);
  // Of a moment that was much longer no more than may be asked for.
  target(43, { srtt: 3_000 * MS });
  for (let i = 44; i < 64; i++) target(i, usual);
  expect(target(64, usual)).toBeLessThan(95 * MS);
  target(65, { srtt: 250 * MS });
  // It is forgotten while one learns, too.
  for (let i = 66; i < 96; i++) target(i, { ...usual, searching: true });
  expect(target(96, usual)).toBeLessThan(75 * MS);
  target(97, { srtt: 250 * MS });
  expect(target(110, usual)).toBe(60 * MS);
});

test("and longer while one of them learns its rate, or pauses to learn its round trip: neither is the flow's fault", () => {
  expect(waitsOf({ srtt: 20 * MS, searching: true }).target).toBe(195 * MS);
  expect(waitsOf({ srtt: 20 * MS, pausing: true }).target).toBe(195 * MS);
  expect(waitsOf({ srtt: 20 * MS }, { srtt: 20 * MS, pausing: true, carries: false }).target).toBe(45 * MS);
});

test("what arrives early waits for the slowest path that is up or suspect, and what it sends again", () => {
  expect(waitsOf({ srtt: 20 * MS }, { srtt: 60 * MS, carries: false }).hold).toBe(2 * 64 * MS + 100 * MS);
  expect(waitsOf({ srtt: 20 * MS }, { srtt: 60 * MS, status: "suspect" }).interval).toBe((60 + 64) * MS);
  expect(waitsOf({ srtt: 20 * MS }).interval).toBe(INTERVAL);
  expect(waitsOf({ srtt: 20 * MS }, { srtt: 60 * MS, status: "dead" }).hold).toBe(2 * 24 * MS + 100 * MS);
  expect(waitsOf({ srtt: 2_000 * MS }).hold).toBe(MAX_HOLD_STREAM);
});
