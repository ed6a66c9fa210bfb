import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { Congestion } from "../../src/proto/congestion.ts";
import { Cubic } from "../../src/proto/cubic.ts";
import { Fixed } from "../../src/proto/fixed.ts";
import { GRANULARITY, INITIAL_RTT, MAX_ACK_DELAY, SECOND } from "../../src/proto/limits.ts";
import type { LossBased } from "../../src/proto/lossbased.ts";
import { NewReno } from "../../src/proto/newreno.ts";
import { MAX_PROBES } from "../../src/proto/pathmtu.ts";
import { Reception } from "../../src/proto/reception.ts";
import { Recovery } from "../../src/proto/recovery.ts";
import { NO_POSITION, SIZE_PROBE } from "../../src/proto/sentlog.ts";
import { plainBlock } from "../../src/share/block.ts";
import { ackBytes } from "../../src/wire/ack.ts";

const D = 1452;
const block = plainBlock(600);

interface Outcome {
  readonly recovery: Recovery;
  readonly delivered: number[];
  readonly lost: number[];
}

function start(congestion: Congestion = new NewReno(D)): Outcome {
  const delivered: number[] = [];
  const lost: number[] = [];
  const recovery = new Recovery(congestion, D, {
    onDelivered: (position) => delivered.push(position),
    onLost: (position) => lost.push(position),
  });
  // Full-sized datagrams are known to be carried.
  recovery.mtu.onProbeAcked(0, D);
  return { recovery, delivered, lost };
}

/** Sends `count` packets at one moment; packet number n carries position 1000 + n. */
function send(recovery: Recovery, now: number, count: number): void {
  for (let i = 0; i < count; i++) recovery.onSent(now, D, 1000 + recovery.log.next, true);
}

interface Ack {
  readonly largest: number;
  /** Received without a gap below the largest. */
  readonly first?: number;
  readonly delay?: number;
  readonly ranges?: readonly (readonly [gap: number, length: number])[];
  readonly nacks?: readonly (readonly [below: number, length: number])[];
}

function acknowledge(recovery: Recovery, now: number, ack: Ack): boolean {
  const { largest, first = 0, delay = 0, ranges = [], nacks = [] } = ack;
  const { view, bytes } = block;
  view.setUint32(0, largest >>> 0);
  view.setUint16(4, delay / 16);
  bytes[6] = ranges.length;
  bytes[7] = nacks.length;
  view.setUint16(8, first);
  let at = 10;
  for (const [a, b] of [...ranges, ...nacks]) {
    view.setUint16(at, a);
    view.setUint16(at + 2, b);
    at += 4;
  }
  return recovery.onAck(now, block, 0, ackBytes(ranges.length, nacks.length));
}

describe("acknowledgements", () => {
  test("what they name has arrived, each packet once", () => {
    const { recovery, delivered, lost } = start();
    send(recovery, 0, 4);
    expect(acknowledge(recovery, 40_000, { largest: 2, first: 2 })).toBe(true);
    expect(acknowledge(recovery, 41_000, { largest: 3, first: 3 })).toBe(true);
    expect(delivered).toEqual([1000, 1001, 1002, 1003]);
    expect(lost).toEqual([]);
    expect(recovery.log.inFlight).toBe(0);
  });

  test("ranges go downwards: largest, gap, length", () => {
    const { recovery, delivered } = start();
    send(recovery, 0, 10);
    // 9 8 _ _ 5 4 _ 2
    acknowledge(recovery, 10_000, {
      largest: 9,
      first: 1,
      ranges: [
        [2, 2],
        [1, 1],
      ],
    });
    expect(delivered.sort()).toEqual([1002, 1004, 1005, 1008, 1009]);
  });

  test("one that speaks of packets never sent is refused, and changes nothing", () => {
    const { recovery, delivered } = start();
    expect(acknowledge(recovery, 10, { largest: 0 })).toBe(false);
    send(recovery, 0, 3);
    expect(acknowledge(recovery, 10, { largest: 3, first: 3 })).toBe(false);
    expect(delivered).toEqual([]);
    expect(recovery.rtt.sampled).toBe(false);
  });

  test("one whose counts and length disagree is refused", () => {
    const { recovery } = start();
    send(recovery, 0, 3);
    block.bytes.fill(0);
    block.bytes[6] = 1;
    for (const length of [0, 9, 10, 13, 15, 18]) expect(recovery.onAck(10, block, 0, length)).toBe(false);
  });

  test("ranges that go below 0 are cut off, and the NACKs behind them are still found", () => {
    const { recovery, lost } = start();
    send(recovery, 0, 6);
    expect(
      acknowledge(recovery, 10_000, {
        largest: 5,
        ranges: [
          [60_000, 60_000],
          [1, 1],
        ],
        nacks: [[1, 1]],
      }),
    ).toBe(true);
    // 0, 1 and 2 by three later packets, 4 by the NACK; 3 may yet come.
    expect(lost.sort()).toEqual([1000, 1001, 1002, 1004]);
  });

  test("what is acknowledged while an old loss is still watched is not what has taken its number's place", () => {
    const { recovery, delivered } = start(new NewReno(D));
    // A loss, watched for its late arrival; then more packets than the log holds, without an acknowledgement.
    send(recovery, 0, 8);
    acknowledge(recovery, 10_000, { largest: 7, first: 6 });
    send(recovery, 11_000, 1000);
    acknowledge(recovery, 20_000, { largest: 900, first: 899 });
    const before = delivered.length;
    send(recovery, 20_100, 600);
    acknowledge(recovery, 20_200, { largest: 900, first: 899 });
    expect(delivered.length).toBe(before);
    expect(recovery.log.inFlight).toBe(707 * D);
  });
});

