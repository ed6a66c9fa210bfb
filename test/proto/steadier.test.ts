import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { Rtt } from "../../src/proto/rtt.ts";
import { MOST_HELD, MOST_KEPT, Steadier } from "../../src/proto/steadier.ts";
import { plainBlock, plainCopy } from "../../src/share/block.ts";
import { Store } from "../../src/share/store.ts";
import { ipPacket, type PacketFields } from "../wire/packets.ts";

const MS = 1000;
const START = 1_000 * MS;
const FIN = 0x11;
const SYN = 0x02;
const SYN_ACK = 0x12;

/** The standard deviation of a path's round trips; early acknowledgements are kept for 5.5 times that, less 4 ms. */
const VARIATION = 4 * MS;
const SPREAD = 18 * MS;

interface Out {
  readonly at: number;
  readonly ip: Uint8Array;
  readonly flags: number;
}

class Rig {
  now = START;
  readonly out: Out[] = [];
  readonly store = new Store(plainBlock, () => {}, 2048);
  readonly steadier = new Steadier(
    {
      deliver: (block, offset, length, flags) =>
        this.out.push({ at: this.now, ip: block.bytes.slice(offset, offset + length), flags }),
    },
    this.store,
    plainCopy,
  );
  variation = VARIATION;
  /** What round trips take, as a rule. */
  usual = 50 * MS;

  /** A segment leaves into the tunnel. */
  send(sequence: number, bytes = 1000, fields: Partial<PacketFields> = {}): void {
    this.stage(ipPacket({ protocol: 6, payload: new Uint8Array(bytes), sequence, ...fields }));
  }

  stage(ip: Uint8Array): void {
    const block = plainBlock(ip.length + 10);
    block.bytes.set(ip, 10);
    const rtt = { deviation: this.variation, srtt: this.usual } as Rtt;
    this.steadier.onStaged(this.now, block, 10, ip.length, rtt);
  }

  /** A packet comes out of the tunnel: an acknowledgement of what `send` sent. */
  acknowledge(acknowledged: number, fields: Partial<PacketFields> = {}): void {
    this.receive(turned(ipPacket({ protocol: 6, payload: new Uint8Array(0), acknowledged, ...fields })));
  }

  receive(ip: Uint8Array, flags = 0): void {
    const block = plainBlock(ip.length + 7);
    block.bytes.set(ip, 7);
    this.steadier.now = this.now;
    this.steadier.deliver(block, 7, ip.length, flags);
    // Whoever gave it uses its memory for other things then.
    block.bytes.fill(0xee);
  }

  /** Time passes; what is due is let go when it is. */
  pass(micros: number): void {
    const end = this.now + micros;
    for (let at = this.steadier.nextAt; at <= end; at = this.steadier.nextAt) {
      this.now = at;
      this.steadier.onTimeout(at);
      this.steadier.reclaim();
    }
    this.now = end;
  }

  get delivered(): number[] {
    return this.out.map(({ ip }) => new DataView(ip.buffer).getUint32(28));
  }
}

/** The other direction: addresses and ports change places. */
function turned(ip: Uint8Array): Uint8Array {
  const turn = (from: number, bytes: number) => {
    const one = ip.slice(from, from + bytes);
    ip.copyWithin(from, from + bytes, from + 2 * bytes);
    ip.set(one, from + bytes);
  };
  const v4 = ip[0]! >> 4 === 4;
  turn(v4 ? 12 : 8, v4 ? 4 : 16);
  turn(v4 ? (ip[0]! & 15) * 4 : 40, 2);
  return ip;
}

