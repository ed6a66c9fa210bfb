import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  MAX_ACK_DELAY,
  MAX_ACK_RANGES,
  MAX_NACKS,
  NACK_AFTER,
  REPLAY_WINDOW,
} from "../../src/proto/limits.ts";
import { Reception } from "../../src/proto/reception.ts";
import { ReplayWindow } from "../../src/proto/replay.ts";
import { plainBlock } from "../../src/share/block.ts";
import { ackIsWhole } from "../../src/wire/ack.ts";

const RTT = 40_000;
const block = plainBlock(600);

interface Read {
  readonly largest: number;
  readonly delay: number;
  /** Packet numbers the ranges name. */
  readonly received: readonly number[];
  readonly nacked: readonly number[];
}

function readAck(reception: Reception, now: number, room = 512): Read {
  const length = reception.writeAck(now, block, 8, room);
  expect(length).toBeLessThanOrEqual(room);
  expect(ackIsWhole(block, 8, length)).toBe(true);
  const { view, bytes } = block;
  const largest = view.getUint32(8);
  const received: number[] = [];
  const nacked: number[] = [];
  let low = largest - view.getUint16(16);
  for (let n = largest; n >= low; n--) received.push(n);
  let at = 18;
  for (let i = bytes[14]!; i > 0; i--, at += 4) {
    const high = low - 1 - view.getUint16(at);
    low = high - view.getUint16(at + 2) + 1;
    for (let n = high; n >= low; n--) received.push(n);
  }
  for (let i = bytes[15]!; i > 0; i--, at += 4) {
    const first = largest - view.getUint16(at);
    for (let n = first; n < first + view.getUint16(at + 2); n++) nacked.push(n);
  }
  return { largest, delay: view.getUint16(12) * 16, received, nacked };
}

function receive(reception: Reception, now: number, ...numbers: number[]): void {
  for (const number of numbers) reception.onPacket(now, number, 100, true);
}

describe("when an acknowledgement is due", () => {
  test("nothing came, or nothing that asks for one: never", () => {
    const reception = new Reception();
    expect(reception.ackAt(RTT)).toBe(Number.POSITIVE_INFINITY);
    reception.onPacket(0, 0, 100, false);
    expect(reception.ackAt(RTT)).toBe(Number.POSITIVE_INFINITY);
  });

  test("a single packet waits a quarter of the round trip, at most MAX_ACK_DELAY", () => {
    const reception = new Reception();
    receive(reception, 1e6, 0);
    expect(reception.ackAt(8_000)).toBe(1e6 + 2_000);
    expect(reception.ackAt(400_000)).toBe(1e6 + MAX_ACK_DELAY);
  });

  test("two packets wait less, but keep a distance to the acknowledgement before", () => {
    const reception = new Reception();
    receive(reception, 1e6, 0);
    readAck(reception, 1e6);
    receive(reception, 1e6 + 100, 1, 2);
    expect(reception.ackAt(RTT)).toBe(1e6 + RTT / 16);
  });

  test("a hole is told within a millisecond, and so is what fills it", () => {
    const reception = new Reception();
    receive(reception, 1e6, 0);
    readAck(reception, 1e6);
    receive(reception, 1e6 + 10, 2);
    expect(reception.ackAt(RTT)).toBeLessThanOrEqual(1e6 + 1000);
    readAck(reception, 1e6 + 1000);
    receive(reception, 1e6 + 1010, 1);
    expect(reception.ackAt(RTT)).toBeLessThanOrEqual(1e6 + 2000);
  });

  test("a probe hurries it", () => {
    const reception = new Reception();
    receive(reception, 1e6, 0);
    reception.hurry(1e6);
    expect(reception.ackAt(RTT)).toBeLessThanOrEqual(1e6);
  });

  test("writing one resets what waits", () => {
    const reception = new Reception();
    receive(reception, 1e6, 0, 1, 5);
    readAck(reception, 1e6);
    expect(reception.ackAt(RTT)).toBe(Number.POSITIVE_INFINITY);
  });
});