describe("round-trip time", () => {
  test("is that of the largest packet newly acknowledged, without the peer's delay", () => {
    const { recovery } = start();
    send(recovery, 0, 1);
    send(recovery, 5_000, 1);
    acknowledge(recovery, 45_000, { largest: 1, first: 1 });
    expect(recovery.rtt.latest).toBe(40_000);
    send(recovery, 50_000, 1);
    acknowledge(recovery, 100_000, { largest: 2, delay: 8_000 });
    expect(recovery.rtt.latest).toBe(42_000);
  });

  test("an acknowledgement of nothing new gives no sample", () => {
    const { recovery } = start();
    send(recovery, 0, 1);
    acknowledge(recovery, 40_000, { largest: 0 });
    acknowledge(recovery, 900_000, { largest: 0 });
    expect(recovery.rtt.srtt).toBe(40_000);
  });

  test("nor does one whose largest was not ack-eliciting", () => {
    const { recovery } = start();
    send(recovery, 0, 1);
    recovery.onSent(10, 50, NO_POSITION, false);
    acknowledge(recovery, 40_000, { largest: 1, first: 1 });
    expect(recovery.rtt.sampled).toBe(false);
  });
});

describe("how a path at rest varies", () => {
  /**
   * From then on twenty round trips of 40 or 60 ms by turns, begun so often, each with so many packets; so many bytes come
   * meanwhile.
   */
  function vary(recovery: Recovery, from: number, every: number, packets: number, peerSends: number): number {
    for (let i = 0; i < 20; i++) {
      const now = from + i * every;
      send(recovery, now, packets);
      for (let bytes = peerSends; bytes > 0; bytes -= 1400)
        recovery.onData(now + 10_000, Math.min(bytes, 1400));
      // Of many, all but the last are acknowledged before it.
      if (packets > 2)
        acknowledge(recovery, now + 39_000, { largest: recovery.log.next - 2, first: packets - 2 });
      const last = { largest: recovery.log.next - 1, first: packets - 1 };
      acknowledge(recovery, now + (i % 2 === 0 ? 40_000 : 60_000), last);
    }
    return recovery.rtt.deviation;
  }

  function begin(): Recovery {
    const { recovery } = start();
    recovery.resume(0);
    return recovery;
  }

  test("is seen with no more under way than a ping and probes, in either direction", () => {
    expect(vary(begin(), 0, 150_000, 1, 84)).toBeGreaterThan(8_000);
    expect(vary(begin(), 0, 150_000, 2, 1400)).toBeGreaterThan(8_000);
  });

  test("is not measured under a load, be it ours or the peer's, and again when that is over", () => {
    for (const [packets, peerSends] of [
      [8, 84],
      [1, 2800],
    ] as const) {
      const recovery = begin();
      expect(vary(recovery, 0, 150_000, packets, peerSends)).toBe(0);
      expect(vary(recovery, 3e6, 150_000, 1, 84)).toBeGreaterThan(8_000);
    }
  });

  test("nor by what wakes a radio that sleeps, but as soon as that is awake", () => {
    const recovery = begin();
    expect(vary(recovery, 1e6, SECOND, 1, 0)).toBe(0);
    expect(vary(recovery, 21e6, 150_000, 1, 0)).toBeGreaterThan(8_000);
  });

  test("nor, once it is known what a path carries, with more under way than it carries in 4 ms", () => {
    // 1 Mbit/s, and 10.
    const [slow, fast] = [125_000, 1_250_000].map((rate) => {
      const { recovery } = start(new Fixed(rate));
      recovery.resume(0);
      return vary(recovery, 0, 150_000, 1, 0);
    });
    expect(slow).toBe(0);
    expect(fast).toBeGreaterThan(8_000);
  });

  test("is found out anew when the path comes up again", () => {
    const recovery = begin();
    for (let i = 0; i < 40; i++) {
      send(recovery, i * 150_000, 1);
      acknowledge(recovery, i * 150_000 + 40_000, { largest: recovery.log.next - 1 });
    }
    expect(recovery.rtt.deviation).toBe(0);
    recovery.resume(6e6);
    for (let i = 0; i < 8; i++) {
      send(recovery, 6e6 + i * 150_000, 1);
      acknowledge(recovery, 6e6 + i * 150_000 + 40_000 + i * 5000, { largest: recovery.log.next - 1 });
    }
    expect(recovery.rtt.deviation).toBeGreaterThan(8_000);
  });
});

