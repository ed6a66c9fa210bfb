/** How exact the emulated lines were during a measurement: on a busy machine they, too, come late. */
import type { Lab } from "../../src/lab/topology.ts";

/** Runs `body`; `lateMs` is by how much 99 of 100 packets at most left the emulator later than the line's model says. */
export async function withLateness<Result>(
  lab: Lab,
  body: () => Promise<Result>,
): Promise<{ result: Result; lateMs: number }> {
  // Every question begins a new distribution.
  await lab.lineStats();
  const result = await body();
  return { result, lateMs: (await lab.lineStats()).latenessMicros.p99 / 1000 };
}
