import { expect, test } from "bun:test";
import { beginnings, bitsBetween, parseRecording } from "./traces.ts";

const here = import.meta.path;
const beside = `${import.meta.dir}/traces.ts`;

test("a recording is one file, or one for each direction", () => {
  expect(parseRecording(here)).toEqual({ up: here, down: here });
  expect(parseRecording(`${here}:${beside}`)).toEqual({ up: here, down: beside });
});

test.each([
  ["", 'UP:DOWN or one file for both, not ""'],
  [`${here}:`, "UP:DOWN or one file"],
  ["a:b:c", "UP:DOWN or one file"],
  [`${here}:nowhere`, "no file nowhere"],
])("%j is refused: %s", (text, message) => {
  expect(() => parseRecording(text)).toThrow(message);
});

test("paths of one recording are far apart in it", () => {
  const [a, b] = [
    { up: "a", down: "A" },
    { up: "b", down: "B" },
  ];
  const seconds = (file: string): number => (file === "a" ? 100 : 60);
  expect(beginnings([a, b], seconds)).toEqual([0, 0]);
  expect(beginnings([a, a], seconds)).toEqual([0, 50]);
  expect(beginnings([b, a, b, b], seconds)).toEqual([0, 0, 20, 40]);
});

test("what a recording carries between two moments, over its end too", () => {
  const trace = new Float64Array([0, 500_000, 2_000_000]);
  expect(bitsBetween(trace, 0, 1)).toBe(12_000);
  expect(bitsBetween(trace, 0, 2)).toBe(36_000);
  expect(bitsBetween(trace, 2, 4)).toBe(36_000);
});