describe("losses (RFC 9002 section 6.1)", () => {
  test("three later packets: lost", () => {
    const { recovery, lost } = start();
    send(recovery, 0, 4);
    acknowledge(recovery, 40_000, { largest: 2, first: 1 });
    expect(lost).toEqual([]);
    acknowledge(recovery, 40_001, { largest: 3, first: 2 });
    expect(lost).toEqual([1000]);
    expect(recovery.lostPackets).toBe(1);
    expect(recovery.log.inFlight).toBe(0);
  });

  test("9/8 of the round-trip time: lost, by a timer", () => {
    const { recovery, lost } = start();
    send(recovery, 0, 2);
    acknowledge(recovery, 40_000, { largest: 1 });
    expect(lost).toEqual([]);
    expect(recovery.timeoutAt).toBe(45_000);
    recovery.onTimeout(44_999);
    expect(lost).toEqual([]);
    recovery.onTimeout(45_000);
    expect(lost).toEqual([1000]);
  });

  test("on a very short path no sooner than the granularity", () => {
    const { recovery, lost } = start();
    send(recovery, 0, 2);
    acknowledge(recovery, 100, { largest: 1 });
    expect(recovery.timeoutAt).toBe(GRANULARITY);
    recovery.onTimeout(GRANULARITY);
    expect(lost).toEqual([1000]);
  });

  test("a NACK: lost at once, unless it arrived", () => {
    const { recovery, lost } = start();
    send(recovery, 0, 4);
    acknowledge(recovery, 40_000, { largest: 3, ranges: [[1, 1]], nacks: [[3, 3]] });
    expect(lost).toEqual([1000, 1002]);
  });

  test("a loss that arrives after all raises both thresholds", () => {
    const { recovery, delivered } = start();
    send(recovery, 0, 12);
    acknowledge(recovery, 40_000, { largest: 10, first: 9 });
    expect(recovery.lostPackets).toBe(1);
    acknowledge(recovery, 60_000, { largest: 11, first: 11 });
    expect(recovery.spuriousPackets).toBe(1);
    expect(delivered).toContain(1000);
    send(recovery, 70_000, 10);
    // Nine packets later would have been lost before.
    acknowledge(recovery, 110_000, { largest: 21, first: 8 });
    expect(recovery.lostPackets).toBe(1);
  });

  test("the congestion control hears of them, but not of those of a silent path", () => {
    const reno = new NewReno(D);
    const { recovery, lost } = start(reno);
    send(recovery, 100, 10);
    recovery.abandon(200_000);
    expect(lost.length).toBe(10);
    expect(reno.slowStartThreshold).toBe(Number.POSITIVE_INFINITY);
    expect(recovery.log.inFlight).toBe(0);
    send(recovery, 210_000, 1);
    recovery.resume(0);
    recovery.mtu.onProbeAcked(0, D);
    send(recovery, 220_000, 4);
    acknowledge(recovery, 260_000, { largest: 14, first: 2 });
    // 10 was sent while the path was silent; 11 is a loss like any other.
    expect(lost.slice(10)).toEqual([1010, 1011]);
    expect(reno.window).toBeLessThan(10 * D);
  });
});

