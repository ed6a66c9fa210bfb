import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { NewReno } from "../../src/proto/newreno.ts";

const D = 1452;
const RTT = 40_000;

/** Acknowledges a window's worth of packets that were sent at `sentAt`. */
function ackWindow(reno: NewReno, now: number, sentAt: number, limited = true): void {
  const packets = Math.floor(reno.window / D);
  for (let i = 0; i < packets; i++) reno.onAcked(now, D, sentAt, RTT, limited);
}

test("begins with ten datagrams (RFC 9002 section 7.2)", () => {
  expect(new NewReno(D).window).toBe(10 * D);
  expect(new NewReno(D).searching).toBe(true);
});

test("slow start doubles in a round trip (RFC 9002 section 7.3.1)", () => {
  const reno = new NewReno(D);
  for (const packets of [20, 40, 80]) {
    ackWindow(reno, 0, 0);
    expect(reno.window).toBe(packets * D);
  }
});

test("a loss halves, and ends slow start (RFC 9002 section 7.3.2)", () => {
  const reno = new NewReno(D);
  ackWindow(reno, 0, 0);
  reno.onLost(100, D, 50);
  expect(reno.window).toBe(10 * D);
  expect(reno.slowStartThreshold).toBe(10 * D);
  expect(reno.searching).toBe(false);
});

test("one halving per round trip: what was sent before the loss was answered counts no more", () => {
  const reno = new NewReno(D);
  ackWindow(reno, 0, 0);
  reno.onLost(100, D, 50);
  for (const sentAt of [10, 60, 100]) reno.onLost(110, D, sentAt);
  expect(reno.window).toBe(10 * D);
  reno.onLost(200, D, 101);
  expect(reno.window).toBe(5 * D);
});

test("no growth in recovery, one datagram per window after it (RFC 9002 section 7.3.3)", () => {
  const reno = new NewReno(D);
  ackWindow(reno, 0, 0);
  reno.onLost(100, D, 50);
  ackWindow(reno, 120, 100);
  expect(reno.window).toBe(10 * D);
  ackWindow(reno, 200, 150);
  expect(reno.window).toBeGreaterThan(10.9 * D);
  expect(reno.window).toBeLessThanOrEqual(11 * D);
});

test("a window that is not used does not grow (RFC 9002 section 7.8)", () => {
  const reno = new NewReno(D);
  ackWindow(reno, 0, 0, false);
  expect(reno.window).toBe(10 * D);
});

test("never below two datagrams (RFC 9002 section 7.2)", () => {
  const reno = new NewReno(D);
  for (let now = 1; now < 20; now++) reno.onLost(now, D, now);
  expect(reno.window).toBe(2 * D);
});

describe("after silence", () => {
  test("starts small, and slow start ends at the level it had", () => {
    const reno = new NewReno(D);
    for (let i = 0; i < 4; i++) ackWindow(reno, 0, 0);
    reno.onTimeout(1000);
    expect(reno.window).toBe(10 * D);
    expect(reno.slowStartThreshold).toBe(160 * D);
    expect(reno.searching).toBe(true);
  });

  test("what was sent before counts no more", () => {
    const reno = new NewReno(D);
    reno.onTimeout(1000);
    reno.onLost(1100, D, 1000);
    reno.onAcked(1100, D, 1000, RTT, true);
    expect(reno.window).toBe(10 * D);
  });

  test("a small window leaves no low threshold behind", () => {
    const reno = new NewReno(D);
    for (let now = 1; now < 20; now++) reno.onLost(now, D, now);
    reno.onTimeout(1000);
    expect(reno.window).toBe(10 * D);
  });
});

test("paces above window per round trip, twice as fast in slow start", () => {
  const reno = new NewReno(D);
  expect(reno.pacingRate(RTT)).toBeCloseTo((2 * 10 * D * 1e6) / RTT);
  reno.onLost(10, D, 5);
  expect(reno.pacingRate(RTT)).toBeCloseTo((1.25 * 5 * D * 1e6) / RTT);
  expect(reno.pacingRate(0)).toBeGreaterThan(0);
  expect(Number.isFinite(reno.pacingRate(0))).toBe(true);
});

test("whatever happens, the window is finite and no less than two datagrams", () => {
  const event = fc.record({
    kind: fc.constantFrom("acked", "lost", "timeout"),
    age: fc.integer({ min: 0, max: 500_000 }),
    limited: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(event, { maxLength: 300, size: "max" }), (events) => {
      const reno = new NewReno(D);
      let now = 0;
      for (const { kind, age, limited } of events) {
        now += 1000;
        const before = reno.window;
        if (kind === "acked") reno.onAcked(now, D, now - age, RTT, limited);
        else if (kind === "lost") reno.onLost(now, D, now - age);
        else reno.onTimeout(now);
        expect(Number.isFinite(reno.window)).toBe(true);
        expect(reno.window).toBeGreaterThanOrEqual(2 * D);
        if (kind === "acked") expect(reno.window).toBeLessThanOrEqual(before + D);
        if (kind === "lost") expect(reno.window).toBeLessThanOrEqual(before);
      }
    }),
  );
});
