/** What processes use: processor time and memory, as the kernel counts them (proc(5)). */
import { readFileSync } from "node:fs";

/** User and system time of all of them (fields 14 and 15 of stat, in hundredths of a second). */
export function cpuSeconds(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => {
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ");
    return sum + (Number(fields[11]) + Number(fields[12])) / 100;
  }, 0);
}

/** Resident memory of the largest of them. */
export function rssMb(pids: readonly number[]): number {
  return Math.max(
    ...pids.map((pid) => {
      const line = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
      return Number(line?.[1] ?? 0) / 1000;
    }),
  );
}
