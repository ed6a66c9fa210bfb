/** Which paths carry: real paths, whose rate and round-trip time are as the test says. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { INITIAL_RTT, MAX_JOINING, MAX_QUEUED, MILLISECOND, SECOND } from "../../src/proto/limits.ts";
import { Path } from "../../src/proto/path.ts";
import { Scheduler } from "../../src/proto/scheduler.ts";
import { NO_POSITION } from "../../src/proto/sentlog.ts";
import { plainBlock } from "../../src/share/block.ts";
import { Endpoint } from "../../src/share/endpoint.ts";
import type { DatagramSocket } from "../../src/share/io.ts";
import type { PathStatus } from "../../src/share/status.ts";
import { Steady } from "./steady.ts";

/** Bytes per second: 8 Mbit/s. */
const RATE = 1_000_000;
const RTT = 20 * MILLISECOND;
/** Of a path that is slower, not alike: joins with a queue of 30 ms / 0.85 - 20 ms, 15.29 ms. */
const SLOW = 2 * RTT;
/** Paths of a metric are alike when the difference to the fastest is less: half of it below 4 ms. */
const ALIKE_DIFFERENCE = 8 * MILLISECOND;
/** How long it is judged what is sent: 250 ms while no round trip is above 125 ms. */
const WINDOW = 250 * MILLISECOND;
const STEP = 50 * MILLISECOND;

interface Plan {
  /** The smallest round-trip time, and the smoothed one if that is not the same. */
  readonly rtt?: number;
  readonly srtt?: number;
  /** How much longer than the least its first samples were. */
  readonly spread?: number;
  /** Half of what its samples at rest differ by. */
  readonly swing?: number;
  /** What the congestion control says of that. */
  readonly variation?: number | null;
  readonly rate?: number;
  readonly metric?: number;
  readonly spill?: boolean;
}

