import { describe, expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import { FlowQueues } from "../../src/proto/flowqueues.ts";
import { MAX_QUEUED, MILLISECOND, SECOND } from "../../src/proto/limits.ts";
import { type Block, plainBlock, plainCopy } from "../../src/share/block.ts";
import { DropCounters } from "../../src/share/counters.ts";
import { PAGE_SLOTS, Store } from "../../src/share/store.ts";
import { referenceSum } from "../wire/packets.ts";

/** A slow machine takes its time. */
setDefaultTimeout(120_000);

const SLOT = 1500;
/** Bytes a flow may send in its turn (src/proto/flowqueues.ts). */
const QUANTUM = 6000;
const HEADER = 20;

/** Queues whose packets are IPv4 headers with the packet's number behind them. */
class Bed {
  readonly drops = new DropCounters();
  readonly blocks: Block[] = [];
  readonly store: Store;
  readonly queues: FlowQueues;
  made = 0;
  private readonly out = plainBlock(SLOT);

  constructor() {
    const make = (length: number): Block => {
      const block = plainBlock(length);
      this.blocks.push(block);
      return block;
    };
    this.store = new Store(make, () => {}, SLOT);
    this.queues = new FlowQueues(this.store, plainCopy, this.drops);
  }

  /** Queues a packet of this length. Its number. */
  add(now: number, flow: number, length = 1400, ecn = 0): number {
    const { queues } = this;
    const slot = queues.reserve();
    const at = queues.offsetOf(slot);
    const { bytes, view } = queues.blockOf(slot);
    bytes.fill(0xa5, at, at + length);
    bytes.set([0x45, ecn, length >> 8, length & 255, 0, 0, 0, 0, 64, 17, 0, 0], at);
    view.setUint16(at + 10, ~referenceSum(bytes.subarray(at, at + HEADER)) & 0xffff);
    view.setUint32(at + HEADER, ++this.made);
    queues.add(now, slot, length, this.made & 255, flow);
    return this.made;
  }

  /** Takes the next packet out: undefined when none waits. */
  take(
    now: number,
  ): { number: number; length: number; flow: number; flags: number; ecn: number } | undefined {
    const { queues, out } = this;
    const slot = queues.take(now);
    if (slot < 0) return undefined;
    const length = queues.lengthOf(slot);
    const flow = queues.hashOf(slot);
    const flags = queues.flagsOf(slot);
    out.bytes.fill(0);
    queues.move(slot, out, 0);
    expect(referenceSum(out.bytes.subarray(0, HEADER))).toBe(0xffff);
    expect(out.view.getUint16(2)).toBe(length);
    expect(out.bytes.subarray(HEADER + 4, length).every((byte) => byte === 0xa5)).toBe(true);
    expect(out.bytes.subarray(length).every((byte) => byte === 0)).toBe(true);
    return { number: out.view.getUint32(HEADER), length, flow, flags, ecn: out.bytes[1]! };
  }

  get dropped(): number {
    return this.drops.total;
  }

  /** Bytes in this queue. */
  backlogOf(queue: number): number {
    return (this.queues as unknown as { backlogs: Int32Array }).backlogs[queue]!;
  }
}

test("packets of one flow leave as they came, with what was noted of them", () => {
  const bed = new Bed();
  for (const [i, length] of [700, 1500, 60].entries()) bed.add(i, 0x1_0007, length);
  expect([bed.queues.packets, bed.queues.bytes]).toEqual([3, 2260]);
  for (const [i, length] of [700, 1500, 60].entries())
    expect(bed.take(10)).toEqual({ number: i + 1, length, flow: 0x1_0007, flags: i + 1, ecn: 0 });
  expect(bed.take(10)).toBeUndefined();
  expect([bed.queues.packets, bed.queues.bytes, bed.dropped]).toEqual([0, 0, 0]);
});

describe("flows take turns (RFC 8290 section 4)", () => {
  test("a sparse flow's packet leaves before those of backlogged flows, each time", () => {
    const bed = new Bed();
    for (let i = 0; i < 600; i++) bed.add(0, i % 3);
    // A few turns, so that all three are old flows.
    for (let i = 0; i < 30; i++) bed.take(0);
    for (let i = 0; i < 20; i++) {
      bed.add(0, 77, 100);
      expect(bed.take(0)!.flow).toBe(77);
      // One round of the others (5 packets each), after which it counts as new again.
      for (let j = 0; j < 15; j++) expect(bed.take(0)!.flow).not.toBe(77);
    }
  });

  test("a flow that was new and sends on waits its turn like the others", () => {
    const bed = new Bed();
    for (let i = 0; i < 60; i++) bed.add(0, 1);
    for (let i = 0; i < 6; i++) bed.take(0);
    for (let i = 0; i < 20; i++) bed.add(0, 2);
    const flows = Array.from({ length: 20 }, () => bed.take(0)!.flow);
    // Its first quantum at once, then turns.
    expect(flows.slice(0, 5)).toEqual([2, 2, 2, 2, 2]);
    expect(flows.slice(5).filter((flow) => flow === 1).length).toBeGreaterThanOrEqual(5);
  });

  test("a flow that has emptied its queue does not count as new until the others have had their turn", () => {
    const bed = new Bed();
    for (let i = 0; i < 100; i++) bed.add(0, 1);
    for (let i = 0; i < 6; i++) bed.take(0);
    bed.add(0, 2);
    expect([bed.take(0)!.flow, bed.take(0)!.flow]).toEqual([2, 1]);
    bed.add(0, 2);
    expect(bed.take(0)!.flow).toBe(1);
  });

  test("backlogged flows get the same bytes, within one quantum and a packet, whatever their packets' sizes", () => {
    const sizes = fc.array(fc.integer({ min: 40, max: SLOT }), { minLength: 2, maxLength: 8 });
    fc.assert(
      fc.property(sizes, fc.integer({ min: 1, max: 300 }), (lengths, count) => {
        const bed = new Bed();
        const sent = lengths.map(() => 0);
        // Each has more than it can send.
        for (const [flow, length] of lengths.entries())
          for (let bytes = 0; bytes < 40_000; bytes += length) bed.add(0, flow, length);
        for (let i = 0; i < count; i++) {
          const packet = bed.take(0);
          if (packet === undefined) break;
          sent[packet.flow]! += packet.length;
          if (sent[packet.flow]! > 39_000) break;
        }
        expect(Math.max(...sent) - Math.min(...sent)).toBeLessThanOrEqual(QUANTUM + SLOT);
      }),
      { numRuns: 50 },
    );
  });
});

describe("queues are kept short (RFC 8290 section 4.2)", () => {
  /** A queue that has stood for two intervals, taken from every ms. */
  function stand(bed: Bed, ecn: number): number[] {
    const ecns: number[] = [];
    for (let i = 0; i < 600; i++) bed.add(0, 5, 1000, ecn);
    for (let now = 50 * MILLISECOND; now < 400 * MILLISECOND; now += MILLISECOND) {
      const packet = bed.take(now);
      if (packet !== undefined) ecns.push(packet.ecn);
    }
    return ecns;
  }

  test("a flow without ECN loses packets, counted as queueDelay", () => {
    const bed = new Bed();
    const ecns = stand(bed, 0);
    expect(bed.drops.of("queueDelay")).toBeGreaterThanOrEqual(4);
    expect(bed.dropped).toBe(bed.drops.of("queueDelay"));
    expect(bed.queues.marked).toBe(0);
    expect(bed.queues.packets + ecns.length + bed.dropped).toBe(600);
  });

  test("a flow with ECN has them marked instead", () => {
    const bed = new Bed();
    const ecns = stand(bed, 2);
    expect(bed.dropped).toBe(0);
    expect(bed.queues.marked).toBeGreaterThanOrEqual(4);
    expect(ecns.filter((ecn) => ecn === 3).length).toBe(bed.queues.marked);
  });

  test("a flow that waits only a little loses nothing beside it", () => {
    const bed = new Bed();
    for (let i = 0; i < 600; i++) bed.add(0, 5, 1000);
    let sparse = 0;
    for (let now = 0; now < 400 * MILLISECOND; now += MILLISECOND) {
      if (now % (10 * MILLISECOND) === 0) bed.add(now, 6, 100);
      if (bed.take(now)?.flow === 6) sparse++;
    }
    expect(sparse).toBe(40);
    expect(bed.dropped).toBeGreaterThan(0);
  });

  test("what has waited for more than two seconds is dropped", () => {
    const bed = new Bed();
    for (let i = 0; i < 5; i++) bed.add(i, 1);
    const fresh = bed.add(SECOND, 1);
    expect(bed.take(2 * SECOND + 100)!.number).toBe(fresh);
    expect(bed.drops.of("overflow")).toBe(5);
  });
});

describe("limits", () => {
  test("beyond MAX_QUEUED packets the longest queue loses its oldest, and memory ends growing", () => {
    const bed = new Bed();
    const first = bed.add(0, 9, 1500);
    for (let i = 0; i < 100; i++) bed.add(0, i + 100, 60);
    for (let i = 0; i < 3 * MAX_QUEUED; i++) bed.add(0, 9, 1500);
    expect(bed.queues.packets).toBe(MAX_QUEUED);
    expect(bed.drops.of("overflow")).toBe(bed.made - MAX_QUEUED);
    expect(bed.store.pages.length).toBeLessThanOrEqual(MAX_QUEUED / PAGE_SLOTS + 2);
    const left = Array.from({ length: MAX_QUEUED }, () => bed.take(0)!);
    // The small flows lost nothing.
    expect(left.filter(({ flow }) => flow !== 9).length).toBe(100);
    const long = left.filter(({ flow }) => flow === 9).map(({ number }) => number);
    expect(long[0]!).toBeGreaterThan(first);
    expect(long.at(-1)).toBe(bed.made);
  });

  test("the longest is the longest now, not one that has been", () => {
    const bed = new Bed();
    for (let i = 0; i < MAX_QUEUED; i++) bed.add(0, 3, 1500);
    for (let i = 0; i < MAX_QUEUED; i++) bed.take(0);
    for (let i = 0; i < 10; i++) bed.add(0, 3, 100);
    for (let i = 0; i < MAX_QUEUED; i++) bed.add(0, 4, 100);
    const left = Array.from({ length: MAX_QUEUED }, () => bed.take(0)!.flow);
    expect(left.filter((flow) => flow === 3).length).toBe(10);
  });

  test("what is dropped gives its memory back", () => {
    const bed = new Bed();
    let now = 0;
    for (let lap = 0; lap < 10; lap++, now += 3 * SECOND) {
      for (let i = 0; i < 200; i++) bed.add(now, 3);
      expect(bed.take(now + 3 * SECOND)).toBeUndefined();
    }
    expect(bed.drops.of("overflow")).toBe(2000);
    // A queue that always stands.
    while (bed.drops.of("queueDelay") < 1000) {
      now += MILLISECOND;
      while (bed.queues.packets < 200) bed.add(now, 3);
      bed.take(now);
    }
    expect(bed.store.pages.length).toBeLessThanOrEqual(Math.ceil(200 / PAGE_SLOTS) + 1);
  });

  test("memory goes back to the store with the packets, the last of it after a while, and what comes then is queued as ever", () => {
    const bed = new Bed();
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 1000; i++) bed.add(round, i);
      expect(bed.store.used).toBe(Math.ceil(1000 / PAGE_SLOTS));
      expect(bed.queues.trim()).toBe(false);
      for (let i = 0; i < 1000; i++) expect(bed.take(round)?.flow).toBe(i);
      expect(bed.store.used).toBe(1);
      // Some were queued since the last call.
      expect(bed.queues.trim()).toBe(false);
      bed.add(round, 1);
      bed.take(round);
      expect(bed.queues.trim()).toBe(false);
      expect(bed.store.used).toBe(1);
      expect(bed.queues.trim()).toBe(true);
      expect(bed.store.used).toBe(0);
      expect(bed.take(round)).toBeUndefined();
    }
  });

  test("a slot that was reserved and not used is given again", () => {
    const bed = new Bed();
    const slot = bed.queues.reserve();
    expect(bed.queues.reserve()).toBe(slot);
    bed.add(0, 1);
    expect(bed.queues.reserve()).not.toBe(slot);
  });
});

