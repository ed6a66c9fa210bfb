import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Deliverer } from "../../src/proto/deliverer.ts";
import { type Block, plainBlock, plainCopy } from "../../src/share/block.ts";
import { DropCounters } from "../../src/share/counters.ts";
import type { Gather, TunDevice } from "../../src/share/io.ts";
import { FLAG_CHECKSUM_TRUSTED } from "../../src/wire/datagram.ts";
import { Segmenter } from "../../src/wire/segment.ts";
import { FLAG_NEEDS_CSUM, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, VIRTIO_BYTES } from "../../src/wire/virtio.ts";
import {
  checksumIsRight,
  ipPacket,
  type PacketFields,
  pattern,
  referencePseudoSum,
  referenceSum,
  withVirtio,
} from "../wire/packets.ts";

interface Write {
  readonly type: number;
  readonly segment: number;
  /** The packet as it is after the kernel has made the checksum. */
  readonly ip: Uint8Array;
}

interface Rig {
  readonly deliverer: Deliverer;
  readonly drops: DropCounters;
  readonly writes: Write[];
  deliver(ip: Uint8Array, trusted?: boolean): void;
  takes: boolean;
}

function rig(offloads = true, udpOffloads = offloads): Rig {
  const writes: Write[] = [];
  const drops = new DropCounters();
  const tun: TunDevice = {
    buffer: plainBlock(0),
    offloads,
    udpOffloads,
    read: () => 0,
    write: (packet) => {
      if (!rigged.takes) return false;
      writes.push(kernel(gathered(packet)));
      return true;
    },
  };
  const deliverer = new Deliverer(tun, plainBlock(VIRTIO_BYTES), drops);
  const deliver = (ip: Uint8Array, trusted = true): void => {
    // Each packet stands somewhere else, and stays until the flush.
    const block: Block = plainBlock(ip.length + 20);
    block.bytes.set(ip, 7);
    deliverer.deliver(block, 7, ip.length, trusted ? FLAG_CHECKSUM_TRUSTED : 0);
  };
  const rigged: Rig = { deliverer, drops, writes, deliver, takes: true };
  return rigged;
}

function gathered(packet: Gather): Uint8Array {
  const parts: number[] = [];
  for (let i = 0; i < packet.count; i++) {
    const from = packet.offsets[i]!;
    for (let at = from; at < from + packet.lengths[i]!; at++) parts.push(packet.blocks[i]!.bytes[at]!);
  }
  expect(parts.length).toBe(packet.bytes);
  return Uint8Array.from(parts);
}

/** What the kernel does with a write: takes the header off, and finishes a partial checksum. */
function kernel(bytes: Uint8Array): Write {
  const v = new DataView(bytes.buffer);
  const ip = bytes.slice(10);
  const ipBytes = ip[0]! >> 4 === 4 ? (ip[0]! & 15) * 4 : 40;
  if ((bytes[0]! & FLAG_NEEDS_CSUM) !== 0) {
    const start = v.getUint16(6, true);
    const field = start + v.getUint16(8, true);
    expect(start).toBe(ipBytes);
    expect((ip[field]! * 256 + ip[field + 1]!) % 0xffff).toBe(referencePseudoSum(ip) % 0xffff);
    const sum = ~referenceSum(ip.subarray(start)) & 0xffff;
    new DataView(ip.buffer).setUint16(field, sum === 0 ? 0xffff : sum);
  } else {
    expect(bytes.slice(1, 10)).toEqual(new Uint8Array(9));
  }
  if (ip[0]! >> 4 === 4) expect(referenceSum(ip.subarray(0, ipBytes))).toBe(0xffff);
  if (bytes[1] === GSO_UDP_L4) {
    expect(ip[ip[0]! >> 4 === 4 ? 9 : 6]).toBe(17);
    expect(v.getUint16(2, true)).toBe(ipBytes + 8);
  } else if (bytes[1] !== 0) {
    expect(bytes[1]).toBe(ip[0]! >> 4 === 4 ? GSO_TCPV4 : GSO_TCPV6);
    expect(v.getUint16(2, true)).toBe(ipBytes + (ip[ipBytes + 12]! >> 4) * 4);
  }
  return { type: bytes[1]!, segment: v.getUint16(4, true), ip };
}