describe("acknowledgements of a flow that begins", () => {
  test.each([false, true])(
    "come the least round trip and the spread after their segment (IPv6: %p)",
    (ipv6) => {
      const rig = new Rig();
      rig.send(0, 1000, { ipv6 });
      rig.pass(50 * MS);
      rig.acknowledge(1000, { ipv6 });
      expect(rig.out).toEqual([]);
      expect(rig.steadier.held).toBe(1);
      expect(rig.steadier.nextAt).toBe(START + 50 * MS + SPREAD);
      rig.pass(200 * MS);
      expect(rig.out.map(({ at }) => at - START)).toEqual([50 * MS + SPREAD]);
      expect(rig.steadier.held).toBe(0);
      expect(rig.steadier.nextAt).toBe(Number.POSITIVE_INFINITY);
    },
  );

  test("that are as late as that, or later, go on at once", () => {
    const rig = new Rig();
    rig.send(0);
    rig.pass(50 * MS);
    rig.acknowledge(1000);
    rig.pass(100 * MS);
    for (const late of [20, 35, 300]) {
      rig.send(late * 1000);
      rig.pass((50 + late) * MS);
      rig.acknowledge(late * 1000 + 1000);
      expect(rig.steadier.held).toBe(0);
    }
    expect(rig.delivered).toEqual([1000, 21_000, 36_000, 301_000]);
  });

  test("of several segments that left one by one are measured by their own", () => {
    const rig = new Rig();
    for (let i = 0; i < 5; i++) {
      rig.send(i * 1000);
      rig.pass(5 * MS);
    }
    rig.pass(25 * MS);
    // 50 ms after the first, and together with the third.
    rig.acknowledge(3000);
    rig.pass(100 * MS);
    expect(rig.out.map(({ at }) => at - START)).toEqual([10 * MS + 40 * MS + SPREAD]);
  });

  test("in the middle of what left at once, and across the end of sequence numbers", () => {
    const rig = new Rig();
    rig.send(0xffff_ff00, 60_000);
    rig.pass(50 * MS);
    rig.acknowledge(0xffff_ffff);
    rig.acknowledge(40_000);
    rig.pass(100 * MS);
    expect(rig.out.map(({ at }) => at - START)).toEqual([50 * MS + SPREAD, 50 * MS + SPREAD]);
  });

  test("the handshake's round trip counts, but its packets are not kept", () => {
    const rig = new Rig();
    rig.send(99, 0, { flags: SYN });
    rig.pass(40 * MS);
    rig.acknowledge(100, { flags: SYN_ACK });
    expect(rig.delivered).toEqual([100]);
    rig.send(100, 14_000);
    rig.pass(45 * MS);
    rig.acknowledge(1100);
    expect(rig.steadier.nextAt).toBe(START + 40 * MS + 40 * MS + SPREAD);
  });

  test("what was sent again says nothing of round trips", () => {
    const rig = new Rig();
    rig.send(0);
    rig.pass(50 * MS);
    rig.send(0);
    rig.pass(10 * MS);
    rig.acknowledge(1000);
    // 60 ms after it left first: that is the least now, not 10.
    expect(rig.steadier.nextAt).toBe(START + 60 * MS + SPREAD);
  });

  test("of a path that hardly varies are not kept", () => {
    const rig = new Rig();
    rig.variation = 1.8 * MS;
    rig.send(0);
    rig.pass(50 * MS);
    rig.acknowledge(1000);
    expect(rig.delivered).toEqual([1000]);
    expect(rig.store.used).toBe(0);
  });

  test("never are kept longer than the bound, nor than a round trip usually takes, whatever a path varies by", () => {
    for (const [roundTrip, kept] of [
      [300 * MS, MOST_KEPT],
      [0.2 * MS, 0.2 * MS],
    ] as const) {
      const rig = new Rig();
      rig.variation = 5_000 * MS;
      rig.usual = roundTrip;
      rig.send(0);
      rig.pass(roundTrip);
      rig.acknowledge(1000);
      expect(rig.steadier.nextAt).toBe(rig.now + kept);
    }
  });

  test("are kept no more when it has gone on for 15 s, or has sent 64 MB", () => {
    for (const [segments, apart] of [
      [160, 100 * MS],
      [1100, 5 * MS],
    ] as const) {
      const rig = new Rig();
      for (let i = 0; i < segments; i++) {
        rig.send((i * 60_000) >>> 0, 60_000);
        rig.pass(apart);
      }
      const before = rig.out.length;
      rig.acknowledge((segments * 60_000) >>> 0);
      expect(rig.out.length).toBe(before + 1);
    }
  });
});

