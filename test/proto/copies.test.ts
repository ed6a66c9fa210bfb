import { expect, test } from "bun:test";
import fc from "fast-check";
import { Copies } from "../../src/proto/copies.ts";
import type { Path } from "../../src/proto/path.ts";
import { plainBlock } from "../../src/share/block.ts";
import { NOTE_DONE, Ring } from "../../src/share/ring.ts";
import { Store } from "../../src/share/store.ts";

const SLOTS = 4096;
const BYTES = 1400;

/** Two paths, and packets that left by them. */
class Rig {
  readonly ring: Ring;
  readonly copies: Copies;
  readonly paths: Path[];

  constructor(paths = 2) {
    const store = new Store(plainBlock, () => {}, 2048);
    this.ring = new Ring(plainBlock(Ring.bytesFor(SLOTS, store.pageSlots)), SLOTS, store);
    this.paths = Array.from({ length: paths }, (_, id) => carrier(id));
    this.copies = new Copies(this.ring, this.paths);
  }

  send(by: number, bytes = BYTES): number {
    const position = this.ring.reserve();
    this.ring.publish(bytes, 0);
    this.ring.claim();
    this.copies.onSent(position, this.paths[by]!);
    return position;
  }

  arrive(position: number): void {
    this.ring.setNote(position, NOTE_DONE);
  }

  take(by: number): number {
    return this.copies.take(0, this.paths[by]!);
  }

  takeAll(by: number): number[] {
    const taken: number[] = [];
    for (let position = this.take(by); position >= 0; position = this.take(by)) taken.push(position);
    return taken;
  }
}

/** A path that takes packets of every size. */
function carrier(id: number): Path {
  return { id, status: "up", carries: true, recovery: { mtu: { limit: 65_000 } } } as unknown as Path;
}

test("what left by one path is for another, once, the oldest first", () => {
  const rig = new Rig();
  const [a, b, c] = [rig.send(0), rig.send(1), rig.send(0)];
  expect(rig.take(1)).toBe(a);
  expect(rig.takeAll(1)).toEqual([c]);
  expect(rig.takeAll(0)).toEqual([b]);
  expect(rig.copies.sent).toBe(3);
});

test("of three paths one copies", () => {
  const rig = new Rig(3);
  const a = rig.send(0);
  expect([rig.take(2), rig.take(1)]).toEqual([a, -1]);
});

test("what arrived meanwhile, or the ring holds no more, is not copied", () => {
  const rig = new Rig();
  const [a, b, c] = [rig.send(0), rig.send(0), rig.send(0)];
  rig.arrive(a);
  rig.arrive(c);
  expect(rig.takeAll(1)).toEqual([b]);
  rig.send(0);
  rig.ring.clear();
  expect(rig.take(1)).toBe(-1);
});

test("a bulk is copied no more than a sixteenth of it, and a beginning of 2 MB", () => {
  const rig = new Rig();
  let copied = 0;
  const copy = (bytes: number) => {
    for (let sent = 0; sent < bytes; sent += BYTES) {
      const position = rig.send(0);
      copied += rig.takeAll(1).length * BYTES;
      rig.arrive(position);
      rig.ring.settle(position);
    }
  };
  copy(1_000_000);
  expect(copied).toBeGreaterThanOrEqual(1_000_000);
  copy(19_000_000);
  expect(copied).toBeGreaterThan(2_000_000 + 20_000_000 / 16 - 2 * BYTES);
  expect(copied).toBeLessThanOrEqual(2_000_000 + 20_000_000 / 16 + BYTES);
});

test("what left before it is forgotten is not copied", () => {
  const rig = new Rig();
  rig.send(0);
  rig.copies.forget();
  const b = rig.send(0);
  expect(rig.takeAll(1)).toEqual([b]);
});

test("whatever is sent and arrives: each at most once, never by its own path, in order, of the newest 256", () => {
  const step = fc.record({
    what: fc.constantFrom("send", "send", "send", "take", "arrive"),
    path: fc.integer({ min: 0, max: 2 }),
    back: fc.integer({ min: 0, max: 300 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 600 }), (steps) => {
      const rig = new Rig(3);
      const sent: { position: number; by: number; over: boolean }[] = [];
      for (const { what, path, back } of steps) {
        if (what === "send") sent.push({ position: rig.send(path), by: path, over: false });
        else if (what === "arrive") {
          const one = sent[sent.length - 1 - back];
          if (one === undefined) continue;
          rig.arrive(one.position);
          one.over = true;
        } else {
          const expected = sent.slice(-256).find(({ by, over }) => by !== path && !over);
          expect(rig.take(path)).toBe(expected?.position ?? -1);
          if (expected !== undefined) expected.over = true;
        }
      }
    }),
  );
});
