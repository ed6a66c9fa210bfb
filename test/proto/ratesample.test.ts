import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { MILLISECOND, SECOND } from "../../src/proto/limits.ts";
import { DeliveryRate, type RateSample } from "../../src/proto/ratesample.ts";
import { Reception } from "../../src/proto/reception.ts";
import { Recovery } from "../../src/proto/recovery.ts";
import { NO_POSITION } from "../../src/proto/sentlog.ts";
import { plainBlock } from "../../src/share/block.ts";
import { Bottleneck, D, megabits, path } from "./bottleneck.ts";
import { Steady } from "./steady.ts";

/** Virtual time passes faster than ours, but not on every machine. */
setDefaultTimeout(120_000);

/** Keeps every sample. */
class Watcher extends Steady {
  override readonly window = 64_000_000;
  readonly samples: RateSample[] = [];

  override onRate(_now: number, sample: RateSample): void {
    this.samples.push({ ...sample });
  }

  /** Samples of the last stretch that say something of the path. */
  usable(): RateSample[] {
    const usable = this.samples.filter(({ rate, appLimited }) => rate > 0 && !appLimited);
    this.samples.length = 0;
    return usable;
  }
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!;
}

describe("a bottleneck of constant rate", () => {
  test.each([
    { name: "50 Mbit/s, 40 ms", rate: 50, rtt: 40_000 },
    { name: "5 Mbit/s, 40 ms", rate: 5, rtt: 40_000 },
    { name: "300 Mbit/s, 10 ms", rate: 300, rtt: 10_000 },
    { name: "50 Mbit/s, 200 ms", rate: 50, rtt: 200_000 },
  ])("is measured within 2 %, and never too high: $name", ({ rate, rtt }) => {
    const watcher = new Watcher(megabits(2 * rate));
    const bottleneck = new Bottleneck(watcher, path(rate, rtt, { queueMicros: 2 * SECOND }));
    bottleneck.runFor(4 * rtt);
    watcher.usable();
    bottleneck.runFor(SECOND);
    const rates = watcher.usable().map((sample) => sample.rate / megabits(rate));
    expect(rates.length).toBeGreaterThan(50);
    expect(median(rates)).toBeGreaterThan(0.98);
    expect(Math.min(...rates)).toBeGreaterThan(0.98);
    expect(Math.max(...rates)).toBeLessThan(1.02);
  });

  test("a sender below it measures its own rate", () => {
    const watcher = new Watcher(megabits(20));
    const bottleneck = new Bottleneck(watcher, path(50, 40_000));
    bottleneck.runFor(200 * MILLISECOND);
    watcher.usable();
    bottleneck.runFor(SECOND);
    const rates = watcher.usable().map((sample) => sample.rate / megabits(20));
    expect(Math.abs(median(rates) - 1)).toBeLessThan(0.02);
    expect(Math.max(...rates)).toBeLessThan(1.1);
  });

  test("a burst of acknowledgements held up on the way does not look like a faster path", () => {
    const watcher = new Watcher(megabits(100));
    const plan = { ackSpacing: 15 * MILLISECOND };
    const bottleneck = new Bottleneck(watcher, path(50, 40_000, { queueMicros: 2 * SECOND }), plan);
    bottleneck.runFor(SECOND);
    const rates = watcher.usable().map((sample) => sample.rate / megabits(50));
    expect(Math.max(...rates)).toBeLessThan(1.1);
    expect(Math.abs(median(rates.slice(5)) - 1)).toBeLessThan(0.02);
  });

  test("loss is counted, and the rate is what came through", () => {
    const watcher = new Watcher(megabits(60));
    const bottleneck = new Bottleneck(watcher, path(50, 40_000, { loss: 0.05, queueMicros: 2 * SECOND }));
    bottleneck.runFor(200 * MILLISECOND);
    watcher.usable();
    bottleneck.runFor(2 * SECOND);
    const samples = watcher.usable();
    const lost = samples.reduce((sum, sample) => sum + sample.lost, 0);
    const acked = samples.reduce((sum, sample) => sum + sample.acked, 0);
    expect(Math.abs(lost / (lost + acked) - 0.05)).toBeLessThan(0.01);
    expect(Math.abs(median(samples.map(({ rate }) => rate)) / megabits(50) - 0.95)).toBeLessThan(0.02);
  });
});

