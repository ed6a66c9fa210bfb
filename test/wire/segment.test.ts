import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { plainBlock, plainCopy } from "../../src/share/block.ts";
import { FLAG_CHECKSUM_TRUSTED } from "../../src/wire/datagram.ts";
import { Segmenter } from "../../src/wire/segment.ts";
import {
  FLAG_DATA_VALID,
  FLAG_NEEDS_CSUM,
  GSO_ECN,
  GSO_TCPV4,
  GSO_TCPV6,
  GSO_UDP_L4,
} from "../../src/wire/virtio.ts";
import { checksumIsRight, ipPacket, type PacketFields, pattern, withVirtio } from "./packets.ts";

const tun = plainBlock(10 + 65_536);
const slot = plainBlock(66_000);
const segmenter = new Segmenter(tun, plainCopy);

/** Cuts what the TUN gave. Null: refused. */
function cut(read: Uint8Array): Uint8Array[] | null {
  tun.bytes.set(read);
  if (!segmenter.load(read.length)) return null;
  const packets: Uint8Array[] = [];
  const promised = segmenter.packets;
  for (;;) {
    slot.bytes.fill(0xee);
    const length = segmenter.next(slot, 6);
    if (length === 0) break;
    expect(length).toBeLessThanOrEqual(segmenter.largest);
    expect(slot.bytes[6 + length]).toBe(0xee);
    expect(slot.bytes[5]).toBe(0xee);
    packets.push(slot.bytes.slice(6, 6 + length));
  }
  expect(packets.length).toBe(promised);
  return packets;
}

/** A TSO or USO read of these fields. */
function segments(fields: PacketFields, segment: number, more = 0): Uint8Array {
  const { ipv6 = false, protocol, options } = fields;
  const start = ipv6 ? 40 : 20;
  return withVirtio(ipPacket({ ...fields, checksum: "partial" }), {
    flags: FLAG_NEEDS_CSUM,
    type: (protocol === 17 ? GSO_UDP_L4 : ipv6 ? GSO_TCPV6 : GSO_TCPV4) | more,
    headerLength: start + (protocol === 17 ? 8 : 20 + (options?.length ?? 0)),
    segment,
    start,
    offset: protocol === 17 ? 6 : 16,
  });
}

/** With the checksum that the receiving kernel will make, since nobody else does. */
function finished(ip: Uint8Array): Uint8Array {
  const copy = ip.slice();
  const header = copy[0]! >> 4 === 4 ? 20 : 40;
  const protocol = copy[0]! >> 4 === 4 ? copy[9]! : copy[6]!;
  new DataView(copy.buffer).setUint16(header + (protocol === 6 ? 16 : 6), 0);
  return copy;
}

const plain: PacketFields = { protocol: 6, payload: pattern(1000) };

describe("one packet", () => {
  test.each([
    { name: "whose checksum nobody vouches for", flags: 0, trusted: false },
    { name: "whose checksum the kernel has seen", flags: FLAG_DATA_VALID, trusted: true },
  ])("$name leaves as it came", ({ flags, trusted }) => {
    for (const ipv6 of [false, true]) {
      const ip = ipPacket({ ...plain, ipv6 });
      expect(cut(withVirtio(ip, { flags }))).toEqual([ip]);
      expect(segmenter.flags).toBe(trusted ? FLAG_CHECKSUM_TRUSTED : 0);
    }
  });

  test.each([6, 17] as const)(
    "with a partial checksum leaves as it is, to be finished over there (protocol %p)",
    (protocol) => {
      const ip = ipPacket({ protocol, payload: pattern(99), checksum: "partial" });
      const read = withVirtio(ip, { flags: FLAG_NEEDS_CSUM, start: 20, offset: protocol === 6 ? 16 : 6 });
      expect(cut(read)).toEqual([ip]);
      expect(segmenter.flags).toBe(FLAG_CHECKSUM_TRUSTED);
    },
  );

  test("with a partial checksum that no flag describes is finished here", () => {
    // As of SCTP or of something inside a tunnel: the field stands elsewhere.
    for (const length of [100, 101]) {
      const ip = ipPacket({ protocol: 17, payload: pattern(length), checksum: "none" });
      ip[9] = 47;
      const [packet] = cut(withVirtio(ip, { flags: FLAG_NEEDS_CSUM, start: 28, offset: 4 }))!;
      expect(segmenter.flags).toBe(0);
      const covered = packet!.slice(28);
      covered.set([0, 0], 4);
      let sum = ip[32]! * 256 + ip[33]!;
      for (let i = 0; i < covered.length; i += 2) sum += covered[i]! * 256 + (covered[i + 1] ?? 0);
      while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 65536);
      expect(packet![32]! * 256 + packet![33]!).toBe(~sum & 0xffff);
    }
  });

  test("UDP without a checksum keeps having none", () => {
    const ip = ipPacket({ protocol: 17, payload: pattern(50), checksum: "none" });
    expect(cut(withVirtio(ip, { flags: FLAG_DATA_VALID }))).toEqual([ip]);
    expect(segmenter.flags).toBe(0);
  });

  test("a fragment is carried as it is", () => {
    const ip = ipPacket({ protocol: 17, payload: pattern(50), fragment: 0x2000 });
    expect(cut(withVirtio(ip, { flags: FLAG_DATA_VALID }))).toEqual([ip]);
    expect(segmenter.flags).toBe(0);
  });
});

