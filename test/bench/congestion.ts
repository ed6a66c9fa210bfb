/** The congestion controls that a benchmark wants inside, against those this kernel has. */
import { LabError } from "../../src/lab/failure.ts";
import type { Lab } from "../../src/lab/topology.ts";
import type { Congestion } from "./options.ts";

export async function mustHave(lab: Lab, wanted: readonly Congestion[]): Promise<void> {
  const there = await lab.tcpCongestions();
  const missing = wanted.find((name) => !there.includes(name));
  if (missing !== undefined)
    throw new LabError(`this kernel has no TCP congestion control ${missing}: try modprobe tcp_${missing}`);
}
