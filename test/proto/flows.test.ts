import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { FlowTable } from "../../src/proto/flows.ts";

test("the first packet of a flow has no predecessor", () => {
  expect(new FlowTable().distance(7, 0)).toBe(0);
  expect(new FlowTable().distance(7, 99)).toBe(0);
});

test("every later one names the one before", () => {
  const flows = new FlowTable();
  flows.distance(1, 10);
  flows.distance(2, 11);
  expect(flows.distance(1, 12)).toBe(2);
  expect(flows.distance(1, 13)).toBe(1);
  expect(flows.distance(2, 14)).toBe(3);
});

describe("what 16 bits cannot say is not said", () => {
  test.each([
    [0xffff, 0xffff],
    [0x10000, 0],
    [1_000_000, 0],
  ])("a gap of %p", (gap, distance) => {
    const flows = new FlowTable();
    flows.distance(1, 5);
    expect(flows.distance(1, 5 + gap)).toBe(distance);
  });
});

test("counts across the wrap of the sequence", () => {
  const flows = new FlowTable();
  flows.distance(1, 2 ** 32 - 2);
  expect(flows.distance(1, 1)).toBe(3);
});

test("a packet's predecessor is never later than the flow's true one", () => {
  // Flows that share an entry are ordered together: the distance may only be shorter.
  const packets = fc.array(fc.integer({ min: 0, max: 2 ** 32 - 1 }), { maxLength: 200 });
  fc.assert(
    fc.property(packets, fc.integer({ min: 0, max: 2 ** 32 - 1 }), (hashes, start) => {
      const flows = new FlowTable();
      const last = new Map<number, number>();
      for (const [i, hash] of hashes.entries()) {
        const distance = flows.distance(hash, (start + i) >>> 0);
        const before = last.get(hash);
        if (before !== undefined) {
          expect(distance).toBeGreaterThan(0);
          expect(distance).toBeLessThanOrEqual(i - before);
        }
        last.set(hash, i);
      }
    }),
  );
});
