import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { MILLISECOND } from "../../src/proto/limits.ts";
import { Path } from "../../src/proto/path.ts";
import { ResendQueue, Resends } from "../../src/proto/resends.ts";
import { plainBlock } from "../../src/share/block.ts";
import { DropCounters } from "../../src/share/counters.ts";
import { Endpoint } from "../../src/share/endpoint.ts";
import type { DatagramSocket } from "../../src/share/io.ts";
import { Ring } from "../../src/share/ring.ts";
import { Store } from "../../src/share/store.ts";
import { Steady } from "./steady.ts";

const SLOTS = 4096;
const SMALL = 100;
const LARGE = 1400;

test("nothing comes from an empty queue", () => {
  const queue = new ResendQueue();
  expect(queue.shift()).toBe(-1);
  expect(queue.length).toBe(0);
});

test("positions of 32 bits come back as they went in", () => {
  const queue = new ResendQueue();
  for (const position of [0, 2 ** 31, 2 ** 32 - 1]) queue.push(position);
  expect([queue.shift(), queue.shift(), queue.shift()]).toEqual([0, 2 ** 31, 2 ** 32 - 1]);
});

test("is a queue, whatever is pushed and taken, and grows while it wraps", () => {
  const steps = fc.array(fc.integer({ min: -400, max: 400 }), { maxLength: 60 });
  fc.assert(
    fc.property(steps, (runs) => {
      const queue = new ResendQueue();
      const model: number[] = [];
      let next = 0;
      for (const run of runs) {
        for (let i = 0; i < run; i++) {
          queue.push(next);
          model.push(next++);
        }
        for (let i = 0; i < -run; i++) expect(queue.shift()).toBe(model.shift() ?? -1);
        expect(queue.length).toBe(model.length);
      }
      while (model.length > 0) expect(queue.shift()).toBe(model.shift()!);
      expect(queue.shift()).toBe(-1);
    }),
  );
});

/** A path that is up, carries, has room, and carries datagrams of all sizes whole, unless `limit` says otherwise. */
function makePath(id: number, { metric = 0, limit = 1452 } = {}): Path {
  const endpoint = () => new Endpoint(plainBlock(Endpoint.size));
  const path = new Path(
    0,
    {
      id,
      name: String(id),
      metric,
      spill: false,
      socket: { headerBytes: 28 } as DatagramSocket,
      congestion: new Steady(1_000_000),
      peerCongestion: "bbr",
      peerRate: 0,
      cap: null,
      datagram: 1452,
      endpoint: endpoint(),
      candidate: endpoint(),
      connected: true,
    },
    { onDelivered: () => {}, onLost: () => {} },
    { isUp: true, peerAliveAt: 0, onStatus: () => {}, onDoubt: () => {} },
  );
  path.status = "up";
  path.carries = true;
  path.recovery.rtt.onSample(0, 20 * MILLISECOND, 0);
  const { mtu } = path.recovery;
  mtu.state = "complete";
  mtu.limit = limit;
  return path;
}

/** A ring whose looks at slots are counted. */
class CountingRing extends Ring {
  looks = 0;

  override holds(position: number): boolean {
    this.looks++;
    return super.holds(position);
  }
}

class Bench {
  readonly ring: CountingRing;
  readonly drops = new DropCounters();
  readonly resends: Resends;
  readonly paths: Path[];

  constructor(...paths: Path[]) {
    const store = new Store(plainBlock, () => {}, 2048, 64);
    this.ring = new CountingRing(plainBlock(Ring.bytesFor(SLOTS, 64)), SLOTS, store);
    this.paths = paths;
    this.resends = new Resends(this.ring, paths, this.drops);
  }

  /** A packet that has left; its position. */
  sent(length = SMALL): number {
    const position = this.ring.reserve();
    this.ring.publish(length, 0);
    this.ring.claim();
    return position;
  }

  /** Lost by this path, for so many times in all. */
  lost(position: number, path: Path, times: number): void {
    this.ring.setNote(position, times - 1);
    this.resends.onLost(position, path);
  }

