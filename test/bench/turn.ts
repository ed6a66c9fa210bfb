/**
 * One measurement at a time on this machine: whoever runs these benchmarks or the tests in network namespaces, which
 * take the same lock. Two busy processes on two cores cost a flow over two paths a sixth of its rate.
 */
import { setPriority } from "node:os";
import { LabProcess } from "../../src/lab/process.ts";

const BEFORE_OTHER_WORK = -20;

/** For this process and all that it starts. Without the right to it, the figures are only worse on a busy machine. */
export function takePriority(): void {
  try {
    setPriority(BEFORE_OTHER_WORK);
  } catch {
    // As said.
  }
}

/** Waits until nobody else measures, and keeps others waiting during `body`. */
export async function inTurn<Result>(body: () => Promise<Result>): Promise<Result> {
  // The kernel gives the lock back when this process is gone, whatever ended it.
  const lock = new LabProcess("flock", ["flock", "--no-fork", "/dev/net/tun", "sh", "-c", "echo mine; cat"]);
  await lock.nextLine();
  try {
    return await body();
  } finally {
    lock.closeInput();
    await lock.exited;
  }
}
