import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { DEFAULT_LINE, Line, type LineSettings, OPPORTUNITY_BYTES } from "../../src/lab/line.ts";
import { seededRandom } from "../../src/lab/random.ts";

interface Sent {
  readonly id: number;
  readonly bytes: number;
  readonly at: number;
}

interface Arrival extends Sent {
  readonly arrivedAt: number;
  readonly corrupted: boolean;
  readonly again: boolean;
}

/** Feeds packets of given gaps and sizes to a line, polling whenever it asks to be polled. */
function run(
  settings: Partial<LineSettings>,
  packets: readonly (readonly [gap: number, bytes: number])[],
  seed = 1,
) {
  const discarded: Sent[] = [];
  const line = new Line<Sent>(seededRandom(seed), (item) => discarded.push(item));
  line.set(0, settings);
  const arrivals: Arrival[] = [];
  const verdicts = new Map<number, string>();
  let polls = 0;
  const drain = (until: number): void => {
    for (let at = line.nextAt(); at <= until; at = line.nextAt()) {
      if (at === Number.POSITIVE_INFINITY) return;
      for (let item = line.poll(at); item !== undefined; item = line.poll(at)) {
        arrivals.push({ ...item, arrivedAt: line.arrivedAt, corrupted: line.corrupted, again: line.again });
        expect(line.arrivedAt).toBeLessThanOrEqual(at);
      }
      if (++polls > 100_000) throw new Error("the line asks to be polled again and again");
    }
  };
  let now = 0;
  for (const [id, [gap, bytes]] of packets.entries()) {
    now += gap;
    drain(now);
    verdicts.set(id, line.offer(now, bytes, { id, bytes, at: now }));
  }
  drain(Number.MAX_VALUE);
  return { line, arrivals, verdicts, discarded, now };
}

const packets = fc.array(fc.tuple(fc.nat(3000), fc.integer({ min: 20, max: 1500 })), {
  minLength: 1,
  maxLength: 200,
  size: "max",
});
const share = fc.oneof(fc.constant(0), fc.double({ min: 0, max: 1, noNaN: true }));
const settings = fc.record({
  rateBitsPerSecond: fc.oneof(
    fc.constant(Number.POSITIVE_INFINITY),
    fc.integer({ min: 100_000, max: 1_000_000_000 }),
  ),
  burstBytes: fc.oneof(fc.constant(0), fc.nat(20_000)),
  delayMicros: fc.nat(100_000),
  jitterMicros: fc.oneof(fc.constant(0), fc.nat(20_000)),
  queueMicros: fc.nat(200_000),
});

