import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { BaseRtt } from "../../src/proto/basertt.ts";
import { MILLISECOND, SECOND } from "../../src/proto/limits.ts";

const STEP = 10 * MILLISECOND;
/** Samples of a stretch, and how long it is: 200 ms from the first to the last, and the next begins one step later. */
const STRETCH = 21;
const MEAN_EVERY = STRETCH * STEP;

/** Gives samples to a BaseRtt, one every 10 ms. */
class Samples {
  readonly base = new BaseRtt();
  now = 1;

  /** The path is in use, neither in startup nor cruising. */
  busy(...rtts: number[]): number {
    return this.each(rtts, false, Number.POSITIVE_INFINITY);
  }

  growing(...rtts: number[]): number {
    return this.each(rtts, true, Number.POSITIVE_INFINITY);
  }

  /** Cruises from now on. */
  cruising(...rtts: number[]): number {
    return this.each(rtts, false, this.now);
  }

  /** Rounds of a probe, after what is in flight has drained. */
  probe(draining: number[], ...rounds: number[][]): number {
    this.base.startProbe();
    this.probing(draining);
    this.base.onDrained();
    for (const round of rounds) {
      this.probing(round);
      this.base.onProbeRound();
    }
    this.base.endProbe(this.now);
    return this.base.value;
  }

  private each(rtts: readonly number[], growing: boolean, cruisingSince: number): number {
    for (const rtt of rtts) {
      this.base.onSample(this.now, rtt, growing, cruisingSince);
      this.now += STEP;
    }
    return this.base.value;
  }

  private probing(rtts: readonly number[]): void {
    for (const rtt of rtts) {
      this.base.onProbeSample(this.now, rtt);
      this.now += STEP;
    }
  }
}

/** So many times the same, for a stretch unless told otherwise. */
function steady(rtt: number, count = STRETCH): number[] {
  return Array.from({ length: count }, () => rtt);
}

/** A stretch whose least is 20 ms and whose mean is this. */
function varying(mean: number): number[] {
  const rest = (mean * STRETCH - 20_000) / (STRETCH - 1);
  return [20_000, ...steady(rest, STRETCH - 1)];
}

/** A path known to be steady. */
function known(rtt: number): Samples {
  const samples = new Samples();
  samples.cruising(...steady(rtt));
  return samples;
}

test("knows nothing before the first sample, and then that one", () => {
  const samples = new Samples();
  expect([samples.base.least, samples.base.value]).toEqual([
    Number.POSITIVE_INFINITY,
    Number.POSITIVE_INFINITY,
  ]);
  expect(samples.busy(40_000)).toBe(40_000);
  expect(samples.base.least).toBe(40_000);
});

describe("the least", () => {
  test("falls with a smaller sample, and does not rise with a greater one", () => {
    const { base } = known(40_000);
    base.onSample(SECOND, 30_000, false, Number.POSITIVE_INFINITY);
    expect(base.least).toBe(30_000);
    base.onSample(SECOND, 35_000, false, Number.POSITIVE_INFINITY);
    expect(base.least).toBe(30_000);
  });

  test("is forgotten 10 s after it was last seen", () => {
    const { base } = known(40_000);
    const seen = base.seenAt;
    base.onSample(seen + 10 * SECOND, 60_000, false, Number.POSITIVE_INFINITY);
    expect(base.least).toBe(40_000);
    base.onSample(seen + 10 * SECOND + 1, 60_000, false, Number.POSITIVE_INFINITY);
    expect(base.least).toBe(60_000);
  });

  test("counts as seen by a sample within 5 % of it, and stays what it was", () => {
    const samples = known(40_000);
    const seen = samples.base.seenAt;
    samples.busy(42_001);
    expect(samples.base.seenAt).toBe(seen);
    const { now } = samples;
    samples.busy(42_000);
    expect([samples.base.seenAt, samples.base.least]).toEqual([now, 40_000]);
  });
});

