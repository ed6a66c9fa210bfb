/** One TCP flow uses the sum of the paths. All figures of one test are of one run. */
import { expect } from "bun:test";
import { measureFlow } from "../../src/lab/measure.ts";
import type { Lab, PathOptions } from "../../src/lab/topology.ts";
import { scenario } from "./scenario.ts";

const SECONDS = 4;

const dsl: PathOptions = { mbit: 50, delayMs: 20 };

/** Goodput of one flow each way, Mbit/s, over these paths. */
async function rates(
  lab: Lab,
  name: string,
  paths: readonly number[],
): Promise<{ up: number; down: number }> {
  await lab.startPortals({ paths });
  const up = (await measureFlow(lab, { direction: "up", seconds: SECONDS })).mbit;
  const down = (await measureFlow(lab, { direction: "down", seconds: SECONDS })).mbit;
  console.log(`${name}: ${up.toFixed(1)} Mbit/s up, ${down.toFixed(1)} down`);
  return { up, down };
}

scenario(import.meta.path, "one flow gets the sum of two paths", { paths: [dsl, dsl] }, async (lab) => {
  const one = await rates(lab, "50 Mbit/s 20 ms", [0]);
  const two = await rates(lab, "50 Mbit/s 20 ms + 50 Mbit/s 20 ms", [0, 1]);
  await lab.line(1).set({ mbit: 20 });
  const unequal = await rates(lab, "50 Mbit/s 20 ms + 20 Mbit/s 20 ms", [0, 1]);
  for (const direction of ["up", "down"] as const) {
    expect(two[direction] / one[direction]).toBeGreaterThanOrEqual(1.7);
    expect(unequal[direction] / one[direction]).toBeGreaterThan(1);
  }
});