describe("a line", () => {
  test("keeps order and conserves packets under any settings", () => {
    const faults = fc.record({ loss: share, duplicate: share, corrupt: share });
    fc.assert(
      fc.property(settings, faults, packets, fc.nat(), (base, fault, sent, seed) => {
        const { line, arrivals, verdicts } = run({ ...base, ...fault }, sent, seed);
        let last = -1;
        let lastTime = 0;
        for (const { id, at, arrivedAt } of arrivals) {
          expect(id).toBeGreaterThanOrEqual(last);
          expect(arrivedAt).toBeGreaterThanOrEqual(Math.max(lastTime, at));
          expect(verdicts.get(id)).toBe("queued");
          last = id;
          lastTime = arrivedAt;
        }
        const queued = [...verdicts.values()].filter((verdict) => verdict === "queued").length;
        expect(new Set(arrivals.map(({ id }) => id)).size).toBe(queued);
        const { counts } = line;
        expect(line.inside).toBe(0);
        expect(counts.offered).toBe(
          counts.delivered - counts.duplicated + counts.lost + counts.overflow + counts.cut,
        );
        expect(counts.delivered).toBe(arrivals.length);
      }),
    );
  });

  test("never exceeds its rate over any window, by more than one packet", () => {
    const rates = fc.integer({ min: 100_000, max: 100_000_000 });
    fc.assert(
      fc.property(rates, fc.nat(50_000), packets, (rateBitsPerSecond, delayMicros, sent) => {
        const { arrivals } = run({ rateBitsPerSecond, delayMicros }, sent);
        for (let from = 0; from < arrivals.length; from++) {
          let bytes = 0;
          for (let to = from + 1; to < arrivals.length; to++) {
            bytes += arrivals[to]!.bytes;
            const window = arrivals[to]!.arrivedAt - arrivals[from]!.arrivedAt;
            expect(bytes).toBeLessThanOrEqual((window * rateBitsPerSecond) / 8e6 + 0.01);
          }
        }
      }),
    );
  });

  test("never exceeds its rate over any window by more than its bucket", () => {
    const rates = fc.integer({ min: 100_000, max: 100_000_000 });
    fc.assert(
      fc.property(rates, fc.nat(20_000), packets, (rateBitsPerSecond, burstBytes, sent) => {
        const { arrivals } = run({ rateBitsPerSecond, burstBytes }, sent);
        for (let from = 0; from < arrivals.length; from++) {
          let bytes = 0;
          for (let to = from + 1; to < arrivals.length; to++) {
            bytes += arrivals[to]!.bytes;
            const window = arrivals[to]!.arrivedAt - arrivals[from]!.arrivedAt;
            expect(bytes).toBeLessThanOrEqual(burstBytes + (window * rateBitsPerSecond) / 8e6 + 0.01);
          }
        }
      }),
    );
  });

  test("sends what its bucket holds at once, the rest at its rate, and again after a pause", () => {
    // 1,000 bytes take 8 ms; after 20 ms of pause the bucket holds 2,500 of its 4,000.
    const settings = { rateBitsPerSecond: 1_000_000, burstBytes: 4000, queueMicros: 1e9, delayMicros: 500 };
    const burst = Array.from({ length: 6 }, () => [0, 1000] as const);
    const { arrivals } = run(settings, [...burst, [36_000, 1000], [0, 1000], [0, 1000]]);
    const times = [0, 0, 0, 0, 8000, 16_000, 36_000, 36_000, 40_000];
    expect(arrivals.map(({ arrivedAt }) => arrivedAt)).toEqual(times.map((time) => time + 500));
  });

  test("a bucket of another size begins full, a full one gains nothing", () => {
    const line = new Line<number>(seededRandom(1));
    const arrivals = (now: number, count: number): number => {
      for (let i = 0; i < count; i++) line.offer(now, 1000, i);
      let arrived = 0;
      while (line.poll(now) !== undefined) arrived++;
      return arrived;
    };
    line.set(0, { rateBitsPerSecond: 1_000_000, burstBytes: 3000, queueMicros: 1e9 });
    expect(arrivals(60_000_000, 5)).toBe(3);
    line.set(120_000_000, { burstBytes: 2000 });
    expect(arrivals(120_000_000, 5)).toBe(2 + 2);
    line.set(121_000_000, { rateBitsPerSecond: 500_000 });
    // What is in it stays when the rate changes.
    expect(arrivals(180_000_000, 5)).toBe(2 + 3);
  });

  test("uses its whole rate while packets wait", () => {
    const sent = Array.from({ length: 100 }, () => [0, 1250] as const);
    const { arrivals } = run({ rateBitsPerSecond: 10_000_000, delayMicros: 7000, queueMicros: 1e9 }, sent);
    expect(arrivals.map(({ arrivedAt }) => arrivedAt)).toEqual(sent.map((_, i) => 7000 + (i + 1) * 1000));
  });

  test("delays an idle line's packet by exactly transmission and propagation", () => {
    const sizes = fc.integer({ min: 20, max: 1500 });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1000 }), fc.nat(500_000), sizes, (mbit, delayMicros, bytes) => {
        const { arrivals } = run({ rateBitsPerSecond: mbit * 1e6, delayMicros }, [[1000, bytes]]);
        expect(arrivals[0]!.arrivedAt).toBeCloseTo(1000 + (bytes * 8) / mbit + delayMicros, 5);
      }),
    );
  });

  test("lets no packet wait longer than the bound, and takes every packet that would not", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 100_000, max: 50_000_000 }),
        fc.nat(50_000),
        packets,
        (rate, queueMicros, sent) => {
          const { arrivals, verdicts } = run({ rateBitsPerSecond: rate, queueMicros }, sent);
          const arrival = new Map(arrivals.map((each) => [each.id, each]));
          let free = 0;
          let now = 0;
          for (const [id, [gap, bytes]] of sent.entries()) {
            now += gap;
            const wait = Math.max(0, free - now);
            // Where the model's own arithmetic is within a rounding of the bound, either verdict is right.
            if (Math.abs(wait - queueMicros) > 1e-3 && wait > 1e-3) {
              expect(verdicts.get(id)).toBe(wait > queueMicros ? "overflow" : "queued");
            }
            const got = arrival.get(id);
            if (got === undefined) continue;
            free = now + wait + (bytes * 8e6) / rate;
            expect(got.arrivedAt).toBeCloseTo(free, 3);
          }
        },
      ),
    );
  });

  test("bounds its queue in bytes", () => {
    const sent = Array.from({ length: 10 }, () => [0, 1000] as const);
    const { verdicts } = run({ rateBitsPerSecond: 1_000_000, queueMicros: 1e9, queueBytes: 3500 }, sent);
    expect([...verdicts.values()].filter((verdict) => verdict === "queued")).toHaveLength(3);
  });

  test("takes a packet that finds nothing waiting, however short the bound", () => {
    const { arrivals } = run({ rateBitsPerSecond: 8000, queueMicros: 0, queueBytes: 0 }, [[0, 1500]]);
    expect(arrivals[0]!.arrivedAt).toBe(1_500_000);
  });

  test.each([
    ["loss", 0.02],
    ["duplicate", 0.1],
    ["corrupt", 0.3],
  ] as const)("%s strikes the share asked for", (name, asked) => {
    const sent = Array.from({ length: 20_000 }, () => [100, 1000] as const);
    const { line } = run({ [name]: asked }, sent, 7);
    const counted = {
      loss: line.counts.lost,
      duplicate: line.counts.duplicated,
      corrupt: line.counts.corrupted,
    }[name];
    // Three standard deviations of the binomial distribution.
    expect(Math.abs(counted - 20_000 * asked)).toBeLessThan(3 * Math.sqrt(20_000 * asked * (1 - asked)));
  });

  test("says of the first of two copies that another comes", () => {
    const { arrivals, discarded } = run({ duplicate: 1, corrupt: 1 }, [[0, 100]]);
    expect(arrivals.map(({ again, corrupted }) => [again, corrupted])).toEqual([
      [true, true],
      [false, false],
    ]);
    expect(discarded).toHaveLength(0);
  });

  test("delivers late what it reorders, and nothing else", () => {
    const sent = Array.from({ length: 2000 }, () => [500, 1000] as const);
    const { line, arrivals } = run({ delayMicros: 5000, reorder: 0.1, reorderMicros: 3000 }, sent);
    const delays = new Set(arrivals.map(({ at, arrivedAt }) => arrivedAt - at));
    expect([...delays].sort()).toEqual([5000, 8000]);
    expect(arrivals.filter(({ at, arrivedAt }) => arrivedAt - at === 8000)).toHaveLength(line.counts.late);
    expect(line.counts.late).toBeGreaterThan(150);
    const inOrder = arrivals.every(({ id }, i) => i === 0 || id > arrivals[i - 1]!.id);
    expect(inOrder).toBe(false);
  });

  test("has the deviation asked for, whatever the packet rate", () => {
    for (const gap of [200, 10_000]) {
      const sent = Array.from({ length: 4_000_000 / gap }, () => [gap, 100] as const);
      const { arrivals } = run({ delayMicros: 50_000, jitterMicros: 2000 }, sent, 3);
      const delays = arrivals.map(({ at, arrivedAt }) => arrivedAt - at);
      const mean = delays.reduce((sum, each) => sum + each, 0) / delays.length;
      const deviation = Math.sqrt(delays.reduce((sum, each) => sum + (each - mean) ** 2, 0) / delays.length);
      expect(Math.abs(mean - 50_000)).toBeLessThan(500);
      expect(Math.abs(deviation - 2000)).toBeLessThan(400);
    }
  });
});

