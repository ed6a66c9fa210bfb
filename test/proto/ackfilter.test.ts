import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { AckFilter, FLOWS, MOST_KEPT } from "../../src/proto/ackfilter.ts";
import { plainBlock, plainCopy } from "../../src/share/block.ts";
import { DropCounters } from "../../src/share/counters.ts";
import { Store } from "../../src/share/store.ts";
import { ipPacket, type PacketFields } from "../wire/packets.ts";

const MS = 1000;
const START = 1_000 * MS;
const ROUND_TRIP = 100 * MS;
const FIN_ACK = 0x11;
const SYN = 0x02;
const SYN_ACK = 0x12;
const ECE_ACK = 0x50;
const SEGMENT = 1000;
/** What HyStart judges by (RFC 9406 section 4.2, Linux's tcp_cubic.c). */
const SAMPLES = 8;

const TIMESTAMPS = new Uint8Array([1, 1, 8, 10, 0, 0, 0, 7, 0, 0, 0, 9]);
const SACK = new Uint8Array([1, 1, 5, 10, 0, 0, 9, 0, 0, 0, 9, 9]);

interface Out {
  readonly at: number;
  readonly ip: Uint8Array;
  readonly flags: number;
}

class Rig {
  now = START;
  readonly out: Out[] = [];
  readonly drops = new DropCounters();
  readonly store = new Store(plainBlock, () => {}, 2048);
  readonly filter = new AckFilter(
    {
      deliver: (block, offset, length, flags) =>
        this.out.push({ at: this.now, ip: block.bytes.slice(offset, offset + length), flags }),
    },
    this.store,
    plainCopy,
    this.drops,
  );
  /** Flows that begin are looked after; round trips mislead; the flow has filled the paths. */
  looks = true;
  misled = true;
  queued = false;

  /** Segments leave into the tunnel, as one. */
  send(sequence: number, bytes: number, fields: Partial<PacketFields> = {}): void {
    const payload = new Uint8Array(bytes);
    this.stage(ipPacket({ protocol: 6, payload, sequence: sequence >>> 0, ...fields }));
  }

  stage(ip: Uint8Array): void {
    const block = plainBlock(ip.length + 10);
    block.bytes.set(ip, 10);
    this.filter.misled = this.misled;
    this.filter.onStaged(this.now, block, 10, ip.length, this.looks, this.queued, ROUND_TRIP);
  }

  /** A packet comes out of the tunnel: an acknowledgement of what `send` sent. */
  acknowledge(acknowledged: number, fields: Partial<PacketFields> = {}): void {
    const all = {
      protocol: 6,
      payload: new Uint8Array(0),
      acknowledged: acknowledged >>> 0,
      ...fields,
    } as const;
    this.receive(turned(ipPacket(all)));
  }

  receive(ip: Uint8Array, flags = 0): void {
    const block = plainBlock(ip.length + 7);
    block.bytes.set(ip, 7);
    this.filter.now = this.now;
    this.filter.deliver(block, 7, ip.length, flags);
    // Whoever gave it uses its memory for other things then.
    block.bytes.fill(0xee);
  }

  /** Time passes; what is due is let go when it is. */
  pass(micros: number): void {
    const end = this.now + micros;
    for (let at = this.filter.nextAt; at <= end; at = this.filter.nextAt) {
      this.now = at;
      this.filter.onTimeout(at);
      this.filter.reclaim();
    }
    this.now = end;
    this.filter.reclaim();
  }

  /** What was acknowledged to the sender, in order. */
  get delivered(): number[] {
    return this.out.map(({ ip }) => acknowledgedBy(ip));
  }

  /** A flow with so much under way that its sender judges, and its acknowledgement on the way; one has just been given. */
  begin(): this {
    this.send(0, 40_000);
    this.pass(ROUND_TRIP);
    this.acknowledge(1000);
    expect(this.delivered).toEqual([1000]);
    return this;
  }
}

