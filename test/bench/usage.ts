/** What processes use: processor time and memory, as the kernel counts them (proc(5)). */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";

/** User and system time of all of them (fields 14 and 15 of stat, in hundredths of a second). */
export function cpuSeconds(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + secondsOf(`/proc/${pid}/stat`), 0);
}

/** The same of each of their threads. */
export function threadSeconds(pids: readonly number[]): Map<string, number> {
  const tasks = pids.flatMap((pid) =>
    readdirSync(`/proc/${pid}/task`).map((id) => `/proc/${pid}/task/${id}/stat`),
  );
  return new Map(tasks.map((task) => [task, secondsOf(task)]));
}

/** What the thread that was busiest between two looks has used. */
export function busiestSeconds(
  before: ReadonlyMap<string, number>,
  after: ReadonlyMap<string, number>,
): number {
  return Math.max(...[...after].map(([task, seconds]) => seconds - (before.get(task) ?? 0)));
}

function secondsOf(stat: string): number {
  const fields = readFileSync(stat, "utf8").split(") ")[1]!.split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Resident memory of the largest of them. */
export function rssMb(pids: readonly number[]): number {
  return Math.max(...pids.map((pid) => memoryMb(pid, "VmRSS")));
}

/** And the most that one has had since `countMostAnew`. */
export function mostRssMb(pids: readonly number[]): number {
  return Math.max(...pids.map((pid) => memoryMb(pid, "VmHWM")));
}

export function countMostAnew(pids: readonly number[]): void {
  for (const pid of pids) writeFileSync(`/proc/${pid}/clear_refs`, "5");
}

/** The kernel's kB are KiB. */
export function memoryMb(pid: number, what: "VmRSS" | "VmHWM"): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return (Number(new RegExp(`^${what}:\\s+(\\d+) kB`, "m").exec(status)?.[1] ?? 0) * 1024) / 1e6;
}
