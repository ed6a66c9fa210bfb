/**
 * The memory that the program's own file and its libraries take in this process. Of machine code and constants the kernel
 * has mapped 50 MB by the time a portal runs: what its start has used, and around each page of it fifteen more. Most of it
 * is not used again. What is given back stays in the kernel's cache as long as there is memory for it, and is mapped anew,
 * 64 KB at a time, when it is used.
 */
import type { Pointer } from "bun:ffi";
import { readFileSync } from "node:fs";
import { libc } from "./libc.ts";

const MADV_DONTNEED = 4;
const SYSTEM_PAGE = libc.getpagesize();
/** A file's mapping that nobody may write to, and the lines about it. */
const MAPPING = /^([0-9a-f]+)-([0-9a-f]+) r-[-x]p \S+ \S+ \d+ *\/.*\n((?:[A-Z].*\n)*)/gm;

interface Range {
  readonly from: number;
  readonly bytes: number;
}

export class ProgramMemory {
  private readonly ranges: readonly Range[];

  /** `smaps`: what this process has mapped, as proc(5) shows it. */
  constructor(smaps = mapped()) {
    this.ranges = untouched(smaps);
  }

  /** Bytes of files that are mapped now: those, and the little that is not to be given back. 0: this kernel does not say. */
  get resident(): number {
    try {
      // proc(5), statm: size, resident, shared.
      return Number(readFileSync("/proc/self/statm", "utf8").split(" ")[2]) * SYSTEM_PAGE;
    } catch {
      return 0;
    }
  }

  /** Gives it all back. A kernel that refuses changes nothing. */
  release(): void {
    for (const { from, bytes } of this.ranges) libc.madvise(from as Pointer, bytes, MADV_DONTNEED);
  }
}

function mapped(): string {
  try {
    return readFileSync("/proc/self/smaps", "utf8");
  } catch {
    // A kernel without this list: nothing is given back.
    return "";
  }
}

/**
 * Where files are mapped as they are: nobody may write there, and nobody has. What the loader has changed is anonymous, or
 * in swap.
 */
export function untouched(smaps: string): Range[] {
  const found: Range[] = [];
  for (const [, from, to, fields] of smaps.matchAll(MAPPING)) {
    const start = Number.parseInt(from!, 16);
    const own = ["Anonymous", "Swap"].every((name) => new RegExp(`^${name}: +0 kB$`, "m").test(fields!));
    if (own) found.push({ from: start, bytes: Number.parseInt(to!, 16) - start });
  }
  return found;
}
