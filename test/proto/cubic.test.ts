import { describe, expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import { Cubic } from "../../src/proto/cubic.ts";
import { MILLISECOND, SECOND } from "../../src/proto/limits.ts";
import type { LossBased } from "../../src/proto/lossbased.ts";
import { NewReno } from "../../src/proto/newreno.ts";
import { Bottleneck, D, megabits, path } from "./bottleneck.ts";

/** Virtual time passes faster than ours, but not on every machine. */
setDefaultTimeout(120_000);

/** A sender whose window is always full, on a path without a queue. */
class Sender {
  now = 1;
  readonly congestion: LossBased;
  private readonly rtt: number;

  constructor(congestion: LossBased, rtt: number) {
    this.congestion = congestion;
    this.rtt = rtt;
  }

  /** Loses what is in flight with the window at so many datagrams. */
  loseAt(packets: number): void {
    this.congestion.window = packets * D;
    this.congestion.onLost(this.now, D, this.now);
    this.now++;
  }

  /**
   * One window in a round trip: its packets leave evenly and are acknowledged a round trip later; `lost` says of which
   * ones the loss is noticed instead.
   */
  roundTrip(lost: () => boolean = () => false): void {
    const packets = Math.floor(this.congestion.window / D);
    const began = this.now;
    for (let i = 0; i < packets; i++) {
      const sentAt = began + (this.rtt * i) / packets;
      this.now = sentAt + this.rtt;
      if (lost()) this.congestion.onLost(this.now, D, sentAt);
      else this.congestion.onAcked(this.now, D, sentAt, this.rtt, true);
    }
    this.now = began + this.rtt;
  }

  /** Round trips until this moment. */
  runTo(moment: number): void {
    while (this.now < moment - this.rtt) this.roundTrip();
  }
}

/** The window in datagrams. */
function packets(congestion: LossBased): number {
  return congestion.window / D;
}

describe("the curve (RFC 9438 section 4.2), in datagrams and seconds", () => {
  // K = cbrt(0.3 W_max / 0.4); W(t) = 0.4 (t - K)^3 + W_max.
  test.each([
    { lostAt: 1000, seconds: 0, window: 700 },
    { lostAt: 1000, seconds: 4.543, window: 962.5 },
    { lostAt: 1000, seconds: 9.0856, window: 1000 },
    { lostAt: 1000, seconds: 13.628, window: 1037.5 },
    { lostAt: 1000, seconds: 18.171, window: 1300 },
    { lostAt: 1000, seconds: 27.257, window: 3400 },
    { lostAt: 4000, seconds: 7.2113, window: 3850 },
    { lostAt: 4000, seconds: 14.4225, window: 4000 },
    { lostAt: 4000, seconds: 21.634, window: 4150 },
  ])("$seconds s after a loss at $lostAt: $window", ({ lostAt, seconds, window }) => {
    const cubic = new Cubic(D);
    const sender = new Sender(cubic, 50 * MILLISECOND);
    sender.loseAt(lostAt);
    // The stage begins when the first packet sent after the loss is acknowledged, a round trip later.
    sender.runTo(sender.now + (seconds + 0.05) * SECOND);
    // The window follows the curve by less than a round trip.
    expect(Math.abs(packets(cubic) / window - 1)).toBeLessThan(0.01);
  });

  test("no more than half as much again in a round trip (section 4.2)", () => {
    const cubic = new Cubic(D);
    const sender = new Sender(cubic, 50 * MILLISECOND);
    sender.loseAt(4000);
    sender.runTo(60 * SECOND);
    // A longer way shows all at once what the curve would be at its end.
    const before = cubic.window;
    cubic.onAcked(sender.now, D, sender.now - 1, 100 * SECOND, true);
    expect(cubic.window - before).toBeCloseTo(0.5 * D);
  });
});

describe("a loss", () => {
  test("leaves seven tenths, and ends slow start (RFC 9438 section 4.6)", () => {
    const cubic = new Cubic(D);
    cubic.onLost(100, D, 50);
    expect(packets(cubic)).toBeCloseTo(7);
    expect(cubic.slowStartThreshold).toBe(cubic.window);
    expect(cubic.searching).toBe(false);
  });

  test("counts once per round trip, and nothing grows until it is over (RFC 9002 section 7.3.2)", () => {
    const cubic = new Cubic(D);
    cubic.onLost(100, D, 50);
    for (const sentAt of [10, 60, 100]) cubic.onLost(110, D, sentAt);
    cubic.onAcked(SECOND, D, 100, 40_000, true);
    expect(packets(cubic)).toBeCloseTo(7);
    cubic.onLost(200, D, 101);
    expect(packets(cubic)).toBeCloseTo(4.9);
  });

  test("never leaves less than two datagrams (RFC 9438 section 4.6)", () => {
    const cubic = new Cubic(D);
    for (let now = 1; now < 20; now++) cubic.onLost(now, D, now);
    expect(cubic.window).toBe(2 * D);
  });

  // The plateau shows where the window stands when the curve is flat: K seconds after the stage begins.
  test.each([
    { name: "at a higher window than the last: the plateau is there", lostAt: [1000, 1200], plateau: 1200 },
    { name: "below the last plateau: room for others (section 4.7)", lostAt: [1000, 900], plateau: 765 },
    { name: "at the very plateau: it stays", lostAt: [1000, 1000], plateau: 1000 },
  ])("$name", ({ lostAt, plateau }) => {
    const cubic = new Cubic(D);
    const sender = new Sender(cubic, 50 * MILLISECOND);
    for (const each of lostAt) sender.loseAt(each);
    const flatAt = Math.cbrt((plateau - 0.7 * lostAt.at(-1)!) / 0.4);
    sender.runTo(sender.now + (flatAt + 0.05) * SECOND);
    expect(Math.abs(packets(cubic) / plateau - 1)).toBeLessThan(0.01);
  });
});

describe("where New Reno would be faster (RFC 9438 section 4.3)", () => {
  test("grows by 0.53 datagrams per round trip up to the window that lost, then by one", () => {
    const cubic = new Cubic(D);
    const sender = new Sender(cubic, MILLISECOND);
    sender.loseAt(100);
    sender.roundTrip();
    const growth = (): number => {
      const before = packets(cubic);
      for (let i = 0; i < 10; i++) sender.roundTrip();
      return (packets(cubic) - before) / 10;
    };
    const first = growth();
    expect(first).toBeGreaterThan(0.5);
    expect(first).toBeLessThan(0.54);
    while (packets(cubic) < 101) sender.roundTrip();
    const beyond = growth();
    expect(beyond).toBeGreaterThan(0.95);
    expect(beyond).toBeLessThanOrEqual(1);
  });

  // RFC 9438 section 5.1: the mean window for a loss of every so many packets, by its formula for C = 0.4, and New Reno's.
  test.each([
    { every: 100, rtt: 100, mean: 12, reno: 12 },
    { every: 1_000, rtt: 100, mean: 38, reno: 38 },
    { every: 10_000, rtt: 100, mean: 187, reno: 120 },
    { every: 100_000, rtt: 100, mean: 1054, reno: 379 },
    { every: 10_000, rtt: 10, mean: 120, reno: 120 },
    { every: 100_000, rtt: 10, mean: 379, reno: 379 },
  ])(
    "one of $every packets lost at $rtt ms: $mean datagrams, New Reno $reno",
    ({ every, rtt, mean, reno }) => {
      for (const [congestion, expected] of [
        [new Cubic(D), mean],
        [new NewReno(D), reno],
      ] as const) {
        const sender = new Sender(congestion, rtt * MILLISECOND);
        sender.loseAt(mean);
        let sent = 0;
        const lost = () => ++sent % every === 0;
        let sum = 0;
        let rounds = 0;
        while (sent < 20 * every) {
          sender.roundTrip(lost);
          if (sent < 5 * every) continue;
          sum += packets(congestion);
          rounds++;
        }
        expect(Math.abs(sum / rounds / expected - 1)).toBeLessThan(0.12);
      }
    },
  );
});

describe("time that does not count (RFC 9438 section 5.8)", () => {
  /** A window 5 s after a loss, and after that an hour of `pause`. */
  function after(pause: (sender: Sender) => void): number[] {
    const cubic = new Cubic(D);
    const sender = new Sender(cubic, 50 * MILLISECOND);
    sender.loseAt(1000);
    sender.runTo(5 * SECOND);
    const before = packets(cubic);
    pause(sender);
    sender.roundTrip();
    sender.roundTrip();
    return [before, packets(cubic)];
  }

  test.each([
    ["nothing is sent", (sender: Sender) => (sender.now += 3600 * SECOND)],
    [
      "the window is not used",
      (sender: Sender) => {
        for (let i = 0; i < 3600; i++) {
          sender.now += SECOND;
          sender.congestion.onAcked(sender.now, D, sender.now - 1, 50 * MILLISECOND, false);
        }
      },
    ],
  ])("while %s", (_name, pause) => {
    const [before, behind] = after(pause);
    expect(behind).toBeGreaterThanOrEqual(before!);
    expect(behind).toBeLessThan(before! + 10);
  });
});

describe("after silence", () => {
  test("starts small, slow start ends at the level it had, and the curve begins there", () => {
    const cubic = new Cubic(D);
    const sender = new Sender(cubic, 50 * MILLISECOND);
    sender.loseAt(1000);
    sender.runTo(2 * SECOND);
    const level = cubic.window;
    cubic.onTimeout(sender.now++);
    expect(cubic.window).toBe(10 * D);
    expect(cubic.slowStartThreshold).toBe(level);
    while (cubic.searching) sender.roundTrip();
    const began = packets(cubic);
    const beganAt = sender.now;
    // RFC 9438 section 4.8: K = 0, so W(t) = 0.4 t^3 + what it began with.
    sender.runTo(beganAt + 10 * SECOND);
    expect(packets(cubic) - began).toBeGreaterThan(380);
    expect(packets(cubic) - began).toBeLessThan(420);
  });

  test("one datagram per round trip at least: the level is the one slow start came back to", () => {
    const cubic = new Cubic(D);
    const sender = new Sender(cubic, MILLISECOND);
    sender.loseAt(100);
    cubic.onTimeout(sender.now++);
    while (cubic.searching) sender.roundTrip();
    const began = packets(cubic);
    for (let i = 0; i < 20; i++) sender.roundTrip();
    expect(packets(cubic) - began).toBeGreaterThan(18);
  });

  test("a loss takes the level it happened at for the plateau", () => {
    const cubic = new Cubic(D);
    const sender = new Sender(cubic, 50 * MILLISECOND);
    sender.loseAt(1000);
    cubic.onTimeout(sender.now++);
    sender.loseAt(400);
    sender.runTo(sender.now + (Math.cbrt(120 / 0.4) + 0.05) * SECOND);
    expect(Math.abs(packets(cubic) / 400 - 1)).toBeLessThan(0.02);
  });
});

describe.each([
  { rate: 5, rtt: 30_000 },
  { rate: 50, rtt: 40_000 },
  { rate: 300, rtt: 20_000 },
])("a line of $rate Mbit/s and $rtt us", ({ rate, rtt }) => {
  test("is filled, and its queue not left", () => {
    const bottleneck = new Bottleneck(new Cubic(D), path(rate, rtt));
    bottleneck.runFor(3 * SECOND);
    for (let i = 0; i < 3; i++)
      expect(bottleneck.runFor(4 * SECOND).rate / megabits(rate)).toBeGreaterThan(0.95);
    // The line, its queue of two round trips, and what acknowledgements need.
    expect(bottleneck.runFor(4 * SECOND).inFlight).toBeLessThan(
      (megabits(rate) * (3 * rtt + 10 * MILLISECOND)) / SECOND + 10 * D,
    );
    expect(bottleneck.recovery.lostPackets).toBeGreaterThan(0);
  });

  test("is filled again after a second of silence", () => {
    const bottleneck = new Bottleneck(new Cubic(D), path(rate, rtt));
    bottleneck.runFor(3 * SECOND);
    bottleneck.change({ cut: true });
    bottleneck.runFor(SECOND);
    bottleneck.change({ cut: false });
    bottleneck.runFor(SECOND);
    expect(bottleneck.runFor(SECOND).rate / megabits(rate)).toBeGreaterThan(0.9);
  });
});

test("fills a long path of a high rate sooner than New Reno after each of rare losses", () => {
  const rates = [new Cubic(D), new NewReno(D)].map((congestion) => {
    const bottleneck = new Bottleneck(congestion, path(100, 200_000, { loss: 1e-4 }), { seed: 1 });
    bottleneck.runFor(10 * SECOND);
    return bottleneck.runFor(25 * SECOND).rate / megabits(100);
  });
  expect(rates[0]).toBeGreaterThan(1.5 * rates[1]!);
});

test("whatever happens, the window is finite, no less than two datagrams, and grows no faster than it is used", () => {
  const event = fc.record({
    kind: fc.constantFrom(...new Array<"acked">(30).fill("acked"), "lost", "lost", "timeout"),
    after: fc.constantFrom(0, 0, 1, 100, 5_000, 100_000, 1_000_000, 3_600_000_000),
    age: fc.integer({ min: 0, max: 500_000 }),
    bytes: fc.integer({ min: 1, max: D }),
    rtt: fc.oneof(fc.constant(0), fc.double({ min: 1, max: 3e7, noNaN: true })),
    limited: fc.boolean(),
  });
  fc.assert(
    fc.property(
      fc.oneof(fc.integer({ min: 2, max: 30 }), fc.integer({ min: 2, max: 10_000 })),
      fc.array(event, { maxLength: 400, size: "max" }),
      (begin, events) => {
        const cubic = new Cubic(D);
        cubic.window = begin * D;
        let now = 0;
        for (const { kind, after, age, bytes, rtt, limited } of events) {
          now += after;
          const before = cubic.window;
          if (kind === "acked") cubic.onAcked(now, bytes, now - age, rtt, limited);
          else if (kind === "lost") cubic.onLost(now, bytes, now - age);
          else cubic.onTimeout(now);
          expect(Number.isFinite(cubic.window)).toBe(true);
          expect(cubic.window).toBeGreaterThanOrEqual(2 * D);
          if (kind === "acked") {
            expect(cubic.window).toBeGreaterThanOrEqual(before);
            expect(cubic.window).toBeLessThanOrEqual(before + (limited ? D : 0));
          }
          if (kind === "lost") expect(cubic.window).toBeLessThanOrEqual(before);
        }
      },
    ),
  );
});
