/** Memory that goes back to the system, on whatever size of page this machine has. */
import { expect, test } from "bun:test";
import { libc } from "../../src/sys/libc.ts";
import { nativeBlock, releaseBlock } from "../../src/sys/memory.ts";

test("whole pages go back and read zero, what is beside them stays", () => {
  // So long that its end is in the middle of a page, of 4 KB, 16 KB or 64 KB.
  const block = nativeBlock(1_048_576 + 5000);
  block.bytes.fill(1);
  releaseBlock(block);
  const page = libc.getpagesize();
  const before = (page - (block.address % page)) % page;
  const whole = Math.floor((block.bytes.length - before) / page) * page;
  const parts = [block.bytes.subarray(0, before), block.bytes.subarray(before + whole)];
  for (const part of parts) expect(part.every((byte) => byte === 1)).toBe(true);
  expect(whole).toBeGreaterThan(900_000);
  expect(block.bytes.subarray(before, before + whole).every((byte) => byte === 0)).toBe(true);
});