describe("the probe timeout (RFC 9002 section 6.2)", () => {
  test("nothing outstanding: none", () => {
    const { recovery } = start();
    expect(recovery.ptoAt).toBe(Number.POSITIVE_INFINITY);
    recovery.onSent(0, 100, NO_POSITION, false);
    expect(recovery.ptoAt).toBe(Number.POSITIVE_INFINITY);
  });

  test("runs from the last ack-eliciting packet, and doubles", () => {
    const { recovery } = start();
    send(recovery, 0, 1);
    send(recovery, 1_000, 1);
    const pto = 3 * INITIAL_RTT + MAX_ACK_DELAY;
    expect(recovery.ptoAt).toBe(1_000 + pto);
    expect(recovery.onTimeout(1_000 + pto - 1)).toBe(false);
    expect(recovery.onTimeout(1_000 + pto)).toBe(true);
    expect(recovery.ptoAt).toBe(1_000 + pto + 2 * pto);
    expect(recovery.onTimeout(1_000 + pto)).toBe(false);
    acknowledge(recovery, 1_001 + pto, { largest: 0 });
    expect(recovery.ptoCount).toBe(0);
  });
});

describe("what may leave", () => {
  test("as much as the window, and one datagram", () => {
    const { recovery } = start();
    let now = 0;
    while (recovery.windowOpen) {
      now = Math.max(now + 1, recovery.sendAt(now));
      if (recovery.canSend(now)) send(recovery, now, 1);
    }
    expect(recovery.log.inFlight).toBe(10 * D);
    expect(recovery.sendAt(now)).toBe(Number.POSITIVE_INFINITY);
    expect(recovery.canSend(now + 1e6)).toBe(false);
  });

  test("no more than the log can remember", () => {
    const { recovery } = start(new Fixed(1e12) as never);
    for (let i = 0; i < 65_536; i++) recovery.onSent(0, 0, i, true);
    recovery.log.inFlight = 0;
    expect(recovery.windowOpen).toBe(false);
  });
});

describe("sender and receiver together", () => {
  const step = fc.record({
    kind: fc.constantFrom("send", "send", "ack", "ack", "timeout", "abandon"),
    count: fc.integer({ min: 1, max: 400 }),
    wait: fc.integer({ min: 0, max: 60_000 }),
  });

  test("no packet counts as arrived that did not arrive, and every one is settled in the end", () => {
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 60 }),
        fc.infiniteStream(fc.integer({ min: 0, max: 99 })),
        (steps, dice) => {
          const { recovery, delivered, lost } = start();
          const reception = new Reception();
          const arrived = new Set<number>();
          const acks = plainBlock(512);
          const roll = () => dice.next().value as number;
          let now = 0;
          const answer = (): void => {
            if (reception.window.largest < 0) return;
            const length = reception.writeAck(now, acks, 0, 512);
            expect(recovery.onAck(now, acks, 0, length)).toBe(true);
          };
          for (const { kind, count, wait } of steps) {
            now += wait;
            if (kind === "send") {
              for (let i = 0; i < count; i++) {
                const number = recovery.onSent(now, D, 1000 + recovery.log.next, roll() > 10);
                if (roll() < 30) continue;
                arrived.add(1000 + number);
                reception.onPacket(now, number, D, true);
              }
            } else if (kind === "ack") answer();
            else if (kind === "timeout") {
              recovery.onTimeout(now);
              reception.onTimeout(now);
            } else if (roll() < 20) {
              recovery.abandon(now);
              recovery.resume(0);
            }
            for (const position of delivered)
              if (!arrived.has(position)) throw new Error(`${position} did not arrive`);
            expect(recovery.log.inFlight).toBeGreaterThanOrEqual(0);
          }
          // One packet more arrives, and time passes.
          const number = recovery.onSent(now, D, NO_POSITION, true);
          reception.onPacket(now, number, D, true);
          now += 50_000;
          answer();
          now += 5e6;
          recovery.onTimeout(now);
          expect(recovery.log.inFlight).toBe(0);
          expect(new Set(delivered).size).toBe(delivered.length);
          expect(new Set(lost).size).toBe(lost.length);
        },
      ),
      { numRuns: 150 },
    );
  });
});

