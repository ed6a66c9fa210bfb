import { expect, test } from "bun:test";
import fc from "fast-check";
import { MILLISECOND, SECOND } from "../../src/proto/limits.ts";
import { UsualRtt } from "../../src/proto/usualrtt.ts";

const MS = MILLISECOND;

/** Samples of so many milliseconds, `every` apart. */
function feed(usual: UsualRtt, from: number, every: number, samples: readonly number[]): number {
  let now = from;
  for (const sample of samples) {
    usual.onSample(now, sample * MS);
    now += every;
  }
  return now;
}

test("the first sample counts at once", () => {
  const usual = new UsualRtt();
  expect(usual.mean).toBe(0);
  usual.onSample(0, 40 * MS);
  expect([usual.mean, usual.deviation]).toEqual([40 * MS, 0]);
});

test("in the first stretch it is the mean so far", () => {
  const usual = new UsualRtt();
  feed(usual, 0, 100 * MS, [40, 60]);
  expect(usual.mean).toBe(50 * MS);
  feed(usual, 200 * MS, 100 * MS, [20]);
  expect(usual.mean).toBe(40 * MS);
});

test("later a stretch counts half, when it is complete", () => {
  const usual = new UsualRtt();
  const next = feed(usual, 0, 500 * MS, [20, 20, 20]);
  const then = feed(usual, next, 500 * MS, [60, 60]);
  expect(usual.mean).toBe(20 * MS);
  feed(usual, then, 500 * MS, [60]);
  expect(usual.mean).toBe(40 * MS);
});

test("follows a way that has become longer, with a probe every five seconds", () => {
  const usual = new UsualRtt();
  const next = feed(usual, 0, 5 * SECOND, [20, 20]);
  feed(usual, next, 5 * SECOND, new Array(10).fill(80));
  expect(usual.mean).toBeGreaterThan(75 * MS);
});

test("a delay that varies shows as deviation", () => {
  const usual = new UsualRtt();
  feed(
    usual,
    0,
    10 * MS,
    Array.from({ length: 500 }, (_, i) => (i % 2 === 0 ? 30 : 70)),
  );
  expect(Math.abs(usual.mean - 50 * MS)).toBeLessThan(MS);
  expect(Math.abs(usual.deviation - 20 * MS)).toBeLessThan(MS);
});

test("is never below the least nor above the greatest sample", () => {
  const samples = fc.array(
    fc.record({ wait: fc.nat(2 * SECOND), rtt: fc.integer({ min: 1, max: SECOND }) }),
    {
      minLength: 1,
      size: "max",
      maxLength: 200,
    },
  );
  fc.assert(
    fc.property(samples, (all) => {
      const usual = new UsualRtt();
      let now = 0;
      for (const { wait, rtt } of all) usual.onSample((now += wait), rtt);
      const rtts = all.map(({ rtt }) => rtt);
      expect(usual.mean).toBeGreaterThanOrEqual(Math.min(...rtts) - 1e-3);
      expect(usual.mean).toBeLessThanOrEqual(Math.max(...rtts) + 1e-3);
      expect(usual.deviation).toBeGreaterThanOrEqual(0);
      expect(usual.deviation).toBeLessThanOrEqual(Math.max(...rtts));
    }),
  );
});
