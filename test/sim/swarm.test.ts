/**
 * A thousand small worlds, each drawn from a seed: paths, traffic and faults. Checkers look on after every turn.
 *
 *   PORTAL_SIM_SEED=n    only this seed, with the portals' log lines
 *   PORTAL_SIM_SEEDS=n   so many seeds
 */
import { test } from "bun:test";
import { runSeed } from "./swarm.ts";

const only = process.env.PORTAL_SIM_SEED;
const count = Number(process.env.PORTAL_SIM_SEEDS ?? 1000);
const seeds = only === undefined ? Array.from({ length: count }, (_, i) => i + 1) : [Number(only)];
/** Seeds of one test. */
const BATCH = 100;

function run(seed: number): void {
  try {
    const world = runSeed(seed);
    if (only !== undefined) console.log(world.log.join("\n"));
  } catch (error) {
    throw new Error(
      `seed ${seed}: ${(error as Error).message}\nagain: PORTAL_SIM_SEED=${seed} npx bun test test/sim/swarm`,
      {
        cause: error,
      },
    );
  }
}

for (let first = 0; first < seeds.length; first += BATCH) {
  const batch = seeds.slice(first, first + BATCH);
  test(`seeds ${batch[0]} to ${batch.at(-1)}`, () => {
    for (const seed of batch) {
      run(seed);
      // Packet buffers of finished worlds are native memory, which the collector is in no hurry to give back.
      if (seed % 25 === 0) Bun.gc(true);
    }
  }, 240_000);
}
