/**
 * A portal that is killed says goodbye to nobody. Started again, it finds its peer by itself within a second, and the flows
 * have outlived it.
 */
import { expect } from "bun:test";
import { TUNNEL_INTERFACE, tunnelRoutes } from "../../src/lab/namespaces.ts";
import { SIDES, type Side } from "../../src/lab/portals.ts";
import type { LabProcess } from "../../src/lab/process.ts";
import { selfCommand } from "../../src/lab/self.ts";
import type { Lab, PathOptions } from "../../src/lab/topology.ts";
import { Chat } from "./chat.ts";
import { settled } from "./plug.ts";
import { scenario } from "./scenario.ts";
import { tomlFile } from "./single.ts";
import { Flow, SOON } from "./traffic.ts";

const paths: PathOptions[] = [
  { mbit: 20, delayMs: 5 },
  { mbit: 20, delayMs: 5 },
];

const MEGABYTE = 1_000_000;

/** Milliseconds from when either portal can be reached until the session carries packets: what is required. */
const WITHIN = 1000;

async function start(lab: Lab, side: Side): Promise<LabProcess> {
  const portal = lab.spawn(side, [...selfCommand(), "--toml", tomlFile(side)], `${side} portal`);
  await lab.waitFor(`${TUNNEL_INTERFACE} of the ${side}`, SOON, () =>
    lab.isInterfaceUp(side, TUNNEL_INTERFACE),
  );
  await lab.ip(side, tunnelRoutes(side, lab.ipv6));
  return portal;
}

/** When a portal last said this. */
function saidAt(portal: LabProcess, words: string): number {
  const line = portal.errors.findLast((each) => each.includes(words));
  if (line === undefined)
    throw new Error(`${portal.name} has not said "${words}":\n${portal.errors.join("\n")}`);
  return Date.parse(line.split(" ")[0]!);
}

/** Who is killed, in which order they are started again, and for how long nobody is there. */
const deaths: [killed: readonly Side[], awayMillis: number][] = [
  [["remote"], 0],
  [["remote"], 3500],
  [["local"], 0],
  [["local", "remote"], 2000],
  [["remote", "local"], 0],
];

for (const [killed, away] of deaths) {
  scenario(
    import.meta.path,
    `${killed.join(" and ")} killed for ${away} ms: the session is back within a second, and the flows go on`,
    { paths },
    async (lab) => {
      const first = await lab.startPortals();
      const portals: Record<Side, LabProcess> = { local: first.local, remote: first.remote };
      const flows = [await Flow.start(lab, "up"), await Flow.start(lab, "down")];
      const chat = await Chat.start(lab);
      for (const flow of flows) await flow.grows(MEGABYTE, "before");
      await chat.goesOn(3, "before");
      await Promise.all(killed.map((side) => portals[side].stop("SIGKILL")));
      for (const side of killed) {
        if (side === "remote") await Bun.sleep(away);
        portals[side] = await start(lab, side);
      }
      await lab.waitFor("both paths", SOON, () => settled(lab, 2));
      const reachable = Math.max(...SIDES.map((side) => saidAt(portals[side], "is running")));
      const back = saidAt(portals.local, "session with remote established");
      const up = portals.local.errors.filter((line) => line.includes("joining -> up"));
      const upAt = Math.min(...up.map((line) => Date.parse(line.split(" ")[0]!)).filter((at) => at >= back));
      console.log(`back ${upAt - reachable} ms after both could be reached`);
      expect(upAt - reachable).toBeLessThan(WITHIN);
      for (const flow of flows) await flow.grows(MEGABYTE, "after the return");
      await chat.goesOn(3, "after the return");
      for (const flow of flows) await flow.stop();
      await chat.stop();
    },
  );
}
