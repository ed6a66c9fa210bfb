import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { plainBlock } from "../../src/share/block.ts";
import {
  checksumOffset,
  finishChecksum,
  flowHash,
  fold,
  ipHeaderBytes,
  ipIsWhole,
  ipVersion,
  isPlainAck,
  pseudoHeaderSum,
  slowsByDisorder,
  sum16,
  transportOf,
  writeIpv4Checksum,
} from "../../src/wire/ip.ts";
import {
  checksumIsRight,
  ipPacket,
  type PacketFields,
  pattern,
  referencePseudoSum,
  referenceSum,
} from "./packets.ts";

/** A packet somewhere in a block. */
function at(bytes: Uint8Array, offset = 5) {
  const block = plainBlock(bytes.length + 10);
  block.bytes.set(bytes, offset);
  return { block, offset, length: bytes.length };
}

const tcp: PacketFields = { protocol: 6, payload: pattern(33) };
const udp6: PacketFields = { protocol: 17, payload: pattern(8), ipv6: true };

describe("is it a packet", () => {
  const v4 = ipPacket(tcp);
  const v6 = ipPacket(udp6);
  const set = (bytes: Uint8Array, index: number, value: number) =>
    bytes.map((byte, i) => (i === index ? value : byte));
  test.each([
    ["IPv4", v4, 4, true],
    ["IPv6", v6, 6, true],
    ["IPv4 with options", ipPacket({ ...tcp, ipOptions: new Uint8Array(40) }), 4, true],
    ["nothing", new Uint8Array(0), 0, false],
    ["19 bytes", v4.slice(0, 19), 0, false],
    ["39 bytes of IPv6", v6.slice(0, 39), 0, false],
    ["version 5", set(v4, 0, 0x55), 0, false],
    ["a header of 16 bytes", set(v4, 0, 0x44), 4, false],
    ["a header longer than the packet", set(v4.slice(0, 40), 0, 0x4f), 4, false],
    ["one byte short", v4.slice(0, -1), 4, false],
    ["one byte more", Uint8Array.of(...v4, 0), 4, false],
    ["one byte of IPv6 more", Uint8Array.of(...v6, 0), 6, false],
    ["a jumbogram's length of 0", set(set(v6, 4, 0), 5, 0), 6, false],
  ] as const)("%s", (_, bytes, version, whole) => {
    const { block, offset, length } = at(bytes);
    expect(ipVersion(block, offset, length)).toBe(version);
    expect(ipIsWhole(block, offset, length)).toBe(whole);
  });

  test("any bytes: no exception, and a whole packet's header lies inside it", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 120 }), (bytes) => {
        const { block, offset, length } = at(bytes);
        if (!ipIsWhole(block, offset, length)) return;
        expect(ipHeaderBytes(block, offset)).toBeLessThanOrEqual(length);
        flowHash(block, offset, length);
        transportOf(block, offset);
      }),
    );
  });
});

describe("the transport", () => {
  test.each([
    ["TCP", ipPacket(tcp), 6],
    ["UDP over IPv6", ipPacket(udp6), 17],
    ["don't fragment", ipPacket({ ...tcp, fragment: 0x4000 }), 6],
    ["a first fragment", ipPacket({ ...tcp, fragment: 0x2000 }), -1],
    ["a last fragment", ipPacket({ ...tcp, fragment: 0x0001 }), -1],
  ] as const)("%s", (_, bytes, protocol) => {
    const { block, offset } = at(bytes);
    expect(transportOf(block, offset)).toBe(protocol);
  });

  test("where its checksum stands", () => {
    expect([6, 17, 1, 58, -1].map(checksumOffset)).toEqual([16, 6, -1, -1, -1]);
  });
});

describe("flows", () => {
  const hash = (fields: PacketFields) => {
    const { block, offset, length } = at(ipPacket(fields));
    return flowHash(block, offset, length);
  };

  test("what a flow's packets differ in does not matter", () => {
    for (const base of [tcp, udp6]) {
      const same = [
        { payload: pattern(9) },
        { sequence: 5 },
        { flags: 0x11 },
        { window: 1 },
        { id: 3 },
        { ttl: 1 },
      ];
      for (const more of same) expect(hash({ ...base, ...more })).toBe(hash(base));
    }
  });

  test("ports, protocol and version do", () => {
    const all = [
      tcp,
      { ...tcp, port: 5001 },
      { ...tcp, ipv6: true },
      { ...tcp, protocol: 17 as const },
      udp6,
    ];
    expect(new Set(all.map(hash)).size).toBe(all.length);
  });

  test("fragments of a datagram stay together, though only the first has ports", () => {
    const first = hash({ ...tcp, fragment: 0x2000, payload: pattern(8) });
    expect(hash({ ...tcp, fragment: 0x0005, payload: pattern(8, 9), port: 77 })).toBe(first);
  });

  test("ports spread over a table of 4,096", () => {
    const entries = new Set<number>();
    for (let port = 1; port <= 4096; port++) entries.add(hash({ ...tcp, port }) & 4095);
    // Drawn at random it would be 63 %.
    expect(entries.size).toBeGreaterThan(0.55 * 4096);
  });

  test("a packet too short for ports has a flow too", () => {
    const { block, offset } = at(ipPacket(tcp));
    block.view.setUint16(offset + 2, 22);
    expect(flowHash(block, offset, 22)).toBeGreaterThanOrEqual(0);
  });
});

