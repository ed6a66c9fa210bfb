import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Codel, INTERVAL, TARGET } from "../../src/proto/codel.ts";
import { MILLISECOND, SECOND } from "../../src/proto/limits.ts";

const PACKET = 1500;
const LONG = 20 * MILLISECOND;
const START = SECOND;

/** Offers a packet every millisecond that has waited for `sojourn`, with a backlog behind it; the times of the drops. */
function run(codel: Codel, from: number, to: number, sojourn = LONG, queue = 0): number[] {
  const drops: number[] = [];
  for (let now = from; now < to; now += MILLISECOND) {
    // A dropped packet is followed at once by the next.
    for (let more = true; more; ) {
      more = codel.drops(queue, now, sojourn, 100 * PACKET, PACKET);
      if (more) drops.push(now);
    }
  }
  return drops;
}

/** RFC 8289 section 5.3: when the drops of a queue that stays bad come, from the first on. */
function law(first: number, count: number, from = 1): number[] {
  const times = [first];
  for (let i = from; times.length < count; i++) times.push(times.at(-1)! + INTERVAL / Math.sqrt(i));
  return times;
}

describe("RFC 8289", () => {
  test("section 4: 5 ms of target, 100 ms of interval", () => {
    expect([TARGET, INTERVAL]).toEqual([5_000, 100_000]);
    expect(new Codel(1).target).toBe(TARGET);
  });

  test("section 5.4: a wait below the target drops nothing, however long", () => {
    expect(run(new Codel(1), START, START + 10 * SECOND, TARGET - 1)).toEqual([]);
  });

  test("section 5.4: nothing is dropped before the wait has been above the target for an interval", () => {
    const codel = new Codel(1);
    expect(run(codel, START, START + INTERVAL, TARGET)).toEqual([]);
    expect(codel.drops(0, START + INTERVAL, TARGET, 100 * PACKET, PACKET)).toBe(true);
  });

  test("section 5.4: one packet below the target begins the interval anew", () => {
    const codel = new Codel(1);
    run(codel, START, START + 90 * MILLISECOND);
    expect(codel.drops(0, START + 95 * MILLISECOND, TARGET - 1, 100 * PACKET, PACKET)).toBe(false);
    const again = START + 96 * MILLISECOND;
    expect(run(codel, again, again + INTERVAL)).toEqual([]);
    expect(run(codel, again + INTERVAL, again + INTERVAL + 1)).toEqual([again + INTERVAL]);
  });

  test("section 5.4: the last packet of a queue is never dropped", () => {
    const codel = new Codel(1);
    for (let now = START; now < START + SECOND; now += MILLISECOND)
      expect(codel.drops(0, now, LONG, PACKET, PACKET)).toBe(false);
  });

  test("section 5.3: the distance of drops shrinks with the inverse square root of their number", () => {
    const drops = run(new Codel(1), START, START + 1500 * MILLISECOND);
    const want = law(START + INTERVAL, drops.length);
    expect(drops.length).toBeGreaterThan(40);
    // Packets come every millisecond, the law's times fall in between.
    for (const [i, at] of drops.entries()) {
      expect(at).toBeGreaterThanOrEqual(want[i]!);
      expect(at).toBeLessThan(want[i]! + MILLISECOND);
    }
    expect(drops.slice(0, 5).map((at) => (at - START) / MILLISECOND)).toEqual([100, 200, 271, 329, 379]);
  });

  test("section 5.5: a wait below the target ends the dropping; after that an interval must pass again", () => {
    const codel = new Codel(1);
    run(codel, START, START + SECOND);
    const good = START + SECOND;
    expect(codel.drops(0, good, TARGET - 1, 100 * PACKET, PACKET)).toBe(false);
    expect(run(codel, good + 1, good + INTERVAL)).toEqual([]);
    expect(run(codel, good + 1 + INTERVAL, good + 2 + INTERVAL).length).toBe(1);
  });

  test("section 5.5: dropping begins again at the rate it had, if that was a moment ago", () => {
    const codel = new Codel(1);
    const before = run(codel, START, START + SECOND).length;
    const good = START + SECOND;
    codel.drops(0, good, 0, 100 * PACKET, PACKET);
    const first = good + MILLISECOND + INTERVAL;
    const drops = run(codel, good + MILLISECOND, first + 100 * MILLISECOND);
    expect(drops[0]).toBe(first);
    // The number of drops less the one that the last state began with.
    const want = law(first, 4, before - 1);
    expect(drops[1]! - want[1]!).toBeLessThan(MILLISECOND);
    expect(drops[3]! - want[3]!).toBeLessThan(MILLISECOND);
    expect(drops[3]!).toBeGreaterThanOrEqual(want[3]!);
  });

  test("section 5.5: after 16 intervals without a drop it begins at one per interval", () => {
    const codel = new Codel(1);
    run(codel, START, START + SECOND);
    codel.drops(0, START + SECOND, 0, 100 * PACKET, PACKET);
    const later = START + SECOND + 17 * INTERVAL;
    const drops = run(codel, later, later + 3 * INTERVAL);
    expect(drops.slice(0, 2)).toEqual([later + INTERVAL, later + 2 * INTERVAL]);
  });

  test("section 5.4: an empty queue ends the dropping, and the interval", () => {
    const codel = new Codel(1);
    run(codel, START, START + SECOND);
    codel.onEmpty(0);
    expect(run(codel, START + SECOND, START + SECOND + INTERVAL)).toEqual([]);
    run(codel, START + 3 * SECOND, START + 3 * SECOND + 90 * MILLISECOND);
    codel.onEmpty(0);
    expect(run(codel, START + 3 * SECOND + 91 * MILLISECOND, START + 3 * SECOND + 190 * MILLISECOND)).toEqual(
      [],
    );
  });
});

