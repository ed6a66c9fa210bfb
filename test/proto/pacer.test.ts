import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { PACING_QUANTUM, PACING_QUANTUM_PACKETS } from "../../src/proto/limits.ts";
import { Pacer } from "../../src/proto/pacer.ts";

const D = 1452;

/** Sends whenever it may, woken when it asked for, from `now` to `end`. Bytes sent, and the most at one moment. */
function drive(
  pacer: Pacer,
  rate: number,
  now: number,
  end: number,
  size = D,
): { bytes: number; burst: number } {
  let bytes = 0;
  let burst = 0;
  let at = now;
  while (at <= end) {
    let sent = 0;
    while (pacer.ready(at, rate)) {
      pacer.onSent(size);
      sent += size;
    }
    bytes += sent;
    burst = Math.max(burst, sent);
    const next = pacer.nextAt(at, rate);
    expect(next).toBeGreaterThan(at);
    at = next;
  }
  return { bytes, burst };
}

describe.each([100_000, 1_000_000, 25_000_000, 250_000_000])("at %p bytes per second", (rate) => {
  const quantum = Math.max((rate * PACING_QUANTUM) / 1e6, PACING_QUANTUM_PACKETS * D);

  test("keeps the rate over a second", () => {
    const { bytes } = drive(new Pacer(D), rate, 0, 1e6);
    expect(bytes).toBeGreaterThan(rate * 0.97);
    expect(bytes).toBeLessThan(rate * 1.01 + 2 * quantum + D);
  });

  test("no burst is longer than a quantum and one datagram", () => {
    expect(drive(new Pacer(D), rate, 0, 1e6).burst).toBeLessThanOrEqual(quantum + D);
  });

  test("saves up no more than a quantum while nothing is sent", () => {
    const pacer = new Pacer(D);
    drive(pacer, rate, 0, 1e5);
    let sent = 0;
    while (pacer.ready(60e6, rate)) {
      pacer.onSent(D);
      sent += D;
    }
    expect(sent).toBeLessThanOrEqual(quantum + D);
  });
});

test("when it says now, a packet may leave now", () => {
  const pacer = new Pacer(D);
  expect(pacer.nextAt(0, 1e6)).toBe(0);
  expect(pacer.ready(0, 1e6)).toBe(true);
});

test("at the moment it names it is ready, whatever was sent before", () => {
  const rate = fc.integer({ min: 1_000, max: 1e9 });
  fc.assert(
    fc.property(rate, fc.array(fc.integer({ min: 26, max: 65_000 }), { maxLength: 50 }), (speed, sizes) => {
      const pacer = new Pacer(D);
      let now = 1000;
      for (const size of sizes) {
        pacer.onSent(size);
        const next = pacer.nextAt(now, speed);
        expect(next).toBeGreaterThanOrEqual(now);
        // Not before, and then.
        if (next > now + 2) expect(pacer.ready(now, speed)).toBe(false);
        expect(pacer.ready(next, speed)).toBe(true);
        now = next;
      }
    }),
  );
});
