import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { normal, seededRandom } from "../../src/lab/random.ts";
import { GRANULARITY, INITIAL_RTT } from "../../src/proto/limits.ts";
import { Rtt } from "../../src/proto/rtt.ts";

function sampled(...samples: [rtt: number, ackDelay: number][]): Rtt {
  const rtt = new Rtt();
  for (const [sample, ackDelay] of samples) rtt.onSample(0, sample, ackDelay);
  return rtt;
}

test("before any sample: RFC 9002 section 6.2.2", () => {
  const rtt = new Rtt();
  expect(rtt.sampled).toBe(false);
  expect(rtt.srtt).toBe(INITIAL_RTT);
  expect(rtt.rttvar).toBe(INITIAL_RTT / 2);
  // Section 6.2.1: 3 times the initial RTT, and the peer's delay.
  expect(rtt.pto(10_000)).toBe(3 * INITIAL_RTT + 10_000);
});

test("the first sample: RFC 6298 section 2.2, and the delay does not count (RFC 9002 section 5.3)", () => {
  const { latest, srtt, rttvar, min, sampled: has } = sampled([40_000, 9_000]);
  expect({ latest, srtt, rttvar, min, has }).toEqual({
    latest: 40_000,
    srtt: 40_000,
    rttvar: 20_000,
    min: 40_000,
    has: true,
  });
});

test("the second sample: RFC 6298 section 2.3, alpha 1/8 and beta 1/4", () => {
  const rtt = sampled([40_000, 0], [80_000, 0]);
  expect(rtt.rttvar).toBe(0.75 * 20_000 + 0.25 * 40_000);
  expect(rtt.srtt).toBe(0.875 * 40_000 + 0.125 * 80_000);
  expect(rtt.latest).toBe(80_000);
  expect(rtt.min).toBe(40_000);
});

describe("the minimum", () => {
  /** Ten samples a second at rest, for so long; what the minimum is then. */
  const during = (rtt: Rtt, from: number, until: number, sample: number, delay = 0, tells = true) => {
    for (let at = from; at < until; at += 0.1) rtt.onSample(at * 1e6, sample, delay, false, tells);
    return rtt.min;
  };

  test("is that of the last 15 to 30 s: a path may become longer for good", () => {
    const rtt = new Rtt();
    expect(during(rtt, 0, 1, 20_000)).toBe(20_000);
    expect(during(rtt, 1, 14, 120_000)).toBe(20_000);
    expect(during(rtt, 14, 29, 110_000)).toBe(20_000);
    expect(during(rtt, 29, 45, 130_000)).toBe(110_000);
    expect(during(rtt, 45, 62, 130_000)).toBe(130_000);
    expect(during(rtt, 62, 63, 20_000)).toBe(20_000);
  });

  test("is not raised by samples that tell of something else, nor by few", () => {
    const rtt = new Rtt();
    during(rtt, 0, 20, 20_000);
    expect(during(rtt, 20, 100, 120_000, 0, false)).toBe(20_000);
    for (const at of [110, 130, 150, 170]) rtt.onSample(at * 1e6, 120_000, 0, true);
    expect(rtt.min).toBe(20_000);
  });

  test("is known again soon after a long silence", () => {
    const rtt = new Rtt();
    during(rtt, 0, 20, 20_000);
    for (let at = 25; at < 100; at += 5) rtt.onSample(at * 1e6, 120_000, 0);
    expect(during(rtt, 100, 100.65, 120_000)).toBe(20_000);
    expect(during(rtt, 100.7, 100.8, 120_000)).toBe(120_000);
  });

  test("is not raised by what the peer kept its acknowledgements for", () => {
    const rtt = new Rtt();
    during(rtt, 0, 1, 20_000);
    expect(during(rtt, 1, 60, 28_000, 8_000)).toBe(20_000);
    expect(during(rtt, 60, 120, 28_000, 9_000)).toBe(20_000);
    expect(during(rtt, 120, 180, 40_000, 9_000)).toBe(31_000);
  });

  test("is the next sample where the path leads elsewhere", () => {
    const rtt = new Rtt();
    during(rtt, 0, 20, 20_000);
    rtt.forgetLeast();
    expect(rtt.min).toBe(20_000);
    expect(during(rtt, 20, 20.1, 120_000)).toBe(120_000);
  });
});

