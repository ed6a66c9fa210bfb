import { expect, test } from "bun:test";
import fc from "fast-check";
import { plainBlock } from "../../src/share/block.ts";
import { ackBytes, ackIsWhole } from "../../src/wire/ack.ts";

const block = plainBlock(4096);

function isWhole(ranges: number, nacks: number, length: number): boolean {
  block.bytes[3 + 6] = ranges;
  block.bytes[3 + 7] = nacks;
  return ackIsWhole(block, 3, length);
}

test.each([
  { ranges: 0, nacks: 0, length: 10, whole: true },
  { ranges: 0, nacks: 0, length: 9, whole: false },
  { ranges: 0, nacks: 0, length: 11, whole: false },
  { ranges: 0, nacks: 0, length: 0, whole: false },
  { ranges: 2, nacks: 1, length: 22, whole: true },
  { ranges: 1, nacks: 2, length: 22, whole: true },
  { ranges: 2, nacks: 1, length: 18, whole: false },
  { ranges: 255, nacks: 255, length: 10 + 4 * 510, whole: true },
])("$ranges ranges and $nacks NACKs in $length bytes: $whole", ({ ranges, nacks, length, whole }) => {
  expect(isWhole(ranges, nacks, length)).toBe(whole);
});

test("one length fits any counts", () => {
  const count = fc.integer({ min: 0, max: 255 });
  fc.assert(
    fc.property(count, count, fc.integer({ min: 0, max: 3000 }), (ranges, nacks, length) => {
      expect(isWhole(ranges, nacks, length)).toBe(length === ackBytes(ranges, nacks));
    }),
  );
});