const SIZE = 1000;
const first = 0xffff_ff00;

/** The n-th segment of a flow. */
function tcp(n: number, more: Partial<PacketFields> = {}): Uint8Array {
  return ipPacket({
    protocol: 6,
    payload: pattern(SIZE, n),
    sequence: (first + n * SIZE) % 2 ** 32,
    id: 100 + n,
    ...more,
  });
}

function payloadOf(ip: Uint8Array): Uint8Array {
  const header = ip[0]! >> 4 === 4 ? 20 : 40;
  return ip.slice(header + (ip[header + 12]! >> 4) * 4);
}

function write(packets: readonly Uint8Array[], offloads = true): Write[] {
  const { deliverer, deliver, writes } = rig(offloads);
  for (const packet of packets) deliver(packet);
  deliverer.flush();
  return writes;
}

describe("merging", () => {
  test.each([
    { name: "IPv4", more: {} },
    { name: "IPv6", more: { ipv6: true } },
    { name: "with timestamps", more: { options: pattern(12) } },
  ])("consecutive segments become one write ($name)", ({ more }) => {
    const writes = write([0, 1, 2, 3].map((n) => tcp(n, more)));
    expect(writes.length).toBe(1);
    expect(writes[0]!.segment).toBe(SIZE);
    const whole = [0, 1, 2, 3].flatMap((n) => [...pattern(SIZE, n)]);
    expect(writes[0]!.ip).toEqual(
      ipPacket({ protocol: 6, payload: Uint8Array.from(whole), sequence: first, id: 100, ...more }),
    );
  });

  test("a shorter segment, FIN or PSH end the run and are kept", () => {
    const short = tcp(2, { payload: pattern(10) });
    expect(write([tcp(0), tcp(1), short, tcp(3)]).map(({ ip }) => ip.length)).toEqual([2050, 1040]);
    const pushed = write([tcp(0), tcp(1, { flags: 0x18 }), tcp(2), tcp(3, { flags: 0x11 })]);
    expect(pushed.map(({ ip }) => [ip.length, ip[33]])).toEqual([
      [2040, 0x18],
      [2040, 0x11],
    ]);
  });

  test.each([
    { name: "a gap", next: tcp(2) },
    { name: "the same segment again", next: tcp(0) },
    { name: "a longer one", next: tcp(1, { payload: pattern(SIZE + 1) }) },
    { name: "another port", next: tcp(1, { port: 5001 }) },
    { name: "another acknowledgement", next: tcp(1, { acknowledged: 78 }) },
    { name: "another window", next: tcp(1, { window: 0x2001 }) },
    { name: "other options", next: tcp(1, { options: pattern(12) }) },
    { name: "another type of service", next: tcp(1, { tos: 1 }) },
    { name: "another time to live", next: tcp(1, { ttl: 63 }) },
    { name: "another fragment bit", next: tcp(1, { fragment: 0 }) },
    { name: "IPv6", next: tcp(1, { ipv6: true }) },
    { name: "SYN", next: tcp(1, { flags: 0x12 }) },
    { name: "RST", next: tcp(1, { flags: 0x14 }) },
    { name: "URG", next: tcp(1, { flags: 0x30 }) },
    { name: "ECN echo", next: tcp(1, { flags: 0x50 }) },
    { name: "CWR", next: tcp(1, { flags: 0x90 }) },
    { name: "no payload", next: tcp(1, { payload: new Uint8Array(0) }) },
    { name: "UDP", next: ipPacket({ protocol: 17, payload: pattern(SIZE) }) },
    { name: "a fragment", next: tcp(1, { fragment: 0x2000 }) },
    { name: "IP options", next: tcp(1, { ipOptions: Uint8Array.of(1, 1, 1, 0) }) },
  ])("not with $name", ({ next }) => {
    expect(write([tcp(0), next]).map(({ ip }) => ip)).toEqual([tcp(0), next]);
  });

  test("not when the sender's kernel vouched for neither", () => {
    const { deliverer, deliver, writes } = rig();
    const wrong = tcp(1, { checksum: "none" });
    deliver(tcp(0), false);
    deliver(wrong, false);
    deliverer.flush();
    expect(writes.map(({ ip }) => ip)).toEqual([tcp(0), wrong]);
  });

  test("at most 64 segments and 65,535 bytes, then another run", () => {
    expect(write(Array.from({ length: 130 }, (_, n) => tcp(n, {}))).map(({ ip }) => ip.length)).toEqual([
      64_040, 64_040, 2040,
    ]);
    const large = Array.from({ length: 60 }, (_, n) =>
      ipPacket({ protocol: 6, payload: pattern(1400, n), sequence: (first + n * 1400) % 2 ** 32 }),
    );
    expect(write(large).map(({ ip }) => ip.length)).toEqual([46 * 1400 + 40, 14 * 1400 + 40]);
  });
});

