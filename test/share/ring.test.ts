import { afterAll, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type Block, plainBlock } from "../../src/share/block.ts";
import { NOTE_DONE, Ring } from "../../src/share/ring.ts";
import { Store } from "../../src/share/store.ts";
import { sharedBlock } from "../../src/sys/memory.ts";
import type { Consumed, Job } from "./ringworker.ts";

const SLOT = 32;
const PAGE = 2;

function makeStore(): Store {
  return new Store(plainBlock, () => {}, SLOT, PAGE);
}

/** `start`: its first position. */
function makeRing(slots: number, store = makeStore(), start = 0): Ring {
  const control = plainBlock(Ring.bytesFor(slots, PAGE));
  new Int32Array(control.bytes.buffer, 0, 2).fill(start | 0);
  return new Ring(control, slots, store);
}

/** Publishes a packet of `length` bytes that says its position. */
function publish(ring: Ring, length = 8): number {
  const position = ring.reserve();
  expect(position).toBe(ring.nextPosition);
  const slot = ring.offsetOf(position);
  const { bytes, view } = ring.blockOf(position);
  view.setUint32(slot, position);
  bytes.fill(position & 0xff, slot + 4, slot + length);
  ring.publish(length, position % 7);
  return position;
}

test.each([0, 1, 3, 12, 100])("%p slots are refused", (slots) => {
  expect(() => makeRing(slots)).toThrow("power of two");
});

test("a block too small is refused", () => {
  expect(() => new Ring(plainBlock(Ring.bytesFor(4, PAGE) - 1), 4, makeStore())).toThrow("too small");
});

test("a ring shorter than a page is refused", () => {
  const store = new Store(plainBlock, () => {}, SLOT, 8);
  expect(() => new Ring(plainBlock(100), 4, store)).toThrow("fewer slots than a page");
});

test("what is published is claimed once, in order, as it was written", () => {
  const ring = makeRing(4);
  expect(ring.claim()).toBe(-1);
  publish(ring, 8);
  publish(ring, 20);
  expect(ring.backlog).toBe(2);
  for (const [position, length] of [
    [0, 8],
    [1, 20],
  ] as const) {
    expect(ring.claim()).toBe(position);
    expect(ring.lengthOf(position)).toBe(length);
    expect(ring.flagsOf(position)).toBe(position % 7);
    expect(ring.noteOf(position)).toBe(0);
    expect(ring.blockOf(position).view.getUint32(ring.offsetOf(position))).toBe(position);
  }
  expect(ring.claim()).toBe(-1);
  expect(ring.backlog).toBe(0);
});

test("a claimed slot stays readable until the producer comes round", () => {
  const ring = makeRing(4);
  publish(ring);
  ring.claim();
  ring.setNote(0, NOTE_DONE | 1);
  for (let i = 1; i < 4; i++) publish(ring);
  expect(ring.holds(0)).toBe(true);
  expect(ring.noteOf(0)).toBe(NOTE_DONE | 1);
  // Not from the moment on at which it may be half overwritten.
  ring.reserve();
  expect(ring.holds(0)).toBe(false);
  publish(ring);
  expect(ring.holds(0)).toBe(false);
  expect(ring.holds(4)).toBe(true);
  expect(ring.noteOf(4)).toBe(0);
});

test("a reserved slot is nobody's: it holds neither what it held nor what is to come", () => {
  const ring = makeRing(2);
  publish(ring);
  publish(ring);
  ring.reserve();
  expect([0, 2].map((position) => ring.holds(position))).toEqual([false, false]);
  expect(ring.holds(1)).toBe(true);
  expect(ring.backlog).toBe(2);
});

test("slots do not overlap each other or the ring's own words", () => {
  const ring = makeRing(8);
  for (let i = 0; i < 8; i++) publish(ring, SLOT);
  for (let i = 0; i < 8; i++) {
    expect(ring.holds(i)).toBe(true);
    const at = ring.offsetOf(i);
    expect(ring.blockOf(i).view.getUint32(at)).toBe(i);
    expect([...ring.blockOf(i).bytes.subarray(at + 4, at + SLOT)]).toEqual(new Array(SLOT - 4).fill(i));
  }
});

