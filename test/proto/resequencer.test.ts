import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { MAX_HELD, SEQUENCE_WINDOW } from "../../src/proto/limits.ts";
import { BURST, BURST_EVERY, HOLD_OTHER, HOLD_STREAM, Resequencer } from "../../src/proto/resequencer.ts";
import { plainBlock, plainCopy } from "../../src/share/block.ts";
import { DropCounters } from "../../src/share/counters.ts";
import { Store } from "../../src/share/store.ts";

const block = plainBlock(64);

interface Rig {
  readonly resequencer: Resequencer;
  readonly store: Store;
  /** Sequences in the order in which they came out; each is checked to carry its own bytes. */
  readonly out: number[];
  offer(now: number, sequence: number, distance: number, hold?: 0 | 1): boolean;
}

function rig(): Rig {
  const out: number[] = [];
  const store = new Store(plainBlock, () => {}, 64);
  const resequencer = new Resequencer(
    {
      deliver: (from, offset, length, flags) => {
        const sequence = from.view.getUint32(offset);
        expect(length).toBe(8 + (sequence % 5));
        expect(flags).toBe(sequence & 0x10);
        out.push(sequence);
      },
    },
    store,
    plainCopy,
    new DropCounters(),
  );
  const offer = (now: number, sequence: number, distance: number, hold: 0 | 1 = HOLD_STREAM): boolean => {
    block.view.setUint32(4, sequence);
    return resequencer.offer(now, sequence, distance, block, 4, 8 + (sequence % 5), sequence & 0x10, hold);
  };
  return { resequencer, store, out, offer };
}

describe("order", () => {
  test("in order, everything leaves at once", () => {
    const { out, offer, resequencer } = rig();
    for (let i = 0; i < 5; i++) offer(0, i, i === 0 ? 0 : 1);
    expect(out).toEqual([0, 1, 2, 3, 4]);
    expect(resequencer.held).toBe(0);
  });

  test("a hole holds its own flow, and no other", () => {
    const { out, offer, resequencer } = rig();
    offer(0, 0, 0);
    offer(0, 2, 2); // flow of 0
    offer(0, 5, 3); // flow of 2, which is there
    offer(0, 4, 1); // 3 is missing
    offer(0, 6, 2); // waits for 4
    expect(out).toEqual([0, 2, 5]);
    expect(resequencer.held).toBe(2);
    offer(0, 3, 0);
    expect(out).toEqual([0, 2, 5, 3, 4, 6]);
    expect(resequencer.reordered).toBe(2);
  });

  test("a chain that came backwards leaves in order", () => {
    const { out, offer } = rig();
    for (const sequence of [4, 3, 2, 1]) offer(0, sequence, 1);
    expect(out).toEqual([]);
    offer(0, 0, 0);
    expect(out).toEqual([0, 1, 2, 3, 4]);
  });

  test("the first packet ever may name a predecessor that is on its way", () => {
    const { out, offer } = rig();
    offer(0, 3, 3);
    expect(out).toEqual([]);
    offer(0, 0, 0);
    expect(out).toEqual([0, 3]);
  });

  test("sequences wrap", () => {
    const { out, offer } = rig();
    const last = 2 ** 32 - 1;
    // Once round the clock.
    for (const sequence of [2 ** 31 - 2, last - 1000]) expect(offer(0, sequence, 0)).toBe(true);
    out.length = 0;
    offer(0, 1, 1);
    offer(0, 0, 1);
    offer(0, last, 0);
    expect(out).toEqual([last, 0, 1]);
  });
});

describe("duplicates", () => {
  test("delivered, held, and too old ones are refused", () => {
    const { out, offer, resequencer } = rig();
    offer(0, 0, 0);
    offer(0, 2, 1);
    expect(offer(0, 0, 0)).toBe(false);
    expect(offer(0, 2, 1)).toBe(false);
    expect(offer(0, SEQUENCE_WINDOW + 10, 0)).toBe(true);
    expect(offer(0, 5, 0)).toBe(false);
    expect(resequencer.duplicates).toBe(3);
    // The window's move gave up the predecessor of 2.
    expect(out).toEqual([0, 2, SEQUENCE_WINDOW + 10]);
  });

  test("the oldest sequence of the window is still taken", () => {
    const { offer } = rig();
    offer(0, SEQUENCE_WINDOW, 0);
    expect(offer(0, 1, 0)).toBe(true);
    expect(offer(0, 1, 0)).toBe(false);
    expect(offer(0, 0, 0)).toBe(false);
  });
});

