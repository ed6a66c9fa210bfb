import { expect, test } from "bun:test";
import fc from "fast-check";
import { parseTrace, traceFrom } from "../../src/lab/trace.ts";

test("a trace is milliseconds, one opportunity a line", () => {
  expect([...parseTrace("0\n0\n7\r\n12\n")]).toEqual([0, 0, 7000, 12_000]);
  expect([...parseTrace("5")]).toEqual([5000]);
});

test.each([
  ["", "at least one time above 0"],
  ["0\n0\n", "at least one time above 0"],
  ["1\n\n2\n", "line 2: expected a number"],
  ["1\nx\n", "line 2: expected a number"],
  ["1\n-2\n", "line 2: expected a number"],
  ["5\n4\n", "line 2: 4 ms comes after 5 ms"],
])("%j is refused: %s", (text, message) => {
  expect(() => parseTrace(text)).toThrow(message);
});

test("any text is a trace or a RangeError", () => {
  const text = fc.oneof(
    fc.string(),
    fc.array(fc.oneof(fc.nat(99).map(String), fc.string({ maxLength: 2 }))).map((all) => all.join("\n")),
  );
  fc.assert(
    fc.property(text, (any) => {
      try {
        const times = parseTrace(any);
        expect(times.every((time, i) => time >= (times[i - 1] ?? 0))).toBe(true);
      } catch (error) {
        expect(error).toBeInstanceOf(RangeError);
      }
    }),
  );
});

test("a trace goes on from any moment, and from its end again", () => {
  const trace = parseTrace("1\n1\n4\n9\n10\n");
  expect([...traceFrom(trace, 0)]).toEqual([...trace]);
  expect([...traceFrom(trace, 4000)]).toEqual([0, 5000, 6000, 7000, 7000]);
  expect([...traceFrom(trace, 6000)]).toEqual([3000, 4000, 5000, 5000, 8000]);
  expect([...traceFrom(trace, 24_000)]).toEqual([0, 5000, 6000, 7000, 7000]);
});
