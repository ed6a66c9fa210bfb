import { expect, test } from "bun:test";
import { Fixed } from "../../src/proto/fixed.ts";

test("keeps its rate whatever is lost", () => {
  const fixed = new Fixed(1_000_000);
  for (let i = 0; i < 50; i++) fixed.onLost(i, 1452, i);
  fixed.onTimeout(100);
  expect(fixed.pacingRate()).toBe(1_000_000);
});

test("its window is two round trips of the rate", () => {
  const fixed = new Fixed(1_000_000);
  for (let i = 0; i < 200; i++) fixed.onAcked(i, 1452, 0, 50_000, true);
  expect(fixed.window).toBeCloseTo(100_000, -2);
});

test("a very slow line may still have a few datagrams in flight", () => {
  const fixed = new Fixed(1_000);
  for (let i = 0; i < 200; i++) fixed.onAcked(i, 1452, 0, 10_000, true);
  expect(fixed.window).toBe(20_000);
});

test("samples of no length do not shrink it", () => {
  const fixed = new Fixed(1_000_000);
  const before = fixed.window;
  for (let i = 0; i < 200; i++) fixed.onAcked(i, 1452, 0, 0, true);
  expect(fixed.window).toBe(before);
});
