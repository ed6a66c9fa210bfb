import { expect, test } from "bun:test";
import fc from "fast-check";
import { Copies } from "../../src/proto/copies.ts";
import type { Path } from "../../src/proto/path.ts";
import { Resends } from "../../src/proto/resends.ts";
import { FREE, NO_POSITION, SentLog } from "../../src/proto/sentlog.ts";
import { plainBlock } from "../../src/share/block.ts";
import { DropCounters } from "../../src/share/counters.ts";
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
    this.copies.earn(bytes);
    this.copies.onSent(position, this.paths[by]!);
    return position;
  }

  arrive(position: number): void {
    this.ring.setNote(position, NOTE_DONE);
  }

  take(by: number, learning = false): number {
    return this.copies.take(0, this.paths[by]!, learning);
  }

  takeAll(by: number, learning = false): number[] {
    const taken: number[] = [];
    for (let position = this.take(by, learning); position >= 0; position = this.take(by, learning))
      taken.push(position);
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

test("a bulk is copied no more than a sixteenth of it, and a beginning of 2 MB; small packets may have more", () => {
  const rig = new Rig();
  let copied = 0;
  const copy = (bytes: number, learning = false) => {
    for (let sent = 0; sent < bytes; sent += BYTES) {
      const position = rig.send(0);
      copied += rig.takeAll(1, learning).length * BYTES;
      rig.arrive(position);
      rig.ring.settle(position);
    }
  };
  copy(1_000_000);
  expect(copied).toBeGreaterThanOrEqual(1_000_000);
  copy(19_000_000);
  expect(copied).toBeGreaterThan(2_000_000 + 20_000_000 / 16 - 2 * BYTES);
  expect(copied).toBeLessThanOrEqual(2_000_000 + 20_000_000 / 16 + BYTES);
  // Nothing is left but for small ones that are overdue.
  const late = carrier(0);
  const log = new SentLog();
  Object.assign(late.recovery, { log });
  const [large, small] = [BYTES, 100].map((bytes) => {
    const position = rig.send(0, bytes);
    log.add(0, bytes, position, true);
    return position;
  });
  expect(rig.takeAll(1)).toEqual([]);
  expect(rig.copies.takeOverdue(0, rig.paths[1]!, late, 0, false)).toBe(-1);
  expect(rig.copies.takeOverdue(0, rig.paths[1]!, late, 0, true)).toBe(small!);
  expect(large).not.toBe(small);
});

test("a path that has not learnt its rate by 4 MB of copies gets no more for that", () => {
  const rig = new Rig();
  let copied = 0;
  for (let sent = 0; sent < 80_000_000; sent += BYTES) {
    const position = rig.send(0);
    copied += rig.takeAll(1, true).length * BYTES;
    rig.arrive(position);
    rig.ring.settle(position);
  }
  expect(copied).toBeGreaterThanOrEqual(4_000_000);
  expect(copied).toBeLessThan(4_000_000 + 2 * BYTES);
});

test("what is overdue on one path is for another, once, the oldest first", () => {
  const rig = new Rig();
  const late = carrier(0);
  const log = new SentLog();
  Object.assign(late.recovery, { log });
  const send = (at: number) => {
    const position = rig.send(0);
    log.add(at, BYTES, position, true);
    return position;
  };
  const take = (before: number) => rig.copies.takeOverdue(0, rig.paths[1]!, late, before, false);
  const [a, b, c, d] = [send(10), send(11), send(12), send(20)];
  log.add(12, 30, NO_POSITION, true);
  expect(take(9)).toBe(-1);
  expect([take(10), take(10)]).toEqual([a, -1]);
  log.settle(1, FREE);
  rig.arrive(b);
  expect([take(19), take(19)]).toEqual([c, -1]);
  expect([take(20), take(20)]).toEqual([d, -1]);
  expect(rig.copies.sent).toBe(3);
});

test("of what is overdue, small packets alone, and the others later", () => {
  const rig = new Rig();
  const late = carrier(0);
  const log = new SentLog();
  Object.assign(late.recovery, { log });
  const [a, b, c, d] = [BYTES, 100, 512, BYTES].map((bytes) => {
    const position = rig.send(0, bytes);
    log.add(10, bytes, position, true);
    return position;
  });
  const take = (small: boolean) => rig.copies.takeOverdue(0, rig.paths[1]!, late, 10, small);
  expect([take(true), take(true), take(true)]).toEqual([b!, c!, -1]);
  expect([take(false), take(false), take(false)]).toEqual([a!, d!, -1]);
});

test("what was lost before is not copied", () => {
  const rig = new Rig();
  const resends = new Resends(rig.ring, rig.paths, new DropCounters());
  const a = rig.send(0);
  resends.onLost(a, rig.paths[0]!);
  expect(rig.take(1)).toBe(-1);
  expect(resends.take(0, rig.paths[0]!, false)).toBe(a);
  expect(rig.take(1)).toBe(-1);
});

test("the loss of one of two is none; of both, the packet leaves again once", () => {
  for (const first of [0, 1]) {
    const rig = new Rig();
    const resends = new Resends(rig.ring, rig.paths, new DropCounters());
    const a = rig.send(0);
    expect(rig.take(1)).toBe(a);
    resends.onLost(a, rig.paths[first]!);
    // The copy may be far behind: what was lost on its own way leaves again at once.
    expect(resends.length).toBe(first === 0 ? 1 : 0);
    resends.onLost(a, rig.paths[1 - first]!);
    expect(resends.length).toBe(1);
    expect(resends.take(0, rig.paths[0]!, true)).toBe(a);
    expect(resends.take(0, rig.paths[0]!, true)).toBe(-1);
    resends.onDelivered(a);
    expect(rig.ring.kept).toBe(0);
  }
});

test("whatever becomes of packets and copies, each is settled once, when it has arrived or is given up", () => {
  const step = fc.record({
    what: fc.constantFrom("send", "copy", "lose", "lose", "deliver", "resend"),
    path: fc.integer({ min: 0, max: 1 }),
    which: fc.nat(),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
      const rig = new Rig();
      const drops = new DropCounters();
      const resends = new Resends(rig.ring, rig.paths, drops);
      const underWay: { position: number; path: Path }[] = [];
      const arrived = new Set<number>();
      let sent = 0;
      const leave = (position: number, path: Path) => {
        if (position >= 0) underWay.push({ position, path });
      };
      const deliver = ({ position }: { position: number }) => {
        arrived.add(position);
        resends.onDelivered(position);
      };
      const expired = () => drops.entries().expired ?? 0;
      for (const { what, path: id, which } of steps) {
        const path = rig.paths[id]!;
        const [one] =
          what === "lose" || what === "deliver" ? underWay.splice(which % (underWay.length || 1), 1) : [];
        if (what === "send") leave(rig.send(id), path);
        else if (what === "copy") leave(rig.take(id), path);
        else if (what === "resend") leave(resends.take(0, path, true), path);
        else if (one === undefined) continue;
        else if (what === "lose") resends.onLost(one.position, one.path);
        else deliver(one);
        if (what === "send") sent++;
        expect(rig.ring.kept).toBeLessThanOrEqual(sent);
        expect(rig.ring.kept).toBeGreaterThanOrEqual(sent - arrived.size - expired());
      }
      // All that is under way arrives at last, and all that was lost leaves again.
      while (underWay.length > 0 || resends.length > 0) {
        for (const one of underWay.splice(0)) deliver(one);
        leave(resends.take(0, rig.paths[0]!, true), rig.paths[0]!);
      }
      expect(rig.ring.kept).toBe(0);
      expect(arrived.size).toBeGreaterThanOrEqual(sent - expired());
    }),
    { numRuns: 300 },
  );
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