function makePath(id: number, plan: Plan): Path {
  const endpoint = () => new Endpoint(plainBlock(Endpoint.size));
  const congestion = new Steady(plan.rate ?? RATE);
  if (plan.variation !== undefined) congestion.variation = plan.variation;
  const path = new Path(
    0,
    {
      id,
      name: String(id),
      metric: plan.metric ?? 0,
      spill: plan.spill ?? false,
      socket: { headerBytes: 28 } as DatagramSocket,
      congestion,
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
  const { rtt } = path.recovery;
  const least = plan.rtt ?? RTT;
  rtt.onSample(0, least, 0);
  for (let i = 0; i < 2; i++) rtt.onSample(0, least + (plan.spread ?? 0), 0);
  const { swing = 0 } = plan;
  for (let i = 1; swing > 0 && i <= 16; i++) rtt.onSample(i * SECOND, least + (i % 2) * 2 * swing, 0, true);
  rtt.srtt = plan.srtt ?? least;
  return path;
}

/** The standard deviation that such a swing, in milliseconds, is taken for: of 16 samples. */
function swinging(swing: number): number {
  return (2 * swing) / 2.27;
}

/** A scheduler, its paths by id, and a clock. */
class Bench {
  readonly paths: Path[];
  readonly order: Path[];
  readonly scheduler: Scheduler;
  now = 1 * SECOND;

  constructor(plans: readonly Plan[]) {
    this.paths = plans.map((plan, id) => makePath(id, plan));
    this.order = [...this.paths];
    this.scheduler = new Scheduler(this.order);
    this.turn(0);
  }

  /** One turn: `sent` bytes leave, then so many wait. */
  turn(waiting: number, sent = 0): boolean {
    this.scheduler.begin();
    this.scheduler.onSent(sent);
    return this.scheduler.decide(this.now, waiting);
  }

  /** So much waits until the next path has joined, which packets reach so much later. */
  joins(waiting: number, later = (SLOW - RTT) / 2): void {
    expect(this.turn(waiting)).toBe(false);
    this.now += later - 1;
    expect(this.turn(waiting)).toBe(false);
    this.now += 1;
    expect(this.turn(waiting)).toBe(true);
  }

  /** For so many windows, at this rate, bytes per second; the queue is empty at times, or never. */
  send(windows: number, rate: number, emptied = true): void {
    for (const end = this.now + windows * WINDOW; this.now < end; ) {
      this.now += STEP;
      this.turn(emptied ? 0 : 1, (rate * STEP) / SECOND);
    }
  }

  /** Ids of the paths that carry. */
  get carrying(): number[] {
    return this.paths.filter((path) => path.carries).map((path) => path.id);
  }

  known(id: number): Steady {
    return this.paths[id]!.recovery.congestion as Steady;
  }

  setRtt(id: number, rtt: number): void {
    this.paths[id]!.recovery.rtt.min = rtt;
    this.paths[id]!.recovery.rtt.srtt = rtt;
  }

  /** So many bytes are under way, which have left now. */
  fly(id: number, bytes: number): void {
    const { log } = this.paths[id]!.recovery;
    log.add(this.now, 0, NO_POSITION, true);
    log.inFlight = bytes;
  }

  reason(id: number): string | null {
    return this.paths[id]!.parking.reason(this.now);
  }
}

/** So many bytes take the first path so long. */
function queue(micros: number, rate = RATE): number {
  return (rate * micros) / SECOND;
}

/** Enough for a path of the round trip SLOW to join, and just too little. */
const LONG = queue(15.4 * MILLISECOND);
const SHORT = queue(15.2 * MILLISECOND);

describe("alike paths", () => {
  test("carry together from the start, whatever is sent, and are never parked", () => {
    const bench = new Bench([{}, { rtt: 27.9 * MILLISECOND }, { rtt: 24 * MILLISECOND }]);
    expect(bench.carrying).toEqual([0, 1, 2]);
    expect(bench.scheduler.joiningQueue).toBe(0);
    for (const [rate, emptied] of [
      [0, true],
      [0.5, true],
      [2.9, false],
      [0.5, false],
      [0.5, true],
    ] as const) {
      bench.send(20, rate * RATE, emptied);
      expect(bench.carrying).toEqual([0, 1, 2]);
      expect(bench.paths.map((path) => bench.reason(path.id))).toEqual([null, null, null]);
    }
    // They do not join either: none is left that could.
    expect(bench.turn(queue(SECOND))).toBe(false);
  });

  test("carry while the others still search", () => {
    const bench = new Bench([{}, {}]);
    bench.known(0).searching = true;
    bench.known(1).searching = true;
    bench.turn(0);
    expect(bench.carrying).toEqual([0, 1]);
  });

  test("are those with half the difference below 4 ms, and of the lowest metric", () => {
    const bench = new Bench([
      {},
      { rtt: 27.9 * MILLISECOND },
      { rtt: 28 * MILLISECOND },
      { metric: 10, spill: true },
    ]);
    expect(bench.carrying).toEqual([0, 1]);
    bench.send(20, 0.5 * RATE);
    expect(bench.carrying).toEqual([0, 1]);
  });

  test("are so by the smallest round-trip time, not by the smoothed one", () => {
    const bench = new Bench([{ srtt: 5 * RTT }, {}, { rtt: SLOW, srtt: RTT }]);
    expect(bench.carrying).toEqual([0, 1]);
  });

  test("pull by the queue in them: the shorter first, by more than a burst", () => {
    const bench = new Bench([{}, {}, { rtt: SLOW }]);
    const pulling = (...inFlight: number[]) => {
      for (const [id, bytes] of inFlight.entries()) bench.fly(id, bytes);
      bench.turn(0);
      // What carries does not depend on the moment.
      expect(bench.order.map((path) => path.id)).toEqual([0, 1, 2]);
      return bench.scheduler.pulling.map((path) => path.id);
    };
    const pipe = (RATE * RTT) / SECOND;
    const burst = (RATE * MILLISECOND) / SECOND;
    expect(pulling(pipe, 0)).toEqual([0, 1]);
    expect(pulling(pipe + burst, 0)).toEqual([0, 1]);
    expect(pulling(pipe + burst + 1, 0)).toEqual([1, 0]);
    expect(pulling(pipe + 3 * burst, pipe + 2 * burst)).toEqual([0, 1]);
    expect(pulling(pipe + 3 * burst + 1, pipe + 2 * burst)).toEqual([1, 0]);
  });

  test("a path whose rate is not known yet has no queue with an initial window in flight", () => {
    const bench = new Bench([{ rate: 1000 }, {}]);
    bench.fly(0, 10 * 1452);
    bench.turn(0);
    expect(bench.scheduler.pulling.map((path) => path.id)).toEqual([0, 1]);
  });

  test("being alike is not handed on: a queue in the second makes the third no better", () => {
    const bench = new Bench([{}, { rtt: 26 * MILLISECOND }, { rtt: 31 * MILLISECOND }]);
    expect(bench.carrying).toEqual([0, 1]);
    bench.fly(1, 10 * RATE);
    for (let i = 0; i < 3; i++) bench.turn(0);
    expect(bench.carrying).toEqual([0, 1]);
  });

  test("stay when a slower one beside them leaves", () => {
    const bench = new Bench([{}, {}, { rtt: SLOW }]);
    // Both count for the queue with which it joins.
    expect(bench.turn(2 * SHORT)).toBe(false);
    bench.joins(2 * LONG);
    bench.send(20, 0);
    expect(bench.carrying).toEqual([0, 1]);
    expect(bench.reason(0)).toBeNull();
    expect(bench.reason(1)).toBeNull();
  });

  test("one that was parked carries at once when it has become alike", () => {
    const bench = new Bench([{}, { rtt: SLOW }]);
    bench.joins(LONG);
    bench.send(3, 0);
    expect(bench.carrying).toEqual([0]);
    expect(bench.reason(1)).toStartWith("parked for 2 s");
    bench.setRtt(1, RTT);
    bench.turn(0);
    expect(bench.carrying).toEqual([0, 1]);
  });

  test("one that no longer is goes on as if it had joined: leaves when needless, and may be parked", () => {
    const bench = new Bench([{}, {}]);
    bench.setRtt(0, 0.5 * RTT);
    bench.turn(0);
    expect(bench.carrying).toEqual([0, 1]);
    bench.send(2, 0.5 * RATE);
    expect(bench.carrying).toEqual([0, 1]);
    bench.send(1, 0.5 * RATE);
    expect(bench.carrying).toEqual([0]);
    expect(bench.reason(1)).toStartWith("parked for 2 s");
  });
});

describe("joining", () => {
  test("at low load one path carries, the fastest, however many slower ones there are", () => {
    const bench = new Bench([{ rtt: 3 * RTT }, { rtt: RTT }, { rtt: 2 * RTT }]);
    expect(bench.carrying).toEqual([1]);
    bench.send(20, 0.5 * RATE);
    expect(bench.carrying).toEqual([1]);
    expect(bench.order.map((path) => path.id)).toEqual([1, 2, 0]);
  });

  test("nothing carries when nothing is up, and nothing is the matter", () => {
    const bench = new Bench([{}, {}]);
    for (const path of bench.paths) path.status = "down";
    expect(bench.turn(queue(SECOND))).toBe(false);
    expect(bench.carrying).toEqual([]);
    expect(bench.scheduler.lowestMetric).toBe(Number.POSITIVE_INFINITY);
    expect(bench.scheduler.joiningQueue).toBe(0);
  });

  test("a burst of less than 1 ms stays; with more an equal path of a higher metric joins, and is told so at once", () => {
    const bench = new Bench([{}, { metric: 10, spill: true }]);
    expect(bench.scheduler.joiningQueue).toBe(1 * MILLISECOND);
    expect(bench.turn(queue(0.9 * MILLISECOND))).toBe(false);
    expect(bench.carrying).toEqual([0]);
    expect(bench.turn(queue(1 * MILLISECOND))).toBe(true);
    expect(bench.carrying).toEqual([0, 1]);
    expect(bench.scheduler.joiningQueue).toBe(0);
    expect(bench.turn(queue(SECOND))).toBe(false);
  });

  test("nothing joins when nothing waits, not even while no rate is known", () => {
    const bench = new Bench([{ rate: 0 }, { rtt: SLOW }]);
    expect(bench.turn(0)).toBe(false);
    bench.joins(1);
  });

  test("each joins by what all those that carry need for the queue", () => {
    const bench = new Bench([{}, { rtt: SLOW, rate: 2 * RATE }, { rtt: SLOW }, { rtt: SLOW }]);
    expect(bench.turn(SHORT)).toBe(false);
    bench.joins(LONG);
    expect(bench.turn(3 * SHORT)).toBe(false);
    bench.joins(3 * LONG);
    expect(bench.turn(4 * SHORT)).toBe(false);
    bench.joins(4 * LONG);
    expect(bench.carrying).toEqual([0, 1, 2, 3]);
  });

  // Round trip of the slower path, its metric, and the queue: (min + half the difference) / 0.85 - min.
  test.each([
    [26, 10, 1],
    [27.9, 10, 1],
    [28, 10, 24 / 0.85 - 20],
    [28, 0, 24 / 0.85 - 20],
    [40, 0, 30 / 0.85 - 20],
    [80, 0, 50 / 0.85 - 20],
    [620, 0, 320 / 0.85 - 20],
  ])(
    "a path of %d ms and metric %d beside one of 20 ms and 0 joins with a queue of %d ms",
    (rtt, metric, wanted) => {
      const bench = new Bench([
        { srtt: 5 * RTT },
        { rtt: rtt * MILLISECOND, srtt: SECOND, metric, spill: true },
      ]);
      expect(bench.scheduler.joiningQueue).toBeCloseTo(wanted * MILLISECOND, 3);
      expect(bench.turn(queue((wanted - 0.1) * MILLISECOND))).toBe(false);
      bench.joins(queue((wanted + 0.1) * MILLISECOND), ((rtt - 20) / 2) * MILLISECOND);
    },
  );

  // What the round trips of both swing by, and the queue: three standard deviations more than the first has, ...
  test.each([
    { first: 0, next: 5, least: 30, sure: 3 * swinging(5) },
    { first: 3, next: 5, least: 30, sure: 3 * (swinging(5) - swinging(3)) },
    { first: 5, next: 3, least: 30, sure: 0 },
    // ... no more than twice as much as its packets are later, ...
    { first: 0, next: 50, least: 30, sure: 20 },
  ])(
    "one that varies by $next ms, beside $first ms, joins with a queue that lasts for its latest packets",
    ({ first, next, least, sure }) => {
      const bench = new Bench([{ swing: first * MILLISECOND }, { rtt: SLOW, swing: next * MILLISECOND }]);
      const wanted = ((least + sure) * MILLISECOND) / 0.85 - 20 * MILLISECOND;
      expect(bench.scheduler.joiningQueue).toBeCloseTo(wanted, 3);
      expect(bench.turn(queue(wanted - 100))).toBe(false);
      bench.joins(queue(wanted + 100));
    },
  );

  test("... nor more than a flow's queue may be", () => {
    const bench = new Bench([{}, { rtt: 140 * MILLISECOND, swing: 60 * MILLISECOND }]);
    expect(bench.scheduler.joiningQueue).toBe(0.75 * MAX_JOINING);
  });

  test("with a quarter of what can wait, a slower path joins, whatever the rate of the first", () => {
    const bench = new Bench([{ rate: 1e9 }, { rtt: SLOW }]);
    bench.joins((MAX_QUEUED / 4) * 1400);
  });

  test("a slower path does not join while one that carries still searches", () => {
    const bench = new Bench([{}, { rtt: RTT + ALIKE_DIFFERENCE }]);
    bench.known(0).searching = true;
    expect(bench.turn(queue(SECOND))).toBe(false);
    bench.known(0).searching = false;
    bench.joins(queue(SECOND), ALIKE_DIFFERENCE / 2);
  });

  test("... unless it is known to carry more", () => {
    const bench = (rate: number) => {
      const made = new Bench([{}, { rtt: SLOW, rate: rate * RATE }]);
      made.known(0).searching = true;
      return made;
    };
    expect(bench(1).turn(queue(SECOND))).toBe(false);
    bench(1.01).joins(queue(SECOND));
  });

  test("a slower path does not join before a queue has stood for as long as packets on it arrive later", () => {
    const bench = new Bench([{}, { rtt: SLOW }]);
    for (let i = 0; i < 5; i++) {
      bench.turn(LONG);
      bench.now += 9 * MILLISECOND;
      expect(bench.turn(LONG)).toBe(false);
      // It was shorter meanwhile.
      expect(bench.turn(SHORT)).toBe(false);
      bench.now += 9 * MILLISECOND;
    }
    bench.joins(LONG);
  });

  test("one after the other, each looked at anew", () => {
    const bench = new Bench([{}, { rtt: 1.9 * RTT }, { rtt: 4 * RTT }]);
    bench.known(1).searching = true;
    bench.joins(queue(SECOND), 9 * MILLISECOND);
    bench.now += SECOND;
    expect(bench.turn(queue(SECOND))).toBe(false);
    expect(bench.carrying).toEqual([0, 1]);
  });

  test("a path whose first samples varied counts as slower by that, until the congestion control knows better", () => {
    const bench = (spread: number) => new Bench([{}, { spread, variation: null }]);
    // Beyond 4 ms, which are the acknowledgements' own.
    expect(bench(11.9 * MILLISECOND).carrying).toEqual([0, 1]);
    expect(bench(12 * MILLISECOND).carrying).toEqual([0]);
    expect(new Bench([{}, { spread: 12 * MILLISECOND }]).carrying).toEqual([0, 1]);
  });

  test("what the congestion control takes for variation is no more than three deviations at rest, and 4 ms", () => {
    const sum = (swing: number) => 3 * swinging(swing) + 4;
    const bench = (swing: number, variation: number) =>
      new Bench([{}, { swing: swing * MILLISECOND, variation: variation * MILLISECOND }]);
    // The later by half of it. With an eighth of it, or 4 ms, nobody knows better.
    expect(bench(0, 50).carrying).toEqual([0]);
    expect(bench(1, 50).carrying).toEqual([0, 1]);
    const wanted = (20 + sum(5) / 2 + 3 * swinging(5)) / 0.85 - 20;
    expect(bench(5, 50).scheduler.joiningQueue).toBeCloseTo(wanted * MILLISECOND, 3);
  });

  test("a path without a sample is not taken for the fastest", () => {
    const bench = new Bench([{}, {}]);
    const { rtt } = bench.paths[0]!.recovery;
    rtt.sampled = false;
    rtt.min = 0;
    rtt.srtt = INITIAL_RTT;
    bench.turn(0);
    expect(bench.order.map((path) => path.id)).toEqual([1, 0]);
  });
});

describe("leaving", () => {
  /** Two paths that carry, one slower, and have for the two windows of grace. */
  function both(): Bench {
    const bench = new Bench([{}, { rtt: SLOW }]);
    bench.joins(LONG);
    bench.send(3, 1.9 * RATE, false);
    expect(bench.carrying).toEqual([0, 1]);
    return bench;
  }

  test("with less than 0.85 of what the other carries needless, but of use before: leaves without being parked, and joins again at once", () => {
    const bench = both();
    bench.send(1, 0.84 * RATE);
    expect(bench.carrying).toEqual([0]);
    expect(bench.reason(1)).toBeNull();
    bench.joins(LONG);
    expect(bench.carrying).toEqual([0, 1]);
  });

  test("stays while it is needed, or while something waits all the time", () => {
    const needed = both();
    needed.send(20, 0.86 * RATE);
    expect(needed.carrying).toEqual([0, 1]);
    const full = both();
    full.send(20, 0.5 * RATE, false);
    expect(full.carrying).toEqual([0, 1]);
  });

  test("has two windows of grace", () => {
    const bench = new Bench([{}, { rtt: SLOW }]);
    bench.joins(LONG);
    bench.send(2, 0);
    expect(bench.carrying).toEqual([0, 1]);
    bench.send(1, 0);
    expect(bench.carrying).toEqual([0]);
  });

  test("each that joins has its own, and its own proof of use", () => {
    const bench = new Bench([{}, { rtt: SLOW }, { rtt: 3 * RTT }]);
    bench.joins(LONG);
    bench.send(4, 2.2 * RATE, false);
    bench.joins(queue(2 * 37.2 * MILLISECOND), RTT);
    bench.send(2, 0);
    expect(bench.carrying).toEqual([0, 1, 2]);
    bench.send(1, 0);
    expect(bench.carrying).toEqual([0, 1]);
    expect(bench.reason(2)).toStartWith("parked");
  });

  test("a window is at least two smoothed round trips of the slowest that carries", () => {
    const bench = new Bench([{}, { rtt: SLOW, srtt: 400 * MILLISECOND }]);
    bench.joins(queue(SECOND));
    // Three of 800 ms.
    bench.send(9, 0);
    expect(bench.carrying).toEqual([0, 1]);
    bench.send(1, 0);
    expect(bench.carrying).toEqual([0]);
  });

  test("the last that joined leaves first", () => {
    const bench = new Bench([{}, { rtt: SLOW }, { rtt: SLOW }]);
    bench.joins(LONG);
    bench.joins(2 * LONG);
    bench.send(3, 2.9 * RATE, false);
    expect(bench.carrying).toEqual([0, 1, 2]);
    bench.send(1, 1.69 * RATE);
    expect(bench.carrying).toEqual([0, 1]);
  });
});

describe("parking", () => {
  /** The second path is the slower. */
  function makeBench(): Bench {
    return new Bench([{}, { rtt: SLOW }]);
  }

  /** The second path joins and is of no use: leaves after three windows. */
  function fail(bench: Bench, later?: number): void {
    bench.joins(LONG, later);
    bench.send(3, 0.84 * RATE);
    expect(bench.carrying).toEqual([0]);
  }

  test("a path that never was of use is parked for 2 s, 4, ... 60, and carries nothing meanwhile", () => {
    const bench = makeBench();
    for (const seconds of [2, 4, 8, 16, 32, 60, 60]) {
      fail(bench);
      expect(bench.reason(1)).toBe(`parked for ${seconds} s: with it, less arrived than without`);
      const { now } = bench;
      bench.now = now + seconds * SECOND - 1;
      expect(bench.turn(queue(SECOND))).toBe(false);
      bench.now = now + seconds * SECOND;
      expect(bench.reason(1)).toBeNull();
    }
  });

  test("one that has little to give is parked for 60 s at once, unless it is still learning how much", () => {
    for (const [rate, searching, seconds] of [
      [0.14, false, 60],
      [0.15, false, 2],
      [0.14, true, 2],
    ] as const) {
      const bench = new Bench([{}, { rtt: SLOW, rate: rate * RATE }]);
      bench.known(1).searching = searching;
      fail(bench);
      expect(bench.reason(1)).toStartWith(`parked for ${seconds} s`);
    }
  });

  test("1.04 times what the others carry is no use, 1.06 is", () => {
    for (const [rate, parked] of [
      [1.04, true],
      [1.06, false],
    ] as const) {
      const bench = makeBench();
      bench.joins(LONG);
      bench.send(3, rate * RATE, false);
      bench.send(1, 0.5 * RATE);
      expect(bench.carrying).toEqual([0]);
      expect(bench.reason(1) !== null).toBe(parked);
    }
  });

  test("once it was of use, the next time is a first time", () => {
    const bench = makeBench();
    fail(bench);
    bench.now += 2 * SECOND;
    fail(bench);
    bench.now += 4 * SECOND;
    bench.joins(LONG);
    bench.send(3, 1.9 * RATE, false);
    bench.send(1, 0.5 * RATE);
    expect(bench.carrying).toEqual([0]);
    expect(bench.reason(1)).toBeNull();
    fail(bench);
    expect(bench.reason(1)).toStartWith("parked for 2 s");
  });

  test.each([
    [27.9, 10, false],
    [28, 10, true],
    [28, 0, true],
  ])(
    "a path of %d ms and metric %d beside one of 20 ms and 0, of no use: parked: %p",
    (rtt, metric, parked) => {
      const bench = new Bench([{}, { rtt: rtt * MILLISECOND, metric, spill: true }]);
      fail(bench, ((rtt - 20) / 2) * MILLISECOND);
      expect(bench.reason(1) !== null).toBe(parked);
    },
  );

  test("one that carries more than the others together leaves, and is not parked", () => {
    for (const [rate, parked] of [
      [1, true],
      [1.01, false],
    ] as const) {
      const bench = new Bench([{}, { rtt: SLOW, rate: rate * RATE }]);
      fail(bench);
      expect(bench.reason(1) !== null).toBe(parked);
    }
  });

  test("a parked path carries when it is the only one", () => {
    const bench = makeBench();
    fail(bench);
    bench.paths[0]!.status = "suspect";
    bench.turn(0);
    expect(bench.carrying).toEqual([1]);
  });
});

describe("the order", () => {
  test("a path goes before another only if its smallest round-trip time is shorter by more than a fifth", () => {
    const bench = new Bench([{}, {}]);
    const ids = () => bench.order.map((path) => path.id);
    const set = (id: number, rtt: number) => {
      bench.paths[id]!.recovery.rtt.min = rtt * MILLISECOND;
      bench.turn(0);
      // Alike, whichever is first.
      expect(bench.carrying).toEqual([0, 1]);
    };
    set(1, 16);
    expect(ids()).toEqual([0, 1]);
    set(1, 15.9);
    expect(ids()).toEqual([1, 0]);
    // And back only by the same.
    set(0, 12.8);
    expect(ids()).toEqual([1, 0]);
    set(0, 12.7);
    expect(ids()).toEqual([0, 1]);
  });

  test("of two that are not alike, the one that has become the faster carries instead", () => {
    const bench = new Bench([{ rtt: SLOW }, { rtt: 2 * SLOW }]);
    expect(bench.carrying).toEqual([0]);
    bench.setRtt(1, 0.5 * SLOW);
    bench.turn(0);
    expect(bench.carrying).toEqual([1]);
  });

  test("what a path has had for twice its round trip and 20 ms is overdue, if another carries", () => {
    const bench = new Bench([{}, {}, { rtt: SLOW }]);
    const first = bench.paths[0];
    const { scheduler } = bench;
    expect(scheduler.overdueAt(bench.now, first!)).toBe(Number.POSITIVE_INFINITY);
    bench.fly(0, 1400);
    const began = bench.now;
    expect(scheduler.overdueAt(bench.now, first!)).toBe(began + 60 * MILLISECOND);
    bench.now += 60 * MILLISECOND - 1;
    expect(scheduler.overdueUntil(bench.now, first!)).toBe(Number.NEGATIVE_INFINITY);
    bench.now += 1;
    expect(scheduler.overdueUntil(bench.now, first!)).toBe(began);
    expect(scheduler.overdueAt(bench.now, first!)).toBe(Number.POSITIVE_INFINITY);
    // One with a queue has something to do.
    const rescuers = (small = false) =>
      bench.paths.slice(0, 2).map((path) => scheduler.mayRescue(path, first!, small));
    expect(rescuers()).toEqual([false, true]);
    bench.fly(1, 0.03 * RATE);
    expect(rescuers()).toEqual([false, false]);
    // What is small leaves by it all the same, as long as it gets there sooner than the others came.
    expect(rescuers(true)).toEqual([false, true]);
    bench.fly(1, RATE);
    expect(rescuers(true)).toEqual([false, false]);
  });

  test("... and when the other would have been there sooner, which costs nothing", () => {
    const bench = new Bench([{}, { rtt: 5 * RTT }]);
    const first = bench.paths[0]!;
    bench.fly(0, 1400);
    const began = bench.now;
    expect(bench.scheduler.overdueAt(began, first)).toBe(Number.POSITIVE_INFINITY);
    bench.joins(queue(SECOND), 2 * RTT);
    expect(bench.scheduler.overdueAt(began, first)).toBe(began + 5 * RTT);
    const dear = new Bench([{}, { metric: 10, spill: true }]);
    dear.turn(queue(SECOND));
    expect(dear.carrying).toEqual([0, 1]);
    const [cheap, expensive] = dear.paths;
    expect(dear.scheduler.mayRescue(expensive!, cheap!, true)).toBe(false);
    expect(dear.scheduler.mayRescue(cheap!, expensive!, true)).toBe(true);
  });

  test("a path that goes down is replaced at once, and carries again when it is back", () => {
    const bench = new Bench([{}, { rtt: 2 * RTT }]);
    bench.paths[0]!.status = "suspect";
    bench.turn(0);
    expect(bench.carrying).toEqual([1]);
    bench.paths[0]!.status = "up";
    bench.turn(0);
    expect(bench.carrying).toEqual([0]);
    for (const path of bench.paths) path.status = "suspect";
    bench.turn(0);
    bench.paths[1]!.status = "up";
    bench.turn(0);
    expect(bench.carrying).toEqual([1]);
  });

  test("of two that carry one goes down: as many carry as before, while there are as many", () => {
    const bench = new Bench([{}, { rtt: SLOW }, { rtt: 2 * SLOW }]);
    bench.joins(LONG);
    expect(bench.carrying).toEqual([0, 1]);
    bench.paths[0]!.status = "down";
    bench.turn(0);
    expect(bench.carrying).toEqual([1, 2]);
    bench.paths[2]!.status = "down";
    bench.turn(0);
    expect(bench.carrying).toEqual([1]);
  });
});

describe("metric and spill", () => {
  test("the lowest metric first, however slow; without spill a higher one never carries beside it", () => {
    const bench = new Bench([{ metric: 10 }, { rtt: 10 * RTT }]);
    expect(bench.carrying).toEqual([1]);
    expect(bench.scheduler.lowestMetric).toBe(0);
    expect(bench.turn(queue(10 * SECOND))).toBe(false);
    bench.paths[1]!.status = "down";
    bench.turn(0);
    expect(bench.carrying).toEqual([0]);
    expect(bench.scheduler.lowestMetric).toBe(10);
  });

  test("with spill it joins by the same rule, after all of a lower metric", () => {
    const bench = new Bench([{ metric: 10, spill: true }, { rtt: 4 * RTT }, { metric: 5 }, {}]);
    expect(bench.carrying).toEqual([3]);
    expect(bench.turn(queue(1 * MILLISECOND))).toBe(false);
    bench.joins(queue(60 * MILLISECOND), 1.5 * RTT);
    expect(bench.carrying).toEqual([1, 3]);
    expect(bench.turn(2 * queue(0.9 * MILLISECOND))).toBe(false);
    expect(bench.turn(2 * queue(1 * MILLISECOND))).toBe(true);
    expect(bench.carrying).toEqual([0, 1, 3]);
    expect(bench.turn(queue(10 * SECOND))).toBe(false);
  });

  test("not before those that carry know their rate, be it as fast as they are", () => {
    const bench = new Bench([{}, { metric: 10, spill: true }]);
    bench.known(0).searching = true;
    expect(bench.turn(queue(SECOND))).toBe(false);
    bench.known(0).searching = false;
    expect(bench.turn(queue(SECOND))).toBe(true);
  });

  test("it leaves when it is needless", () => {
    const bench = new Bench([{}, { metric: 10, spill: true }]);
    expect(bench.turn(queue(1 * MILLISECOND))).toBe(true);
    bench.send(3, 1.9 * RATE, false);
    bench.send(1, 0.86 * RATE);
    expect(bench.carrying).toEqual([0, 1]);
    bench.send(1, 0.84 * RATE);
    expect(bench.carrying).toEqual([0]);
  });
});

test("whatever happens: the best that may carry do, all that are alike, at least one if any is up, never one that is not", () => {
  const id = fc.nat(5);
  const operation = fc.oneof(
    fc.record({ kind: fc.constant("status"), id, to: fc.constantFrom("joining", "up", "suspect", "down") }),
    fc.record({ kind: fc.constant("rtt"), id, to: fc.integer({ min: 100, max: SECOND }) }),
    fc.record({ kind: fc.constant("srtt"), id, to: fc.integer({ min: 100, max: SECOND }) }),
    fc.record({ kind: fc.constant("near"), id, to: fc.integer({ min: RTT - 10_000, max: RTT + 10_000 }) }),
    fc.record({ kind: fc.constant("rate"), id, to: fc.integer({ min: 0, max: 10 * RATE }) }),
    fc.record({ kind: fc.constant("searching"), id, to: fc.boolean() }),
    fc.record({ kind: fc.constant("metric"), id, to: fc.constantFrom(0, 0, 10) }),
    fc.record({ kind: fc.constant("spill"), id, to: fc.boolean() }),
    fc.record({ kind: fc.constant("wait"), id, to: fc.nat(SECOND) }),
  );
  const waits = fc.oneof(fc.constant(0), fc.nat(RATE));
  const steps = fc.array(fc.tuple(operation, fc.nat(RATE), waits), { maxLength: 60 });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 6 }), steps, (count, operations) => {
      const bench = new Bench(new Array<Plan>(count).fill({}));
      for (const [{ kind, id: any, to }, sent, waiting] of operations) {
        const path = bench.paths[any % count]!;
        if (kind === "status") path.status = to as PathStatus;
        else if (kind === "rtt" || kind === "near") bench.setRtt(path.id, to as number);
        else if (kind === "srtt") path.recovery.rtt.srtt = to as number;
        else if (kind === "rate") bench.known(path.id).rate = to as number;
        else if (kind === "searching") bench.known(path.id).searching = to as boolean;
        else if (kind === "metric") path.metric = to as number;
        else if (kind === "spill") path.spill = to as boolean;
        else bench.now += to as number;
        const before = bench.carrying.length;
        const parked = bench.paths.map(({ parking }) => parking.lasts(bench.now));
        bench.scheduler.begin();
        const began = bench.carrying;
        bench.scheduler.onSent(sent);
        const joined = bench.scheduler.decide(bench.now, waiting);
        check(bench);
        // By turns one may join, none that is parked, and one may leave; those that are alike do neither.
        const alike = alikeOf(usableOf(bench));
        expect(began.length).toBeLessThanOrEqual(Math.max(before, alike.length));
        for (const { id: each, parking } of alike) {
          expect(began).toContain(each);
          expect(parking.lasts(bench.now)).toBe(parked[each]!);
        }
        expect(Math.abs(bench.carrying.length - began.length)).toBeLessThanOrEqual(1);
        const fresh = bench.carrying.filter((each) => !began.includes(each));
        if (fresh.length > 0) expect(joined && waiting > 0 && !parked[fresh[0]!]).toBe(true);
      }
    }),
    { numRuns: 500 },
  );
});