describe("a packet by itself", () => {
  test.each([
    { name: "TCP with a partial checksum", fields: { protocol: 6, payload: pattern(501) } },
    { name: "UDP with a partial checksum", fields: { protocol: 17, payload: pattern(500) } },
    { name: "UDP over IPv6, odd length", fields: { protocol: 17, ipv6: true, payload: pattern(77) } },
  ] as const)("$name is finished, by the kernel or here", ({ fields }) => {
    for (const offloads of [true, false]) {
      const [one] = write([ipPacket({ ...fields, checksum: "partial" })], offloads);
      expect(one!.ip).toEqual(ipPacket(fields));
      expect(checksumIsRight(one!.ip)).toBe(true);
    }
  });

  test("a computed UDP checksum of 0 is sent as all ones (RFC 768)", () => {
    // Two bytes that make the sum come out as 0.
    const payload = new Uint8Array(10);
    const probe = ipPacket({ protocol: 17, payload, checksum: "complete" });
    payload.set(probe.subarray(26, 28), 8);
    const [one] = write([ipPacket({ protocol: 17, payload, checksum: "partial" })], false);
    expect([...one!.ip.subarray(26, 28)]).toEqual([0xff, 0xff]);
    expect(checksumIsRight(one!.ip)).toBe(true);
  });

  test("nothing is merged or made anew where the TUN has no offloads, but for the checksum", () => {
    const packets = [0, 1, 2].map((n) => tcp(n));
    expect(write(packets, false).map(({ ip }) => ip)).toEqual(packets);
  });

  test("of another protocol, it is written as it came", () => {
    const ip = ipPacket({ protocol: 17, payload: pattern(20) });
    ip[9] = 1;
    const { deliverer, deliver, writes } = rig();
    new DataView(ip.buffer).setUint16(10, 0);
    new DataView(ip.buffer).setUint16(10, ~referenceSum(ip.subarray(0, 20)) & 0xffff);
    deliver(ip);
    deliverer.flush();
    expect(writes[0]!.ip).toEqual(ip);
  });
});

/** A UDP packet whose payload says which it is. */
function udp(n: number, more: Partial<PacketFields> = {}): Uint8Array {
  return ipPacket({ protocol: 17, payload: pattern(100, n), id: 100 + n, ...more });
}

