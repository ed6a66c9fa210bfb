import { expect, test } from "bun:test";
import { INTERVAL } from "../../src/proto/codel.ts";
import { MAX_HOLD_STREAM, MAX_TARGET } from "../../src/proto/limits.ts";
import type { Session } from "../../src/proto/session.ts";
import { setWaits } from "../../src/proto/waits.ts";

const MS = 1000;

interface Plan {
  readonly status?: string;
  readonly carries?: boolean;
  readonly srtt: number;
  readonly searching?: boolean;
  readonly pausing?: boolean;
}

/** What `setWaits` makes of a session with these paths. */
function waitsOf(...plans: readonly Plan[]) {
  const order = plans.map(({ status = "up", carries = true, srtt, searching = false, pausing = false }) => ({
    status,
    carries,
    recovery: { rtt: { srtt, rttvar: MS }, congestion: { searching, pausing } },
  }));
  const codel = { target: 0, interval: 0 };
  const resequencer = { bounds: new Float64Array(2) };
  setWaits({ order, queues: { codel }, resequencer, scheduler: { joiningQueue: 0 } } as unknown as Session);
  return { ...codel, hold: resequencer.bounds[0]! };
}

test("a flow's queue may be as long as the round trip of the paths that carry, and 45 ms at least", () => {
  expect(waitsOf({ srtt: 20 * MS }).target).toBe(45 * MS);
  expect(waitsOf({ srtt: 80 * MS }, { srtt: 300 * MS, carries: false }).target).toBe(84 * MS);
  expect(waitsOf({ srtt: 900 * MS }).target).toBe(MAX_TARGET);
});

test("and longer while one of them learns its rate, or pauses to learn its round trip: neither is the flow's fault", () => {
  expect(waitsOf({ srtt: 20 * MS, searching: true }).target).toBe(1.5 * MAX_TARGET);
  expect(waitsOf({ srtt: 20 * MS, pausing: true }).target).toBe(1.5 * MAX_TARGET);
  expect(waitsOf({ srtt: 20 * MS }, { srtt: 20 * MS, pausing: true, carries: false }).target).toBe(45 * MS);
});

test("what arrives early waits for the slowest path that is up or suspect, and what it sends again", () => {
  expect(waitsOf({ srtt: 20 * MS }, { srtt: 60 * MS, carries: false }).hold).toBe(2 * 64 * MS + 100 * MS);
  expect(waitsOf({ srtt: 20 * MS }, { srtt: 60 * MS, status: "suspect" }).interval).toBe(
    Math.max(60 * MS, INTERVAL),
  );
  expect(waitsOf({ srtt: 20 * MS }, { srtt: 60 * MS, status: "dead" }).hold).toBe(2 * 24 * MS + 100 * MS);
  expect(waitsOf({ srtt: 2_000 * MS }).hold).toBe(MAX_HOLD_STREAM);
});
