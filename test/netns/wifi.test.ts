/**
 * Wi-Fi as the kernel shows it, without a radio: an interface that stays up (IFF_UP) while it loses its carrier, has one again
 * but is "dormant" until its keys are agreed (RFC 2863, as wpa_supplicant sets it), and may be in another network by then.
 */
import { expect } from "bun:test";
import { SIDES } from "../../src/lab/portals.ts";
import type { Lab, PathOptions } from "../../src/lab/topology.ts";
import { Chat } from "./chat.ts";
import { options, untouched } from "./hosting.ts";
import { pathsOf, settled } from "./plug.ts";
import { scenario } from "./scenario.ts";
import { sessionOf } from "./single.ts";
import { Flow, SOON } from "./traffic.ts";
import { Uplink } from "./uplink.ts";

const paths: PathOptions[] = [{ plain: true }, { plain: true }];

const MEGABYTE = 1_000_000;
const ROAMS = 3;

async function operstate(lab: Lab): Promise<string> {
  return (await lab.exec("local", ["cat", "/sys/class/net/path0/operstate"])).stdout.trim();
}

/** Before keys are agreed neither end takes frames of the other. */
async function setKeys(lab: Lab, state: "none" | "agreed"): Promise<void> {
  const rule = state === "none" ? "\ndrop" : "";
  const chain = `chain in {\ntype filter hook ingress device "path0" priority 0${rule}\n}`;
  const script = `table netdev air\ndelete table netdev air\ntable netdev air {\n${chain}\n}\n`;
  for (const side of SIDES) expect((await lab.exec(side, ["nft", "-f", "-"], script)).code).toBe(0);
}

/** Out of reach of one access point and in reach of the next, whose keys are agreed after this. */
async function associate(lab: Lab, uplink: Uplink): Promise<void> {
  await uplink.pullCable();
  await lab.waitFor("no carrier", SOON, async () => (await operstate(lab)).endsWith("down"));
  await setKeys(lab, "none");
  await uplink.restore();
  await lab.waitFor("the interface to be dormant", SOON, async () => (await operstate(lab)) === "dormant");
}

for (const count of [2, 1]) {
  const beside = count === 1 ? "alone" : "beside another path";
  scenario(
    import.meta.path,
    `a Wi-Fi interface roams, ${beside}: its path follows`,
    { paths },
    async (lab) => {
      await untouched(lab);
      await lab.ip("local", ["link set path0 mode dormant"]);
      await lab.startPortals({ ...options({}), paths: count === 1 ? [0] : [0, 1] });
      const chat = await Chat.start(lab);
      const download = await Flow.start(lab, "down");
      await download.grows(MEGABYTE, "at first");
      await chat.goesOn(3, "at first");
      const uplink = new Uplink(lab, 0);
      const path0 = async () => (await pathsOf(lab, "local")).find(({ name }) => name === "path0")!;
      const { id } = await path0();
      for (let i = 0; i < ROAMS; i++) {
        await associate(lab, uplink);
        // While its keys are being agreed nothing can be sent, though the kernel would take it.
        await lab.waitFor("the path to be left", SOON, async () => (await path0()).status !== "up");
        expect((await path0()).reason).toContain("its interface has no carrier");
        if (count === 2) await download.grows(MEGABYTE, "by the other path");
        // In the same network, and every other time in another one.
        if (i % 2 === 1) await uplink.renumber(4, 100 + i);
        await setKeys(lab, "agreed");
        await lab.ip("local", ["link set path0 state up"]);
        await chat.goesOn(5, `after roaming ${i + 1} times`);
        await download.grows(MEGABYTE, `after roaming ${i + 1} times`);
      }
      // A change of which the kernel tells only the end: carrier and address are others at once.
      await lab.ip("local", ["link set path0 mode default"]);
      await lab.ip("remote", ["link set path0 down", "link set path0 up"]);
      await uplink.renumber(4, 77);
      await chat.goesOn(5, "after a change in a moment");
      const remote = async () => (await pathsOf(lab, "remote")).find((each) => each.id === id);
      await lab.waitFor("the remote to know the new address", SOON, async () => {
        return (await remote())?.endpoint?.startsWith("10.20.0.77:") === true;
      });
      // One that has failed again and again rests for a while before it carries beside another.
      if (count === 1) await lab.waitFor("the path to be up", SOON, () => settled(lab, 1));
      expect((await path0()).id).toBe(id);
      expect((await sessionOf(lab, "local"))!.status).toBe("up");
      console.log(`longest echo ${chat.report.longestMs.toFixed(0)} ms`);
      await chat.stop();
      await download.stop();
    },
  );
}