describe("waiting has an end", () => {
  test("by class", () => {
    const { out, offer, resequencer } = rig();
    resequencer.bounds[HOLD_STREAM] = 100;
    resequencer.bounds[HOLD_OTHER] = 20;
    offer(1000, 2, 1, HOLD_STREAM);
    offer(1010, 5, 1, HOLD_OTHER);
    expect(resequencer.nextAt).toBe(1030);
    resequencer.onTimeout(1029);
    expect(out).toEqual([]);
    resequencer.onTimeout(1030);
    expect(out).toEqual([5]);
    expect(resequencer.nextAt).toBe(1100);
    resequencer.onTimeout(1100);
    expect(out).toEqual([5, 2]);
    expect(resequencer.nextAt).toBe(Number.POSITIVE_INFINITY);
    expect(resequencer.givenUp).toBe(2);
  });

  test("what follows on the one let go leaves with it, and one that comes late still comes", () => {
    const { out, offer, resequencer } = rig();
    offer(0, 2, 1);
    offer(50, 3, 1);
    resequencer.onTimeout(1e9);
    expect(out).toEqual([2, 3]);
    expect(resequencer.givenUp).toBe(1);
    expect(offer(2e9, 1, 0)).toBe(true);
    expect(offer(2e9, 1, 0)).toBe(false);
    expect(out).toEqual([2, 3, 1]);
  });

  test("a full store lets the oldest go", () => {
    const { out, offer, resequencer } = rig();
    // Flows that interleave, each without its first packet.
    for (let i = 0; i < MAX_HELD; i++) offer(i, 2 * i + 1, 1);
    expect(resequencer.held).toBe(MAX_HELD);
    offer(1e6, 2 * MAX_HELD - 2 + 3, 1);
    expect(resequencer.held).toBeLessThanOrEqual(MAX_HELD);
    expect(out[0]).toBe(1);
  });

  test("a full store that lets go what the newcomer waits for lets it through at once", () => {
    const { out, offer, resequencer } = rig();
    for (let i = 1; i <= MAX_HELD; i++) offer(i, i, 1);
    expect(resequencer.held).toBe(MAX_HELD);
    offer(1e6, MAX_HELD + 1, 1);
    expect(out.length).toBe(MAX_HELD + 1);
    expect(out.at(-1)).toBe(MAX_HELD + 1);
    expect(resequencer.held).toBe(0);
  });
});

test("memory of what was delivered is not used again before `reclaim`", () => {
  const kept: { at: number; sequence: number; bytes: ReturnType<typeof plainBlock> }[] = [];
  const resequencer = new Resequencer(
    { deliver: (bytes, at) => kept.push({ bytes, at, sequence: bytes.view.getUint32(at) }) },
    new Store(plainBlock, () => {}, 64),
    plainCopy,
    new DropCounters(),
  );
  const offer = (sequence: number, distance: number): void => {
    const fresh = plainBlock(64);
    fresh.view.setUint32(0, sequence);
    resequencer.offer(0, sequence, distance, fresh, 0, 8, 0, HOLD_STREAM);
  };
  for (let round = 0; round < 20; round++) {
    const first = round * 100;
    for (let i = 99; i > 0; i--) offer(first + i, 1);
    offer(first, 0);
    // More is held before the sink has written.
    for (let i = 0; i < 50; i++) offer(10_000 + round * 200 + 2 * i + 1, 1);
    for (const { at, sequence, bytes } of kept) expect(bytes.view.getUint32(at)).toBe(sequence);
    kept.length = 0;
    resequencer.reclaim();
  }
});