describe("merging UDP", () => {
  test.each([
    { name: "IPv4", more: {} },
    { name: "IPv4 that may be fragmented", more: { fragment: 0 } },
    { name: "IPv6", more: { ipv6: true } },
  ])("packets of one flow and size become one write ($name)", ({ more }) => {
    const writes = write([0, 1, 2].map((n) => udp(n, more)));
    expect(writes.map(({ type, segment }) => [type, segment])).toEqual([[GSO_UDP_L4, 100]]);
    const whole = [0, 1, 2].flatMap((n) => [...pattern(100, n)]);
    expect(writes[0]!.ip).toEqual(
      ipPacket({ protocol: 17, payload: Uint8Array.from(whole), id: 100, ...more }),
    );
  });

  test("a shorter packet ends the run and is kept, a longer one begins another", () => {
    const lengths = [100, 100, 40, 100, 120].map((length, n) => udp(n, { payload: pattern(length) }));
    expect(write(lengths).map(({ ip }) => ip.length - 28)).toEqual([240, 100, 120]);
  });

  test("one by itself is written as it came", () => {
    const [one] = write([udp(0)]);
    expect([one!.type, one!.ip]).toEqual([0, udp(0)]);
  });

  test("64 packets at most", () => {
    const many = Array.from({ length: 70 }, (_, n) => udp(n, { payload: pattern(10, n) }));
    expect(write(many).map(({ ip }) => (ip.length - 28) / 10)).toEqual([64, 6]);
  });

  const different: [what: string, second: Partial<PacketFields>][] = [
    ["port", { port: 5001 }],
    ["type of service", { tos: 4 }],
    ["time to live", { ttl: 63 }],
    ["fragmentation", { fragment: 0 }],
    ["payload: none", { payload: new Uint8Array(0) }],
    ["IP options", { ipOptions: new Uint8Array(4) }],
  ];
  test.each(different)("not with another %s", (_, second) => {
    const packets = [udp(0), udp(1, second)];
    expect(write(packets).map(({ ip }) => ip)).toEqual(packets);
  });

  test("not where the identification would change and matters", () => {
    const packets = [udp(0, { fragment: 0 }), udp(2, { fragment: 0 })];
    expect(write(packets).map(({ ip }) => ip)).toEqual(packets);
  });

  test("not when the UDP length is not the packet's", () => {
    const odd = udp(1);
    odd[25]! -= 1;
    expect(write([udp(0), odd, udp(2)]).length).toBe(3);
  });

  test("not with TCP of the same ports", () => {
    const sizes = write([tcp(0), udp(0), udp(1), tcp(1)]).map(({ ip }) => ip.length);
    expect(sizes).toEqual([1040, 228, 1040]);
  });

  test("not where nobody vouched for the checksum, nor where the kernel has no USO", () => {
    for (const [trusted, udpOffloads] of [
      [false, true],
      [true, false],
    ] as const) {
      const { deliverer, deliver, writes } = rig(true, udpOffloads);
      for (const n of [0, 1]) deliver(udp(n), trusted);
      deliverer.flush();
      expect(writes.map(({ ip }) => ip)).toEqual([udp(0), udp(1)]);
    }
  });
});

describe("order and counting", () => {
  test("a run leaves before what follows it", () => {
    const udp = ipPacket({ protocol: 17, payload: pattern(30) });
    expect(write([tcp(0), tcp(1), udp, tcp(2)]).map(({ ip }) => ip.length)).toEqual([2040, 58, 1040]);
  });

  test("packets, bytes and writes are counted; what the kernel refuses is dropped by packets", () => {
    const it = rig();
    for (const n of [0, 1, 2]) it.deliver(tcp(n));
    it.deliverer.flush();
    const { packets, bytes, writes } = it.deliverer;
    expect({ packets, bytes, writes }).toEqual({ packets: 3, bytes: 3040, writes: 1 });
    it.takes = false;
    for (const n of [3, 4]) it.deliver(tcp(n));
    it.deliverer.flush();
    expect(it.drops.of("tunRefused")).toBe(2);
    expect(it.deliverer.packets).toBe(3);
    it.deliverer.flush();
    expect(it.deliverer.writes).toBe(2);
  });
});

