import { afterAll, describe, expect, test } from "bun:test";
import { seededRandom } from "../../src/lab/random.ts";
import { Bell, type Waker } from "../../src/share/bell.ts";
import { plainBlock } from "../../src/share/block.ts";
import { Lane, type Shape } from "../../src/share/lane.ts";
import { EventFd } from "../../src/sys/eventfd.ts";
import type { Job, Outcome } from "./laneworker.ts";

const SHAPE: Shape = { slots: 4, words: 2, bytes: 100 };

function makeLane(shape = SHAPE, start = 0): Lane {
  const memory = plainBlock(Lane.bytesFor(shape));
  const control = new Int32Array(memory.bytes.buffer, 0, 48);
  control[0] = control[16] = start | 0;
  return new Lane(memory, shape);
}

class FakeWaker implements Waker {
  readable = false;
  wakes = 0;

  wake(): void {
    this.readable = true;
    this.wakes++;
  }

  clear(): void {
    this.readable = false;
  }
}

function makeBell(waker: Waker): Bell {
  return new Bell(new SharedArrayBuffer(Bell.bytes), waker);
}

test.each([0, 1, 3, 12])("%p slots are refused", (slots) => {
  expect(() => makeLane({ ...SHAPE, slots })).toThrow("power of two");
});

test("a block too small is refused", () => {
  expect(() => new Lane(plainBlock(Lane.bytesFor(SHAPE) - 1), SHAPE)).toThrow("too small");
});

test.each([0, 2 ** 31 - 2, 2 ** 32 - 2])("slots go round in order, from position %p on", (start) => {
  const lane = makeLane(SHAPE, start);
  let [filled, taken] = [0, 0];
  for (let round = 0; round < 7; round++) {
    for (let slot = lane.reserve(); slot !== null; slot = lane.reserve()) {
      slot.words[0] = filled;
      slot.block.bytes.fill(filled);
      slot.endpoint.length = filled++;
      lane.publish();
    }
    expect([lane.room, lane.backlog]).toEqual([0, 4]);
    for (let i = 0; i < 3; i++, taken++) {
      const slot = lane.peek()!;
      expect([slot.words[0], slot.endpoint.length]).toEqual([taken, taken]);
      expect(slot.block.bytes.every((byte) => byte === taken)).toBe(true);
      lane.release();
    }
  }
  expect(filled).toBe(4 + 6 * 3);
});

test("slots do not overlap each other or the lane's own words", () => {
  const lane = makeLane();
  for (let i = 1; i <= 4; i++) {
    const { words, block, endpoint } = lane.reserve()!;
    words.fill(i);
    block.bytes.fill(i);
    endpoint.block.bytes.fill(i);
    lane.publish();
  }
  for (let i = 1; i <= 4; i++) {
    const { words, block, endpoint } = lane.peek()!;
    expect([...words]).toEqual([i, i]);
    for (const { bytes } of [block, endpoint.block]) expect(bytes.every((byte) => byte === i)).toBe(true);
    lane.release();
  }
});

describe("the bell", () => {
  test("wakes once until it is hushed", () => {
    const waker = new FakeWaker();
    const bell = makeBell(waker);
    for (let i = 0; i < 3; i++) bell.ring();
    expect(waker.wakes).toBe(1);
    bell.hush();
    expect(waker.readable).toBe(false);
    bell.ring();
    expect([waker.readable, waker.wakes]).toEqual([true, 2]);
  });

  test("rings on when what was hushed may be more than is taken now", () => {
    const lane = makeLane();
    const waker = new FakeWaker();
    const bell = makeBell(waker);
    const publish = () => {
      lane.reserve();
      lane.publish();
      bell.ring();
    };
    // Between the consumer's first look and its hush, two are published, and their rings are hushed.
    waker.clear = () => {
      waker.clear = FakeWaker.prototype.clear;
      publish();
      publish();
      waker.clear();
    };
    expect(lane.next(bell)).not.toBeNull();
    lane.release();
    // The consumer stops here, for others to have their turn.
    expect(waker.readable).toBe(true);
  });

  test("is asked for when there is no room, and only then", () => {
    const lane = makeLane();
    for (let i = 0; i < 4; i++) lane.publish();
    expect(lane.waitForRoom()).toBe(true);
    expect([lane.release(), lane.release()]).toEqual([true, false]);
    expect(lane.waitForRoom()).toBe(false);
  });
});

/**
 * Both threads on one: before every atomic operation of either, the other may have a turn of its own. What is played by
 * seed is not all there is between real threads, but it finds what is wrong every time.
 */
