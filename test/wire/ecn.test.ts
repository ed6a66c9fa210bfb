import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { plainBlock } from "../../src/share/block.ts";
import { markCongestion } from "../../src/wire/ecn.ts";
import { checksumIsRight, ipPacket, pattern, referenceSum } from "./packets.ts";

/** Marks a packet that stands somewhere in a block. */
function mark(packet: Uint8Array, offset = 0): { marked: boolean; after: Uint8Array; around: boolean } {
  const block = plainBlock(offset + packet.length + 4);
  block.bytes.fill(0xee);
  block.bytes.set(packet, offset);
  const marked = markCongestion(block, offset);
  const rest = [...block.bytes.subarray(0, offset), ...block.bytes.subarray(offset + packet.length)];
  return {
    marked,
    after: block.bytes.slice(offset, offset + packet.length),
    around: rest.every((byte) => byte === 0xee),
  };
}

function trafficClass(packet: Uint8Array): number {
  return packet[0]! >> 4 === 4 ? packet[1]! : ((packet[0]! & 15) << 4) | (packet[1]! >> 4);
}

describe.each([false, true])("IPv6: %p", (ipv6) => {
  // RFC 3168 section 5, figure 1: not ECT, ECT(1), ECT(0), CE.
  test.each([
    [0b00, false, 0b00],
    [0b01, true, 0b11],
    [0b10, true, 0b11],
    [0b11, true, 0b11],
  ])("codepoint %p: marked %p, then %p", (before, takesPart, after) => {
    const packet = ipPacket({ ipv6, protocol: 6, payload: pattern(50), tos: 0xb8 | before });
    const result = mark(packet);
    expect(result.marked).toBe(takesPart);
    expect(trafficClass(result.after)).toBe(0xb8 | after);
  });

  test("changes these two bits and, in IPv4, the header checksum, which is what a full computation gives", () => {
    const fields = fc.record({
      tos: fc.integer({ min: 0, max: 255 }),
      id: fc.integer({ min: 0, max: 0xffff }),
      ttl: fc.integer({ min: 0, max: 255 }),
      bytes: fc.integer({ min: 0, max: 40 }),
      optionWords: fc.integer({ min: 0, max: 10 }),
      offset: fc.integer({ min: 0, max: 9 }),
    });
    fc.assert(
      fc.property(fields, ({ bytes, optionWords, offset, ...rest }) => {
        const ipOptions = pattern(optionWords * 4, rest.id);
        const packet = ipPacket({ ipv6, protocol: 17, payload: pattern(bytes), ipOptions, ...rest });
        const { marked, after, around } = mark(packet, offset);
        expect(marked).toBe((rest.tos & 3) !== 0);
        expect(around).toBe(true);
        const want = packet.slice();
        if (marked) {
          want[1]! |= ipv6 ? 0x30 : 3;
          const view = new DataView(want.buffer);
          const header = want.subarray(0, (want[0]! & 15) * 4);
          if (!ipv6) {
            view.setUint16(10, 0);
            view.setUint16(10, ~referenceSum(header) & 0xffff);
          }
        }
        expect(after).toEqual(want);
        expect(checksumIsRight(after)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });
});

test("every IPv4 checksum there is", () => {
  for (const tos of [1, 2]) {
    const packet = ipPacket({ protocol: 6, payload: new Uint8Array(0), tos });
    const view = new DataView(packet.buffer);
    for (let id = 0; id <= 0xffff; id++) {
      view.setUint16(4, id);
      view.setUint16(10, 0);
      view.setUint16(10, ~referenceSum(packet.subarray(0, 20)) & 0xffff);
      const after = mark(packet).after.subarray(0, 20);
      if (referenceSum(after) !== 0xffff) throw new Error(`tos ${tos}, id ${id}`);
    }
  }
});

test("an IPv4 checksum that was wrong stays wrong", () => {
  const packet = ipPacket({ protocol: 6, payload: pattern(8), tos: 2 });
  packet[10]! ^= 0x40;
  expect(referenceSum(mark(packet).after.subarray(0, 20))).not.toBe(0xffff);
});
