import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type Block, plainBlock } from "../../src/share/block.ts";
import { NONE, Slots, SPARE_PAGES } from "../../src/share/slots.ts";
import { LEAST_RELEASED, Store } from "../../src/share/store.ts";

const SLOT = 32;
const PAGE = 4;

class Bed {
  readonly made: Block[] = [];
  readonly released: Block[] = [];
  readonly store = new Store(
    (length) => {
      const block = plainBlock(length);
      this.made.push(block);
      return block;
    },
    (block) => this.released.push(block),
    SLOT,
    PAGE,
  );
}

test.each([0, 1, 3, 12])("pages of %p slots are refused", (slots) => {
  expect(() => new Store(plainBlock, () => {}, SLOT, slots)).toThrow("power of two");
});

describe("the store", () => {
  test("makes a page only when none is spare", () => {
    const { store, made } = new Bed();
    const [first, second] = [store.take(), store.take()];
    expect(first).not.toBe(second);
    expect([store.used, store.spares]).toEqual([2, 0]);
    store.give(first);
    expect([store.used, store.spares]).toEqual([1, 1]);
    expect(store.take()).toBe(first);
    expect(made.map(({ bytes }) => bytes.length)).toEqual([store.pageBytes, store.pageBytes]);
    expect(store.pages[second]).toBe(made[1]!);
  });

  test("gives back to the system what was spare all the time, half at a time, and takes it again last", () => {
    const { store, made, released } = new Bed();
    const pages = Array.from({ length: 100 }, () => store.take());
    for (const page of pages) store.give(page);
    // They were not spare before this call.
    store.trim();
    expect(released.length).toBe(0);
    // Ten were needed for a moment.
    const needed = Array.from({ length: 10 }, () => store.take());
    for (const page of needed) store.give(page);
    store.trim();
    expect(released.length).toBe(45);
    for (let i = 0; i < 10; i++) store.trim();
    expect([released.length, store.spares, store.used]).toEqual([100, 0, 0]);
    expect(new Set(released).size).toBe(100);
    const again = Array.from({ length: 101 }, () => store.take());
    expect(new Set(again).size).toBe(101);
    expect(made.length).toBe(101);
  });

  test("does not bother the system for a page or two", () => {
    const { store, released } = new Bed();
    for (const page of Array.from({ length: LEAST_RELEASED + 2 }, () => store.take())) store.give(page);
    store.trim();
    store.trim();
    expect(released.length).toBe(LEAST_RELEASED);
  });

  test("of another thread's blocks knows the same pages", () => {
    const { store, made } = new Bed();
    const page = store.take();
    store.metas[page]![5] = 7;
    const other = new Store(plainBlock, () => {}, SLOT, PAGE, made);
    expect(other.metas[page]![5]).toBe(7);
    expect(other.pages[page]).toBe(made[0]!);
  });
});

describe("slots", () => {
  test("beside a slow model: none is given twice, none overlaps another, all go back", () => {
    const step = fc.oneof(fc.constant("take"), fc.nat());
    fc.assert(
      fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
        const { store } = new Bed();
        const slots = new Slots(store);
        // Of somebody else, between ours.
        const other = store.take();
        const used = new Map<number, number>();
        let stamp = 0;
        for (const each of steps) {
          if (each === "take") {
            const expected = slots.peek();
            const slot = slots.take();
            expect(slot).toBe(expected);
            expect(used.has(slot)).toBe(false);
            expect(slot).toBeLessThan(slots.room);
            slots.next[slot] = NONE;
            used.set(slot, ++stamp);
            slots.blockOf(slot).bytes.fill(stamp, slots.offsetOf(slot), slots.offsetOf(slot) + SLOT);
          } else if (used.size > 0) {
            const slot = [...used.keys()][(each as number) % used.size]!;
            used.delete(slot);
            slots.put(slot);
          }
          for (const [slot, stamp] of used) {
            const at = slots.offsetOf(slot);
            expect(
              slots
                .blockOf(slot)
                .bytes.subarray(at, at + SLOT)
                .every((byte) => byte === stamp),
            ).toBe(true);
          }
        }
        expect(slots.empty).toBe(!steps.includes("take"));
        for (const slot of used.keys()) slots.put(slot);
        // None but the one that is being filled.
        expect(store.used).toBe(slots.empty ? 1 : 2);
        slots.clear();
        expect([slots.empty, slots.room, store.used]).toEqual([true, 0, 1]);
        store.give(other);
      }),
    );
  });

  test("of packets that come and go in order, pages follow how many wait", () => {
    const { store } = new Bed();
    const slots = new Slots(store);
    const waiting: number[] = [];
    const room = [200, 20, 200].map((count) => {
      while (waiting.length < count) waiting.push(slots.take());
      while (waiting.length > count) slots.put(waiting.shift()!);
      // Round and round.
      for (let i = 0; i < 1000; i++) {
        waiting.push(slots.take());
        slots.put(waiting.shift()!);
        expect(store.used).toBeLessThanOrEqual(Math.ceil(count / PAGE) + 2);
      }
      return slots.room;
    });
    // And their numbers do not grow for ever.
    expect(room[2]).toBe(room[0]!);
  });

  test("one packet after the other uses one page", () => {
    const { store, made } = new Bed();
    const slots = new Slots(store);
    for (let i = 0; i < 100; i++) slots.put(slots.take());
    expect([store.used, made.length]).toEqual([1, 1]);
  });

  test("where one packet of each page stays, hardly more pages are taken than are needed", () => {
    const { store } = new Bed();
    const slots = new Slots(store);
    const staying: number[] = [];
    while (staying.length < 400) {
      const page = Array.from({ length: PAGE }, () => slots.take());
      staying.push(page[0]!);
      for (const slot of page.slice(1)) slots.put(slot);
      const needed = Math.ceil((staying.length + PAGE) / PAGE);
      expect(store.used).toBeLessThanOrEqual(needed * 1.25 + SPARE_PAGES + 1);
    }
    expect(new Set(staying).size).toBe(400);
  });
});
