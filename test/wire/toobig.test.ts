/** "Packet too big": what is told, to whom, and of what nobody is told. */
import { describe, expect, test } from "bun:test";
import { plainBlock } from "../../src/share/block.ts";
import { mayFragment, TOO_BIG_BYTES, writeTooBig } from "../../src/wire/toobig.ts";

const AT = 10;
const packet = plainBlock(70_000);
const out = plainBlock(AT + TOO_BIG_BYTES);
const copy = (
  to: typeof packet,
  toOffset: number,
  from: typeof packet,
  fromOffset: number,
  length: number,
): void => to.bytes.set(from.bytes.subarray(fromOffset, fromOffset + length), toOffset);

/** RFC 1071, one byte at a time. */
function sum(bytes: Uint8Array, start = 0): number {
  let total = start;
  for (const [i, byte] of bytes.entries()) total += i % 2 === 0 ? byte * 256 : byte;
  while (total > 0xffff) total = (total % 0x10000) + Math.floor(total / 0x10000);
  return total;
}

/** A packet of 10.0.0.1 to 10.0.0.2, or fd00::1 to fd00::2, at offset 3. */
function make(
  version: 4 | 6,
  length: number,
  protocol: number,
  change: (bytes: Uint8Array) => void = () => {},
) {
  const bytes = packet.bytes.subarray(3, 3 + length).fill(7);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  if (version === 4) {
    bytes.set([0x45, 0, 0, 0, 0, 9, 0x40, 0, 63, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    view.setUint16(2, length & 0xffff);
  } else {
    bytes.fill(0, 0, 40);
    bytes[0] = 0x60;
    view.setUint16(4, (length - 40) & 0xffff);
    bytes.set([protocol, 63, 0xfd], 6);
    bytes[23] = 1;
    bytes[24] = 0xfd;
    bytes[39] = 2;
  }
  change(bytes);
}

function told(length: number, largest: number, mtu: number): Uint8Array {
  const bytes = writeTooBig(out, AT, packet, 3, length, largest, mtu, copy);
  return out.bytes.slice(AT, AT + bytes);
}

describe("what is told", () => {
  test("of IPv4: fragmentation needed, from the destination, with the MTU and the packet's beginning", () => {
    make(4, 1420, 6);
    const message = told(1420, 1420, 1340);
    const view = new DataView(message.buffer);
    expect(message.length).toBe(576);
    expect(view.getUint16(2)).toBe(576);
    expect(sum(message.subarray(0, 20))).toBe(0xffff);
    expect(sum(message.subarray(20))).toBe(0xffff);
    expect([...message.subarray(12, 20)]).toEqual([10, 0, 0, 2, 10, 0, 0, 1]);
    expect([...message.subarray(20, 22)]).toEqual([3, 4]);
    expect(view.getUint32(24)).toBe(1340);
    expect(view.getUint16(28 + 2)).toBe(1420);
    expect(sum(message.subarray(28, 48))).toBe(0xffff);
    expect(message[9]).toBe(1);
  });

  test("of IPv6: packet too big, no larger than 1280 bytes", () => {
    make(6, 1420, 17);
    const message = told(1420, 1420, 1300);
    const view = new DataView(message.buffer);
    expect(message.length).toBe(1280);
    expect(view.getUint16(4)).toBe(1240);
    expect(message[6]).toBe(58);
    expect([message[23], message[39]]).toEqual([2, 1]);
    expect([...message.subarray(40, 42)]).toEqual([2, 0]);
    expect(view.getUint32(44)).toBe(1300);
    expect(sum(message.subarray(40), sum(message.subarray(8, 40), 58 + 1240))).toBe(0xffff);
    expect(view.getUint16(48 + 4)).toBe(1380);
  });

  test("of a train: as if one of its packets had come", () => {
    for (const version of [4, 6] as const) {
      make(version, 64_000, 6);
      const message = told(64_000, 1420, 1340);
      const view = new DataView(message.buffer);
      expect(version === 4 ? view.getUint16(30) : view.getUint16(52) + 40).toBe(1420);
    }
  });

  test("of a small packet: all of it", () => {
    make(4, 100, 17);
    expect(told(100, 100, 90).length).toBe(128);
  });
});

describe("nobody is told", () => {
  const untold: [string, 4 | 6, number, ((bytes: Uint8Array) => void)?][] = [
    ["of an ICMP error", 4, 1, (bytes) => bytes.fill(3, 20, 21)],
    ["of an ICMPv6 error", 6, 58, (bytes) => bytes.fill(1, 40, 41)],
    ["of a later fragment", 4, 17, (bytes) => bytes.set([0x20, 5], 6)],
    ["of a packet to many", 4, 17, (bytes) => bytes.fill(239, 16, 17)],
  ];
  test.each(untold)("%s", (_, version, protocol, change) => {
    make(version, 1420, protocol, change);
    expect(told(1420, 1420, 1300).length).toBe(0);
  });

  test("of too little", () => {
    make(4, 24, 17);
    expect(told(24, 24, 20).length).toBe(0);
  });

  test("but of pings somebody is", () => {
    make(4, 1420, 1, (bytes) => bytes.fill(8, 20, 21));
    expect(told(1420, 1420, 1300).length).toBe(576);
    make(6, 1420, 58, (bytes) => bytes.fill(128, 40, 41));
    expect(told(1420, 1420, 1300).length).toBe(1280);
  });
});

test("IPv4 without Don't Fragment may be fragmented, all else may not", () => {
  make(4, 1420, 17);
  expect(mayFragment(packet, 3)).toBe(false);
  make(4, 1420, 17, (bytes) => bytes.fill(0, 6, 7));
  expect(mayFragment(packet, 3)).toBe(true);
  make(6, 1420, 17);
  expect(mayFragment(packet, 3)).toBe(false);
});