/** Packets of TCP flows over IPv4, by port: acknowledgements, or with a byte of data. */
class TcpRig {
  readonly drops = new DropCounters();
  readonly out: { sequence: number; port: number; data: boolean }[] = [];
  readonly resequencer = new Resequencer(
    {
      deliver: ({ view, bytes }, at, length) => {
        const data = length > 40;
        this.out.push({ sequence: view.getUint32(at + 28), port: view.getUint16(at + 20), data });
        if (data) expect(bytes[at + 40]).toBe(view.getUint32(at + 28) & 0xff);
      },
    },
    new Store(plainBlock, () => {}, 64),
    plainCopy,
    this.drops,
  );

  offer(now: number, sequence: number, distance: number, port = 1, data = false, tcpFlags = 0x10): boolean {
    const { view, bytes } = block;
    bytes.fill(0);
    bytes[0] = 0x45;
    bytes[9] = 6;
    view.setUint16(20, port);
    view.setUint32(28, sequence);
    bytes[32] = 0x50;
    bytes[33] = tcpFlags;
    bytes[40] = sequence;
    return this.resequencer.offer(now, sequence, distance, block, 0, data ? 41 : 40, 0, HOLD_STREAM);
  }

  get sequences(): number[] {
    return this.out.map(({ sequence }) => sequence);
  }
}

describe("plain acknowledgements", () => {
  test("wait for nothing, and those that they overtook are dropped", () => {
    const tcp = new TcpRig();
    tcp.offer(0, 0, 0);
    tcp.offer(0, 3, 1);
    tcp.offer(0, 4, 1);
    expect(tcp.sequences).toEqual([0, 3, 4]);
    expect(tcp.offer(0, 1, 1)).toBe(true);
    expect(tcp.offer(0, 2, 1)).toBe(true);
    expect(tcp.offer(0, 2, 1)).toBe(false);
    tcp.offer(0, 5, 1);
    expect(tcp.sequences).toEqual([0, 3, 4, 5]);
    expect([tcp.resequencer.held, tcp.resequencer.delivered, tcp.drops.of("superseded")]).toEqual([0, 4, 2]);
  });

  test("overtake data, which comes in its own order", () => {
    const tcp = new TcpRig();
    tcp.offer(0, 0, 0, 1, true);
    tcp.offer(0, 2, 1);
    tcp.offer(0, 3, 1, 1, true);
    tcp.offer(0, 4, 1);
    expect(tcp.sequences).toEqual([0, 2, 4]);
    tcp.offer(0, 1, 1, 1, true);
    expect(tcp.sequences).toEqual([0, 2, 4, 1, 3]);
    expect(tcp.resequencer.held).toBe(0);
    expect(tcp.drops.total).toBe(0);
  });

  test("what says more than that waits: the end of a connection, congestion", () => {
    for (const flags of [0x11, 0x14, 0x12, 0x50]) {
      const tcp = new TcpRig();
      tcp.offer(0, 1, 1, 1, false, flags);
      expect(tcp.sequences).toEqual([]);
      tcp.offer(0, 0, 0);
      expect(tcp.sequences).toEqual([0, 1]);
    }
  });

  test("one flow's do not make another's old", () => {
    const tcp = new TcpRig();
    tcp.offer(0, 3, 1, 1);
    tcp.offer(0, 1, 0, 2);
    tcp.offer(0, 2, 0, 1);
    expect(tcp.sequences).toEqual([3, 1]);
  });

  test("one that comes when nobody waits for it any more still goes on", () => {
    const tcp = new TcpRig();
    tcp.offer(0, 2, 1);
    tcp.resequencer.onTimeout(1e9);
    tcp.offer(2e9, 1, 0);
    expect(tcp.sequences).toEqual([2, 1]);
  });
});

/** Datagrams of UDP over IPv4, by port. */
class UdpRig {
  readonly out: { sequence: number; port: number }[] = [];
  readonly resequencer = new Resequencer(
    {
      deliver: ({ view }, at, length) => {
        expect(length).toBe(32);
        this.out.push({ sequence: view.getUint32(at + 28), port: view.getUint16(at + 20) });
      },
    },
    new Store(plainBlock, () => {}, 64),
    plainCopy,
    new DropCounters(),
  );

