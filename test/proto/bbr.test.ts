import { describe, expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import { Bbr } from "../../src/proto/bbr.ts";
import { MILLISECOND, SECOND } from "../../src/proto/limits.ts";
import { Bottleneck, type BottleneckPlan, D, megabits, path } from "./bottleneck.ts";

/** Virtual time passes faster than ours, but not on every machine. */
setDefaultTimeout(120_000);

/** What acknowledgements need to arrive, in flight beside rate times round trip (src/proto/bbr.ts). */
const ACK_BUDGET = 4 * MILLISECOND;

interface Bed {
  readonly bbr: Bbr;
  readonly bottleneck: Bottleneck;
}

function start(settings: ReturnType<typeof path>, plan: BottleneckPlan = {}): Bed {
  const bbr = new Bbr(D);
  return { bbr, bottleneck: new Bottleneck(bbr, settings, plan) };
}

/** Share of what the line can carry. */
function share(bottleneck: Bottleneck, micros: number): number {
  const { rateBitsPerSecond, loss } = bottleneck.line.current;
  return bottleneck.runFor(micros).rate / ((rateBitsPerSecond / 8) * (1 - loss));
}

/** Bytes that fill the line and what acknowledgements need. */
function pipe(rate: number, rtt: number): number {
  return (megabits(rate) * (rtt + ACK_BUDGET)) / SECOND;
}

const lines = [
  { rate: 5, rtt: 30_000 },
  { rate: 50, rtt: 40_000 },
  { rate: 50, rtt: 10_000 },
  { rate: 300, rtt: 20_000 },
  { rate: 50, rtt: 200_000 },
] as const;
const losses = [0, 0.01, 0.05, 0.08];

describe.each(lines)("a line of $rate Mbit/s and $rtt us", ({ rate, rtt }) => {
  test("reaches 90 % of the rate within ten round trips", () => {
    const { bottleneck } = start(path(rate, rtt));
    bottleneck.runFor(10 * rtt);
    expect(share(bottleneck, 2 * rtt)).toBeGreaterThan(0.9);
  });

  test.each(losses)("holds it with a share of %p lost at random, in little more than the pipe", (loss) => {
    const { bottleneck } = start(path(rate, rtt, { loss }), { seed: 3 });
    bottleneck.runFor(SECOND + 20 * rtt);
    for (let i = 0; i < 3; i++) {
      const { rate: delivered, inFlight, wait } = bottleneck.runFor(4 * SECOND);
      expect(delivered / (megabits(rate) * (1 - loss))).toBeGreaterThan(0.9);
      expect(inFlight).toBeLessThan(2.3 * pipe(rate, rtt) + 4 * D);
      // Probing queues a quarter of a round trip for a short while; on average there is hardly a queue.
      expect(wait).toBeLessThan(Math.max(0.1 * rtt, 4 * MILLISECOND) + (2 * D * SECOND) / megabits(rate));
    }
  });

  test("what is sent while it cruises meets an empty queue", () => {
    const { bbr, bottleneck } = start(path(rate, rtt));
    bottleneck.runFor(SECOND + 20 * rtt);
    let waits = 0;
    let stretches = 0;
    let cruisedFor = 0;
    for (let at = 0; at < 6 * SECOND; at += 2 * MILLISECOND) {
      const before = bbr.state;
      const { wait, rate: delivered } = bottleneck.runFor(2 * MILLISECOND);
      cruisedFor = before === "cruise" && bbr.state === "cruise" ? cruisedFor + 2 * MILLISECOND : 0;
      // What arrives sooner was sent before.
      if (cruisedFor < rtt || delivered === 0) continue;
      waits += wait;
      stretches++;
    }
    expect(stretches).toBeGreaterThan(300);
    expect(waits / stretches).toBeLessThan(Math.max(0.02 * rtt, 2 * MILLISECOND));
  });
});

test.each([40_000, 70_000, 150_000])("probing for more makes no queue that others notice (%p us)", (rtt) => {
  const { bottleneck } = start(path(40, rtt));
  bottleneck.runFor(4 * SECOND);
  const waits = Array.from({ length: 1000 }, () => bottleneck.runFor(10 * MILLISECOND).wait);
  waits.sort((a, b) => a - b);
  expect(waits[950]!).toBeLessThan(Math.max(6.5 * MILLISECOND, 0.11 * rtt));
});

describe("a line that changes", () => {
  test.each([20_000, 100_000])("its rate grows tenfold: followed within 3 s (%p us)", (rtt) => {
    const { bottleneck } = start(path(5, rtt));
    bottleneck.runFor(5 * SECOND);
    bottleneck.change({ rateBitsPerSecond: 50e6 });
    bottleneck.runFor(3 * SECOND);
    expect(share(bottleneck, SECOND)).toBeGreaterThan(0.9);
  });

  test.each([
    { rtt: 20_000, queueMicros: 40_000 },
    { rtt: 100_000, queueMicros: 200_000 },
    // Nothing overflows: only slower acknowledgements tell.
    { rtt: 40_000, queueMicros: 4 * SECOND },
  ])("its rate falls to a tenth: followed within 3 s ($rtt us, queue of $queueMicros us)", (plan) => {
    const { bbr, bottleneck } = start(path(50, plan.rtt, { queueMicros: plan.queueMicros }));
    bottleneck.runFor(5 * SECOND);
    bottleneck.change({ rateBitsPerSecond: 5e6 });
    bottleneck.runFor(3 * SECOND);
    expect(bbr.rate / megabits(5)).toBeLessThan(1.1);
    expect(bottleneck.runFor(SECOND).rate / megabits(5)).toBeGreaterThan(0.9);
    const { rate, wait } = bottleneck.runFor(2 * SECOND);
    expect(rate / megabits(5)).toBeGreaterThan(0.9);
    expect(wait).toBeLessThan(0.3 * plan.rtt);
  });

  test("a longer way is learnt within 8 s, and the rate kept", () => {
    const { bbr, bottleneck } = start(path(50, 20_000));
    bottleneck.runFor(3 * SECOND);
    expect(bbr.minRtt).toBeLessThan(22_000);
    bottleneck.change({ delayMicros: 75_000, queueMicros: 300_000 });
    bottleneck.runFor(8 * SECOND);
    expect(bbr.minRtt).toBeGreaterThan(149_000);
    expect(bbr.minRtt).toBeLessThan(165_000);
    expect(share(bottleneck, 2 * SECOND)).toBeGreaterThan(0.9);
  });

  test("a shorter way is learnt at once", () => {
    const { bbr, bottleneck } = start(path(50, 150_000));
    bottleneck.runFor(3 * SECOND);
    bottleneck.change({ delayMicros: 10_000 });
    bottleneck.runFor(SECOND);
    expect(bbr.minRtt).toBeLessThan(22_000);
  });

  test("a delay that varies does not let min RTT grow without end", () => {
    const { bbr, bottleneck } = start(path(50, 40_000, { jitterMicros: 5_000 }));
    bottleneck.runFor(SECOND);
    for (let i = 0; i < 30; i++) {
      bottleneck.runFor(SECOND);
      expect(bbr.minRtt).toBeLessThan(45_000);
    }
    const { rate, inFlight } = bottleneck.runFor(5 * SECOND);
    expect(rate / megabits(50)).toBeGreaterThan(0.9);
    // And bursts, of several standard deviations.
    expect(inFlight).toBeLessThan(2.3 * pipe(50, 40_000) + pipe(50, 8 * 5_000));
  });

  test.each([
    { delayMicros: 40_000, jitterMicros: 20_000 },
    { delayMicros: 20_000, jitterMicros: 20_000 },
    { delayMicros: 50_000, jitterMicros: 25_000 },
  ])("a delay that varies as much as it is long ($delayMicros +- $jitterMicros us) is filled", (plan) => {
    for (const seed of [1, 2, 3, 4]) {
      const { bottleneck } = start(path(50, 2 * plan.delayMicros, plan), { seed });
      bottleneck.runFor(5 * SECOND);
      expect(share(bottleneck, 10 * SECOND)).toBeGreaterThan(0.7);
    }
  });

  test.each([
    { ackSpacing: 10_000, rtt: 20_000 },
    { ackSpacing: 20_000, rtt: 20_000 },
    { ackSpacing: 15_000, rtt: 40_000 },
  ])("acknowledgements $ackSpacing us apart let no queue stand, and the line is full ($rtt us)", (plan) => {
    const { ackSpacing, rtt } = plan;
    const { bottleneck } = start(path(50, rtt, { queueMicros: SECOND }), { ackSpacing });
    bottleneck.runFor(3 * SECOND);
    const { rate, wait } = bottleneck.runFor(5 * SECOND);
    expect(rate / megabits(50)).toBeGreaterThan(0.97);
    // Packets that leave at once when such an acknowledgement comes wait for half of them.
    expect(wait).toBeLessThan(ackSpacing / 2);
  });

  test.each([1, 5])("after %p s of silence it comes back", (seconds) => {
    const { bbr, bottleneck } = start(path(50, 40_000));
    bottleneck.runFor(3 * SECOND);
    bottleneck.change({ cut: true });
    bottleneck.runFor(seconds * SECOND);
    expect(bbr.state).toBe("startup");
    expect(bbr.rate).toBeLessThan(megabits(20));
    bottleneck.change({ cut: false });
    bottleneck.runFor(SECOND);
    expect(share(bottleneck, SECOND)).toBeGreaterThan(0.9);
  });

  test("a short queue that overflows tells of a slower line within five round trips", () => {
    const { bbr, bottleneck } = start(path(50, 200_000, { queueMicros: 10_000 }));
    bottleneck.runFor(6 * SECOND);
    bottleneck.change({ rateBitsPerSecond: 5e6 });
    bottleneck.runFor(SECOND);
    expect(bbr.rate / megabits(5)).toBeLessThan(1.1);
  });

  test.each([1, 1.2, 1.5, 1.8, 2.1])(
    "after a short dip the rate is soon found again, %d s after the start",
    (at) => {
      const { bottleneck } = start(path(8, 20_000, { queueMicros: 200_000 }));
      bottleneck.runFor(at * SECOND);
      bottleneck.change({ rateBitsPerSecond: 2e6 });
      bottleneck.runFor(300 * MILLISECOND);
      bottleneck.change({ rateBitsPerSecond: 8e6 });
      bottleneck.runFor(500 * MILLISECOND);
      expect(share(bottleneck, 500 * MILLISECOND)).toBeGreaterThan(0.9);
    },
  );

  test("a line that becomes slower while a queue is drained is not flooded", () => {
    const { bbr, bottleneck } = start(path(8, 40_000, { queueMicros: 10 * SECOND }));
    while (bbr.state !== "drain") bottleneck.runFor(MILLISECOND);
    bottleneck.change({ rateBitsPerSecond: 1e6 });
    bottleneck.runFor(4 * SECOND);
    expect(bbr.rate / megabits(1)).toBeLessThan(1.1);
    const { rate, wait } = bottleneck.runFor(2 * SECOND);
    expect(rate / megabits(1)).toBeGreaterThan(0.9);
    expect(wait).toBeLessThan(120 * MILLISECOND);
  });

  test("after silence a way that is longer is no reason to begin at the bottom", () => {
    const { bottleneck } = start(path(50, 20_000));
    bottleneck.runFor(3 * SECOND);
    bottleneck.change({ cut: true });
    bottleneck.runFor(SECOND);
    bottleneck.change({ cut: false, delayMicros: 75_000, queueMicros: 300_000 });
    bottleneck.runFor(2.5 * SECOND);
    expect(share(bottleneck, SECOND)).toBeGreaterThan(0.9);
  });

  test("after silence a line that is much slower is not flooded", () => {
    const { bottleneck } = start(path(50, 40_000, { queueMicros: SECOND }));
    bottleneck.runFor(3 * SECOND);
    bottleneck.change({ cut: true });
    bottleneck.runFor(SECOND);
    bottleneck.change({ cut: false, rateBitsPerSecond: 2e6 });
    bottleneck.runFor(4 * SECOND);
    const { rate, wait } = bottleneck.runFor(2 * SECOND);
    expect(rate / megabits(2)).toBeGreaterThan(0.9);
    expect(wait).toBeLessThan(40 * MILLISECOND);
  });
});

test.each([20, 40, 60])(
  "processors that stop for %d ms four times a second: the rate stays known",
  (held) => {
    const { bbr, bottleneck } = start(path(200, 20_000, { queueMicros: 100_000 }));
    bottleneck.runFor(2 * SECOND);
    for (let i = 0; i < 40; i++) {
      bottleneck.holdUp(held * MILLISECOND);
      expect(bottleneck.runFor((250 - held) * MILLISECOND).rate / megabits(200)).toBeGreaterThan(0.8);
      expect(bbr.rate / megabits(200)).toBeGreaterThan(0.95);
    }
  },
);

describe("paths of their own kind", () => {
  test("0.1 ms with acknowledgements 2 ms apart reaches 1 Gbit/s", () => {
    const { bottleneck } = start(path(1000, 100), { ackSpacing: 2 * MILLISECOND });
    bottleneck.runFor(200 * MILLISECOND);
    expect(share(bottleneck, SECOND)).toBeGreaterThan(0.95);
  });

  test("a satellite: 10 Mbit/s and 600 ms", () => {
    const { bottleneck } = start(path(10, 600_000));
    // Ten round trips of growth, and what that queued has to go.
    bottleneck.runFor(6 * SECOND);
    expect(share(bottleneck, 2 * SECOND)).toBeGreaterThan(0.9);
    bottleneck.runFor(4 * SECOND);
    const { inFlight, wait } = bottleneck.runFor(10 * SECOND);
    expect(inFlight).toBeLessThan(2.3 * pipe(10, 600_000));
    expect(wait).toBeLessThan(150 * MILLISECOND);
  });

  test("a queue of 5 ms is no obstacle, and overflows little", () => {
    const { bottleneck } = start(path(50, 40_000, { queueMicros: 5_000 }));
    bottleneck.runFor(2 * SECOND);
    const before = { ...bottleneck.line.counts };
    expect(share(bottleneck, 5 * SECOND)).toBeGreaterThan(0.9);
    const { overflow, offered } = bottleneck.line.counts;
    expect((overflow - before.overflow) / (offered - before.offered)).toBeLessThan(0.02);
  });

  test("a sender with too little to send is not held back, and what it has learnt stays", () => {
    const { bbr, bottleneck } = start(path(50, 40_000), { offered: megabits(5) });
    bottleneck.runFor(SECOND);
    expect(bottleneck.runFor(5 * SECOND).rate / megabits(5)).toBeGreaterThan(0.99);
    expect(bbr.rate).toBeGreaterThan(megabits(4));
    expect(bottleneck.recovery.lostPackets).toBe(0);
  });

  test("while a queue stands in the path, its rate is learnt from a sender with too little to send as well", () => {
    const window = 1.5 * pipe(14, 40_000);
    const { bbr, bottleneck } = start(path(14, 40_000, { queueMicros: 4 * SECOND }), { window });
    bottleneck.runFor(3 * SECOND);
    expect(bbr.rate / megabits(14)).toBeGreaterThan(0.95);
    bottleneck.change({ rateBitsPerSecond: 3e6 });
    bottleneck.runFor(2 * SECOND);
    expect(bbr.rate / megabits(3)).toBeLessThan(1.2);
    const { rate, wait } = bottleneck.runFor(3 * SECOND);
    expect(rate / megabits(3)).toBeGreaterThan(0.9);
    expect(wait).toBeLessThan(40_000);
    bottleneck.change({ rateBitsPerSecond: 14e6 });
    bottleneck.runFor(3 * SECOND);
    expect(share(bottleneck, SECOND)).toBeGreaterThan(0.9);
  });
});

test("knows nothing at first, and begins with ten datagrams (RFC 9002 section 7.2)", () => {
  const bbr = new Bbr(D);
  expect([bbr.rate, bbr.window, bbr.state]).toEqual([0, 10 * D, "startup"]);
  expect(bbr.pacingRate(100 * MILLISECOND)).toBeGreaterThanOrEqual((10 * D * SECOND) / 100_000);
});

test("samples limited by the sender raise the rate and do not lower it", () => {
  const bbr = new Bbr(D);
  const sample = { acked: D, lost: 0, inFlight: 5 * D, rtt: 40_000, later: 0 };
  let delivered = 0;
  const rounds = (count: number, rate: number, appLimited: boolean): number => {
    for (let i = 0; i < count; i++) {
      const priorDelivered = delivered;
      delivered += D;
      bbr.onRate(i * 40_000, { ...sample, rate, delivered, priorDelivered, appLimited });
    }
    return bbr.rate;
  };
  expect(rounds(10, 1_000_000, false)).toBe(1_000_000);
  expect(rounds(200, 10_000, true)).toBe(1_000_000);
  expect(rounds(1, 1_500_000, true)).toBe(1_500_000);
});

test("where delays vary, the window that startup doubles is of what round trips usually take", () => {
  const bbr = new Bbr(D);
  bbr.onSent(0, D, D);
  const sample = { acked: D, lost: 0, inFlight: 0, delivered: D, priorDelivered: 0, appLimited: false };
  bbr.onRate(50_000, { ...sample, rate: 1_000_000, rtt: 1000, later: 40_000 });
  // Twice of 1 ms, 4 ms for acknowledgements, and 40 ms.
  expect(bbr.window).toBe(2 * 45_000 + 3 * D);
});

test("now and then a packet on a radio that sleeps says nothing of its rate", () => {
  const { bbr, bottleneck } = start(path(50, 40_000));
  bottleneck.runFor(3 * SECOND);
  // A probing cycle has just ended: only this one's rate is known, so nothing is forgotten when the next ends.
  while (bbr.state !== "down") bottleneck.runFor(MILLISECOND);
  const { rate } = bbr;
  const sample = { lost: 0, inFlight: 0, rtt: 400_000, later: 0, appLimited: true };
  for (let i = 1; i <= 60; i++) {
    const delivered = 1e9 + i * D;
    bbr.onRate(bottleneck.now + 5 * i * SECOND, {
      ...sample,
      acked: D,
      rate: D / 5,
      delivered,
      priorDelivered: delivered - D,
    });
  }
  expect(bbr.rate).toBe(rate);
});

test("whatever happens, rate and window are finite and never nothing", () => {
  const event = fc.record({
    kind: fc.constantFrom("rate", "rate", "rate", "rate", "sent", "timeout"),
    after: fc.constantFrom(0, 1, 100, 5_000, 100_000, 12_000_000),
    rate: fc.oneof(fc.constant(0), fc.double({ min: 1e-3, max: 1e10, noNaN: true })),
    acked: fc.integer({ min: 0, max: 100 * D }),
    lost: fc.integer({ min: 0, max: 100 * D }),
    inFlight: fc.integer({ min: 0, max: 1_000_000 }),
    rtt: fc.oneof(fc.constant(0), fc.double({ min: 1e-3, max: 3e7, noNaN: true })),
    later: fc.constantFrom(0, 1, 50_000, 1e6),
    back: fc.integer({ min: -1, max: 100 * D }),
    appLimited: fc.boolean(),
    srtt: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 3e7, noNaN: true })),
  });
  fc.assert(
    fc.property(fc.array(event, { maxLength: 400 }), (events) => {
      const bbr = new Bbr(D);
      let now = 0;
      let delivered = 0;
      for (const { kind, after, back, srtt, ...sample } of events) {
        now += after;
        if (kind === "sent") bbr.onSent(now, D, sample.inFlight);
        else if (kind === "timeout") bbr.onTimeout(now);
        else {
          delivered += sample.acked;
          const priorDelivered = back < 0 ? -1 : Math.max(delivered - back, 0);
          bbr.onRate(now, { ...sample, delivered, priorDelivered });
        }
        const pacing = bbr.pacingRate(srtt);
        for (const value of [bbr.rate, bbr.window, pacing]) expect(Number.isFinite(value)).toBe(true);
        expect(bbr.rate).toBeGreaterThanOrEqual(0);
        expect(bbr.window).toBeGreaterThanOrEqual(4 * D);
        // Two datagrams per round trip at least, so that something can be learnt.
        expect(pacing * Math.max(srtt, MILLISECOND)).toBeGreaterThanOrEqual(2 * D * SECOND * 0.999);
        expect(bbr.minRtt).toBeGreaterThan(0);
      }
    }),
  );
});
