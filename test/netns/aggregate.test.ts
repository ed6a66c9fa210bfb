/** One TCP flow uses the sum of the paths. All figures that are compared are of one run. */
import { expect } from "bun:test";
import { measureFlow } from "../../src/lab/measure.ts";
import type { Lab, PathOptions } from "../../src/lab/topology.ts";
import { scenario } from "./scenario.ts";

const directions = ["up", "down"] as const;

const path: PathOptions = { mbit: 50, delayMs: 20 };

/** Goodput of one flow each way, Mbit/s, over these paths. */
async function measure(
  lab: Lab,
  name: string,
  paths: readonly number[],
  seconds: number,
): Promise<{ up: number; down: number }> {
  await lab.startPortals({ paths });
  const [up, down] = [
    (await measureFlow(lab, { direction: "up", seconds })).mbit,
    (await measureFlow(lab, { direction: "down", seconds })).mbit,
  ];
  console.log(`${name}: ${up.toFixed(1)} Mbit/s up, ${down.toFixed(1)} down`);
  return { up, down };
}

scenario(import.meta.path, "one flow gets the sum of two paths", { paths: [path, path] }, async (lab) => {
  const one = await measure(lab, "50 Mbit/s 20 ms", [0], 3);
  // Longer, as two paths take longer to find their rate.
  const two = await measure(lab, "50 Mbit/s 20 ms + 50 Mbit/s 20 ms", [0, 1], 5);
  await lab.line(1).set({ mbit: 20 });
  const unequal = await measure(lab, "50 Mbit/s 20 ms + 20 Mbit/s 20 ms", [0, 1], 4);
  for (const direction of directions) {
    expect(two[direction] / one[direction]).toBeGreaterThanOrEqual(1.7);
    expect(unequal[direction] / one[direction]).toBeGreaterThan(1);
  }
});