/** Those that may carry, best first. */
function usableOf({ order }: Bench): Path[] {
  const up = order.filter((path) => path.status === "up");
  const lowest = Math.min(...up.map((path) => path.metric));
  return up.filter((path) => path.metric === lowest || path.spill);
}

/** The best of them, and those that follow it and are as fast. */
function alikeOf(usable: readonly Path[]): Path[] {
  const first = usable[0];
  const end = usable.findIndex(
    ({ metric, recovery }) =>
      metric !== first!.metric || recovery.rtt.min - first!.recovery.rtt.min >= ALIKE_DIFFERENCE,
  );
  return usable.slice(0, end < 0 ? usable.length : end);
}

function check(bench: Bench): void {
  const { paths, order, carrying } = bench;
  const usable = usableOf(bench);
  expect(carrying.length).toBeGreaterThanOrEqual(Math.min(usable.length, 1));
  expect(carrying.length).toBeGreaterThanOrEqual(alikeOf(usable).length);
  expect(carrying.toSorted()).toEqual(
    usable
      .slice(0, carrying.length)
      .map((path) => path.id)
      .toSorted(),
  );
  expect(order.map((path) => path.id).toSorted()).toEqual(paths.map((path) => path.id));
  for (let i = 1; i < order.length; i++) {
    expect(order[i]!.metric).toBeGreaterThanOrEqual(order[i - 1]!.metric);
  }
}