describe("whether the delay varies", () => {
  test("is taken for granted at first: the mean counts", () => {
    expect(new Samples().busy(...varying(60_000))).toBeCloseTo(60_000, 3);
  });

  test("a path that is steady while it cruises has its least, one that is not its mean", () => {
    expect(new Samples().cruising(...varying(34_900))).toBe(20_000);
    expect(new Samples().cruising(...varying(35_100))).toBeCloseTo(35_100, 3);
  });

  test("0.6 of the least counts, and 15 ms in any case", () => {
    // The least is 50 ms, and 5 ms.
    const longer = (mean: number): number[] => varying(mean - 30_000).map((rtt) => rtt + 30_000);
    expect(new Samples().cruising(...longer(79_900))).toBe(50_000);
    expect(new Samples().cruising(...longer(80_100))).toBeCloseTo(80_100, 3);
    const shorter = (mean: number): number[] => varying(mean + 15_000).map((rtt) => rtt - 15_000);
    expect(new Samples().cruising(...shorter(19_900))).toBe(5_000);
    expect(new Samples().cruising(...shorter(20_100))).toBeCloseTo(20_100, 3);
  });

  test("nothing but cruising tells: a queue elsewhere is no variation", () => {
    const samples = known(20_000);
    expect(samples.busy(...varying(60_000))).toBe(20_000);
    expect(samples.growing(...varying(60_000))).toBe(20_000);
    expect(samples.cruising(...varying(60_000))).toBeCloseTo(60_000, 3);
  });

  test("a stretch that began before cruising does not tell", () => {
    const samples = known(20_000);
    samples.busy(60_000);
    expect(samples.cruising(...steady(60_000, STRETCH - 1))).toBe(20_000);
    expect(samples.cruising(...steady(60_000))).toBe(60_000);
  });

  test("a path that has calmed down has its least again", () => {
    const samples = new Samples();
    samples.cruising(...varying(60_000));
    expect(samples.cruising(...varying(21_000))).toBe(20_000);
  });
});

describe("means", () => {
  test("are taken over 200 ms", () => {
    const samples = new Samples();
    const [first, ...rest] = varying(60_000);
    samples.busy(first!, ...rest.slice(0, -1));
    expect(samples.base.value).toBe(20_000);
    expect(samples.busy(rest.at(-1)!)).toBeCloseTo(60_000, 3);
  });

  test("are taken over a round trip when that is longer", () => {
    const samples = new Samples();
    samples.busy(300_000, ...steady(500_000, 49));
    expect(samples.base.value).toBe(300_000);
    expect(samples.busy(500_000)).toBeCloseTo((300_000 + 50 * 500_000) / 51, 3);
  });

  test("the least of them counts", () => {
    const samples = new Samples();
    samples.busy(...varying(60_000));
    expect(samples.busy(...varying(50_000))).toBeCloseTo(50_000, 3);
    expect(samples.busy(...varying(70_000))).toBeCloseTo(50_000, 3);
  });

  test("the least of them is forgotten after 10 s", () => {
    const samples = new Samples();
    samples.busy(...varying(50_000));
    const learnt = samples.base.seenAt;
    while (samples.now + MEAN_EVERY - STEP <= learnt + 10 * SECOND) {
      samples.busy(...varying(60_000));
      expect(samples.base.value).toBeCloseTo(50_000, 3);
    }
    expect(samples.busy(...varying(60_000))).toBeCloseTo(60_000, 3);
  });

  test("while the rate grows already after 600 ms", () => {
    const samples = new Samples();
    samples.growing(...varying(50_000));
    // 210 and 420 ms later it is known, 630 ms later it is not.
    for (const value of [50_000, 50_000, 60_000])
      expect(samples.growing(...varying(60_000))).toBeCloseTo(value, 3);
  });

  test("while the rate grows after six round trips where those are longer", () => {
    const samples = new Samples();
    const far = (mean: number): number[] => varying(mean).map((rtt) => rtt + 130_000);
    samples.growing(...far(30_000));
    // The least is 150 ms. 210 to 840 ms later it is known, 1050 ms later it is not.
    for (const value of [160_000, 160_000, 160_000, 160_000, 170_000])
      expect(samples.growing(...far(40_000))).toBeCloseTo(value, 3);
  });

  test("of a steady path the last one is kept, for when it varies", () => {
    const samples = known(20_000);
    samples.busy(...varying(60_000));
    samples.busy(...varying(70_000));
    expect(samples.base.value).toBe(20_000);
    expect(samples.cruising(...varying(65_000))).toBeCloseTo(65_000, 3);
  });
});

