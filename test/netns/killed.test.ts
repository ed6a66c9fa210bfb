/** A portal that is killed says goodbye to nobody. Started again, it finds its peer by itself, and the flows have outlived it. */
import { SIDES } from "../../src/lab/portals.ts";
import type { PathOptions } from "../../src/lab/topology.ts";
import { scenario } from "./scenario.ts";
import { startAgain } from "./single.ts";
import { Flow } from "./traffic.ts";

const paths: PathOptions[] = [
  { mbit: 20, delayMs: 5 },
  { mbit: 20, delayMs: 5 },
];

const MEGABYTE = 1_000_000;

for (const side of SIDES) {
  scenario(import.meta.path, `flows outlive the ${side} portal's death`, { paths }, async (lab) => {
    const portals = await lab.startPortals();
    const flows = [await Flow.start(lab, "up"), await Flow.start(lab, "down")];
    for (const flow of flows) await flow.grows(MEGABYTE, "before");
    await portals[side].stop("SIGKILL");
    await startAgain(lab, side);
    for (const flow of flows) await flow.grows(MEGABYTE, "after the return");
    for (const flow of flows) await flow.stop();
  });
}
