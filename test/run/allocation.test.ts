/**
 * A million inner packets pass through two real engines without a garbage collection, though the runtime is told to collect
 * whenever 4 MB have been allocated: it was less than four bytes per packet, and the smallest object takes sixteen.
 */
import { expect, test } from "bun:test";
import { join } from "node:path";

const BYTES = 4_000_000;
/** Milliseconds for what takes three seconds, on a busy machine. */
const PATIENCE = 60_000;
/** The runtime's own words for a collection that allocation has made necessary. */
const COLLECTION = /^Requesting GC because bytes allocated/gm;

/** Collections during the million packets. */
async function collections(...words: readonly string[]): Promise<number> {
  const child = Bun.spawn([process.execPath, join(import.meta.dir, "million.ts"), ...words], {
    env: { ...process.env, BUN_JSC_logGC: "1", BUN_JSC_gcMaxHeapSize: String(BYTES) },
    stdio: ["ignore", "ignore", "pipe"],
  });
  const [said, code] = await Promise.all([child.stderr.text(), child.exited]);
  expect(code).toBe(0);
  const [before, after] = said.split(/^begin$/m);
  const [during, rest] = (after ?? "").split(/^end$/m);
  expect(rest).toBeDefined();
  // It says so in these words: the start's own allocations have been seen.
  expect([...before!.matchAll(COLLECTION)].length).toBeGreaterThan(0);
  return [...during!.matchAll(COLLECTION)].length;
}

test(
  "a million packets are carried without a garbage collection",
  async () => {
    expect(await collections()).toBe(0);
  },
  PATIENCE,
);

test(
  "one object per packet would be seen",
  async () => {
    expect(await collections("allocate")).toBeGreaterThan(2);
  },
  PATIENCE,
);