describe("a change while running", () => {
  function loaded(): { line: Line<number>; discarded: number[] } {
    const discarded: number[] = [];
    const line = new Line<number>(seededRandom(1), (item) => discarded.push(item));
    line.set(0, { rateBitsPerSecond: 8_000_000, delayMicros: 10_000, queueMicros: 1e9 });
    for (let id = 0; id < 10; id++) line.offer(0, 1000, id);
    return { line, discarded };
  }

  function arrivals(line: Line<number>): [id: number, at: number][] {
    const result: [number, number][] = [];
    for (let at = line.nextAt(); at !== Number.POSITIVE_INFINITY; at = line.nextAt()) {
      for (let id = line.poll(at); id !== undefined; id = line.poll(at)) result.push([id, line.arrivedAt]);
    }
    return result;
  }

  test("of the rate holds for what is being transmitted", () => {
    const { line } = loaded();
    // Two packets and a half are out at 2.5 ms; the rest goes at half the rate.
    line.set(2500, { rateBitsPerSecond: 4_000_000 });
    expect(arrivals(line).map(([, at]) => at)).toEqual([
      11_000, 12_000, 13_500, 15_500, 17_500, 19_500, 21_500, 23_500, 25_500, 27_500,
    ]);
  });

  test("of the rate to nothing and back holds everything", () => {
    const { line } = loaded();
    line.set(2500, { rateBitsPerSecond: 0 });
    expect(line.poll(20_000)).toBe(0);
    expect(line.poll(20_000)).toBe(1);
    expect(line.poll(20_000)).toBeUndefined();
    expect(line.nextAt()).toBe(Number.POSITIVE_INFINITY);
    line.set(102_500, { rateBitsPerSecond: 8_000_000 });
    expect(arrivals(line).map(([, at]) => at)).toEqual(
      [2, 3, 4, 5, 6, 7, 8, 9].map((id) => 111_000 + id * 1000),
    );
  });

  test("to a shorter delay does not let packets overtake", () => {
    const { line } = loaded();
    line.set(5000, { delayMicros: 1000 });
    expect(arrivals(line)).toEqual([11, 12, 13, 14, 15, 15, 15, 15, 15, 15].map((ms, id) => [id, ms * 1000]));
  });

  test("to cut loses what is inside and what is offered, and gives every item back once", () => {
    const { line, discarded } = loaded();
    expect(line.poll(11_000)).toBe(0);
    line.set(12_500, { cut: true });
    expect(discarded.sort()).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(line.offer(13_000, 1000, 10)).toBe("cut");
    expect(line.nextAt()).toBe(Number.POSITIVE_INFINITY);
    line.set(20_000, { cut: false });
    expect(line.offer(20_000, 1000, 11)).toBe("queued");
    expect(arrivals(line)).toEqual([[11, 31_000]]);
    expect(line.counts).toMatchObject({ offered: 12, delivered: 2, cut: 10, lost: 0, overflow: 0 });
  });

  test("to cut gives back nothing that was lost before", () => {
    const discarded: number[] = [];
    const line = new Line<number>(seededRandom(1), (item) => discarded.push(item));
    line.set(0, { rateBitsPerSecond: 8000, loss: 1 });
    expect(line.offer(0, 1000, 1)).toBe("lost");
    line.set(1, { cut: true });
    expect(discarded).toEqual([]);
    expect(line.counts).toMatchObject({ offered: 1, lost: 1, cut: 0 });
  });

  test("of the rate counts what is left of the packet in the transmitter against the bound", () => {
    const { line } = loaded();
    // 0.5 of the head and 7 whole packets are left: 15 ms at half the rate.
    line.set(2500, { rateBitsPerSecond: 4_000_000, queueMicros: 15_000 });
    expect(line.offer(2500, 1000, 10)).toBe("queued");
    expect(line.offer(2500, 1000, 11)).toBe("overflow");
    expect(line.offer(4499, 1000, 12)).toBe("overflow");
    expect(line.offer(4500, 1000, 13)).toBe("queued");
  });

  test("refuses what no line can be", () => {
    const { line } = loaded();
    const impossible: Partial<LineSettings>[] = [
      { loss: 1.1 },
      { delayMicros: -1 },
      { rateBitsPerSecond: Number.NaN },
      { jitterMicros: Number.POSITIVE_INFINITY },
      { trace: new Float64Array(0) },
      { trace: new Float64Array([0]) },
    ];
    for (const change of impossible) expect(() => line.set(0, change)).toThrow(RangeError);
    expect(line.current).toEqual({
      ...DEFAULT_LINE,
      rateBitsPerSecond: 8_000_000,
      delayMicros: 10_000,
      queueMicros: 1e9,
    });
  });
});