function acknowledgedBy(ip: Uint8Array): number {
  return new DataView(ip.buffer).getUint32(ip[0]! >> 4 === 4 ? 28 : 48);
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

/**
 * A sender whose window doubles: it sends two segments for each that is acknowledged, which arrive and are acknowledged, one
 * by one, `delay` later. How many acknowledgements it got in each of its round trips, as long as it had something to send.
 */
function slowStart(
  rig: Rig,
  delay: (segment: number) => number,
  segments: number,
  fields: Partial<PacketFields>,
) {
  const due: { readonly at: number; readonly acknowledged: number }[] = [];
  const rounds: number[] = [];
  let sent = 0;
  let latest = 0;
  let roundEnd = 0;
  let count = 0;
  let read = 0;
  const send = (more: number) => {
    for (let i = 0; i < more && sent < segments; i++) {
      rig.send(sent * SEGMENT, SEGMENT, fields);
      // The path keeps the order.
      latest = Math.max(latest, rig.now + delay(sent));
      due.push({ at: latest, acknowledged: ++sent * SEGMENT });
    }
  };
  const react = () => {
    for (; read < rig.out.length; read++) {
      const { ip, at } = rig.out[read]!;
      const acknowledged = acknowledgedBy(ip);
      const before = read === 0 ? 0 : acknowledgedBy(rig.out[read - 1]!.ip);
      expect(acknowledged).toBeGreaterThan(before);
      expect(at).toBeLessThanOrEqual(rig.now);
      if (acknowledged > roundEnd) {
        if (roundEnd > 0 && sent < segments) rounds.push(count);
        count = 0;
        roundEnd = sent * SEGMENT;
      }
      count++;
      send((2 * (acknowledged - before)) / SEGMENT);
    }
  };
  send(10);
  while (due.length > 0 || rig.filter.held > 0) {
    const next = Math.min(due[0]?.at ?? Number.POSITIVE_INFINITY, rig.filter.nextAt);
    rig.pass(Math.max(next - rig.now, 0));
    react();
    if (due[0] !== undefined && due[0].at <= rig.now) rig.acknowledge(due.shift()!.acknowledged, fields);
    react();
  }
  expect(rig.delivered.at(-1)).toBe(segments * SEGMENT);
  expect(rig.drops.of("superseded") + rig.out.length).toBe(segments);
  return rounds;
}

describe("a sender in its slow start gets fewer acknowledgements than it judges by", () => {
  test.each([
    ["over IPv4", { ipv6: false }],
    ["over IPv6", { ipv6: true }],
    ["with timestamps", { options: TIMESTAMPS }],
    ["with timestamps in another order", { options: new Uint8Array([8, 10, 0, 0, 0, 7, 0, 0, 0, 9, 1, 1]) }],
  ])("%s", (_, fields) => {
    const rounds = slowStart(new Rig(), (segment) => ROUND_TRIP + 20 * segment, 4000, fields);
    expect(rounds.length).toBeGreaterThanOrEqual(7);
    // The first two round trips are of few segments, and nothing is kept of them.
    for (const count of rounds.slice(2)) expect(count).toBeLessThan(SAMPLES);
    for (const count of rounds) expect(count).toBeGreaterThan(2);
  });

  test("in whatever way delays vary, and it doubles all the same", () => {
    const swings = fc.array(fc.integer({ min: 0, max: 120 * MS }), { minLength: 20, maxLength: 20 });
    fc.assert(
      fc.property(swings, (late) => {
        const rig = new Rig();
        // As many packets as are under way together are late together.
        const rounds = slowStart(
          rig,
          (segment) => ROUND_TRIP + late[Math.floor(Math.log2(segment + 1)) % 20]!,
          2000,
          {},
        );
        for (const count of rounds.slice(2)) expect(count).toBeLessThan(SAMPLES);
        expect(rig.now - START).toBeLessThan(12 * 2 * (ROUND_TRIP + 120 * MS));
      }),
    );
  });
});

describe("an acknowledgement", () => {
  test("waits for a quarter of the last round trip, and one that comes meanwhile takes its place", () => {
    const rig = new Rig().begin();
    const began = rig.now;
    rig.pass(2 * MS);
    rig.acknowledge(3000);
    rig.acknowledge(5000);
    expect([rig.filter.held, rig.drops.of("superseded")]).toEqual([1, 1]);
    expect(rig.filter.nextAt).toBe(began + ROUND_TRIP / 4);
    rig.pass(50 * MS);
    expect(rig.out.map(({ at }) => at - began)).toEqual([0, ROUND_TRIP / 4]);
    expect(rig.delivered).toEqual([1000, 5000]);
    expect(rig.filter.nextAt).toBe(Number.POSITIVE_INFINITY);
    // The next one may go on at once, for it is as long ago.
    rig.acknowledge(7000);
    expect(rig.delivered).toEqual([1000, 5000, 7000]);
    expect(rig.filter.held).toBe(0);
  });

  test("comes alone when a round trip takes long: after five, only one in as long as any may be kept", () => {
    const rig = new Rig().begin();
    const began = rig.now;
    for (let i = 1; i < 38; i++) {
      rig.acknowledge(1000 + 500 * i);
      rig.pass(10 * MS);
    }
    const quarters = [1, 2, 3, 4].map((n) => (n * ROUND_TRIP) / 4);
    expect(rig.out.map(({ at }) => at - began)).toEqual([0, ...quarters, quarters[3]! + MOST_KEPT]);
  });

  test("of a path that takes very long does not wait for a quarter of that", () => {
    const rig = new Rig();
    rig.send(0, 40_000);
    rig.pass(2000 * MS);
    rig.acknowledge(1000);
    rig.acknowledge(3000);
    expect(rig.filter.nextAt).toBe(rig.now + MOST_KEPT);
  });

  test("goes on at once while little is under way", () => {
    const rig = new Rig();
    for (let at = 0; at < 100; at++) {
      rig.send(at * 15_000, 15_000);
      rig.acknowledge(at * 15_000 + 5000);
      rig.acknowledge(at * 15_000 + 15_000);
    }
    expect(rig.out.length).toBe(200);
  });

  test("stands for others across the end of sequence numbers", () => {
    const rig = new Rig();
    rig.send(-20_000, 60_000);
    rig.pass(ROUND_TRIP);
    rig.acknowledge(-15_000);
    rig.acknowledge(-5000);
    rig.acknowledge(5000);
    rig.pass(ROUND_TRIP);
    expect(rig.delivered).toEqual([-15_000 >>> 0, 5000]);
  });

  test("keeps its bytes and flags", () => {
    const rig = new Rig().begin();
    const ip = turned(ipPacket({ protocol: 6, payload: new Uint8Array(0), acknowledged: 3000, window: 77 }));
    rig.receive(ip, 0x80);
    rig.pass(ROUND_TRIP);
    expect(rig.out[1]).toEqual({ at: START + 1.25 * ROUND_TRIP, ip, flags: 0x80 });
  });
});

describe("goes on at once, behind what is kept or in its place:", () => {
  test.each<[string, number, Partial<PacketFields>]>([
    ["data", 5000, { payload: new Uint8Array(10) }],
    ["data that acknowledge nothing new", 1000, { payload: new Uint8Array(10) }],
    ["the end", 5000, { flags: FIN_ACK }],
    ["a second one of the same", 3000, {}],
    ["an older one", 2000, {}],
    ["one that tells of a hole", 5000, { options: SACK }],
    ["one with more options than timestamps", 5000, { options: new Uint8Array([...TIMESTAMPS, ...SACK]) }],
    ["one that tells of congestion", 5000, { flags: ECE_ACK }],
    ["one of what never left", 50_000, {}],
    ["one of all that has left, which none can follow", 40_000, {}],
  ])("%s", (_, acknowledged, fields) => {
    const rig = new Rig().begin();
    rig.acknowledge(3000);
    expect(rig.filter.held).toBe(1);
    rig.acknowledge(acknowledged, fields);
    const superseded = rig.drops.of("superseded");
    expect(rig.delivered).toEqual(superseded === 0 ? [1000, 3000, acknowledged] : [1000, acknowledged]);
    expect(superseded).toBe(acknowledged === 40_000 ? 1 : 0);
    expect(rig.filter.held).toBe(0);
  });

  test("other flows and protocols, beside it", () => {
    const rig = new Rig().begin();
    rig.acknowledge(3000);
    rig.acknowledge(3000, { port: 5001 });
    rig.receive(turned(ipPacket({ protocol: 17, payload: new Uint8Array(100) })));
    rig.receive(turned(ipPacket({ protocol: 6, payload: new Uint8Array(0), fragment: 0x2000 })));
    expect(rig.out.length).toBe(4);
    expect(rig.filter.held).toBe(1);
  });

  test("headers that are cut or lie about their length, and do no harm", () => {
    const rig = new Rig().begin();
    const ack = turned(ipPacket({ protocol: 6, payload: new Uint8Array(0), acknowledged: 3000 }));
    for (let length = 21; length < 40; length++) rig.receive(ack.slice(0, length));
    const lying = ack.slice();
    lying[32] = 0xf0;
    rig.receive(lying);
    for (let length = 20; length < 40; length++) rig.stage(ack.slice(0, length));
    rig.pass(ROUND_TRIP);
    expect(rig.out.length).toBe(1 + 19 + 1);
  });
});

describe("all acknowledgements get", () => {
  /** Of 50 acknowledgements of what is sent then, how many reach the sender. Enough is under way at the last. */
  const passed = (rig: Rig, from: number): number => {
    const before = rig.out.length;
    rig.send(from, 80_000);
    rig.pass(ROUND_TRIP);
    for (let i = 1; i <= 50; i++) {
      rig.acknowledge(from + i * SEGMENT);
      rig.pass(MS / 10);
    }
    rig.pass(ROUND_TRIP);
    return rig.out.length - before;
  };

  test("flows that begin while nothing is looked after", () => {
    const rig = new Rig();
    rig.looks = false;
    expect(passed(rig, 0)).toBe(50);
    expect(rig.store.used).toBe(0);
  });

  test("flows for as long as round trips do not mislead", () => {
    const rig = new Rig();
    rig.misled = false;
    expect(passed(rig, 0)).toBe(50);
    expect(rig.drops.total).toBe(0);
  });

  test("not flows that were looked after before, though now none would be", () => {
    const rig = new Rig().begin();
    rig.looks = false;
    rig.send(40_000, 1000);
    rig.acknowledge(3000);
    expect(rig.filter.held).toBe(1);
  });

  test("a flow that has filled the paths once", () => {
    const rig = new Rig();
    rig.queued = true;
    expect(passed(rig, 0)).toBe(50);
    rig.queued = false;
    expect(passed(rig, 80_000)).toBe(50);
  });

  test("a flow that sends hardly more than the round trip before, three times", () => {
    const rig = new Rig();
    const counts: number[] = [];
    rig.send(0, 50_000);
    for (let round = 1; round < 9; round++) {
      // Enough is under way at the last.
      rig.send(round * 50_000, 50_000);
      rig.pass(ROUND_TRIP);
      const before = rig.out.length;
      for (let i = 1; i <= 25; i++) rig.acknowledge((round - 1) * 50_000 + i * 2000);
      rig.pass(ROUND_TRIP);
      counts.push(rig.out.length - before);
    }
    expect(counts.slice(0, 2)).toEqual([2, 2]);
    expect(counts.slice(6)).toEqual([25, 25]);
  });

  test("a flow that has gone on for 15 s, or has sent 64 MB, and not one that begins after it", () => {
    for (const [segments, apart] of [
      [160, 100 * MS],
      [1100, 5 * MS],
    ] as const) {
      const rig = new Rig();
      for (let i = 0; i < segments; i++) {
        rig.send(i * 60_000, 60_000);
        rig.pass(apart);
      }
      expect(passed(rig, segments * 60_000)).toBe(50);
      rig.send(0, 0, { flags: SYN });
      rig.acknowledge(1, { flags: SYN_ACK });
      expect(passed(rig, 1)).toBeLessThan(10);
    }
  });

  test("a flow after it ended, but not one that begins anew after a long pause", () => {
    const rig = new Rig().begin();
    rig.acknowledge(3000, { flags: FIN_ACK });
    expect(passed(rig, 40_000)).toBe(50);
    rig.pass(16_000 * MS);
    expect(passed(rig, 140_000)).toBeLessThan(10);
  });
});

describe("what is no part of a slow start makes nothing wait:", () => {
  test("old acknowledgements, of what left before the flow was looked after", () => {
    const rig = new Rig();
    rig.send(100_000, 50_000);
    for (let i = 1; i <= 20; i++) rig.acknowledge(50_000 + i * SEGMENT);
    rig.pass(ROUND_TRIP / 5);
    rig.acknowledge(102_000);
    expect(rig.out.length).toBe(21);
  });

  test("a pause, which is no round trip", () => {
    const rig = new Rig();
    rig.send(0, 5000);
    rig.pass(ROUND_TRIP);
    rig.acknowledge(5000);
    rig.pass(3_000 * MS);
    rig.send(5000, 40_000);
    rig.pass(ROUND_TRIP);
    rig.acknowledge(7000);
    rig.acknowledge(9000);
    expect(rig.filter.nextAt).toBe(rig.now + ROUND_TRIP / 4);
  });

  test("acknowledgements that end a round trip that took long", () => {
    const rig = new Rig().begin();
    rig.send(40_000, 40_000);
    for (let i = 1; i <= 20; i++) {
      rig.acknowledge(1000 + i * 1500);
      rig.pass(ROUND_TRIP / 8);
    }
    expect(rig.filter.nextAt).toBeGreaterThan(rig.now);
    const before = rig.out.length;
    rig.acknowledge(41_000);
    expect(rig.delivered.slice(before)).toEqual([41_000]);
  });
});

test("a flow that has grown is not taken for a new one as long as it goes on", () => {
  const rig = new Rig();
  for (let i = 0; i < 400; i++) {
    rig.send(i * 20_000, 20_000);
    rig.pass(ROUND_TRIP);
    rig.acknowledge(i * 20_000 + 2000);
    rig.acknowledge(i * 20_000 + 4000);
    rig.filter.trim(rig.now);
    if (i > 160) expect(rig.filter.held).toBe(0);
  }
});

describe("more flows than are looked after", () => {
  /** The connection is there, and has nothing under way. */
  const open = (rig: Rig, port: number): void => {
    rig.send(0, 0, { port, flags: SYN });
    rig.acknowledge(1, { port, flags: SYN_ACK });
  };

  test("one that begins takes the place of one that has nothing under way", () => {
    for (let port = 1; port <= 3 * FLOWS; port++) {
      const rig = new Rig();
      for (let other = 1; other <= FLOWS; other++) open(rig, 1000 + other);
      open(rig, port);
      rig.send(1, 40_000, { port });
      rig.pass(ROUND_TRIP);
      for (const acknowledged of [1000, 3000]) rig.acknowledge(acknowledged, { port });
      expect(rig.filter.held).toBe(1);
    }
  });

  test("and not of one that has", () => {
    const rig = new Rig();
    rig.send(0, 40_000);
    for (let port = 1; port <= 3 * FLOWS; port++) open(rig, 1000 + port);
    rig.pass(ROUND_TRIP);
    for (const acknowledged of [1000, 3000]) rig.acknowledge(acknowledged);
    expect(rig.filter.held).toBe(1);
  });
});

test("memory goes back when no flow is young", () => {
  const rig = new Rig().begin();
  rig.acknowledge(3000);
  expect(rig.filter.trim(rig.now)).toBe(false);
  rig.pass(ROUND_TRIP);
  expect(rig.filter.trim(rig.now)).toBe(false);
  expect(rig.store.used).toBe(0);
  rig.pass(15_000 * MS);
  expect(rig.filter.trim(rig.now)).toBe(true);
  expect(rig.store.used).toBe(0);
  // And it begins anew.
  rig.begin.call(Object.assign(rig, { out: [] }));
  rig.acknowledge(3000);
  expect(rig.filter.held).toBe(1);
  rig.filter.clear();
  expect([rig.filter.held, rig.filter.nextAt]).toEqual([0, Number.POSITIVE_INFINITY]);
});

test("anything in any order: each packet goes on or is counted, in its flow's order, and the last of a flow always goes on", () => {
  const step = fc.record({
    port: fc.integer({ min: 1, max: 40 }),
    micros: fc.integer({ min: 0, max: 30 * MS }),
    bytes: fc.integer({ min: 0, max: 60_000 }),
    acks: fc.boolean(),
    share: fc.integer({ min: 0, max: 4 }),
    flags: fc.constantFrom(0x10, 0x10, 0x10, 0x10, FIN_ACK, SYN, ECE_ACK),
    looks: fc.boolean(),
    misled: fc.boolean(),
    queued: fc.constantFrom(false, false, false, true),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const rig = new Rig();
      const sent = new Map<number, number>();
      const seen = new Map<number, number>();
      const came: { readonly port: number; readonly at: number }[] = [];
      for (const { port, micros, bytes, acks, share, flags, ...state } of steps) {
        Object.assign(rig, state);
        const next = sent.get(port) ?? 0;
        if (acks) {
          const before = seen.get(port) ?? 0;
          const acknowledged = before + Math.floor(((next - before) * share) / 4);
          came.push({ port, at: rig.now });
          // The window field says which it is.
          rig.acknowledge(acknowledged, { port, flags, window: came.length });
          seen.set(port, acknowledged);
        } else {
          rig.send(next, bytes, { port, flags });
          sent.set(port, next + bytes);
        }
        expect(rig.filter.held).toBeLessThanOrEqual(FLOWS);
        rig.pass(micros);
      }
      rig.pass(MOST_KEPT);
      expect(rig.filter.held).toBe(0);
      expect(rig.out.length + rig.drops.of("superseded")).toBe(came.length);
      const last = new Map<number, number>();
      for (const { ip, at } of rig.out) {
        const n = new DataView(ip.buffer).getUint16(34);
        const { port, at: cameAt } = came[n - 1]!;
        expect(n).toBeGreaterThan(last.get(port) ?? 0);
        expect(at - cameAt).toBeLessThanOrEqual(MOST_KEPT);
        last.set(port, n);
      }
      for (const port of new Set(came.map((each) => each.port)))
        expect(last.get(port)).toBe(came.findLastIndex((each) => each.port === port) + 1);
    }),
  );
});
