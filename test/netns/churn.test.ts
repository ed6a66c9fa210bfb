/**
 * A home network's default route is in the tunnel, and the interfaces under it change all the time, at random: deleted and
 * made anew, renumbered, without carrier, without one family. No flow of a client behind it is lost, nothing leaks, and the
 * machines are afterwards what they were.
 */
import { expect } from "bun:test";
import { writeFileSync } from "node:fs";
import { ADDRESSES } from "../../src/lab/namespaces.ts";
import { SIDES } from "../../src/lab/portals.ts";
import { seededRandom } from "../../src/lab/random.ts";
import type { Lab, PathOptions } from "../../src/lab/topology.ts";
import { Chat } from "./chat.ts";
import { FAMILIES, machineOf, options, untouched, whoAmI } from "./hosting.ts";
import { descriptors, ownMegabytes, pathsOf, settled } from "./plug.ts";
import { scenario } from "./scenario.ts";
import { Flow, SOON } from "./traffic.ts";
import { Uplink } from "./uplink.ts";

const paths: PathOptions[] = [{ plain: true }, { plain: true }];

const MEGABYTE = 1_000_000;
const CHANGES = 100;
const SEED = Number(process.env.CHURN_SEED ?? 20_260_101);

/**
 * Of memory between the middle of the changes and their end, of either portal. The collector of garbage comes when it likes,
 * and what is hot is compiled meanwhile (over 400 changes the local's own went from 31 to 38 MB, once to 43): the least
 * of three looks counts, at either time.
 */
const MEGABYTES_MORE = 6;
const LOOKS = [40, 50, 60, CHANGES - 20, CHANGES - 10, CHANGES - 1];

/** Every interface has addresses of its own and a number of its own after it was made anew; and what is listed, another order. */
async function look(lab: Lab): Promise<string[][]> {
  const machines = await Promise.all(SIDES.map((side) => machineOf(lab, side)));
  return machines.map((lines) => lines.filter((line) => !line.includes("fe80:")).sort());
}

/** One change at random. What it was. */
async function change(uplinks: readonly Uplink[], random: () => number, turn: number): Promise<string> {
  const uplink = uplinks[Math.floor(random() * uplinks.length)]!;
  const what = random();
  const family = random() < 0.5 ? 4 : 6;
  if (uplink.missing !== null) {
    await uplink.restore();
    return "was back";
  }
  if (what < 0.3) await uplink.unplug();
  else if (what < 0.55) await uplink.renumber(family, 10 + (turn % 200));
  else if (what < 0.8) await uplink.pullCable();
  else await uplink.lose(family);
  if (uplink.missing === null) return "renumbered";
  return typeof uplink.missing === "number" ? "one family" : `no ${uplink.missing}`;
}

/** What either portal keeps when nothing but a few small messages is under way: the least of some seconds. */
async function resident(pids: readonly number[]): Promise<number[]> {
  let least = pids.map(ownMegabytes);
  for (let steady = 0; steady < 10; steady++) {
    await Bun.sleep(200);
    const now = pids.map(ownMegabytes);
    if (now.some((each, i) => each < least[i]! - 0.5)) steady = 0;
    least = least.map((each, i) => Math.min(each, now[i]!));
  }
  return least;
}

scenario(
  import.meta.path,
  `${CHANGES} changes under a default route: no flow is lost, nothing leaks, nothing is left`,
  { paths },
  async (lab) => {
    await untouched(lab);
    // The default routes are enough, and these would go with their interfaces.
    for (const family of FAMILIES) {
      const route = `route del ${ADDRESSES.remoteEndpoint[family]}`;
      await lab.ip("local", [route, route]);
    }
    const names = FAMILIES.map((family) => `${ADDRESSES.remoteEndpoint[family]} remote.example\n`);
    writeFileSync("/run/hosts", names.join(""));
    expect(Bun.spawnSync(["mount", "--bind", "/run/hosts", "/etc/hosts"]).exitCode).toBe(0);
    const before = await look(lab);

    const { toml } = options({});
    const local = {
      ...toml!.local,
      remote: { endpoint: "remote.example:51900" },
      path: [{ interface: "path*" }],
    };
    const portals = await lab.startPortals({ route: false, wait: false, toml: { ...toml, local } });
    await lab.waitFor("both paths to be up", SOON, () => settled(lab, 2));
    const chats = [await Chat.start(lab), await Chat.start(lab, "client", 6)];
    const download = await Flow.start(lab, "down");
    await download.grows(MEGABYTE, "at first");
    for (const chat of chats) await chat.goesOn(3, "at first");
    const pids = SIDES.map((side) => portals[side].pid);
    const open = pids.map(descriptors);

    const uplinks = [0, 1].map((path) => new Uplink(lab, path));
    const random = seededRandom(SEED);
    const counts: Record<string, number> = {};
    const memory: number[][] = [];
    for (let i = 0; i < CHANGES; i++) {
      const what = await change(uplinks, random, i);
      counts[what] = (counts[what] ?? 0) + 1;
      if (uplinks.every(({ missing }) => missing === "interface" || missing === "cable"))
        counts["no path"] = (counts["no path"] ?? 0) + 1;
      await Bun.sleep(random() * 150);
      if (!LOOKS.includes(i)) continue;
      download.pause();
      memory.push(await resident(pids));
      download.resume();
    }
    console.log(
      `seed ${SEED}: ${JSON.stringify(counts)}; ${JSON.stringify(chats.map(({ report }) => report))}`,
    );
    console.log(
      `own memory, MB: ${memory.map((each) => each.map((mb) => mb.toFixed(1)).join(" + ")).join(", ")}`,
    );

    for (const uplink of uplinks) await uplink.restoreAll();
    for (const chat of chats) await chat.goesOn(20, "after all changes");
    await download.grows(MEGABYTE, "after all changes");
    for (const family of FAMILIES) {
      const seen = await whoAmI(lab, "client", family);
      expect(seen).toBe({ 4: "10.30.0.1", 6: "fd30::1" }[family]);
    }
    // Paths that have failed again and again rest for up to half a minute before they carry.
    await lab.waitFor("both paths at both ends", SOON, async () => {
      const ends = await Promise.all(SIDES.map((side) => pathsOf(lab, side)));
      return ends.every((each) => each.length === 2) && ends[0]!.every(({ id }, i) => id === ends[1]![i]!.id);
    });
    for (const [i, pid] of pids.entries()) {
      await lab.waitFor("no more descriptors than before", SOON, () => descriptors(pid) <= open[i]!);
      expect(descriptors(pid)).toBe(open[i]!);
      const looks = memory.map((each) => each[i]!);
      expect(Math.min(...looks.slice(3)) - Math.min(...looks.slice(0, 3))).toBeLessThan(MEGABYTES_MORE);
    }
    for (const chat of chats) await chat.stop();
    await download.stop();
    await lab.stopPortals();
    expect(await look(lab)).toEqual(before);
  },
);