describe("what is kept of no flow", () => {
  test("one that is answered: the acknowledgement before the answer goes on with it, and what follows at once", () => {
    const rig = new Rig();
    rig.send(99, 0, { flags: SYN });
    rig.pass(40 * MS);
    rig.acknowledge(100, { flags: SYN_ACK });
    rig.send(100, 500);
    rig.pass(50 * MS);
    rig.acknowledge(600);
    expect(rig.steadier.held).toBe(1);
    rig.pass(2 * MS);
    rig.acknowledge(600, { payload: new Uint8Array(1200) });
    expect(rig.out.map(({ at }) => at)).toEqual([START + 40 * MS, START + 92 * MS, START + 92 * MS]);
    rig.send(600, 50_000);
    rig.pass(41 * MS);
    rig.acknowledge(40_000);
    expect(rig.delivered).toEqual([100, 600, 600, 40_000]);
  });

  test("one that is grown, however long it goes on; after a pause it begins anew", () => {
    const rig = new Rig();
    const held: number[] = [];
    for (let at = 0; at < 700; at++) {
      rig.send(at * 1000);
      rig.pass(50 * MS);
      rig.acknowledge(at * 1000 + 1000);
      held.push(rig.steadier.held);
      rig.pass(50 * MS);
    }
    expect(held.slice(0, 149)).toEqual(new Array(149).fill(1));
    expect(held.slice(151)).toEqual(new Array(549).fill(0));
    rig.pass(16_000 * MS);
    rig.send(700_000, 13_000);
    rig.pass(50 * MS);
    rig.acknowledge(701_000);
    expect(rig.steadier.held).toBe(1);
  });
});

describe("what else comes", () => {
  const keeping = () => {
    const rig = new Rig();
    rig.send(0);
    rig.pass(50 * MS);
    rig.acknowledge(1000);
    expect(rig.steadier.held).toBe(1);
    return rig;
  };

  test("other flows and protocols go on at once", () => {
    const rig = keeping();
    rig.acknowledge(1000, { port: 5001 });
    rig.receive(turned(ipPacket({ protocol: 17, payload: new Uint8Array(100) })));
    rig.receive(turned(ipPacket({ protocol: 6, payload: new Uint8Array(0), fragment: 0x2000 })));
    // The same ports and addresses, in the direction of the data.
    expect(rig.out.length).toBe(3);
  });

  test.each([
    ["data", { payload: new Uint8Array(10) }],
    ["the end", { flags: FIN }],
    ["the handshake", { flags: SYN_ACK }],
  ])(
    "%s of the same flow goes on at once, behind what was kept, and nothing is kept any more",
    (_, fields) => {
      const rig = keeping();
      rig.acknowledge(1000, fields);
      expect(rig.delivered).toEqual([1000, 1000]);
      expect(rig.steadier.held).toBe(0);
      rig.send(1000, 50_000);
      rig.pass(50 * MS);
      rig.acknowledge(20_000);
      expect(rig.delivered).toEqual([1000, 1000, 20_000]);
    },
  );

  test("a question that came before anything was sent is no answer", () => {
    const rig = new Rig();
    rig.send(99, 0, { flags: SYN_ACK });
    rig.pass(40 * MS);
    rig.acknowledge(100, { payload: new Uint8Array(300) });
    expect(rig.delivered).toEqual([100]);
    rig.send(100, 50_000);
    rig.pass(45 * MS);
    rig.acknowledge(1500);
    expect(rig.steadier.held).toBe(1);
  });

  test("bytes and flags stay as they came", () => {
    const rig = new Rig();
    rig.send(0);
    rig.pass(50 * MS);
    const ip = turned(ipPacket({ protocol: 6, payload: new Uint8Array(0), acknowledged: 1000, window: 77 }));
    rig.receive(ip, 0x80);
    rig.pass(100 * MS);
    expect(rig.out).toEqual([{ at: START + 50 * MS + SPREAD, ip, flags: 0x80 }]);
  });

  test("headers that are cut or lie about their length are no harm", () => {
    const rig = keeping();
    const ack = turned(ipPacket({ protocol: 6, payload: new Uint8Array(0), acknowledged: 1000 }));
    for (let length = 21; length < 40; length++) rig.receive(ack.slice(0, length));
    const lying = ack.slice();
    lying[32] = 0xf0;
    rig.receive(lying);
    for (let length = 20; length < 40; length++) rig.stage(ack.slice(0, length));
    rig.pass(100 * MS);
    expect(rig.out.length).toBe(19 + 2);
  });
});