describe("segments", () => {
  test.each([
    { name: "TCP over IPv4", ipv6: false, options: new Uint8Array(0) },
    { name: "TCP over IPv6", ipv6: true, options: new Uint8Array(0) },
    { name: "TCP with timestamps", ipv6: false, options: pattern(12) },
    { name: "TCP over IPv6 with timestamps", ipv6: true, options: pattern(12) },
  ])("$name", ({ ipv6, options }) => {
    const payload = pattern(10_000);
    const fields: PacketFields = { protocol: 6, payload, ipv6, options, flags: 0x18, id: 0xfffe };
    const packets = cut(segments(fields, 1348))!;
    expect(packets.length).toBe(8);
    expect(segmenter.flags).toBe(FLAG_CHECKSUM_TRUSTED);
    for (const [i, packet] of packets.entries()) {
      const part = payload.slice(i * 1348, (i + 1) * 1348);
      const last = i === 7;
      const want = ipPacket({
        ...fields,
        payload: part,
        sequence: (0xffff_ff00 + i * 1348) % 2 ** 32,
        flags: last ? 0x18 : 0x10,
        id: (0xfffe + i) % 65_536,
      });
      expect(finished(packet)).toEqual(finished(want));
    }
  });

  test("UDP: each datagram gets its own length", () => {
    for (const ipv6 of [false, true]) {
      const payload = pattern(2_500);
      const packets = cut(segments({ protocol: 17, payload, ipv6, id: 7 }, 1000))!;
      expect(packets.map((packet) => packet.length - (ipv6 ? 48 : 28))).toEqual([1000, 1000, 500]);
      for (const [i, packet] of packets.entries()) {
        const want = ipPacket({
          protocol: 17,
          payload: payload.slice(i * 1000, (i + 1) * 1000),
          ipv6,
          id: 7 + i,
        });
        expect(finished(packet)).toEqual(finished(want));
      }
    }
  });

  test("FIN stays with the last, CWR with the first", () => {
    const packets = cut(segments({ protocol: 6, payload: pattern(3000), flags: 0x99 }, 1000, GSO_ECN))!;
    expect(packets.map((packet) => packet[33])).toEqual([0x90, 0x10, 0x19]);
  });

  test("one that says to cut, but needs not", () => {
    expect(cut(segments({ protocol: 6, payload: pattern(500) }, 1000))!.length).toBe(1);
  });
});

describe("what is no packet is refused", () => {
  const ip = ipPacket(plain);
  const short = (length: number) => withVirtio(ip.slice(0, length));
  const changed = (change: (ip: Uint8Array) => void) => {
    const copy = ip.slice();
    change(copy);
    return withVirtio(copy);
  };
  test.each([
    ["nothing", new Uint8Array(0)],
    ["half a virtio header", new Uint8Array(5)],
    ["no packet behind it", new Uint8Array(10)],
    ["half an IP header", short(19)],
    ["cut short", short(500)],
    ["longer than it says", withVirtio(Uint8Array.of(...ip, 0))],
    ["IP version 5", changed((bytes) => bytes.set([0x55]))],
    ["an IP header of 16 bytes", changed((bytes) => bytes.set([0x44]))],
    ["segments of no length", segments(plain, 0)],
    ["UDP segments of a TCP packet", withVirtio(ip, { type: GSO_UDP_L4, segment: 100 })],
    [
      "TCP segments of a UDP packet",
      withVirtio(ipPacket({ ...plain, protocol: 17 }), { type: GSO_TCPV4, segment: 100 }),
    ],
    ["an unknown kind of segments", withVirtio(ip, { type: 3, segment: 100 })],
    ["segments of a packet without payload", segments({ protocol: 6, payload: new Uint8Array(0) }, 100)],
    [
      "a TCP header longer than the packet",
      segments({ ...plain, payload: pattern(4), options: new Uint8Array(0) }, 2).map((byte, i) =>
        i === 10 + 32 ? 0xf0 : byte,
      ),
    ],
    ["a TCP header of 16 bytes", segments(plain, 100).map((byte, i) => (i === 10 + 32 ? 0x40 : byte))],
  ])("%s", (_, read) => expect(cut(read)).toBeNull());
});

test("any bytes: no exception, nothing written beyond what it promised", () => {
  const header = fc.record({
    flags: fc.constantFrom(0, 1, 2, 3, 255),
    type: fc.constantFrom(0, 1, 3, 4, 5, 0x81, 0x84, 255),
    segment: fc.constantFrom(0, 1, 7, 100, 1400, 0xffff),
    start: fc.constantFrom(0, 6, 20, 24, 40, 200, 0xffff),
    offset: fc.constantFrom(0, 1, 6, 16, 0xffff),
  });
  const real = fc.record({
    protocol: fc.constantFrom<6 | 17>(6, 17),
    ipv6: fc.boolean(),
    payload: fc.uint8Array({ maxLength: 300 }),
    flips: fc.array(fc.tuple(fc.integer({ min: 0, max: 70 }), fc.integer({ min: 0, max: 255 })), {
      maxLength: 3,
    }),
  });
  fc.assert(
    fc.property(header, fc.oneof(fc.uint8Array({ maxLength: 200 }), real), (virtio, content) => {
      let ip = content instanceof Uint8Array ? content : ipPacket(content);
      if (!(content instanceof Uint8Array)) {
        ip = ip.slice();
        for (const [at, value] of content.flips) if (at < ip.length) ip[at] = value;
      }
      const packets = cut(withVirtio(ip, virtio));
      if (packets === null) return;
      const bytes = packets.reduce((sum, packet) => sum + packet.length, 0);
      expect(bytes).toBeGreaterThanOrEqual(ip.length);
    }),
    { numRuns: 2000 },
  );
});

test("the reference agrees with itself", () => {
  expect(checksumIsRight(ipPacket(plain))).toBe(true);
  expect(checksumIsRight(ipPacket({ ...plain, checksum: "none" }))).toBe(false);
});