  offer(now: number, sequence: number, distance: number, hold: 0 | 1 = HOLD_STREAM, port = 1): boolean {
    const { view, bytes } = block;
    bytes.fill(0);
    bytes[0] = 0x45;
    bytes[9] = 17;
    view.setUint16(20, port);
    view.setUint32(28, sequence);
    return this.resequencer.offer(now, sequence, distance, block, 0, 32, 0, hold);
  }

  get sequences(): number[] {
    return this.out.map(({ sequence }) => sequence);
  }
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

describe("datagrams that waited", () => {
  test("come a few at a time, in order, and what comes meanwhile comes after them", () => {
    const udp = new UdpRig();
    for (let i = 1; i <= 200; i++) udp.offer(0, i, 1);
    udp.offer(1000, 0, 0);
    expect(udp.sequences).toEqual(upTo(1 + BURST));
    expect(udp.resequencer.nextAt).toBe(1000 + BURST_EVERY);
    udp.offer(1001, 201, 1);
    udp.resequencer.onTimeout(1000 + BURST_EVERY - 1);
    expect(udp.sequences).toEqual(upTo(1 + BURST));
    for (let n = 1; n <= 4; n++) {
      udp.resequencer.onTimeout(1000 + n * BURST_EVERY);
      expect(udp.sequences).toEqual(upTo(Math.min(1 + (n + 1) * BURST, 202)));
    }
    expect([udp.resequencer.held, udp.resequencer.nextAt]).toEqual([0, Number.POSITIVE_INFINITY]);
    expect(udp.resequencer.givenUp).toBe(0);
    udp.offer(9000, 202, 1);
    expect(udp.sequences).toEqual(upTo(203));
  });

  test("a long queue is gone soon all the same", () => {
    const udp = new UdpRig();
    for (let i = 1; i < MAX_HELD; i++) udp.offer(0, i, 1);
    udp.offer(0, 0, 0);
    let steps = 0;
    for (; udp.resequencer.held > 0; steps++) udp.resequencer.onTimeout(udp.resequencer.nextAt);
    expect(udp.sequences).toEqual(upTo(MAX_HELD));
    expect(steps).toBeLessThan(40);
  });

  test("each flow by itself, and TCP all at once", () => {
    const udp = new UdpRig();
    for (let i = 2; i < 200; i++) udp.offer(0, i, 2, HOLD_STREAM, i % 2);
    udp.offer(0, 0, 0, HOLD_STREAM, 0);
    udp.offer(0, 1, 0, HOLD_STREAM, 1);
    for (const port of [0, 1]) expect(udp.out.filter((each) => each.port === port).length).toBe(1 + BURST);
    const tcp = new TcpRig();
    for (let i = 1; i <= 200; i++) tcp.offer(0, i, 1, 1, true);
    tcp.offer(0, 0, 0, 1, true);
    expect(tcp.sequences).toEqual(upTo(201));
  });

  test("go on all at once when there is no more room", () => {
    const udp = new UdpRig();
    for (let i = 1; i < MAX_HELD; i++) udp.offer(0, i, 1);
    udp.offer(0, 0, 0);
    let next = MAX_HELD;
    while (udp.resequencer.held < MAX_HELD) udp.offer(0, next++, 1);
    udp.offer(0, next, 1);
    expect(Bun.deepEquals(udp.sequences, upTo(next + 1))).toBe(true);
  });

  test("go on in order though their time is over", () => {
    const udp = new UdpRig();
    udp.resequencer.bounds[HOLD_STREAM] = 10_000;
    for (let i = 1; i <= 200; i++) udp.offer(i, i, 1);
    udp.offer(9999, 0, 0);
    udp.resequencer.onTimeout(10_150);
    expect(udp.sequences).toEqual(upTo(udp.out.length));
    expect(udp.out.length).toBeGreaterThanOrEqual(151);
    expect(udp.resequencer.givenUp).toBe(0);
  });

  test("the window moves past what is still to come: it comes, in order", () => {
    const udp = new UdpRig();
    for (let i = 1; i <= 200; i++) udp.offer(0, i, 1);
    udp.offer(0, 0, 0);
    udp.offer(0, 4 * SEQUENCE_WINDOW, 0);
    expect(udp.sequences).toEqual([...upTo(201), 4 * SEQUENCE_WINDOW]);
    expect(udp.resequencer.held).toBe(0);
  });
});

test("small packets of a flow whose large ones have waited wait as long", () => {
  const udp = new UdpRig();
  udp.resequencer.bounds[HOLD_STREAM] = 100_000;
  udp.resequencer.bounds[HOLD_OTHER] = 5000;
  udp.offer(0, 1, 1, HOLD_STREAM);
  udp.offer(0, 2, 1, HOLD_OTHER);
  udp.offer(0, 3, 1, HOLD_STREAM);
  udp.offer(0, 6, 2, HOLD_OTHER, 2);
  udp.resequencer.onTimeout(5000);
  expect(udp.sequences).toEqual([6]);
  udp.offer(6000, 0, 0);
  expect(udp.sequences).toEqual([6, 0, 1, 2, 3]);
});

/** The same rules by plain lists: no window, no slots. */
class SlowResequencer {
  readonly out: number[] = [];
  readonly arrived = new Set<number>();
  readonly passed = new Set<number>();
  held: { sequence: number; predecessor: number; since: number; hold: 0 | 1 }[] = [];

