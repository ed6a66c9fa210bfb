/** What a portal says about one of its paths, and waiting until it is up or is used. */
import type { Side } from "../../src/lab/portals.ts";
import type { Lab } from "../../src/lab/topology.ts";
import type { PathReport } from "../../src/share/status.ts";
import { SOON } from "./traffic.ts";

const MEGABYTE = 1_000_000;

export async function pathOf(lab: Lab, side: Side, path: number): Promise<PathReport> {
  return (await lab.status(side))!.sessions[0]!.paths[path]!;
}

export async function becomes(lab: Lab, side: Side, path: number, up: boolean): Promise<void> {
  const what = `path ${path} of the ${side} to be ${up ? "" : "no longer "}up`;
  await lab.waitFor(what, SOON, async () => ((await pathOf(lab, side, path)).status === "up") === up);
}

/** Waits until a path has sent more than probes and acknowledgements. */
export async function carries(lab: Lab, side: Side, path: number, when: string): Promise<void> {
  const before = (await pathOf(lab, side, path)).sentBytes;
  await lab.waitFor(`path ${path} of the ${side} to carry data ${when}`, SOON, async () => {
    const { status, sentBytes } = await pathOf(lab, side, path);
    return status === "up" && sentBytes > before + MEGABYTE / 2;
  });
}
