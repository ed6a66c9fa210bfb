import { afterAll, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { plainBlock } from "../../src/share/block.ts";
import { NOTE_DONE, Ring } from "../../src/share/ring.ts";
import { sharedBlock } from "../../src/sys/memory.ts";
import type { Consumed, Job } from "./ringworker.ts";

const SLOT = 32;

function makeRing(slots: number): Ring {
  return new Ring(plainBlock(Ring.bytesFor(slots, SLOT)), slots, SLOT);
}

/** Publishes a packet of `length` bytes that says its position. */
function publish(ring: Ring, length = 8): number {
  const position = ring.nextPosition;
  const slot = ring.reserve();
  ring.block.view.setUint32(slot, position);
  ring.block.bytes.fill(position & 0xff, slot + 4, slot + length);
  ring.publish(length, position % 7);
  return position;
}

test.each([0, 1, 3, 12, 100])("%p slots are refused", (slots) => {
  expect(() => makeRing(slots)).toThrow("power of two");
});

test("a block too small is refused", () => {
  expect(() => new Ring(plainBlock(Ring.bytesFor(4, SLOT) - 1), 4, SLOT)).toThrow("too small");
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
    expect(ring.block.view.getUint32(ring.offsetOf(position))).toBe(position);
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
    expect(ring.block.view.getUint32(at)).toBe(i);
    expect([...ring.block.bytes.subarray(at + 4, at + SLOT)]).toEqual(new Array(SLOT - 4).fill(i));
  }
});

describe("beside a slow model", () => {
  const step = fc.oneof(
    fc.record({ publish: fc.integer({ min: 4, max: SLOT }) }),
    fc.record({ claim: fc.constant(true) }),
    fc.record({ note: fc.integer({ min: 0, max: 3 }), back: fc.integer({ min: 0, max: 20 }) }),
    fc.record({ reserve: fc.constant(true) }),
  );

  test("any operations, and positions that wrap", () => {
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 120 }),
        fc.constantFrom(0, 2 ** 31 - 20, 2 ** 32 - 20),
        (steps, start) => {
          const slots = 8;
          const ring = makeRing(slots);
          new Int32Array(ring.block.bytes.buffer, 0, 2).fill(start | 0);
          const model: { length: number; note: number }[] = [];
          let claimed = 0;
          let reserved = false;
          const at = (i: number) => (start + i) % 2 ** 32;
          for (const each of steps) {
            if ("publish" in each) {
              expect(publish(ring, each.publish)).toBe(at(model.length));
              model.push({ length: each.publish, note: 0 });
              reserved = false;
            } else if ("claim" in each) {
              expect(ring.claim()).toBe(claimed < model.length ? at(claimed) : -1);
              if (claimed < model.length) claimed++;
            } else if ("note" in each) {
              const i = model.length - 1 - each.back;
              if (i < 0 || !ring.holds(at(i))) continue;
              ring.setNote(at(i), each.note);
              model[i]!.note = each.note;
            } else {
              ring.reserve();
              reserved = true;
            }
            expect(ring.backlog).toBe(model.length - claimed);
            expect(ring.nextPosition).toBe(at(model.length));
            for (let i = Math.max(0, model.length - slots - 2); i < model.length; i++) {
              const overwritten = i < model.length - slots || (reserved && i === model.length - slots);
              expect(ring.holds(at(i))).toBe(!overwritten);
              if (overwritten) continue;
              expect(ring.lengthOf(at(i))).toBe(model[i]!.length);
              expect(ring.noteOf(at(i))).toBe(model[i]!.note);
              expect(ring.block.view.getUint32(ring.offsetOf(at(i)))).toBe(at(i));
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
    const buffer = new SharedArrayBuffer(Ring.bytesFor(slots, 256));
    const results: Promise<Consumed>[] = [];
    // One after the other: several workers that load native libraries at once are not what is tested here.
    for (let i = 0; i < 3; i++) {
      const worker = new Worker(new URL("./ringworker.ts", import.meta.url).href);
      workers.push(worker);
      await new Promise<void>((resolve) => {
        worker.onmessage = () => resolve();
        worker.postMessage({ buffer, slots, slotBytes: 256, packets } satisfies Job);
      });
      results.push(new Promise((resolve) => (worker.onmessage = ({ data }) => resolve(data as Consumed))));
    }
    const ring = new Ring(sharedBlock(buffer), slots, 256);
    while (ring.nextPosition < packets) {
      // Short, as in portal: few packets wait, the rest of the ring is what was sent.
      if (ring.backlog >= 64) {
        await new Promise<void>((resolve) => setImmediate(resolve));
        continue;
      }
      const position = ring.nextPosition;
      const length = 16 + (position % 200);
      const slot = ring.reserve();
      ring.block.view.setUint32(slot, position);
      ring.block.bytes.fill((position * 7) & 0xff, slot + 4, slot + length);
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