describe("schedules by seed", () => {
  const real = { load: Atomics.load, store: Atomics.store, exchange: Atomics.exchange };
  type Hooked = Record<keyof typeof real, (...args: never[]) => unknown>;

  function play(seed: number, packets: number): void {
    const random = seededRandom(seed);
    const draw = (below: number) => Math.floor(random() * below);
    const lane = makeLane({ ...SHAPE, slots: draw(2) === 0 ? 2 : 4 }, draw(2) === 0 ? 0 : 2 ** 31 - 9);
    const wakers = { producer: new FakeWaker(), consumer: new FakeWaker() };
    const bells = { producer: makeBell(wakers.producer), consumer: makeBell(wakers.consumer) };
    const asleep = { producer: false, consumer: true };
    let [published, consumed] = [0, 0];

    const actors = {
      /** As a worker receives. */
      producer: () => {
        if (published === packets || (asleep.producer && !wakers.producer.readable)) return;
        if (wakers.producer.readable) bells.producer.hush();
        asleep.producer = false;
        for (let turns = 1 + draw(4); turns > 0 && published < packets; turns--) {
          const slot = lane.reserve();
          if (slot === null) {
            asleep.producer = lane.waitForRoom();
            if (asleep.producer) return;
            continue;
          }
          slot.words[0] = published++;
          lane.publish();
          bells.consumer.ring();
        }
      },
      /** As the portal's thread does. */
      consumer: () => {
        if (asleep.consumer && !wakers.consumer.readable) return;
        asleep.consumer = false;
        for (let turns = 1 + draw(4); turns > 0; turns--) {
          const slot = lane.next(bells.consumer);
          if (slot === null) {
            asleep.consumer = true;
            return;
          }
          if (slot.words[0] !== consumed++) throw new Error(`seed ${seed}: out of order`);
          if (lane.release()) bells.producer.ring();
        }
        // More may wait; as in the loop, it is looked at only when the bell's descriptor is readable.
        asleep.consumer = true;
      },
    };

    let running: keyof typeof actors | null = null;
    const turn = (name: keyof typeof actors): void => {
      const before: keyof typeof actors | null = running;
      running = name;
      actors[name]();
      running = before;
    };
    let depth = 0;
    const preempt = (): void => {
      if (depth > 0 || draw(4) !== 0) return;
      depth++;
      turn(running === "producer" ? "consumer" : "producer");
      depth--;
    };
    const hooked = Atomics as unknown as Hooked;
    for (const name of Object.keys(real) as (keyof typeof real)[]) {
      hooked[name] = (...args) => {
        preempt();
        return (real[name] as (...all: never[]) => unknown)(...args);
      };
    }
    try {
      for (let idle = 0; consumed < packets; idle++) {
        const before = published + consumed;
        turn(draw(2) === 0 ? "producer" : "consumer");
        if (published + consumed > before) idle = 0;
        if (idle > 200) throw new Error(`seed ${seed}: both sleep, ${consumed} of ${packets} have come`);
      }
    } finally {
      Object.assign(Atomics, real);
    }
  }

  test("nothing is lost, nobody sleeps for ever", () => {
    for (let seed = 1; seed <= 3000; seed++) play(seed, 60);
  });
});

/** By hand for as long as you like: LANE_SECONDS=300 bun test test/share/lane.test.ts */
const SECONDS = Number(process.env.LANE_SECONDS ?? 12);

describe("over threads", () => {
  const workers: Worker[] = [];
  afterAll(() => {
    for (const worker of workers) worker.terminate();
  });

  async function hire(): Promise<Worker> {
    const worker = new Worker(new URL("./laneworker.ts", import.meta.url).href);
    workers.push(worker);
    await new Promise((resolve) => (worker.onmessage = resolve));
    return worker;
  }

  function work(worker: Worker, job: Job): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      worker.onmessage = ({ data }) => resolve(data as Outcome);
      worker.onerror = ({ message }) => reject(new Error(message));
      worker.postMessage(job);
    });
  }

  test(
    "none torn, none lost, no wake-up lost, whatever the pauses",
    async () => {
      const [producer, consumer] = [await hire(), await hire()];
      const fds = [new EventFd(), new EventFd()];
      const until = Bun.nanoseconds() + SECONDS * 1e9;
      for (let seed = 1; Bun.nanoseconds() < until; seed++) {
        const shape = { slots: 2 ** (1 + (seed % 4)), words: 8, bytes: 2048 };
        const job = {
          seed,
          shape,
          packets: 4000,
          memory: new SharedArrayBuffer(Lane.bytesFor(shape)),
          bells: fds.map(({ fd }) => ({ memory: new SharedArrayBuffer(Bell.bytes), fd })),
        };
        const outcomes = await Promise.all([
          work(producer, { ...job, role: "producer" }),
          work(consumer, { ...job, role: "consumer" }),
        ]);
        expect({ seed, outcomes }).toEqual({
          seed,
          outcomes: [
            { torn: 0, missed: 0 },
            { torn: 0, missed: 0 },
          ],
        });
      }
      for (const fd of fds) fd.close();
    },
    (SECONDS + 60) * 1000,
  );
});