describe("checksums", () => {
  test("RFC 1071 section 3's example", () => {
    const block = plainBlock(8);
    block.bytes.set([0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
    expect(sum16(block, 0, 8)).toBe(0xddf2);
  });

  test("as the reference computes them: any bytes, any length, any place", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.integer({ min: 0, max: 5 }), (bytes, offset) => {
        const { block } = at(bytes, offset);
        expect(sum16(block, offset, bytes.length)).toBe(referenceSum(bytes));
      }),
    );
  });

  test("64 KB of ones do not overflow", () => {
    const bytes = new Uint8Array(65_535).fill(0xff);
    const { block, offset } = at(bytes);
    expect(sum16(block, offset, bytes.length)).toBe(referenceSum(bytes));
    expect(fold(2 ** 32)).toBe(1);
    expect(fold(0xffff)).toBe(0xffff);
  });

  const all: { name: string; fields: PacketFields }[] = [
    { name: "TCP over IPv4", fields: tcp },
    { name: "UDP over IPv6", fields: udp6 },
    { name: "TCP over IPv6", fields: { ...tcp, ipv6: true } },
    { name: "UDP over IPv4", fields: { ...udp6, ipv6: false } },
  ];
  test.each(all)("the pseudo-header of $name", ({ fields }) => {
    const ip = ipPacket(fields);
    const { block, offset, length } = at(ip);
    const transport = length - ipHeaderBytes(block, offset);
    expect(pseudoHeaderSum(block, offset, fields.protocol, transport)).toBe(referencePseudoSum(ip));
  });

  test("the IPv4 header's", () => {
    for (const ipOptions of [new Uint8Array(0), pattern(8)]) {
      const ip = ipPacket({ ...tcp, ipOptions });
      const { block, offset } = at(ip);
      block.view.setUint16(offset + 10, 0xbeef);
      writeIpv4Checksum(block, offset);
      expect([...block.bytes.subarray(offset, offset + ip.length)]).toEqual([...ip]);
    }
  });

  test("a partial one is finished: TCP and UDP, IPv4 and IPv6, odd and even", () => {
    const fields = fc.record({
      protocol: fc.constantFrom<6 | 17>(6, 17),
      ipv6: fc.boolean(),
      payload: fc.uint8Array({ maxLength: 50 }),
    });
    fc.assert(
      fc.property(fields, (each) => {
        const { block, offset, length } = at(ipPacket({ ...each, checksum: "partial" }));
        finishChecksum(block, offset, length, each.ipv6 ? 40 : 20, each.protocol === 6 ? 16 : 6);
        const finished = block.bytes.slice(offset, offset + length);
        expect(checksumIsRight(finished)).toBe(true);
        expect(checksumIsRight(ipPacket(each))).toBe(true);
      }),
    );
  });
});

describe("flows that slow down when packets come out of order", () => {
  /** A datagram between these ports. */
  const udp = (source: number, destination: number, bytes: number, ipv6 = false): Uint8Array => {
    const packet = ipPacket({ protocol: 17, payload: pattern(bytes), ipv6 });
    new DataView(packet.buffer).setUint32(ipv6 ? 40 : 20, source * 65536 + destination);
    return packet;
  };
  const icmp = udp(443, 443, 64);
  icmp[9] = 1;
  test.each([
    ["TCP", ipPacket(tcp), true],
    ["TCP over IPv6", ipPacket({ ...tcp, ipv6: true }), true],
    ["QUIC to a server", udp(50_000, 443, 40), true],
    ["QUIC from a server, over IPv6", udp(443, 50_000, 40, true), true],
    ["a full datagram of any port", udp(5000, 5001, 1200), true],
    ["a call", udp(5000, 5001, 172), false],
    ["the largest that is no full one", udp(5000, 5001, 1199, true), false],
    ["ICMP", icmp, false],
    ["UDP whose header is cut off", udp(443, 443, 8, true).slice(0, 44), false],
  ])("%s", (_, bytes, wanted) => {
    const { block, offset, length } = at(bytes);
    expect(slowsByDisorder(block, offset, length)).toBe(wanted);
  });
});

describe("acknowledgements that say nothing else", () => {
  const ack: PacketFields = { protocol: 6, payload: new Uint8Array(0), flags: 0x10 };
  const timestamps = new Uint8Array([1, 1, 8, 10, 0, 0, 0, 7, 0, 0, 0, 9]);
  const timestampsFirst = new Uint8Array([8, 10, 0, 0, 0, 7, 0, 0, 0, 9, 1, 1]);
  const sack = new Uint8Array([1, 1, 5, 10, 0, 0, 9, 0, 0, 0, 9, 9]);
  test.each([
    ["bare", ipPacket(ack), true],
    ["over IPv6", ipPacket({ ...ack, ipv6: true }), true],
    ["with timestamps", ipPacket({ ...ack, options: timestamps }), true],
    ["with timestamps, otherwise aligned", ipPacket({ ...ack, options: timestampsFirst, ipv6: true }), true],
    ["with IPv4 options", ipPacket({ ...ack, ipOptions: new Uint8Array(8) }), true],
    ["with SACK", ipPacket({ ...ack, options: sack }), false],
    ["with both", ipPacket({ ...ack, options: Uint8Array.of(...timestamps, ...sack) }), false],
    ["with data", ipPacket({ ...ack, payload: pattern(1) }), false],
    ["with data as long as timestamps", ipPacket({ ...ack, payload: pattern(12) }), false],
    ["ends", ipPacket({ ...ack, flags: 0x11 }), false],
    ["echoes congestion", ipPacket({ ...ack, flags: 0x50 }), false],
    ["answers a SYN", ipPacket({ ...ack, flags: 0x12 }), false],
    ["a later fragment", ipPacket({ ...ack, fragment: 100 }), false],
    ["cut off", ipPacket(ack).slice(0, 39), false],
    ["UDP", ipPacket({ protocol: 17, payload: pattern(12) }), false],
  ])("%s", (_, bytes, wanted) => {
    const { block, offset, length } = at(bytes);
    expect(isPlainAck(block, offset, length)).toBe(wanted);
  });
});