describe("pages", () => {
  test("are taken as the producer comes to them, and given back when all their packets are settled", () => {
    const store = makeStore();
    const ring = makeRing(8, store);
    expect(store.used).toBe(0);
    for (let i = 0; i < 5; i++) publish(ring);
    expect([store.used, ring.pages]).toEqual([3, 3]);
    // In any order.
    for (const position of [3, 1, 2]) ring.settle(position);
    expect(store.used).toBe(2);
    expect([0, 1, 2, 3, 4].map((position) => ring.holds(position))).toEqual([true, true, false, false, true]);
    ring.settle(0);
    // The page that the producer is in has room for one more.
    ring.settle(4);
    expect(store.used).toBe(1);
    publish(ring);
    ring.settle(5);
    expect([store.used, ring.pages]).toEqual([0, 0]);
  });

  test("whatever a page held before, it holds nothing of this ring's", () => {
    const store = makeStore();
    const [first, second] = [makeRing(8, store), makeRing(8, store)];
    for (let i = 0; i < 4; i++) publish(first);
    for (let i = 0; i < 4; i++) first.settle(i);
    publish(second);
    expect([0, 1, 2, 3].map((position) => second.holds(position))).toEqual([true, false, false, false]);
    expect([0, 1, 2, 3].map((position) => first.holds(position))).toEqual([false, false, false, false]);
  });

  test("a late word about a packet that was lapped takes nothing from the one in its place", () => {
    const store = makeStore();
    const ring = makeRing(4, store);
    for (let i = 0; i < 5; i++) publish(ring);
    expect([ring.holds(0), ring.holds(1), ring.holds(4)]).toEqual([false, true, true]);
    ring.settle(1);
    ring.settle(4);
    expect(store.used).toBe(2);
    publish(ring);
    ring.settle(5);
    expect(store.used).toBe(1);
    expect([0, 1].map((position) => ring.lapped(position))).toEqual([true, true]);
    expect([4, 5].map((position) => [ring.holds(position), ring.lapped(position)])).toEqual([
      [false, false],
      [false, false],
    ]);
  });

  test("are all given back by `clear`, and the ring goes on where it was", () => {
    const store = makeStore();
    const ring = makeRing(8, store);
    for (let i = 0; i < 3; i++) publish(ring);
    while (ring.claim() >= 0);
    ring.clear();
    expect([store.used, ring.pages]).toEqual([0, 0]);
    expect(ring.holds(2)).toBe(false);
    expect(publish(ring)).toBe(3);
    expect([ring.holds(2), ring.holds(3), ring.claim()]).toEqual([false, true, 3]);
    // Alone in its page.
    ring.settle(3);
    expect(store.used).toBe(0);
  });
});

describe("beside a slow model", () => {
  const step = fc.oneof(
    fc.record({ publish: fc.integer({ min: 4, max: SLOT }) }),
    fc.record({ claim: fc.constant(true) }),
    fc.record({ note: fc.integer({ min: 0, max: 3 }), back: fc.integer({ min: 0, max: 20 }) }),
    fc.record({ reserve: fc.constant(true) }),
    { weight: 2, arbitrary: fc.record({ settle: fc.integer({ min: 0, max: 9 }) }) },
  );

  test("any operations, and positions that wrap", () => {
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 120 }),
        fc.constantFrom(0, 2 ** 31 - 20, 2 ** 32 - 20),
        (steps, start) => {
          const slots = 8;
          const ring = makeRing(slots, makeStore(), start);
          const model: { length: number; note: number; settled: boolean }[] = [];
          const base = (i: number) => i - ((((start + i) % PAGE) + PAGE) % PAGE);
          let claimed = 0;
          let reserved = false;
          const at = (i: number) => (start + i) % 2 ** 32;
          for (const each of steps) {
            if ("publish" in each) {
              expect(publish(ring, each.publish)).toBe(at(model.length));
              model.push({ length: each.publish, note: 0, settled: false });
              reserved = false;
            } else if ("claim" in each) {
              expect(ring.claim()).toBe(claimed < model.length ? at(claimed) : -1);
              if (claimed < model.length) claimed++;
            } else if ("note" in each) {
              const i = model.length - 1 - each.back;
              if (i < 0 || !ring.holds(at(i))) continue;
              ring.setNote(at(i), each.note);
              model[i]!.note = each.note;
            } else if ("settle" in each) {
              const i = model.length - 1 - each.settle;
              if (i < 0 || model[i]!.settled || !ring.holds(at(i))) continue;
              ring.settle(at(i));
              model[i]!.settled = true;
            } else {
              ring.reserve();
              reserved = true;
            }
            expect(ring.backlog).toBe(model.length - claimed);
            expect(ring.nextPosition).toBe(at(model.length));
            // A page that the producer enters again is given up as a whole.
            const from = base(model.length - (reserved ? 0 : 1)) + PAGE - slots;
            const kept = model.filter(({ settled }, i) => !settled && i >= from).length;
            if (model.length > 0) expect(ring.kept).toBe(kept);
            for (let i = Math.max(0, model.length - slots - 2); i < model.length; i++) {
              const overwritten = i < model.length - slots || (reserved && i === model.length - slots);
              // A page goes when all of its packets are there and settled, unless the producer is in it again.
              const page = model.slice(Math.max(0, base(i)), base(i) + PAGE);
              const whole = base(i) + PAGE <= model.length && page.every(({ settled }) => settled);
              const entered = model.length + (reserved ? 1 : 0) > base(i) + slots;
              if (!overwritten && whole && entered) continue;
              expect(ring.holds(at(i))).toBe(!overwritten && !whole);
              if (overwritten || whole) continue;
              expect(ring.lengthOf(at(i))).toBe(model[i]!.length);
              expect(ring.noteOf(at(i))).toBe(model[i]!.note);
              expect(ring.blockOf(at(i)).view.getUint32(ring.offsetOf(at(i)))).toBe(at(i));
            }
            expect(ring.holds(at(model.length))).toBe(false);
          }
        },
      ),
    );
  });
});