  offer(now: number, sequence: number, distance: number, hold: 0 | 1): boolean {
    if (this.arrived.has(sequence)) return false;
    this.arrived.add(sequence);
    const predecessor = sequence - distance;
    const claimed = this.held.some((packet) => packet.predecessor === predecessor);
    if (distance === 0 || this.passed.has(predecessor) || predecessor < 0 || claimed) this.deliver(sequence);
    else this.held.push({ sequence, predecessor, since: now, hold });
    return true;
  }

  onTimeout(now: number, bounds: Float64Array): void {
    for (const hold of [0, 1] as const) {
      for (;;) {
        const oldest = this.held.find((packet) => packet.hold === hold);
        if (oldest === undefined || now < oldest.since + bounds[hold]!) break;
        this.pass(oldest.predecessor);
      }
    }
  }

  private deliver(sequence: number): void {
    this.out.push(sequence);
    this.pass(sequence);
  }

  private pass(sequence: number): void {
    this.passed.add(sequence);
    const next = this.held.find((packet) => packet.predecessor === sequence);
    if (next === undefined) return;
    this.held = this.held.filter((packet) => packet !== next);
    this.deliver(next.sequence);
  }
}

describe("beside a slow model", () => {
  const step = fc.record({
    flow: fc.integer({ min: 0, max: 6 }),
    late: fc.oneof(
      { weight: 4, arbitrary: fc.constant(0) },
      { weight: 2, arbitrary: fc.integer({ min: 1, max: 60 }) },
    ),
    lost: fc.integer({ min: 0, max: 19 }),
    twice: fc.integer({ min: 0, max: 9 }),
  });

  test("packets of several flows, late, lost and doubled, come out as the model says", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 250 }), (steps) => {
        const { resequencer, out, offer } = rig();
        const model = new SlowResequencer();
        resequencer.bounds.set([3_000, 900]);
        const last = new Map<number, number>();
        const arrivals: { at: number; sequence: number; distance: number; hold: 0 | 1 }[] = [];
        for (const [sequence, { flow, late, lost, twice }] of steps.entries()) {
          const before = last.get(flow);
          last.set(flow, sequence);
          if (lost === 0) continue;
          const distance = before === undefined ? 0 : sequence - before;
          const hold = flow % 2 === 0 ? HOLD_STREAM : HOLD_OTHER;
          arrivals.push({ at: (sequence + late) * 100, sequence, distance, hold });
          if (twice === 0) arrivals.push({ at: (sequence + late + 7) * 100, sequence, distance, hold });
        }
        arrivals.sort((a, b) => a.at - b.at);
        for (const { at, sequence, distance, hold } of arrivals) {
          resequencer.onTimeout(at);
          model.onTimeout(at, resequencer.bounds);
          expect(offer(at, sequence, distance, hold)).toBe(model.offer(at, sequence, distance, hold));
          expect(resequencer.held).toBe(model.held.length);
          expect(out.length).toBe(model.out.length);
          if (sequence % 3 === 0) resequencer.reclaim();
        }
        resequencer.onTimeout(1e9);
        model.onTimeout(1e9, resequencer.bounds);
        expect(out).toEqual(model.out);
        expect(resequencer.held).toBe(0);
        expect(resequencer.delivered).toBe(out.length);
      }),
    );
  });

  test("acknowledgements that wait for nothing change nothing for data, and are in order themselves", () => {
    fc.assert(
      fc.property(fc.array(fc.record({ step, data: fc.boolean() }), { maxLength: 250 }), (packets) => {
        const tcp = new TcpRig();
        const model = new SlowResequencer();
        tcp.resequencer.bounds[HOLD_STREAM] = 1e6;
        const last = new Map<number, number>();
        const arrivals: { at: number; sequence: number; distance: number; port: number; data: boolean }[] =
          [];
        for (const [sequence, { step: s, data }] of packets.entries()) {
          const distance = sequence - (last.get(s.flow) ?? sequence);
          last.set(s.flow, sequence);
          if (s.lost > 0) arrivals.push({ at: sequence + s.late, sequence, distance, port: s.flow, data });
        }
        arrivals.sort((a, b) => a.at - b.at);
        const newest = new Map<number, number>();
        let superseded = 0;
        for (const { at, sequence, distance, port, data } of arrivals) {
          tcp.offer(at, sequence, distance, port, data);
          model.offer(at, sequence, distance, HOLD_STREAM);
          if (!data && sequence < (newest.get(port) ?? -1)) superseded++;
          else if (!data) {
            expect(tcp.out.some((packet) => packet.sequence === sequence)).toBe(true);
            newest.set(port, sequence);
          }
          expect(tcp.drops.of("superseded")).toBe(superseded);
        }
        const isData = (sequence: number): boolean => packets[sequence]!.data;
        expect(tcp.sequences.filter(isData)).toEqual(model.out.filter(isData));
        tcp.resequencer.onTimeout(1e9);
        expect(tcp.resequencer.held).toBe(0);
        expect(tcp.out.length + superseded).toBe(arrivals.length);
        for (const port of last.keys()) {
          const acks = tcp.out.filter((packet) => packet.port === port && !packet.data);
          expect(acks.map(({ sequence }) => sequence)).toEqual(
            acks.map(({ sequence }) => sequence).sort((a, b) => a - b),
          );
        }
      }),
    );
  });

  test("datagrams in bursts: all of them, in their flow's order, and never more at once than may be", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 250 }), fc.integer({ min: 1, max: 50 }), (steps, stretch) => {
        const udp = new UdpRig();
        const last = new Map<number, number>();
        const arrivals: { at: number; sequence: number; distance: number; port: number }[] = [];
        for (const [sequence, { flow, late }] of steps.entries()) {
          const distance = sequence - (last.get(flow) ?? sequence);
          last.set(flow, sequence);
          arrivals.push({ at: sequence * 5 + late * 5 * stretch, sequence, distance, port: flow });
        }
        arrivals.sort((a, b) => a.at - b.at);
        const counted = new Map<number, number>();
        const tick = (now: number, most: number, act: () => unknown): void => {
          const before = udp.out.length;
          act();
          counted.clear();
          for (const { port } of udp.out.slice(before)) counted.set(port, (counted.get(port) ?? 0) + 1);
          for (const count of counted.values()) expect(count).toBeLessThanOrEqual(most);
          udp.resequencer.reclaim();
          expect(udp.resequencer.nextAt).toBeGreaterThan(now);
        };
        for (const { at, sequence, distance, port } of arrivals) {
          tick(at, BURST, () => udp.resequencer.onTimeout(at));
          tick(at, 1 + BURST, () => udp.offer(at, sequence, distance, HOLD_STREAM, port));
        }
        while (udp.resequencer.held > 0) {
          const at = udp.resequencer.nextAt;
          tick(at, BURST, () => udp.resequencer.onTimeout(at));
        }
        expect(udp.out.length).toBe(steps.length);
        expect(udp.resequencer.givenUp).toBe(0);
        for (const port of last.keys()) {
          const sequences = udp.out.filter((each) => each.port === port).map(({ sequence }) => sequence);
          expect(sequences).toEqual(sequences.toSorted((a, b) => a - b));
        }
      }),
    );
  });

  test("the window grows for what is still to come, and is short again when little comes", () => {
    const burst = fc.record({
      packets: fc.integer({ min: 1, max: 3000 }),
      /** Each so many is late by so much, each so many never comes. */
      late: fc.integer({ min: 2, max: 50 }),
      by: fc.integer({ min: 1, max: 4000 }),
      lost: fc.integer({ min: 20, max: 500 }),
      trims: fc.integer({ min: 0, max: 3 }),
    });
    fc.assert(
      fc.property(fc.array(burst, { minLength: 1, maxLength: 4 }), (bursts) => {
        const { resequencer, offer, store } = rig();
        const arrived = new Set<number>();
        let sequence = 0;
        let now = 0;
        for (const { packets, late, by, lost, trims } of bursts) {
          const order = Array.from({ length: packets }, (_, i) => i)
            .filter((i) => i % lost !== 1)
            .sort((a, b) => a + (a % late === 0 ? by : 0) - (b + (b % late === 0 ? by : 0)));
          for (const i of order) {
            now += 10;
            resequencer.onTimeout(now);
            resequencer.reclaim();
            // Taken if it is new, however late; a copy is not, however late.
            expect(offer(now, sequence + i, i === 0 ? 0 : 1)).toBe(true);
            arrived.add(sequence + i);
            if (i % 7 === 0) expect(offer(now, sequence + i, 0)).toBe(false);
          }
          sequence += packets;
          now += 2_000_000;
          resequencer.onTimeout(now);
          resequencer.reclaim();
          for (let i = 0; i < trims; i++) resequencer.trim();
          if (trims === 3) expect([store.used, resequencer.trim()]).toEqual([0, true]);
          // A copy of what has come is never taken, though the window has forgotten it.
          for (const each of [...arrived].slice(-300)) expect(offer(now, each, 0)).toBe(false);
          expect(offer(now, [...arrived][0]!, 0)).toBe(false);
        }
      }),
      { numRuns: 30 },
    );
  });

  test("whatever a peer says: no exception, each sequence at most once, nothing held for ever", () => {
    const wild = fc.record({
      sequence: fc.oneof(
        fc.integer({ min: 0, max: 2 ** 32 - 1 }),
        fc.integer({ min: 0, max: 300 }),
        fc.integer({ min: 2 ** 32 - 300, max: 2 ** 32 - 1 }),
      ),
      distance: fc.oneof(fc.integer({ min: 0, max: 5 }), fc.integer({ min: 0, max: 0xffff })),
      hold: fc.constantFrom<0 | 1>(0, 1),
    });
    fc.assert(
      fc.property(fc.array(wild, { maxLength: 100 }), (packets) => {
        const { resequencer, out, offer } = rig();
        let taken = 0;
        for (const [now, { sequence, distance, hold }] of packets.entries()) {
          if (offer(now, sequence, distance, hold)) taken++;
          expect(resequencer.held + out.length).toBe(taken);
          expect(Number.isFinite(resequencer.nextAt)).toBe(resequencer.held > 0);
        }
        resequencer.onTimeout(1e9);
        resequencer.reclaim();
        expect(resequencer.held).toBe(0);
        expect(out.length).toBe(taken);
      }),
    );
  });
});