test("each queue has a state of its own", () => {
  const codel = new Codel(3);
  const alone = run(codel, START, START + SECOND, LONG, 1);
  expect(run(codel, START, START + SECOND, LONG, 2)).toEqual(alone);
  expect(run(codel, START, START + SECOND, 0, 0)).toEqual([]);
  codel.onEmpty(0);
  expect(codel.drops(2, START + SECOND + 100 * MILLISECOND, LONG, 9 * PACKET, PACKET)).toBe(true);
});

test("a larger target lets a longer queue stand", () => {
  const codel = new Codel(1);
  codel.target = LONG + 1;
  expect(run(codel, START, START + SECOND)).toEqual([]);
  codel.target = LONG;
  expect(run(codel, START + SECOND, START + 2 * SECOND).length).toBeGreaterThan(10);
});

/** RFC 8289 section 5.5's state for one queue, over packets that come one at a time; each call is one look at the head. */
class SlowCodel {
  private above = 0;
  private dropping = false;
  private dropNext = 0;
  private count = 0;
  private lastCount = 0;

  drops(now: number, sojourn: number, last: boolean): boolean {
    const good = sojourn < TARGET || last;
    let late = false;
    if (good) this.above = 0;
    else if (this.above === 0) this.above = now + INTERVAL;
    else late = now >= this.above;
    if (!late) {
      this.dropping = false;
      return false;
    }
    if (!this.dropping) {
      const since = this.count - this.lastCount;
      this.count = since > 1 && now - this.dropNext < 16 * INTERVAL ? since : 1;
      this.lastCount = this.count;
      this.dropping = true;
      this.dropNext = now + INTERVAL / Math.sqrt(this.count);
      return true;
    }
    if (now < this.dropNext) return false;
    this.count += 1;
    this.dropNext += INTERVAL / Math.sqrt(this.count);
    return true;
  }
}

test("beside a slow model", () => {
  const stretch = fc.record({
    packets: fc.integer({ min: 1, max: 80 }),
    every: fc.constantFrom(100, 1000, 7000, 200_000),
    sojourn: fc.constantFrom(0, TARGET - 1, TARGET, LONG),
    last: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(stretch, { maxLength: 25 }), (stretches) => {
      const codel = new Codel(2);
      const model = new SlowCodel();
      let now = START;
      for (const { packets, every, sojourn, last } of stretches) {
        for (let i = 0; i < packets; i++) {
          now += every;
          const backlog = last ? PACKET : 2 * PACKET;
          expect(codel.drops(1, now, sojourn, backlog, PACKET)).toBe(model.drops(now, sojourn, last));
        }
      }
    }),
  );
});
