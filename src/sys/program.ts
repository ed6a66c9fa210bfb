/**
 * The memory that the program's own file takes in this process. Of Bun's machine code and constants the kernel has mapped
 * 43 MB by the time a portal runs: what its start has used, and around each page of it fifteen more. Half of it is not used
 * again. What is given back stays in the kernel's cache as long as there is memory for it, and is mapped anew, 64 KB at a
 * time, when it is used.
 */
import type { Pointer } from "bun:ffi";
import { readFileSync, readlinkSync } from "node:fs";
import { libc } from "./libc.ts";

const MADV_DONTNEED = 4;

interface Range {
  readonly from: number;
  readonly bytes: number;
}

export class ProgramMemory {
  private readonly ranges = untouched();

  /** Gives it all back. A kernel that refuses changes nothing. */
  release(): void {
    for (const { from, bytes } of this.ranges) libc.madvise(from as Pointer, bytes, MADV_DONTNEED);
  }
}

/** Where the file's machine code is mapped as it is: nobody may write there, and the loader has changed nothing (proc(5), smaps). */
function untouched(): Range[] {
  const found: Range[] = [];
  let file: string;
  let maps: string;
  try {
    file = readlinkSync("/proc/self/exe");
    maps = readFileSync("/proc/self/smaps", "utf8");
  } catch {
    // A kernel without this list: nothing is given back.
    return found;
  }
  let range: Range | null = null;
  for (const line of maps.split("\n")) {
    const header = /^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \d+ *(.*)$/.exec(line);
    if (header !== null) {
      const from = Number.parseInt(header[1]!, 16);
      const readOnly = /^r-xp$/.test(header[3]!) && header[4] === file;
      range = readOnly ? { from, bytes: Number.parseInt(header[2]!, 16) - from } : null;
    } else if (range !== null && /^Anonymous: +0 kB/.test(line)) found.push(range);
  }
  return found;
}