const step = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      add: fc.integer({ min: 1, max: 60 }),
      flow: fc.integer({ min: 0, max: 6 }),
      length: fc.integer({ min: 24, max: SLOT }),
      ecn: fc.constantFrom(0, 2),
    }),
  },
  { weight: 2, arbitrary: fc.record({ take: fc.integer({ min: 1, max: 100 }) }) },
  { weight: 1, arbitrary: fc.record({ wait: fc.constantFrom(1, 900, 9_000, 90_000, 900_000, 3_000_000) }) },
);

function bytesOf(packets: readonly { readonly length: number }[]): number {
  return packets.reduce((sum, { length }) => sum + length, 0);
}

test("beside a slow model: each packet out once or counted, in its flow's order; counters exact; slots never shared", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const bed = new Bed();
      const { queues } = bed;
      // Flows 0 and 6 share a queue's number, but for bits above it; so do no others.
      const flows = [0, 1, 2, 3, 4, 5, 0x40_0001];
      const waiting = new Map<number, { number: number; length: number; at: number }[]>();
      let now = SECOND;
      let taken = 0;
      const check = (): void => {
        let bytes = 0;
        let packets = 0;
        for (const list of waiting.values()) {
          packets += list.length;
          bytes += bytesOf(list);
        }
        expect([queues.packets, queues.bytes]).toEqual([packets, bytes]);
        expect(taken + bed.dropped + packets).toBe(bed.made);
      };
      for (const each of steps) {
        if ("wait" in each) now += each.wait;
        else if ("add" in each) {
          const flow = flows[each.flow]!;
          const queue = flow & 1023;
          const list = waiting.get(queue) ?? [];
          waiting.set(queue, list);
          for (let i = 0; i < each.add; i++)
            list.push({ number: bed.add(now, flow, each.length, each.ecn), length: each.length, at: now });
          check();
        } else {
          for (let i = 0; i < each.take; i++) {
            const before = bed.dropped;
            const packet = bed.take(now);
            let dropped = bed.dropped - before;
            // What was dropped stood at the heads of queues: in front of the taken one, or in queues now empty.
            if (packet !== undefined) {
              taken++;
              const list = waiting.get(packet.flow & 1023)!;
              while (list.length > 0 && list[0]!.number !== packet.number) {
                list.shift();
                dropped--;
              }
              const own = list.shift()!;
              expect(own.length).toBe(packet.length);
              expect(packet.flags).toBe(packet.number & 255);
            }
            for (const [queue, list] of waiting) {
              const left = bed.backlogOf(queue);
              while (list.length > 0 && bytesOf(list) > left) {
                expect(now - list.shift()!.at).toBeGreaterThan(2 * SECOND);
                dropped--;
              }
            }
            expect(dropped).toBe(0);
            check();
          }
        }
      }
      for (let packet = bed.take(now); packet !== undefined; packet = bed.take(now)) taken++;
      expect(taken + bed.dropped).toBe(bed.made);
      expect([queues.packets, queues.bytes]).toEqual([0, 0]);
      // The next packets of every flow get slots of their own.
      const numbers = flows.flatMap((flow) => Array.from({ length: 50 }, () => bed.add(now, flow, 100)));
      const out = numbers.map(() => bed.take(now)!.number);
      expect(new Set(out)).toEqual(new Set(numbers));
    }),
  );
});

test("how long the first packet of a flow's queue has waited", () => {
  const bed = new Bed();
  expect(bed.queues.waitOf(1000, 7)).toBe(0);
  bed.add(1000, 7);
  bed.add(5000, 7);
  expect(bed.queues.waitOf(6000, 7)).toBe(5000);
  expect(bed.queues.waitOf(6000, 8)).toBe(0);
  bed.take(6000);
  expect(bed.queues.waitOf(6000, 7)).toBe(1000);
  bed.take(6000);
  expect(bed.queues.waitOf(6000, 7)).toBe(0);
});
