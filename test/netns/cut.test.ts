/** A path dies in mid-flow and comes back: the flow goes on, and the path is used again without anybody's help. */
import { expect } from "bun:test";
import type { Side } from "../../src/lab/portals.ts";
import type { Lab, PathOptions } from "../../src/lab/topology.ts";
import type { PathReport } from "../../src/share/status.ts";
import { scenario } from "./scenario.ts";
import { Flow, SOON, startUdp } from "./traffic.ts";

const paths: PathOptions[] = [
  { mbit: 20, delayMs: 10 },
  { mbit: 20, delayMs: 20 },
];

const MEGABYTE = 1_000_000;

const directions = [
  ["up", "local"],
  ["down", "remote"],
] as const;

async function pathOf(lab: Lab, side: Side, path: number): Promise<PathReport> {
  return (await lab.status(side))!.sessions[0]!.paths[path]!;
}

async function becomes(lab: Lab, side: Side, path: number, up: boolean): Promise<void> {
  const what = `path ${path} of the ${side} to be ${up ? "" : "no longer "}up`;
  await lab.waitFor(what, SOON, async () => ((await pathOf(lab, side, path)).status === "up") === up);
}

/** Waits until a path has sent more than probes and acknowledgements. */
async function carries(lab: Lab, side: Side, path: number, when: string): Promise<void> {
  const before = (await pathOf(lab, side, path)).sentBytes;
  await lab.waitFor(`path ${path} of the ${side} to carry data ${when}`, SOON, async () => {
    const { status, sentBytes } = await pathOf(lab, side, path);
    return status === "up" && sentBytes > before + MEGABYTE / 2;
  });
}

for (const [direction, sender] of directions) {
  scenario(import.meta.path, `a flow ${direction} survives cuts of either path`, { paths }, async (lab) => {
    await lab.startPortals();
    const flow = await Flow.start(lab, direction);
    for (const [cut, other] of [
      [0, 1],
      [1, 0],
      [0, 1],
    ] as const) {
      await lab.line(cut).cut();
      await becomes(lab, sender, cut, false);
      // The other was cut before: it has come back into use.
      await carries(lab, sender, other, `while path ${cut} is cut`);
      await flow.grows(MEGABYTE, `with path ${cut} cut`);
      await lab.line(cut).restore();
      await becomes(lab, sender, cut, true);
    }
    await flow.stop();
    // More than one path can carry.
    const load = await startUdp(lab, direction, 30);
    for (const path of [0, 1]) await carries(lab, sender, path, "after all cuts");
    await load.stop();
  });
}

scenario(
  import.meta.path,
  "a flow survives an interface that goes down and comes back",
  { paths },
  async (lab) => {
    await lab.startPortals();
    const flow = await Flow.start(lab, "up");
    await flow.grows(MEGABYTE, "at first");
    await lab.setInterface(0, "down");
    await flow.grows(MEGABYTE, "with the interface down");
    expect((await pathOf(lab, "local", 0)).status).not.toBe("up");
    await lab.setInterface(0, "up");
    await becomes(lab, "local", 0, true);
    await lab.setInterface(1, "down");
    await carries(lab, "local", 0, "after its return");
    await flow.grows(MEGABYTE, "with the other interface down");
    await flow.stop();
  },
);

scenario(import.meta.path, "a flow outlives a time without any path", { paths }, async (lab) => {
  await lab.startPortals();
  const flow = await Flow.start(lab, "up");
  await flow.grows(MEGABYTE, "at first");
  for (const path of [0, 1]) await lab.line(path).cut();
  for (const path of [0, 1]) await becomes(lab, "local", path, false);
  for (const path of [0, 1]) await lab.line(path).restore();
  await flow.grows(MEGABYTE, "after both are back");
  for (const path of [0, 1]) await becomes(lab, "local", path, true);
  await flow.stop();
});

scenario(
  import.meta.path,
  "a path of a higher metric is used only while the first is cut",
  { paths },
  async (lab) => {
    await lab.startPortals({ toml: { local: { path: [{}, { metric: 10 }] } } });
    for (const [direction, sender] of directions) {
      const flow = await Flow.start(lab, direction);
      await rests(lab, sender, flow, "at first");
      await lab.line(0).cut();
      await carries(lab, sender, 1, "while the first is cut");
      await lab.line(0).restore();
      await carries(lab, sender, 0, "after its return");
      await rests(lab, sender, flow, "again");
      await flow.stop();
    }
  },
);

/** The backup is up and carries no more than challenges, probes and acknowledgements. */
async function rests(lab: Lab, side: Side, flow: Flow, when: string): Promise<void> {
  const before = await pathOf(lab, side, 1);
  await flow.grows(2 * MEGABYTE, `on the first path ${when}`);
  const after = await pathOf(lab, side, 1);
  expect([before.status, after.status]).toEqual(["up", "up"]);
  expect(after.sentBytes - before.sentBytes).toBeLessThan(MEGABYTE / 20);
}