test("what the path varied by before its load is kept: the median of eight samples, less the least", () => {
  const rtt = new Rtt();
  expect(rtt.firstSpread).toBe(0);
  // Three of them waited for a program that was busy.
  for (const sample of [90, 40, 45, 80, 50, 42, 70, 44]) rtt.onSample(0, sample * 1000, 0);
  expect(rtt.firstSpread).toBe(5_000);
  for (const queue of [20_000, 90_000, 20_000]) rtt.onSample(0, 40_000 + queue, 0);
  expect(rtt.firstSpread).toBe(5_000);
});

test("what was sampled before a much shorter round trip is worth nothing, at first", () => {
  const rtt = new Rtt();
  // It waited for a program that was just starting.
  for (const sample of [300, 290, 40, 46, 44, 47]) rtt.onSample(0, sample * 1000, 0);
  expect(rtt.firstSpread).toBe(4_000);
  expect(rtt.srtt).toBeLessThan(47_000);
  // Later it tells of a delay that varies.
  rtt.onSample(0, 10_000, 0);
  expect(rtt.firstSpread).toBe(34_000);
  expect(rtt.srtt).toBeGreaterThan(35_000);
  expect(rtt.min).toBe(10_000);
});

/** Standard deviations between the second least and the third largest of so many normal samples. */
const RANGE_OF_8 = 1.33;
const RANGE_OF_16 = 2.27;

/** Samples at rest, in milliseconds, so far apart. Returns when the last came. */
function rest(rtt: Rtt, from: number, samples: readonly number[], apart = 200_000): number {
  let now = from;
  for (const sample of samples) {
    now += apart;
    rtt.onSample(now, sample * 1000, 0, true);
  }
  return now;
}

test("what it varies by: as the first samples at rest did, and then half of it as the next sixteen do", () => {
  const rtt = new Rtt();
  // Two were late for other reasons.
  let now = rest(rtt, 0, [70, 40, 45, 95, 44]);
  expect(rtt.deviation).toBe(0);
  now = rest(rtt, now, [41, 42, 50]);
  expect(rtt.deviation).toBeCloseTo(9_000 / RANGE_OF_8);
  now = rest(rtt, now, [70, 40, 45, 80, 44, 65, 70, 41]);
  expect(rtt.deviation).toBeCloseTo(30_000 / RANGE_OF_16);
  const steady = [40, 41, 41, 42, 40, 41, 42, 41];
  now = rest(rtt, now, steady);
  expect(rtt.deviation).toBeCloseTo(30_000 / RANGE_OF_16);
  now = rest(rtt, now, steady);
  expect(rtt.deviation).toBeCloseTo((30_000 + 2000) / 2 / RANGE_OF_16);
  for (let i = 0; i < 20; i++) now = rest(rtt, now, steady);
  expect(rtt.deviation).toBeLessThan(1000);
  // Samples under a load are none of it, nor, as it is known now, are those that follow each other soon.
  for (let i = 0; i < 40; i++) rtt.onSample(now + i * 200_000, 40_000 + (i % 2) * 50_000, 0);
  now += 8e6;
  for (let i = 0; i < 40; i++) now = rest(rtt, rest(rtt, now, [41]), new Array(9).fill(90), 10_000);
  expect(rtt.deviation).toBeLessThan(1000);
  // Now it does vary.
  for (let i = 0; i < 20; i++) now = rest(rtt, now, [40, 60, 50, 70, 45, 65, 55, 75]);
  expect(rtt.deviation).toBeGreaterThan(10_000);
});

test("a path that comes up again may lead another way: how it varies is soon known anew", () => {
  const rtt = new Rtt();
  const now = rest(rtt, 0, new Array(40).fill(40));
  expect(rtt.deviation).toBe(0);
  rtt.renew();
  rest(rtt, now, [40, 60, 50, 70, 45, 65, 55, 75]);
  expect(rtt.deviation).toBeGreaterThan(10_000);
});

test("what the peer kept an acknowledgement for is no variation, also where the rest is less than the minimum", () => {
  const rtt = new Rtt();
  for (let i = 1; i <= 16; i++) {
    // Every other one takes 40.0 ms, and is kept for 10.
    if (i % 2 === 0) rtt.onSample(i * 1e6, 50_000, 10_000, true);
    else rtt.onSample(i * 1e6, 40_300, 0, true);
  }
  expect(rtt.deviation).toBeLessThan(200);
});