describe("a probe", () => {
  test("replaces the least, also by a greater one", () => {
    const samples = known(40_000);
    expect(samples.probe([], [60_000, 61_000], [62_000])).toBe(60_000);
    expect(samples.base.least).toBe(60_000);
    expect(samples.base.seenAt).toBe(samples.now);
  });

  test("keeps the mean of its last whole round only", () => {
    const samples = known(20_000);
    samples.probe([150_000, 140_000], [120_000, 20_000], [40_000, 50_000]);
    expect(samples.base.value).toBe(45_000);
  });

  test("what comes after the last whole round counts for no mean", () => {
    const samples = known(20_000);
    const { base } = samples;
    base.startProbe();
    base.onDrained();
    for (const rtt of [20_000, 60_000]) base.onProbeSample(samples.now, rtt);
    base.onProbeRound();
    base.onProbeSample(samples.now, 200_000);
    base.endProbe(samples.now);
    expect(base.value).toBe(40_000);
    // Nor for the next mean outside.
    expect(samples.busy(...steady(30_000))).toBe(30_000);
  });

  test("a round without a sample changes nothing", () => {
    expect(known(20_000).probe([], [20_000, 60_000], [])).toBe(40_000);
  });

  test("what comes before the path has drained counts for no mean", () => {
    expect(known(20_000).probe([300_000], [20_000])).toBe(20_000);
    const samples = known(20_000);
    const { base } = samples;
    base.startProbe();
    base.onProbeSample(samples.now, 300_000);
    base.onProbeSample(samples.now, 80_000);
    base.onProbeRound();
    base.onDrained();
    base.endProbe(samples.now);
    expect(base.value).toBe(80_000);
  });

  test("tells whether the delay varies", () => {
    const samples = known(20_000);
    expect(samples.probe([], [20_000, 52_000])).toBe(36_000);
    expect(samples.probe([], [20_000, 48_000])).toBe(20_000);
  });

  test("without a sample leaves everything as it was, and is not repeated at once", () => {
    const samples = known(40_000);
    samples.now += 5 * SECOND;
    expect(samples.probe([], [])).toBe(40_000);
    expect(samples.base.seenAt).toBe(samples.now);
    const unsteady = new Samples();
    unsteady.cruising(...varying(60_000));
    expect(unsteady.probe([], [])).toBeCloseTo(60_000, 3);
  });

  test("does not take over what an earlier one has seen", () => {
    const samples = known(40_000);
    samples.probe([], [30_000]);
    samples.probe([], [50_000]);
    expect([samples.base.least, samples.base.value]).toEqual([50_000, 50_000]);
  });

  test("however long a probe's round is, no mean is taken in its middle", () => {
    const samples = known(20_000);
    const round = [...steady(20_000, STRETCH), ...steady(60_000, STRETCH)];
    expect(samples.probe([], round)).toBe(40_000);
  });
});

test("a jittery series gives about its mean, a clean one its least", () => {
  const jittery = new BaseRtt();
  const clean = new BaseRtt();
  for (let i = 0; i < 1000; i++) {
    // 20, 30 ... 60 ms in turn; 40 ms with every tenth sample late by 10 ms.
    jittery.onSample(i * STEP, 20_000 + 10_000 * (i % 5), false, 0);
    clean.onSample(i * STEP, 40_000 + (i % 10 === 9 ? 10_000 : 0), false, 0);
  }
  expect(jittery.least).toBe(20_000);
  expect(jittery.value).toBeGreaterThan(38_000);
  expect(jittery.value).toBeLessThan(42_000);
  expect(clean.value).toBe(40_000);
});

test("whatever comes, the value is neither below the least nor above the greatest sample", () => {
  const event = fc.record({
    kind: fc.constantFrom("sample", "sample", "sample", "cruise", "probe", "drained", "round", "end"),
    after: fc.constantFrom(0, 1, 10_000, 100_000, 400_000, 6_000_000, 11_000_000),
    rtt: fc.double({ min: 1e-3, max: 3e7, noNaN: true }),
    growing: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(event, { maxLength: 200, size: "max" }), (events) => {
      const base = new BaseRtt();
      let now = 0;
      let least = Number.POSITIVE_INFINITY;
      let greatest = 0;
      for (const { kind, after, rtt, growing } of events) {
        now += after;
        if (kind === "drained") base.onDrained();
        else if (kind === "round") base.onProbeRound();
        else if (kind === "end") base.endProbe(now);
        else {
          if (kind === "probe") base.startProbe();
          least = Math.min(least, rtt);
          greatest = Math.max(greatest, rtt);
          if (kind === "probe") base.onProbeSample(now, rtt);
          else base.onSample(now, rtt, growing, kind === "cruise" ? now - 400_000 : Number.POSITIVE_INFINITY);
        }
        if (greatest === 0) continue;
        expect(base.least).toBeGreaterThanOrEqual(least);
        expect(base.value).toBeGreaterThanOrEqual(base.least);
        // A mean is rounded.
        expect(base.value).toBeLessThanOrEqual(greatest * (1 + 1e-12));
        expect(base.seenAt).toBeLessThanOrEqual(now);
      }
    }),
  );
});
