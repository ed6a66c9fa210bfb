import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type Freshness, ReplayWindow } from "../../src/proto/replay.ts";

/** Packet numbers a window of this size is sure to remember: a word less, which is cleared ahead (RFC 6479 section 2.1). */
const remembered = (size: number) => size - 32;

/** The same by a set of everything ever accepted. */
class SlowWindow {
  largest = -1;
  private readonly size: number;
  private readonly accepted = new Set<number>();

  constructor(size: number) {
    this.size = size;
  }

  check(packetNumber: number): Freshness {
    if (packetNumber <= this.largest - remembered(this.size)) return "tooOld";
    return this.accepted.has(packetNumber) ? "duplicate" : "fresh";
  }

  accept(packetNumber: number): void {
    this.accepted.add(packetNumber);
    this.largest = Math.max(this.largest, packetNumber);
  }

  has(packetNumber: number): boolean {
    return this.accepted.has(packetNumber) && packetNumber > this.largest - remembered(this.size);
  }
}

function accept(window: ReplayWindow, ...numbers: number[]): ReplayWindow {
  for (const number of numbers) {
    expect(window.check(number)).toBe("fresh");
    window.accept(number);
  }
  return window;
}

test.each([
  { name: "the first", before: [], number: 0, is: "fresh" },
  { name: "a repeated one", before: [0], number: 0, is: "duplicate" },
  { name: "the next", before: [0], number: 1, is: "fresh" },
  { name: "a hole", before: [0, 2], number: 1, is: "fresh" },
  { name: "the lowest still known", before: [0, 95], number: 0, is: "duplicate" },
  { name: "one below", before: [0, 96], number: 0, is: "tooOld" },
  { name: "far ahead", before: [0], number: 10_000, is: "fresh" },
  { name: "far behind", before: [10_000], number: 0, is: "tooOld" },
  { name: "inside after a jump of many windows", before: [5, 10_000], number: 9_990, is: "fresh" },
  { name: "beyond 32 bits, repeated", before: [2 ** 32 + 7], number: 2 ** 32 + 7, is: "duplicate" },
  { name: "beyond 32 bits, the number 2^32 lower", before: [2 ** 32 + 7], number: 7, is: "tooOld" },
  { name: "beyond 32 bits, a hole", before: [2 ** 32 - 1, 2 ** 32 + 1], number: 2 ** 32, is: "fresh" },
] as const)("$name", ({ before, number, is }) => {
  expect(accept(new ReplayWindow(128), ...before).check(number)).toBe(is);
});

test("asking changes nothing", () => {
  const window = accept(new ReplayWindow(64), 3);
  for (let i = 0; i < 3; i++) expect(window.check(1000)).toBe("fresh");
  expect(window.largest).toBe(3);
  expect(window.check(3)).toBe("duplicate");
});

test.each([0, 32, 63, 65, 96, 1000])("a size of %p is refused", (size) => {
  expect(() => new ReplayWindow(size)).toThrow("power of two");
});

describe("beside a slow model", () => {
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.integer({ min: -140, max: 8 }) },
    { weight: 2, arbitrary: fc.integer({ min: 1, max: 200 }) },
    { weight: 1, arbitrary: fc.integer({ min: 1, max: 5000 }) },
  );

  test("every number is what the model says", () => {
    const start = fc.constantFrom(0, 31, 2 ** 31 - 100, 2 ** 32 - 100, 2 ** 40);
    fc.assert(
      fc.property(
        fc.constantFrom(64, 128, 256),
        start,
        fc.array(step, { maxLength: 300 }),
        (size, from, steps) => {
          const window = new ReplayWindow(size);
          const model = new SlowWindow(size);
          let newest = from;
          for (const move of steps) {
            const number = Math.max(0, newest + move);
            newest = Math.max(newest, number);
            const freshness = model.check(number);
            expect(window.check(number)).toBe(freshness);
            if (freshness === "fresh") {
              window.accept(number);
              model.accept(number);
            }
            expect(window.largest).toBe(model.largest);
            expect(window.lowest).toBe(Math.max(0, model.largest - remembered(size) + 1));
            for (let at = newest - size - 2; at <= newest + 2; at += 7)
              expect(window.has(at)).toBe(model.has(at));
            for (const accepted of [true, false]) {
              let end = number;
              while (end >= window.lowest && model.has(end) !== accepted) end--;
              expect(window.down(number, accepted)).toBe(Math.max(end, window.lowest - 1));
            }
          }
        },
      ),
    );
  });
});
