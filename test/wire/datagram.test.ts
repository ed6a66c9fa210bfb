import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { plainBlock } from "../../src/share/block.ts";
import {
  DATA_OVERHEAD_BYTES,
  expandPacketNumber,
  FLAG_CHECKSUM_TRUSTED,
  MIN_DATAGRAM_BYTES,
  TYPE_MASK,
  Type,
  writeHeader,
} from "../../src/wire/datagram.ts";

const SPAN = 2 ** 32;

test("the header, byte by byte", () => {
  const block = plainBlock(16);
  block.bytes.fill(0xee);
  writeHeader(block, 3, Type.data | FLAG_CHECKSUM_TRUSTED, 7, 5 * SPAN + 0x01020304, 0xa0b0c0d0);
  expect([...block.bytes]).toEqual([
    ...[0xee, 0xee, 0xee],
    ...[0x14, 7, 1, 2, 3, 4, 0xa0, 0xb0, 0xc0, 0xd0],
    ...[0xee, 0xee, 0xee],
  ]);
});

test("32 bytes around an inner packet, as WireGuard has; 26 around nothing", () => {
  expect(DATA_OVERHEAD_BYTES).toBe(32);
  expect(MIN_DATAGRAM_BYTES).toBe(26);
});

test("types are told apart by four bits, and flags use none of them", () => {
  const types = Object.values(Type);
  expect(new Set(types).size).toBe(types.length);
  for (const type of types) expect(type & TYPE_MASK).toBe(type);
  expect(FLAG_CHECKSUM_TRUSTED & TYPE_MASK).toBe(0);
});

describe("packet numbers of which 32 bits travel (RFC 9000, appendix A.3)", () => {
  test.each([
    { expected: 0, truncated: 0, full: 0 },
    { expected: 10, truncated: 7, full: 7 },
    { expected: 10, truncated: 0xffff_ffff, full: 0xffff_ffff },
    { expected: SPAN - 5, truncated: 3, full: SPAN + 3 },
    { expected: SPAN + 3, truncated: 0xffff_fffe, full: SPAN - 2 },
    { expected: 5 * SPAN, truncated: 0x7fff_ffff, full: 5 * SPAN + 0x7fff_ffff },
    { expected: 5 * SPAN, truncated: 0x8000_0001, full: 4 * SPAN + 0x8000_0001 },
    { expected: 5 * SPAN + 0x8000_0000, truncated: 0, full: 6 * SPAN },
  ])("$truncated where $expected is expected: $full", ({ expected, truncated, full }) => {
    expect(expandPacketNumber(truncated, expected)).toBe(full);
  });

  test("any number within 2^31 of the expected one is found", () => {
    const number = fc.integer({ min: 0, max: 2 ** 50 });
    fc.assert(
      fc.property(number, fc.integer({ min: -(2 ** 31) + 1, max: 2 ** 31 - 1 }), (expected, away) => {
        const full = expected + away;
        fc.pre(full >= 0);
        expect(expandPacketNumber(full % SPAN, expected)).toBe(full);
      }),
    );
  });

  test("whatever comes, the result is no less than 0 and has those low bits", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: SPAN - 1 }),
        fc.integer({ min: 0, max: 2 ** 50 }),
        (low, expected) => {
          const full = expandPacketNumber(low, expected);
          expect(full).toBeGreaterThanOrEqual(0);
          expect(full % SPAN).toBe(low);
          expect(Math.abs(full - expected)).toBeLessThanOrEqual(expected < SPAN ? SPAN : SPAN / 2);
        },
      ),
    );
  });
});