describe("a trace", () => {
  test("lets 1,500 bytes go at each opportunity, and repeats", () => {
    const trace = new Float64Array([1000, 1000, 4000]);
    const sent = Array.from({ length: 7 }, () => [0, 1500] as const);
    const { arrivals } = run({ trace, delayMicros: 100, queueMicros: 1e9 }, sent);
    expect(arrivals.map(({ arrivedAt }) => arrivedAt)).toEqual(
      [1, 1, 4, 5, 5, 8, 9].map((ms) => ms * 1000 + 100),
    );
  });

  test("shares an opportunity among small packets and spends several on a larger one", () => {
    const { arrivals } = run({ trace: new Float64Array([1000, 2000, 3000]), queueMicros: 1e9 }, [
      [0, 700],
      [0, 800],
      [0, 2000],
    ]);
    expect(arrivals.map(({ arrivedAt }) => arrivedAt)).toEqual([1000, 1000, 3000]);
  });

  test("wastes the opportunities that nobody waits for", () => {
    const { arrivals } = run({ trace: new Float64Array([1000, 2000, 5000]) }, [
      [2500, 100],
      [0, 100],
    ]);
    expect(arrivals.map(({ arrivedAt }) => arrivedAt)).toEqual([5000, 5000]);
  });

  test("never carries more than its opportunities", () => {
    const traces = fc.array(fc.nat(20), { minLength: 1, maxLength: 30, size: "max" }).map((gaps) => {
      let at = 1;
      const times = gaps.map((gap) => {
        at += gap;
        return at * 1000;
      });
      return new Float64Array(times);
    });
    fc.assert(
      fc.property(traces, packets, (trace, sent) => {
        const { arrivals } = run({ trace, queueMicros: 1e9 }, sent);
        const lap = trace[trace.length - 1]!;
        const opportunities = (until: number): number => {
          const laps = Math.floor(until / lap);
          return laps * trace.length + trace.filter((at) => laps * lap + at <= until).length;
        };
        let bytes = 0;
        for (const arrival of arrivals) {
          bytes += arrival.bytes;
          expect(bytes).toBeLessThanOrEqual(opportunities(arrival.arrivedAt) * OPPORTUNITY_BYTES);
        }
        expect(arrivals).toHaveLength(sent.length);
      }),
    );
  });
});
