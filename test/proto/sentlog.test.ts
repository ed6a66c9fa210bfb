import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { FREE, LOST, NO_POSITION, OUTSTANDING, SentLog } from "../../src/proto/sentlog.ts";

test("numbers count up from 0, and what is ack-eliciting is outstanding", () => {
  const log = new SentLog();
  expect(log.add(10, 100, 7, true)).toBe(0);
  expect(log.add(20, 50, NO_POSITION, false)).toBe(1);
  expect(log.add(30, 26, NO_POSITION, true)).toBe(2);
  expect([0, 1, 2].map((number) => log.stateOf(number))).toEqual([OUTSTANDING, FREE, OUTSTANDING]);
  expect([log.timeOf(0), log.sizeOf(0), log.positionOf(0)]).toEqual([10, 100, 7]);
  expect(log.inFlight).toBe(126);
  expect(log.oldest).toBe(0);
});

test("settling twice frees the bytes once", () => {
  const log = new SentLog();
  log.add(0, 100, 1, true);
  log.settle(0, LOST);
  log.settle(0, FREE);
  expect(log.inFlight).toBe(0);
  log.advance();
  expect(log.oldest).toBe(1);
});

test("only unsettled packets count for the room", () => {
  const log = new SentLog();
  for (let i = 0; i < 100_000; i++) log.add(i, 30, NO_POSITION, false);
  expect(log.hasRoom).toBe(true);
  expect(log.oldest).toBe(log.next);
  for (let i = 0; i < 65_536; i++) log.add(i, 30, i, true);
  expect(log.hasRoom).toBe(false);
  log.settle(log.oldest, FREE);
  log.advance();
  expect(log.hasRoom).toBe(true);
});

test("is small until much is in flight, and again once little was sent", () => {
  const log = new SentLog();
  expect(log.trim()).toBe(true);
  for (let i = 0; i < 40; i++) log.add(i, 100, i, true);
  for (let i = 0; i < 36; i++) log.settle(i, i % 2 === 0 ? FREE : LOST);
  log.advance();
  // Much was sent since the last call; then little.
  expect(log.trim()).toBe(false);
  log.add(50, 100, 50, true);
  expect(log.trim()).toBe(true);
  expect([36, 37, 38, 39, 40].map((number) => log.positionOf(number))).toEqual([36, 37, 38, 39, 50]);
  expect([36, 40].map((number) => log.stateOf(number))).toEqual([OUTSTANDING, OUTSTANDING]);
  expect([log.oldest, log.outstanding, log.inFlight]).toEqual([36, 5, 500]);
  // It still knows which of the newest were lost.
  expect(log.first).toBe(41 - 32);
  for (let number = log.first; number < 36; number++)
    expect(log.stateOf(number)).toBe(number % 2 === 0 ? FREE : LOST);
});

describe("beside a slow model", () => {
  const step = fc.oneof(
    { weight: 3, arbitrary: fc.record({ add: fc.integer({ min: 1, max: 700 }), eliciting: fc.boolean() }) },
    { weight: 1, arbitrary: fc.record({ trim: fc.constant(true) }) },
    { weight: 2, arbitrary: fc.record({ settle: fc.integer({ min: 0, max: 2000 }), lost: fc.boolean() }) },
  );

  test("every packet it remembers is as it was written, however it grows", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.constantFrom(0, 2 ** 32 - 500), (steps, start) => {
        const log = new SentLog();
        log.next = start;
        log.oldest = start;
        const model = new Map<number, { bytes: number; position: number; state: number }>();
        let now = 0;
        for (const each of steps) {
          if ("add" in each) {
            for (let i = 0; i < each.add; i++, now++) {
              const entry = { bytes: 26 + (now % 1400), position: now * 3 };
              const number = log.add(now, entry.bytes, entry.position, each.eliciting);
              model.set(number, { ...entry, state: each.eliciting ? OUTSTANDING : FREE });
            }
          } else if ("trim" in each) {
            log.trim();
          } else {
            for (let i = 0; i < each.settle; i += 3) {
              const number = log.oldest + i;
              const entry = model.get(number);
              if (entry?.state !== OUTSTANDING) continue;
              log.settle(number, each.lost ? LOST : FREE);
              entry.state = each.lost ? LOST : FREE;
            }
            log.advance();
          }
          let inFlight = 0;
          let oldest = log.next;
          for (const [number, entry] of model) {
            if (entry.state !== OUTSTANDING) continue;
            inFlight += entry.bytes;
            oldest = Math.min(oldest, number);
            expect(log.stateOf(number)).toBe(OUTSTANDING);
            expect(log.sizeOf(number)).toBe(entry.bytes);
            expect(log.positionOf(number)).toBe(entry.position);
          }
          expect(log.inFlight).toBe(inFlight);
          expect(log.oldest).toBeLessThanOrEqual(oldest);
          expect(log.first).toBeLessThanOrEqual(log.oldest);
        }
      }),
      { numRuns: 60 },
    );
  });
});