describe("round trips mislead senders", () => {
  const misleads = (plans: readonly Plan[]): [boolean, boolean] => {
    const { scheduler, now } = new Bench(plans);
    return [scheduler.mayMislead, scheduler.misleads(now)];
  };

  test("not over one path that is steady, but over one that varies", () => {
    expect(misleads([{}])).toEqual([false, false]);
    expect(misleads([{ swing: 10 * MILLISECOND }])).toEqual([true, true]);
  });

  test("over paths whose round trips differ, if not by those of a satellite", () => {
    expect(misleads([{}, {}])).toEqual([true, false]);
    expect(misleads([{}, {}, { rtt: SLOW }])).toEqual([true, true]);
    expect(misleads([{}, { rtt: RTT + 299 * MILLISECOND }])).toEqual([true, true]);
    expect(misleads([{}, { rtt: RTT + 300 * MILLISECOND }])).toEqual([true, false]);
    // A backup does not carry.
    expect(misleads([{}, { rtt: SLOW, metric: 1 }])).toEqual([false, false]);
  });

  test("over paths that are alike for a second after one that carries has lost something", () => {
    const { scheduler, paths, now } = new Bench([{}, {}]);
    paths[1]!.recovery.lostAt = now;
    expect(scheduler.misleads(now + SECOND - 1)).toBe(true);
    expect(scheduler.misleads(now + SECOND)).toBe(false);
  });

  test("where no path is", () => {
    const bench = new Bench([{}]);
    bench.paths[0]!.status = "down";
    bench.turn(0);
    expect(bench.scheduler.mayMislead).toBe(false);
  });
});
