import { expect, test } from "bun:test";
import { readFileSync, readlinkSync } from "node:fs";
import { ProgramMemory } from "../../src/sys/program.ts";

/** Kilobytes of the program's file that are mapped and cannot be written to, as the kernel counts them (proc(5)). */
function mapped(): number {
  const file = readlinkSync("/proc/self/exe");
  let sum = 0;
  let counts = false;
  for (const line of readFileSync("/proc/self/smaps", "utf8").split("\n")) {
    if (/^[0-9a-f]+-/.test(line)) counts = / r-[-x]p /.test(line) && line.endsWith(file);
    else if (counts) sum += Number(/^Rss: +(\d+) kB/.exec(line)?.[1] ?? 0);
  }
  return sum;
}

test("most of the program's file goes, all of it still works", () => {
  const memory = new ProgramMemory();
  // What counting uses is mapped again each time.
  mapped();
  const before = mapped();
  memory.release();
  const after = mapped();
  expect(before).toBeGreaterThan(15_000);
  expect(after).toBeLessThan(before / 2);
  const text = JSON.stringify({ list: Array.from({ length: 100 }, (_, i) => i ** 2) });
  expect(JSON.parse(text).list[99]).toBe(9801);
  expect(Bun.SHA256.hash(text, "hex")).toHaveLength(64);
  expect("1,234.5").toBe((1234.5).toLocaleString("en"));
  memory.release();
  expect(() => JSON.parse("{")).toThrow();
});
