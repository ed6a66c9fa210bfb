/** Interfaces of the local that go down or lose their carrier, and cut lines: no packet is lost, both ends know. */
import { expect } from "bun:test";
import { type FlowResult, measureFlow } from "../../src/lab/measure.ts";
import type { Side } from "../../src/lab/portals.ts";
import type { Lab, PathOptions } from "../../src/lab/topology.ts";
import { scenario } from "./scenario.ts";
import { SOON } from "./traffic.ts";

/** A round trip of 20 ms. */
const paths: PathOptions[] = [
  { mbit: 20, delayMs: 10 },
  { mbit: 20, delayMs: 10 },
];

/**
 * What the local tells the remote of an interface that is down: that, or that its kernel cannot send on it, whichever it
 * noticed first.
 */
const PEER_SAYS = "the peer says: its ";

/** Waits until a path has a status at one end, for a reason that contains these words. */
async function becomes(lab: Lab, side: Side, path: number, status: string, why: string): Promise<void> {
  let last = "";
  const what = `path ${path} of the ${side} to be ${status}: ${why}`;
  await lab
    .waitFor(what, SOON, async () => {
      const report = (await lab.status(side))!.sessions[0]!.paths[path]!;
      last = `${report.status}: ${report.reason}`;
      return report.status === status && report.reason!.includes(why);
    })
    .catch((error) => {
      throw new Error(`${error}; it is ${last}`);
    });
}

/**
 * Waits until neither end has sent anything on a path between two looks: what it is probed at first is over. Else the
 * remote's own kernel may refuse to send before the local hears of its carrier.
 */
async function idle(lab: Lab, path: number): Promise<void> {
  let before = -1;
  await lab.waitFor(`path ${path} to be idle`, SOON, async () => {
    let sent = 0;
    for (const side of ["local", "remote"] as const) {
      sent += (await lab.status(side))!.sessions[0]!.paths[path]!.sentPackets;
    }
    const still = sent === before;
    before = sent;
    return still;
  });
}

async function bothUp(lab: Lab, path: number): Promise<void> {
  for (const side of ["local", "remote"] as const) await becomes(lab, side, path, "up", "");
}

function expectNothingLost(what: string, { probe, stallMs, mbit }: FlowResult): void {
  const stalls = `stall of the probe ${probe.stallMs.toFixed(0)} ms, of the flow ${stallMs.toFixed(0)} ms`;
  console.log(`${what}: ${stalls}, ${mbit.toFixed(1)} Mbit/s`);
  expect(probe.sent).toBeGreaterThan(200);
  expect(probe.lost).toBe(0);
}

for (const direction of ["up", "down"] as const) {
  scenario(
    import.meta.path,
    `an interface that goes down in a flow ${direction} takes no packet with it`,
    { paths },
    async (lab) => {
      await lab.startPortals();
      const result = await measureFlow(lab, {
        direction,
        seconds: 5,
        events: [
          { at: 1.5, run: () => lab.setInterface(0, "down") },
          {
            at: 1.6,
            run: async () => {
              await becomes(lab, "local", 0, "suspect", "its interface is down");
              await becomes(lab, "remote", 0, "suspect", PEER_SAYS);
            },
          },
          { at: 3, run: () => lab.setInterface(0, "up") },
        ],
      });
      expectNothingLost(`interface down, flow ${direction}`, result);
      await bothUp(lab, 0);
    },
  );

  scenario(
    import.meta.path,
    `a line that is cut in a flow ${direction} takes no packet with it`,
    { paths },
    async (lab) => {
      await lab.startPortals();
      const result = await measureFlow(lab, {
        direction,
        seconds: 5,
        events: [
          { at: 1.5, run: () => lab.line(0).cut() },
          { at: 3, run: () => lab.line(0).restore() },
        ],
      });
      expectNothingLost(`cut, flow ${direction}`, result);
      await bothUp(lab, 0);
    },
  );
}

scenario(
  import.meta.path,
  "an idle path is left at once when its cable is pulled, and used again when it is put back",
  { paths: [{ plain: true }, { plain: true }] },
  async (lab) => {
    await lab.startPortals();
    const { name } = lab.paths[1]!;
    await idle(lab, 1);
    await lab.ip("remote", [`link set ${name} down`]);
    await becomes(lab, "local", 1, "suspect", "its interface has no carrier");
    await becomes(lab, "remote", 1, "suspect", PEER_SAYS);
    await lab.ip("remote", [`link set ${name} up`]);
    await bothUp(lab, 1);
  },
);