describe("a sender with too little to send", () => {
  test("gives samples that say so, and the next with enough to send do not", () => {
    const watcher = new Watcher(megabits(100));
    const starved = new Bottleneck(watcher, path(50, 40_000), { offered: megabits(5) });
    starved.runFor(SECOND);
    const samples = watcher.samples.filter(({ rate }) => rate > 0);
    expect(samples.length).toBeGreaterThan(50);
    expect(samples.slice(1).every(({ appLimited }) => appLimited)).toBe(true);
    const busy = new Watcher(megabits(100));
    new Bottleneck(busy, path(50, 40_000)).runFor(SECOND);
    expect(busy.samples.some(({ appLimited }) => appLimited)).toBe(false);
  });

  test("what was in flight then is the last that is limited", () => {
    const rate = new DeliveryRate();
    rate.onIdleSend(0);
    rate.onAppLimited(3 * D);
    expect(rate.isAppLimited).toBe(true);
    for (const [packets, limited] of [
      [3, true],
      [1, false],
    ] as const) {
      rate.begin();
      for (let i = 0; i < packets; i++) rate.onAcked(1000, D, 10, 0, 0, 0, true);
      rate.end(0, 1000, 0);
      expect(rate.isAppLimited).toBe(limited);
    }
  });

  test("with nothing in flight either, the next sample is limited still", () => {
    const rate = new DeliveryRate();
    rate.onAppLimited(0);
    expect(rate.isAppLimited).toBe(true);
  });
});

test("a pause does not count as time in which the path delivered", () => {
  const watcher = new Watcher(megabits(100));
  const recovery = new Recovery(watcher, D, { onDelivered: () => {}, onLost: () => {} });
  const reception = new Reception();
  const body = plainBlock(600);
  for (const start of [1000, 5 * SECOND]) {
    for (let i = 0; i < 10; i++)
      reception.onPacket(0, recovery.onSent(start + 1000 * i, D, NO_POSITION, true), D, true);
    const length = reception.writeAck(0, body, 0, 600);
    recovery.onAck(start + 49_000, body, 0, length);
    expect(recovery.log.inFlight).toBe(0);
    expect(watcher.samples.at(-1)!.rate).toBeCloseTo((10 * D * SECOND) / 49_000);
  }
});

describe("one acknowledgement", () => {
  test("delivered bytes over the longer of the two intervals: sending and acknowledging", () => {
    for (const [sentAt, now, interval] of [
      [50_000, 90_000, 80_000],
      [95_000, 96_000, 90_000],
    ] as const) {
      const rate = new DeliveryRate();
      rate.delivered = 7 * D;
      rate.begin();
      rate.onAcked(now, D, sentAt, 5 * D, 10_000, 5_000, false);
      const sample = rate.end(2 * D, 33, 0);
      expect(sample.rate).toBeCloseTo((3 * D * SECOND) / interval);
      expect(sample).toMatchObject({
        acked: D,
        delivered: 8 * D,
        priorDelivered: 5 * D,
        inFlight: 2 * D,
        rtt: 33,
      });
    }
  });

  test("of several packets the one that left last tells, in whatever order they are named", () => {
    const orders = [
      ["older", "newer"],
      ["newer", "older"],
    ];
    const rates = orders.map((names) => {
      const rate = new DeliveryRate();
      rate.begin();
      for (const name of names) {
        if (name === "older") rate.onAcked(20_000, D, 1_000, 0, 500, 0, true);
        else rate.onAcked(20_000, D, 9_000, D, 2_000, 1_000, false);
      }
      const { appLimited, priorDelivered, ...sample } = rate.end(0, 0, 0);
      expect([appLimited, priorDelivered]).toEqual([false, D]);
      return sample.rate;
    });
    expect(rates).toEqual([rates[0]!, rates[0]!]);
    expect(rates[0]).toBeCloseTo((D * SECOND) / 18_000);
  });

  test("of packets that left with the same delivered, too", () => {
    for (const order of [
      [1_000, 9_000],
      [9_000, 1_000],
    ]) {
      const rate = new DeliveryRate();
      rate.begin();
      for (const sentAt of order) rate.onAcked(20_000, D, sentAt, 0, 19_000, 0, false);
      expect(rate.end(0, 0, 0).rate).toBeCloseTo((2 * D * SECOND) / 9_000);
    }
  });

  test("what was lost since the one before is counted together", () => {
    const rate = new DeliveryRate();
    for (let i = 0; i < 3; i++) rate.onLost(D);
    rate.begin();
    rate.onLost(D);
    expect(rate.end(0, 0, 0).lost).toBe(4 * D);
  });

  test("an interval below the least round-trip time proves nothing", () => {
    const rate = new DeliveryRate();
    for (const [least, usable] of [
      [20_001, false],
      [20_000, true],
    ] as const) {
      rate.begin();
      rate.onAcked(20_000, D, 10_000, 0, 0, 0, false);
      expect(rate.end(0, 0, least).rate > 0).toBe(usable);
    }
  });

  test("one that delivers nothing new gives no rate", () => {
    const rate = new DeliveryRate();
    rate.begin();
    expect(rate.end(D, 0, 0)).toMatchObject({ rate: 0, acked: 0, inFlight: D });
  });
});
