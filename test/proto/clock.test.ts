/** Whether the time of day is believed. */
import { expect, test } from "bun:test";
import { Clock, SETTLED } from "../../src/proto/clock.ts";

const NOVEMBER = Date.UTC(2026, 10, 22);
const SECOND = 1_000_000;

/** Goes on for so many seconds, from a steady and a wall clock; says when it was settled. */
function goesOn(clock: Clock, now: number, wall: number, seconds: number): boolean {
  for (let s = 0; s <= seconds; s++) clock.read(now + s * SECOND, wall + s * 1000);
  return clock.settled;
}

test("a clock that goes on steadily is right after a while", () => {
  const clock = new Clock();
  expect(goesOn(clock, 5 * SECOND, NOVEMBER, SETTLED / SECOND - 1)).toBe(false);
  expect(clock.plausible).toBe(true);
  clock.read(5 * SECOND + SETTLED, NOVEMBER + SETTLED / 1000);
  expect(clock.settled).toBe(true);
  expect(clock.wall).toBe(NOVEMBER + SETTLED / 1000);
});

test("1970 is never right, however long it lasts", () => {
  const clock = new Clock();
  expect(goesOn(clock, 0, 0, 4000)).toBe(false);
  expect(clock.plausible).toBe(false);
});

test.each([
  ["ahead", 20_000],
  ["back", -20_000],
  ["a year ahead", 365 * 86_400_000],
])("a jump %s makes it wait again", (_, jump) => {
  const clock = new Clock();
  expect(goesOn(clock, 0, NOVEMBER, 400)).toBe(true);
  clock.read(401 * SECOND, NOVEMBER + 401_000 + jump);
  expect(clock.settled).toBe(false);
  expect(goesOn(clock, 402 * SECOND, NOVEMBER + 402_000 + jump, 298)).toBe(false);
  expect(goesOn(clock, 701 * SECOND, NOVEMBER + 701_000 + jump, 0)).toBe(true);
});

test("a time service that slews, and a portal that had no processor for a minute, disturb nothing", () => {
  const clock = new Clock();
  goesOn(clock, 0, NOVEMBER, 400);
  for (let s = 401; s < 5000; s++) {
    clock.read(s * SECOND, NOVEMBER + s * 1000 + (s - 400) * 5);
    expect(clock.settled).toBe(true);
  }
  clock.read(5060 * SECOND, NOVEMBER + 5_060_000 + 4600 * 5);
  expect(clock.settled).toBe(true);
});