test("no more are kept than there is room for, and none is lost", () => {
  const rig = new Rig();
  rig.send(0, 50_000);
  rig.pass(50 * MS);
  for (let i = 0; i <= MOST_HELD; i++) rig.acknowledge(i + 1);
  expect(rig.steadier.held).toBe(0);
  expect(rig.delivered).toEqual(Array.from({ length: MOST_HELD + 1 }, (_, i) => i + 1));
});

test("memory goes back when no flow is young", () => {
  const rig = new Rig();
  rig.send(0);
  rig.pass(50 * MS);
  rig.acknowledge(1000);
  expect(rig.steadier.trim(rig.now)).toBe(false);
  rig.pass(100 * MS);
  expect(rig.steadier.trim(rig.now)).toBe(false);
  rig.pass(15_000 * MS);
  expect(rig.steadier.trim(rig.now)).toBe(true);
  expect(rig.store.used).toBe(0);
  // And it begins anew.
  rig.send(0, 13_000);
  rig.pass(50 * MS);
  rig.acknowledge(1000);
  expect(rig.steadier.held).toBe(1);
  rig.steadier.clear();
  expect([rig.steadier.held, rig.steadier.nextAt]).toEqual([0, Number.POSITIVE_INFINITY]);
});

test("anything in any order: each packet once, in its flow's order, never kept beyond the bound", () => {
  const step = fc.record({
    port: fc.integer({ min: 1, max: 40 }),
    micros: fc.integer({ min: 0, max: 30 * MS }),
    bytes: fc.integer({ min: 0, max: 3000 }),
    acks: fc.boolean(),
    flags: fc.constantFrom(0x10, 0x10, 0x10, FIN, SYN),
    variation: fc.constantFrom(0, VARIATION, 80 * MS),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const rig = new Rig();
      const sent = new Map<number, number>();
      const came: { readonly port: number; readonly at: number }[] = [];
      for (const { port, micros, bytes, acks, flags, variation } of steps) {
        rig.variation = variation;
        const next = sent.get(port) ?? 0;
        if (acks) {
          came.push({ port, at: rig.now });
          rig.acknowledge(next, { port, flags, window: came.length });
        } else {
          rig.send(next, bytes, { port, flags });
          sent.set(port, (next + bytes) >>> 0);
        }
        rig.pass(micros);
      }
      rig.pass(MOST_KEPT);
      expect(rig.steadier.held).toBe(0);
      // The window field says which it is.
      const order = rig.out.map(({ ip, at }) => ({ n: new DataView(ip.buffer).getUint16(34), at }));
      expect(order.map(({ n }) => n).sort((a, b) => a - b)).toEqual(came.map((_, i) => i + 1));
      const last = new Map<number, number>();
      for (const { n, at } of order) {
        const { port, at: cameAt } = came[n - 1]!;
        expect(n).toBeGreaterThan(last.get(port) ?? 0);
        expect(at - cameAt).toBeLessThanOrEqual(MOST_KEPT);
        last.set(port, n);
      }
    }),
  );
});