describe("over threads", () => {
  const workers: Worker[] = [];
  afterAll(() => {
    for (const worker of workers) worker.terminate();
  });

  test("one producer, three consumers: each packet once, none torn, nobody waits for ever", async () => {
    const slots = 1024;
    const packets = 100_000;
    const pageSlots = 32;
    const buffer = new SharedArrayBuffer(Ring.bytesFor(slots, pageSlots));
    const pages: SharedArrayBuffer[] = [];
    const makeShared = (length: number): Block => sharedBlock(new SharedArrayBuffer(length));
    const store = new Store(makeShared, () => {}, 256, pageSlots);
    // All pages that the ring may have: the workers must know them.
    const taken = Array.from({ length: slots / pageSlots }, () => store.take());
    for (const page of taken) {
      pages.push(store.pages[page]!.bytes.buffer as unknown as SharedArrayBuffer);
      store.give(page);
    }
    const results: Promise<Consumed>[] = [];
    // One after the other: several workers that load native libraries at once are not what is tested here.
    for (let i = 0; i < 3; i++) {
      const worker = new Worker(new URL("./ringworker.ts", import.meta.url).href);
      workers.push(worker);
      await new Promise<void>((resolve) => {
        worker.onmessage = () => resolve();
        worker.postMessage({ buffer, slots, pages, pageSlots, slotBytes: 256, packets } satisfies Job);
      });
      results.push(new Promise((resolve) => (worker.onmessage = ({ data }) => resolve(data as Consumed))));
    }
    const ring = new Ring(sharedBlock(buffer), slots, store);
    while (ring.nextPosition < packets) {
      // Short, as in portal: few packets wait, the rest of the ring is what was sent.
      if (ring.backlog >= 64) {
        await new Promise<void>((resolve) => setImmediate(resolve));
        continue;
      }
      const position = ring.reserve();
      const length = 16 + (position % 200);
      const slot = ring.offsetOf(position);
      const { bytes, view } = ring.blockOf(position);
      view.setUint32(slot, position);
      bytes.fill((position * 7) & 0xff, slot + 4, slot + length);
      ring.publish(length, 0);
    }
    const consumed = await Promise.all(results);
    expect(consumed.map(({ torn }) => torn)).toEqual([0, 0, 0]);
    const seen = new Uint8Array(packets);
    for (const { positions } of consumed) for (const position of positions) seen[position]!++;
    expect(seen.findIndex((count) => count !== 1)).toBe(-1);
    // A consumer that was put to sleep with a claimed packet may find it overwritten, and must notice.
    const lapped = consumed.reduce((sum, each) => sum + each.lapped, 0);
    expect(lapped).toBeLessThan(packets / 100);
  }, 60_000);
});