describe("cut and merged again", () => {
  test.each([false, true])("a TSO segment comes out as it went in, IPv6: %p", (ipv6) => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 60_000 }),
        fc.integer({ min: 400, max: 1400 }),
        fc.constantFrom(0, 12),
        fc.constantFrom(0x10, 0x18, 0x11),
        (length, segment, options, flags) => {
          fc.pre(length / segment <= 64);
          const fields: PacketFields = {
            protocol: 6,
            ipv6,
            payload: pattern(length),
            options: pattern(options),
            flags,
          };
          const tun = plainBlock(70_000);
          const start = ipv6 ? 40 : 20;
          const read = withVirtio(ipPacket({ ...fields, checksum: "partial" }), {
            flags: FLAG_NEEDS_CSUM,
            type: ipv6 ? GSO_TCPV6 : GSO_TCPV4,
            segment,
            headerLength: start + 20 + options,
            start,
            offset: 16,
          });
          tun.bytes.set(read);
          const segmenter = new Segmenter(tun, plainCopy);
          expect(segmenter.load(read.length)).toBe(true);
          const { deliverer, deliver, writes } = rig();
          const slot = plainBlock(2048);
          for (let n = segmenter.next(slot, 6); n > 0; n = segmenter.next(slot, 6)) {
            deliver(slot.bytes.slice(6, 6 + n), segmenter.flags !== 0);
          }
          deliverer.flush();
          // Cut short last segment aside, it is one write again; FIN closes a run but does not begin one.
          const bytes = writes.flatMap(({ ip }) => [...payloadOf(ip)]);
          expect(bytes).toEqual([...pattern(length)]);
          for (const { ip } of writes) expect(checksumIsRight(ip)).toBe(true);
          if (length <= segment || flags !== 0x11) expect(writes[0]!.ip).toEqual(ipPacket(fields));
        },
      ),
      { numRuns: 60 },
    );
  });
});

test("any whole IP packet: no exception, and every byte of payload comes out", () => {
  const packet = fc.record({
    protocol: fc.constantFrom<6 | 17>(6, 17),
    ipv6: fc.boolean(),
    payload: fc.uint8Array({ maxLength: 60 }),
    flags: fc.integer({ min: 0, max: 255 }),
    sequence: fc.integer({ min: 0, max: 200 }),
    wild: fc.array(fc.tuple(fc.integer({ min: 20, max: 60 }), fc.integer({ min: 0, max: 255 })), {
      maxLength: 3,
    }),
    trusted: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(packet, { maxLength: 20 }), fc.boolean(), (list, offloads) => {
      let bytes = 0;
      let written = 0;
      const drops = new DropCounters();
      const tun: TunDevice = {
        buffer: plainBlock(0),
        offloads,
        udpOffloads: offloads,
        read: () => 0,
        write: (gather) => {
          written += gather.bytes - VIRTIO_BYTES;
          return true;
        },
      };
      const deliverer = new Deliverer(tun, plainBlock(VIRTIO_BYTES), drops);
      for (const { wild, trusted, ...fields } of list) {
        const ip = ipPacket(fields);
        // Anything behind the fixed header of IPv4.
        for (const [at, value] of wild) if (at < ip.length && !fields.ipv6) ip[at] = value;
        const block = plainBlock(ip.length);
        block.bytes.set(ip);
        bytes += ip.length;
        deliverer.deliver(block, 0, ip.length, trusted ? FLAG_CHECKSUM_TRUSTED : 0);
      }
      deliverer.flush();
      expect(deliverer.packets).toBe(list.length);
      // A merged packet leaves its header out.
      expect(written).toBeLessThanOrEqual(bytes);
      expect(deliverer.bytes).toBe(written);
    }),
    { numRuns: 500 },
  );
});
