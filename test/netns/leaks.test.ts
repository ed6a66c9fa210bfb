/** Paths and peers that come and go leave no descriptor open, and no process. Memory is shown, not judged. */
import { expect } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { ADDRESSES } from "../../src/lab/namespaces.ts";
import { SIDES, type Side } from "../../src/lab/portals.ts";
import type { Lab, PathOptions } from "../../src/lab/topology.ts";
import { scenario } from "./scenario.ts";
import { startAgain, traces } from "./single.ts";
import { Flow, SOON } from "./traffic.ts";

const paths: PathOptions[] = [
  { mbit: 10, delayMs: 5 },
  { mbit: 10, delayMs: 5 },
];

const CUTS = 20;
const RESTARTS = 5;

function descriptors(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

function residentMegabytes(pid: number): string {
  const kilobytes = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
  return (kilobytes / 1024).toFixed(0);
}

function show(lab: Lab, when: string): void {
  const each = SIDES.map((side) => `${side} ${residentMegabytes(lab.portals![side].pid)} MB`);
  console.log(`resident ${when}: ${each.join(", ")}`);
}

/** Waits until a portal has no more descriptors than before: questions for its status linger a little. */
async function expectNoMore(lab: Lab, side: Side, before: number): Promise<void> {
  const { pid } = lab.portals![side];
  await lab.waitFor(`the ${side} portal to close descriptors`, SOON, () => descriptors(pid) <= before);
}

async function expectNoZombie(lab: Lab): Promise<void> {
  await lab.waitFor("every process that ended to be gone", SOON, async () => {
    return !(await traces(lab)).some((line) => line.endsWith(" zombie"));
  });
}

async function isUp(lab: Lab, path: number): Promise<boolean> {
  const reports = await Promise.all(SIDES.map((side) => lab.status(side)));
  return reports.every((report) => report?.sessions[0]?.paths[path]?.status === "up");
}

scenario(import.meta.path, `${CUTS} cuts leave no descriptor open`, { paths }, async (lab) => {
  const portals = await lab.startPortals();
  const before = SIDES.map((side) => descriptors(portals[side].pid));
  const flow = await Flow.start(lab, "up");
  await flow.grows(1, "at first");
  show(lab, "before the first cut");
  for (let cuts = 0; cuts < CUTS; cuts++) {
    const path = cuts % 2;
    await lab.line(path).cut();
    await lab.waitFor(`cut ${cuts} to be noticed`, SOON, async () => !(await isUp(lab, path)));
    await lab.line(path).restore();
    await lab.waitFor(`path ${path} to come back from cut ${cuts}`, SOON, () => isUp(lab, path));
  }
  show(lab, "after the last");
  await flow.grows(1, "at last");
  await flow.stop();
  for (const [i, side] of SIDES.entries()) await expectNoMore(lab, side, before[i]!);
  await expectNoZombie(lab);
});

for (const side of SIDES) {
  const other: Side = side === "local" ? "remote" : "local";

  scenario(
    import.meta.path,
    `a ${side} portal that comes and goes leaves the other no descriptor open`,
    { paths },
    async (lab) => {
      const portals = await lab.startPortals();
      // A portal that is killed is missed sooner when it is talked to.
      lab.spawn("client", ["ping", "-q", "-n", "-i", "0.05", ADDRESSES.server[4]]);
      const { pid } = portals[other];
      const before = descriptors(pid);
      let portal = portals[side];
      for (let restarts = 0; restarts < RESTARTS; restarts++) {
        console.log(`resident after ${restarts} restarts of the ${side}: ${residentMegabytes(pid)} MB`);
        await portal.stop(restarts % 2 === 0 ? "SIGKILL" : "SIGTERM");
        portal = await startAgain(lab, side);
      }
      console.log(`resident at last: ${residentMegabytes(pid)} MB`);
      expect((await lab.status(other))!.sessions.length).toBe(1);
      await expectNoMore(lab, other, before);
      await expectNoZombie(lab);
    },
  );
}
