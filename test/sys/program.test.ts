import { expect, test } from "bun:test";
import { ProgramMemory, untouched } from "../../src/sys/program.ts";

test("most of the program goes, all of it still works", () => {
  const memory = new ProgramMemory();
  // What counting uses is mapped again each time.
  expect(memory.resident).toBeGreaterThan(0);
  const before = memory.resident;
  memory.release();
  const after = memory.resident;
  expect(before).toBeGreaterThan(15_000_000);
  expect(after).toBeLessThan(before / 3);
  const text = JSON.stringify({ list: Array.from({ length: 100 }, (_, i) => i ** 2) });
  expect(JSON.parse(text).list[99]).toBe(9801);
  expect(Bun.SHA256.hash(text, "hex")).toHaveLength(64);
  expect("1,234.5").toBe((1234.5).toLocaleString("en"));
  memory.release();
  expect(() => JSON.parse("{")).toThrow();
});

/** Lines of proc(5), smaps. */
function mapping(range: string, rights: string, file: string, anonymous = 0, swap = 0): string {
  return (
    `${range} ${rights} 00000000 fe:00 1234    ${file}\n` +
    `Size: 400 kB\nRss: 300 kB\nAnonymous:    ${anonymous} kB\nSwap:   ${swap} kB\nVmFlags: rd mr mw me\n`
  );
}

test("what is given back is what stands in files just so: nothing that was written, nor is in swap, nor may be written", () => {
  const libc = "/usr/lib/libc.so.6";
  const smaps = [
    mapping("200000-300000", "r--p", "/usr/local/bin/portal"),
    mapping("300000-500000", "r-xp", "/usr/local/bin/portal (deleted)"),
    mapping("500000-501000", "rw-p", "/usr/local/bin/portal"),
    mapping("600000-601000", "rw-p", "[heap]", 4),
    mapping("7f0000000000-7f0000100000", "r-xp", libc),
    mapping("7f0000100000-7f0000101000", "r--p", libc, 4),
    mapping("7f0000101000-7f0000102000", "r--p", libc, 0, 4),
    mapping("7f0000102000-7f0000103000", "---p", libc),
    mapping("7f0000103000-7f0000104000", "rwxp", ""),
    mapping("7f0000104000-7f0000105000", "r--s", "/dev/shm/other"),
    mapping("7ffd00000000-7ffd00001000", "r-xp", "[vdso]"),
    mapping("7ffd00001000-7ffd00002000", "r--p", libc),
  ];
  expect(untouched(smaps.join("")).map(({ from, bytes }) => [from.toString(16), bytes])).toEqual([
    ["200000", 0x100000],
    ["300000", 0x200000],
    ["7f0000000000", 0x100000],
    ["7ffd00001000", 0x1000],
  ]);
  expect(untouched("")).toEqual([]);
});