describe("what it says", () => {
  test("ranges of what came, and how long the largest has waited", () => {
    const reception = new Reception();
    receive(reception, 1e6, 0, 1, 4, 5, 6, 9);
    const { largest, delay, received } = readAck(reception, 1e6 + 3_200);
    expect(largest).toBe(9);
    expect(delay).toBe(3_200);
    expect(received).toEqual([9, 6, 5, 4, 1, 0]);
  });

  test("the delay is that of the largest, not of the last", () => {
    const reception = new Reception();
    receive(reception, 1e6, 5);
    receive(reception, 1e6 + 8_000, 3);
    expect(readAck(reception, 1e6 + 9_600).delay).toBe(9_600);
  });

  test("a delay too long for the field is the longest it can say", () => {
    const reception = new Reception();
    receive(reception, 0, 5);
    expect(readAck(reception, 60e6).delay).toBe(0xffff * 16);
  });

  test("with more holes than fit, the newest ranges", () => {
    const reception = new Reception();
    for (let n = 0; n < 1000; n += 2) receive(reception, 0, n);
    const { received } = readAck(reception, 0);
    expect(received.length).toBe(MAX_ACK_RANGES + 1);
    expect(received[0]).toBe(998);
    expect(readAck(reception, 0, 30).received.length).toBe(6);
  });

  test("numbers beyond 32 bits", () => {
    const reception = new Reception();
    receive(reception, 0, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 2);
    const { view, bytes } = block;
    reception.writeAck(0, block, 8, 512);
    expect(view.getUint32(8)).toBe(2);
    expect(bytes[14]).toBe(1);
    expect([view.getUint16(18), view.getUint16(20)]).toEqual([1, 2]);
  });
});

describe("holes given up", () => {
  test("after NACK_AFTER, once later packets came", () => {
    const reception = new Reception();
    receive(reception, 1e6, 0);
    expect(reception.nackAt).toBe(Number.POSITIVE_INFINITY);
    receive(reception, 1e6 + 5, 3, 4);
    expect(reception.nackAt).toBe(1e6 + 5 + NACK_AFTER);
    reception.onTimeout(1e6 + 4 + NACK_AFTER);
    expect(readAck(reception, 1e6).nacked).toEqual([]);
    reception.onTimeout(1e6 + 5 + NACK_AFTER);
    expect(reception.ackAt(RTT)).toBeLessThan(1e6 + 1000 + NACK_AFTER);
    expect(readAck(reception, 2e6).nacked).toEqual([1, 2]);
    expect(reception.nackAt).toBe(Number.POSITIVE_INFINITY);
  });

  test("a hole that is filled in time is not named", () => {
    const reception = new Reception();
    receive(reception, 0, 0, 2);
    receive(reception, 50_000, 1);
    expect(reception.nackAt).toBe(Number.POSITIVE_INFINITY);
    reception.onTimeout(1e6);
    expect(readAck(reception, 1e6).nacked).toEqual([]);
  });

  test("holes that opened later wait for their own time", () => {
    const reception = new Reception();
    receive(reception, 0, 0, 2);
    receive(reception, 60_000, 4);
    reception.onTimeout(NACK_AFTER);
    expect(readAck(reception, NACK_AFTER).nacked).toEqual([1]);
    expect(reception.nackAt).toBeGreaterThanOrEqual(60_000 + NACK_AFTER);
  });

  test("at most MAX_NACKS, the newest", () => {
    const reception = new Reception();
    receive(reception, 0, 0, 100);
    for (let n = 2; n < 100; n += 2) receive(reception, 0, n);
    reception.onTimeout(NACK_AFTER);
    const { nacked } = readAck(reception, NACK_AFTER);
    expect(nacked.length).toBe(MAX_NACKS);
    expect(nacked).toContain(99);
  });
});

/** The ranges of an acknowledgement, as one that looks at every packet number of the window writes them. */
function slowRanges(window: ReplayWindow): number[] {
  const { largest, lowest } = window;
  const has = (number: number) => number >= lowest && window.has(number);
  let at = largest - 1;
  while (has(at)) at--;
  const fields = [largest - 1 - at];
  while (fields.length <= 2 * MAX_ACK_RANGES) {
    const gapTop = at;
    while (at >= lowest && !has(at)) at--;
    if (at < lowest) break;
    const top = at;
    while (has(at)) at--;
    fields.push(gapTop - top, top - at);
  }
  return fields;
}