test("the deviation of normal samples", () => {
  const random = seededRandom(1);
  for (const many of [8, 11, 16]) {
    let sum = 0;
    for (let i = 0; i < 2000; i++) {
      const rtt = new Rtt();
      for (let at = 1; at <= many; at++) {
        rtt.onSample(at * 1e6, 200_000 + 10_000 * normal(random), 0, true);
      }
      sum += rtt.deviation;
    }
    expect(Math.abs(sum / 2000 - 10_000)).toBeLessThan(400);
  }
});

test("samples of packets that left together are one, to what it varies by", () => {
  const rtt = new Rtt();
  for (let i = 0; i < 10; i++) rtt.onSample(40_000 + i * 10, 40_000, 0, true);
  rest(rtt, 1e6, [49, 41, 90, 41]);
  expect(rtt.deviation).toBe(0);
  rest(rtt, 2e6, [95, 40]);
  expect(rtt.deviation).toBeCloseTo(9_000 / RANGE_OF_8);
});

test.each([
  { name: "is subtracted", sample: 60_000, delay: 10_000, latest: 50_000 },
  { name: "is subtracted down to the minimum", sample: 50_000, delay: 10_000, latest: 40_000 },
  { name: "is ignored when the result would be below it", sample: 45_000, delay: 10_000, latest: 45_000 },
  { name: "does not count for a new minimum", sample: 30_000, delay: 10_000, latest: 30_000 },
])("the peer's delay $name", ({ sample, delay, latest }) => {
  expect(sampled([40_000, 0], [sample, delay]).latest).toBe(latest);
});

test("the probe timeout has a floor for the variation: RFC 9002 section 6.2.1", () => {
  const rtt = new Rtt();
  for (let i = 0; i < 200; i++) rtt.onSample(0, 20_000, 0);
  expect(rtt.rttvar).toBeLessThan(1);
  expect(rtt.pto(5_000)).toBeCloseTo(20_000 + GRANULARITY + 5_000, 0);
});

test("a clock that goes back gives no sample", () => {
  const rtt = sampled([40_000, 0], [-1, 0]);
  expect(rtt.srtt).toBe(40_000);
  expect(rtt.min).toBe(40_000);
});

test("whatever comes, the estimate stays between smallest and largest", () => {
  const samples = fc.array(fc.tuple(fc.integer({ min: 0, max: 10e6 }), fc.integer({ min: 0, max: 1e6 })), {
    minLength: 1,
  });
  fc.assert(
    fc.property(samples, (list) => {
      const rtt = sampled(...list);
      const all = list.map(([sample]) => sample);
      expect(rtt.min).toBe(Math.min(...all));
      expect(rtt.srtt).toBeGreaterThanOrEqual(rtt.min - 1e-6);
      expect(rtt.srtt).toBeLessThanOrEqual(Math.max(...all) + 1e-6);
      expect(rtt.rttvar).toBeGreaterThanOrEqual(0);
      expect(rtt.latest).toBeGreaterThanOrEqual(rtt.min);
    }),
  );
});

test("a sample of less than half of the least begins anew: what went before was of a machine that had just started", () => {
  const rtt = sampled([200_000, 0], [20_000, 0]);
  expect([rtt.srtt, rtt.rttvar, rtt.min]).toEqual([20_000, 10_000, 20_000]);
  expect(sampled([40_000, 0], [20_000, 0]).srtt).toBe(0.875 * 40_000 + 0.125 * 20_000);
});

test("how much later than the least packets usually come: by two deviations; until that is known as the first samples did", () => {
  const rtt = new Rtt();
  let now = rest(rtt, 0, [40, 60, 50]);
  // The median less the least.
  expect([rtt.usualLater(true), rtt.usualLater(false)]).toEqual([10_000, 0]);
  now = rest(rtt, now, [40, 60, 50, 45, 55]);
  expect(rtt.usualLater(true)).toBe(2 * rtt.deviation);
  expect(rtt.usualLater(false)).toBe(2 * rtt.deviation);
  expect(rtt.deviation).toBeGreaterThan(5_000);
});

test("samples of a steady path are never usually later", () => {
  const rtt = new Rtt();
  const now = rest(rtt, 0, [40, 49, 49]);
  expect(rtt.usualLater(true)).toBe(0);
  rest(rtt, now, [40, 42, 40, 42, 40, 42, 40, 42]);
  expect(rtt.deviation).toBeGreaterThan(0);
  expect(rtt.usualLater(true)).toBe(0);
});
