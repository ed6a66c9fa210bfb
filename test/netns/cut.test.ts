/** A path or all of them die in mid-flow and come back: the flow goes on, and they are used again without anybody's help. */
import { expect } from "bun:test";
import type { PathOptions } from "../../src/lab/topology.ts";
import { becomes, carries, pathOf } from "./pathuse.ts";
import { scenario } from "./scenario.ts";
import { Flow } from "./traffic.ts";

const paths: PathOptions[] = [
  { mbit: 20, delayMs: 10 },
  { mbit: 20, delayMs: 20 },
];

const MEGABYTE = 1_000_000;

const threads = { toml: { local: { threads: 4 }, remote: { threads: 2 } } };

for (const [name, options] of [
  ["a flow survives an interface that goes down and comes back", {}],
  ["with workers, a flow survives an interface that goes down and comes back", threads],
] as const) {
  scenario(import.meta.path, name, { paths }, async (lab) => {
    await lab.startPortals(options);
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
  });
}

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