function rangesOf(reception: Reception, now: number): number[] {
  reception.writeAck(now, block, 8, 512);
  const { view, bytes } = block;
  const further = Array.from({ length: 2 * bytes[14]! }, (_, i) => view.getUint16(18 + 2 * i));
  return [view.getUint16(16), ...further];
}

/** How many words of the window are looked at while `body` runs. */
function looks(body: () => void): number {
  const { down } = ReplayWindow.prototype;
  let count = 0;
  ReplayWindow.prototype.down = function (from, accepted) {
    const found = down.call(this, from, accepted);
    count += Math.floor(Math.max(from, 0) / 32) - Math.floor(Math.max(found, 0) / 32);
    return found;
  };
  try {
    body();
  } finally {
    ReplayWindow.prototype.down = down;
  }
  return count;
}

describe("beside a look at every packet number", () => {
  test("the ranges are the same, whatever is lost, late, given up or beyond the window", () => {
    const step = fc.oneof(
      { weight: 30, arbitrary: fc.constant(1) },
      { weight: 8, arbitrary: fc.integer({ min: -40, max: 5 }) },
      { weight: 2, arbitrary: fc.integer({ min: -REPLAY_WINDOW, max: 300 }) },
      { weight: 1, arbitrary: fc.integer({ min: 1, max: 2 * REPLAY_WINDOW }) },
    );
    const pause = fc.oneof(fc.constant(100), fc.constant(NACK_AFTER / 3));
    const begin = fc.constantFrom(0, 5, 2 ** 32 - 40);
    fc.assert(
      fc.property(begin, fc.array(fc.tuple(step, pause), { maxLength: 150, size: "max" }), (first, steps) => {
        const reception = new Reception();
        reception.window.begin(first);
        let now = 0;
        for (const [move, wait] of steps) {
          now += wait;
          reception.onTimeout(now);
          const number = Math.max(0, reception.window.largest + move);
          if (reception.window.check(number) !== "fresh") continue;
          receive(reception, now, number);
          expect(rangesOf(reception, now)).toEqual(slowRanges(reception.window));
        }
      }),
      { numRuns: 60 },
    );
  });

  test("without loss it does not look at what it has looked at before", () => {
    const reception = new Reception();
    for (let n = 0; n < 2 * REPLAY_WINDOW; n++) receive(reception, n, n);
    expect(looks(() => rangesOf(reception, 0))).toBeLessThanOrEqual(1);
    // A hole that was given up is looked for among what came before it only.
    for (let n = 2 * REPLAY_WINDOW + 1; n < 2 * REPLAY_WINDOW + 4000; n++) receive(reception, 1e6, n);
    reception.onTimeout(1e6 + NACK_AFTER);
    expect(rangesOf(reception, 2e6)).toEqual(slowRanges(reception.window));
    receive(reception, 2e6, 2 * REPLAY_WINDOW + 4000);
    expect(looks(() => rangesOf(reception, 2e6))).toBeLessThan(REPLAY_WINDOW / 32 - 100);
  });
});

describe("beside a set of what came", () => {
  test("an acknowledgement names nothing else, and leaves out only what does not fit", () => {
    const step = fc.oneof(
      { weight: 8, arbitrary: fc.integer({ min: -30, max: 5 }) },
      { weight: 1, arbitrary: fc.integer({ min: 6, max: 3 * REPLAY_WINDOW }) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const reception = new Reception();
        const came = new Set<number>();
        let newest = 0;
        let now = 0;
        for (const move of steps) {
          now += 3_000;
          const number = Math.max(0, newest + move);
          if (reception.window.check(number) !== "fresh") continue;
          newest = Math.max(newest, number);
          came.add(number);
          receive(reception, now, number);
          reception.onTimeout(now);
          expect(reception.nackAt).toBeGreaterThan(now);
        }
        if (came.size === 0) return;
        const { received, nacked, largest } = readAck(reception, now);
        expect(largest).toBe(newest);
        for (const number of received) expect(came.has(number)).toBe(true);
        expect(new Set(received).size).toBe(received.length);
        const known = [...came].filter((number) => number > newest - (REPLAY_WINDOW - 32));
        if (received.length < known.length) expect(block.bytes[14]).toBe(MAX_ACK_RANGES);
        for (const number of nacked) expect(number).toBeLessThan(largest);
      }),
      { numRuns: 200 },
    );
  });
});