  take(path: Path, any = false): number {
    return this.resends.take(0, path, any);
  }
}

describe("which path sends again", () => {
  test("any that has room, oldest loss first; what was lost twice is for another", () => {
    const [a, b] = [makePath(0), makePath(1)];
    const bench = new Bench(a, b);
    const [twice, first, second] = [bench.sent(), bench.sent(), bench.sent()];
    bench.lost(twice, a, 2);
    bench.lost(first, a, 1);
    bench.lost(second, b, 1);
    expect(bench.resends.length).toBe(3);
    expect([bench.take(a), bench.take(a), bench.take(a)]).toEqual([first, second, -1]);
    expect(bench.take(b)).toBe(twice);
    expect(bench.resends.length).toBe(0);
    expect([a.resentPackets, b.resentPackets]).toEqual([2, 1]);
  });

  test("what was lost twice is for the same path when there is no other, or nothing else to send", () => {
    const [a, backup] = [makePath(0), makePath(1, { metric: 1 })];
    const bench = new Bench(a, backup);
    const one = bench.sent();
    bench.lost(one, a, 2);
    expect(bench.take(a)).toBe(one);
    backup.metric = 0;
    const other = bench.sent();
    bench.lost(other, a, 2);
    expect(bench.take(a)).toBe(-1);
    expect(bench.take(a, true)).toBe(other);
  });

  test("what was lost more often goes before what was lost once", () => {
    const [a, b] = [makePath(0), makePath(1)];
    const bench = new Bench(a, b);
    const [once, twice, thrice] = [bench.sent(), bench.sent(), bench.sent()];
    bench.lost(once, a, 1);
    bench.lost(twice, a, 2);
    bench.lost(thrice, a, 3);
    expect([bench.take(b), bench.take(b), bench.take(b)]).toEqual([twice, thrice, once]);
  });

  test("and when the other carries nothing now, and so would not take it", () => {
    const [a, slow] = [makePath(0), makePath(1)];
    const bench = new Bench(a, slow);
    const one = bench.sent();
    bench.lost(one, a, 2);
    slow.carries = false;
    expect(bench.take(a)).toBe(one);
  });

  test("what is too large for a path is left to another, and what is smaller does not wait for that", () => {
    const [narrow, wide] = [makePath(0, { limit: 1300 }), makePath(1)];
    const bench = new Bench(narrow, wide);
    const [large, small] = [bench.sent(LARGE), bench.sent()];
    bench.lost(large, narrow, 1);
    bench.lost(small, narrow, 1);
    expect([bench.take(narrow), bench.take(narrow)]).toEqual([small, -1]);
    // It cannot send now.
    wide.blockedUntil = 1;
    expect(bench.take(narrow)).toBe(large);
  });

  test("what has arrived meanwhile leaves no more, and what was lost four times has expired", () => {
    const a = makePath(0);
    const bench = new Bench(a);
    const [arrived, lost, next] = [bench.sent(), bench.sent(), bench.sent()];
    bench.lost(arrived, a, 1);
    bench.resends.onDelivered(arrived);
    bench.lost(lost, a, 4);
    bench.lost(next, a, 1);
    expect([bench.take(a), bench.take(a)]).toEqual([next, -1]);
    expect(bench.drops.of("expired")).toBe(1);
    expect(bench.ring.kept).toBe(1);
  });

  test.each([
    ["lost twice", SMALL, 2],
    ["larger than it carries", LARGE, 1],
  ])("a path looks at few packets, however many are for another: %s", (_, length, times) => {
    const [a, b] = [makePath(0, { limit: 1300 }), makePath(1)];
    const bench = new Bench(a, b);
    const positions = Array.from({ length: 2000 }, () => bench.sent(length));
    for (const position of positions) bench.lost(position, a, times);
    bench.ring.looks = 0;
    for (let i = 0; i < 1000; i++) expect(bench.take(a)).toBe(-1);
    expect(bench.ring.looks).toBeLessThan(4000);
    expect(positions.map(() => bench.take(b))).toEqual(positions);
  });
});