test("any bytes as an acknowledgement: no exception, nothing in flight below 0", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 120 }), fc.integer({ min: 0, max: 2000 }), (bytes, sent) => {
      const { recovery } = start();
      send(recovery, 0, sent);
      block.bytes.set(bytes);
      recovery.onAck(1000, block, 0, bytes.length);
      // With counts that fit, and a largest that may be one of ours.
      if (bytes.length >= 10) {
        block.bytes[6] = 1 + (bytes[6]! % 20);
        block.bytes[7] = bytes[7]! % 5;
        block.view.setUint32(0, bytes[0]! * 8);
        recovery.onAck(2000, block, 0, ackBytes(block.bytes[6]!, block.bytes[7]!));
      }
      recovery.onTimeout(1e6);
      expect(recovery.log.inFlight).toBeGreaterThanOrEqual(0);
      expect(recovery.log.oldest).toBeLessThanOrEqual(recovery.log.next);
    }),
  );
});

describe("losses of packets that have become too large for the path", () => {
  /** Of a path that has found out that it carries full-sized datagrams, and used them. */
  function busy(congestion: LossBased): Recovery {
    const { recovery } = start(congestion);
    recovery.resume(0);
    probe(recovery, 0);
    acknowledge(recovery, 20_000, { largest: 0 });
    for (let round = 1; round <= 3; round++) {
      const first = recovery.log.next;
      send(recovery, round * 20_000, Math.floor(congestion.window / D));
      const largest = recovery.log.next - 1;
      acknowledge(recovery, (round + 1) * 20_000, { largest, first: largest - first });
    }
    expect(recovery.mtu.state).toBe("complete");
    return recovery;
  }

  /** Lets the probe that is due leave. */
  function probe(recovery: Recovery, now: number): void {
    expect(recovery.mtu.isDue(now, recovery.sentBytes)).toBe(true);
    recovery.mtu.onProbeSent();
    recovery.onSent(now, recovery.mtu.candidate, SIZE_PROBE, true);
  }

  /** Small packets leave, and are all that arrives of what has left since. */
  function small(recovery: Recovery, now: number): void {
    for (let i = 0; i < 4; i++) recovery.onSent(now, 60, NO_POSITION, true);
    acknowledge(recovery, now + 20_000, { largest: recovery.log.next - 1, first: 3 });
  }

  test.each([
    ["New Reno", () => new NewReno(D)],
    ["CUBIC", () => new Cubic(D)],
  ])("take nothing of the window once that has proved to be so: %s", (_, make) => {
    const congestion = make();
    const recovery = busy(congestion);
    const { window, slowStartThreshold } = congestion;
    for (const now of [100_000, 150_000]) {
      send(recovery, now, 10);
      small(recovery, now);
    }
    expect(congestion.window).toBeLessThan(0.75 * window);
    for (let i = 0; i < MAX_PROBES; i++) {
      expect(congestion.window).toBeLessThan(0.75 * window);
      probe(recovery, 200_000 + i * 50_000);
      small(recovery, 200_000 + i * 50_000);
    }
    expect(recovery.mtu.refused).toBe(D);
    expect(congestion.window).toBe(window);
    expect(congestion.slowStartThreshold).toBe(slowStartThreshold);
    // The next loss is one.
    send(recovery, 400_000, 1);
    for (let i = 0; i < 4; i++) recovery.onSent(400_000, 1252, NO_POSITION, true);
    acknowledge(recovery, 420_000, { largest: recovery.log.next - 1, first: 2 });
    expect(congestion.window).toBeLessThan(0.75 * window);
  });

  test("take as much as any when a probe is answered after all", () => {
    const congestion = new NewReno(D);
    const recovery = busy(congestion);
    const { window } = congestion;
    send(recovery, 100_000, 10);
    small(recovery, 100_000);
    probe(recovery, 200_000);
    acknowledge(recovery, 220_000, { largest: recovery.log.next - 1 });
    expect(recovery.mtu.state).toBe("complete");
    expect(congestion.window).toBeLessThan(0.6 * window);
  });

  test("what our own kernel no longer takes is no sign of congestion either", () => {
    const congestion = new NewReno(D);
    const recovery = busy(congestion);
    const { window } = congestion;
    const { mtu } = recovery;
    send(recovery, 100_000, 10);
    mtu.onTooBig(100_000, D);
    probe(recovery, 100_000);
    mtu.onTooBig(100_000, D);
    small(recovery, 100_000);
    expect(recovery.lostPackets).toBe(10);
    expect(congestion.window).toBeGreaterThanOrEqual(window);
  });
});
