import { expect, test } from "bun:test";
import { normal, seededRandom } from "../../src/lab/random.ts";

test("the same seed gives the same numbers, another seed others", () => {
  const numbers = (seed: number) => Array.from({ length: 8 }, seededRandom(seed));
  expect(numbers(42)).toEqual(numbers(42));
  expect(numbers(42)).not.toEqual(numbers(43));
  expect(numbers(1)).not.toEqual(numbers(1 + 2 ** 32));
});

test("numbers spread evenly over 0..1, and neighbouring seeds are unrelated", () => {
  const buckets = new Array<number>(10).fill(0);
  for (let seed = 0; seed < 10_000; seed++) buckets[Math.floor(seededRandom(seed)() * 10)]!++;
  // Four standard deviations of a bucket of 1,000.
  for (const count of buckets) expect(Math.abs(count - 1000)).toBeLessThan(120);
});

test("normal numbers have mean 0 and deviation 1", () => {
  const random = seededRandom(5);
  const numbers = Array.from({ length: 20_000 }, () => normal(random));
  const mean = numbers.reduce((sum, each) => sum + each, 0) / numbers.length;
  const variance = numbers.reduce((sum, each) => sum + each ** 2, 0) / numbers.length;
  expect(Math.abs(mean)).toBeLessThan(0.03);
  expect(Math.abs(variance - 1)).toBeLessThan(0.05);
});
