/** Interfaces come and go under a local portal, and change: paths follow, flows live on, nothing leaks. */
import { expect } from "bun:test";
import { writeFileSync } from "node:fs";
import { ADDRESSES, endpointRoute, type Family } from "../../src/lab/namespaces.ts";
import { SIDES } from "../../src/lab/portals.ts";
import { seededRandom } from "../../src/lab/random.ts";
import type { Lab, PathOptions } from "../../src/lab/topology.ts";
import { Chat } from "./chat.ts";
import {
  descriptors,
  pathsOf,
  plug,
  renumber,
  residentMegabytes,
  setCable,
  settled,
  unplug,
  usualAddress,
} from "./plug.ts";
import { scenario } from "./scenario.ts";
import { Flow, pings, SOON } from "./traffic.ts";

const paths: PathOptions[] = [{ plain: true }, { plain: true }];

const MEGABYTE = 1_000_000;

/** One entry, for all that begin so but one. */
const PATTERN = { path: [{ interface: "path*", exclude: ["path9"] }] };

async function awaitPaths(lab: Lab, count: number, when: string): Promise<void> {
  let last = "";
  const show = async () => {
    const ends = await Promise.all(SIDES.map((side) => pathsOf(lab, side)));
    last = JSON.stringify(ends.map((end) => end.map(({ name, id, status }) => `${name} ${id} ${status}`)));
  };
  await lab
    .waitFor(`${count} paths ${when}`, SOON, async () => {
      await show();
      return await settled(lab, count);
    })
    .catch((error) => {
      throw new Error(`${error}; there are ${last}`);
    });
}

scenario(
  import.meta.path,
  "a local begins with no interface, and has a path for each that comes and that its pattern means",
  { paths },
  async (lab) => {
    for (const path of [0, 1]) await unplug(lab, path);
    const portals = await lab.startPortals({ paths: [0], toml: { local: PATTERN }, wait: false });
    await lab.waitFor("the local to answer", SOON, async () => (await lab.status("local")) !== null);
    const said = () => portals.local.errors.filter((line) => line.includes("waiting for an interface path*"));
    expect(said().length).toBe(1);
    expect((await lab.status("local"))!.asked).toMatchObject([{ interface: "path*", paths: [] }]);
    await plug(lab, 0);
    await awaitPaths(lab, 1, "when the first interface has come");
    expect(await pings(lab, 4)).toBe(true);
    await plug(lab, 1);
    await awaitPaths(lab, 2, "when the second has come");
    // None of these is meant: not by its name, by what it is, or because it is excluded.
    await lab.ip("local", ["link add path9 type veth peer name other0"]);
    await lab.ip("local", ["tuntap add pathtun mode tun", "link set path9 up", "link set other0 up"]);
    // A rename ends one path and begins another.
    await lab.ip("local", ["link set path1 down", "link set path1 name path7", "link set path7 up"]);
    await lab.ip("local", [
      "addr replace 10.20.1.2/24 dev path7",
      "route replace 192.0.2.1 via 10.20.1.1 dev path7",
    ]);
    await awaitPaths(lab, 2, "after one was renamed");
    const names = (await pathsOf(lab, "local")).map(({ name }) => name);
    expect(names.sort()).toEqual(["path0", "path7"]);
    await lab.ip("local", ["link set path7 down", "link set path7 name other1", "link set other1 up"]);
    await awaitPaths(lab, 1, "after it was given another name");
    expect(said().length).toBe(1);
  },
);

scenario(
  import.meta.path,
  "a path whose interface has only one family goes to the remote's address of that",
  { paths },
  async (lab) => {
    const { remoteEndpoint } = ADDRESSES;
    writeFileSync(
      "/run/hosts",
      [4, 6].map((family) => `${remoteEndpoint[family as Family]} remote.example\n`).join(""),
    );
    expect(Bun.spawnSync(["mount", "--bind", "/run/hosts", "/etc/hosts"]).exitCode).toBe(0);
    await unplug(lab, 0);
    await lab.startPortals({
      toml: { local: { remote: { endpoint: "remote.example:51900" } } },
      wait: false,
    });
    await awaitPaths(lab, 1, "of an interface that was there");
    // It appears without any address, and so without any route.
    await plug(lab, 0);
    await awaitPaths(lab, 2, "when the other has come");
    const endpoints = (await pathsOf(lab, "local")).map(({ endpoint }) => endpoint!.startsWith("["));
    expect(endpoints).toContain(false);
  },
);

scenario(
  import.meta.path,
  "a renumbered interface is taken up at once, though its path has nothing to send",
  { paths },
  async (lab) => {
    await lab.startPortals();
    // A path that has just come up is probed for a moment.
    let sent = -1;
    await lab.waitFor("its first probes to be over", SOON, async () => {
      const before = sent;
      sent = (await pathsOf(lab, "local"))[1]!.sentPackets;
      return sent === before;
    });
    const idle = async () => (await pathsOf(lab, "remote"))[1]!.endpoint;
    const before = await idle();
    await renumber(lab, 1, usualAddress(1), "10.20.1.77");
    await lab.waitFor("the remote to know the new address", SOON, async () => (await idle()) !== before);
    expect(await idle()).toStartWith("10.20.1.77:");
    // It had never failed.
    expect((await pathsOf(lab, "local"))[1]).toMatchObject({ status: "up", reason: "answered" });
    // Without any address it is left: the kernel takes the remote for a neighbour that does not answer. With one it is back.
    await lab.ip("local", ["addr flush dev path1"]);
    await lab.waitFor("the path to be left", SOON, async () => {
      return (await pathsOf(lab, "local"))[1]!.status !== "up";
    });
    await lab.ip("local", ["addr add 10.20.1.78/24 dev path1", endpointRoute(1, "path1", 4)]);
    await lab.waitFor("the path to be back", SOON, () => settled(lab, 2));
    expect(await idle()).toStartWith("10.20.1.78:");
  },
);

const CHANGES = 100;
const SEED = 20_260_101;

scenario(
  import.meta.path,
  `${CHANGES} changes at random: no flow is lost, no descriptor stays open, memory is bounded`,
  { paths },
  async (lab) => {
    const portals = await lab.startPortals({ paths: [0], toml: { local: PATTERN }, wait: false });
    await awaitPaths(lab, 2, "at first");
    const chat = await Chat.start(lab);
    const download = await Flow.start(lab, "down");
    await download.grows(MEGABYTE, "at first");
    await chat.goesOn(3, "at first");
    const before = SIDES.map((side) => descriptors(portals[side].pid));
    const random = seededRandom(SEED);
    const changes = { deleted: 0, renumbered: 0, "lost its carrier": 0, "was back": 0, both: 0 };
    /** What each path lacks, and the address it has. */
    const missing: (null | "interface" | "cable")[] = [null, null];
    const addresses = [usualAddress(0), usualAddress(1)];
    const restore = async (path: number): Promise<void> => {
      if (missing[path] === "interface") await plug(lab, path);
      if (missing[path] === "cable") await setCable(lab, path, "up");
      if (missing[path] === "interface") addresses[path] = usualAddress(path);
      missing[path] = null;
      changes["was back"]++;
    };
    const resident: string[] = [];
    for (let i = 0; i < CHANGES; i++) {
      const path = Math.floor(random() * 2);
      const what = random();
      if (missing[path] !== null) await restore(path);
      else if (what < 0.4) {
        await unplug(lab, path);
        missing[path] = "interface";
        changes.deleted++;
      } else if (what < 0.7) {
        const to = `10.20.${path}.${100 + (i % 100)}`;
        await renumber(lab, path, addresses[path]!, to);
        addresses[path] = to;
        changes.renumbered++;
      } else {
        await setCable(lab, path, "down");
        missing[path] = "cable";
        changes["lost its carrier"]++;
      }
      if (missing[0] !== null && missing[1] !== null) changes.both++;
      await Bun.sleep(random() * 150);
      if (i % 50 === 0)
        resident.push(SIDES.map((side) => residentMegabytes(portals[side].pid).toFixed(0)).join(" + "));
    }
    for (const path of [0, 1]) if (missing[path] !== null) await restore(path);
    await chat.goesOn(20, "after all changes");
    await download.grows(MEGABYTE, "after all changes");
    // Paths that have failed again and again rest for up to half a minute before they carry.
    await lab.waitFor("both paths at both ends", SOON, async () => {
      const ends = await Promise.all(SIDES.map((side) => pathsOf(lab, side)));
      return ends.every((each) => each.length === 2) && ends[0]!.every(({ id }, i) => id === ends[1]![i]!.id);
    });
    for (const [i, side] of SIDES.entries()) {
      const { pid } = portals[side];
      await lab.waitFor(
        `the ${side} portal to close descriptors`,
        SOON,
        () => descriptors(pid) <= before[i]!,
      );
      expect(portals[side].running).toBe(true);
      expect(residentMegabytes(pid)).toBeLessThan(250);
    }
    resident.push(SIDES.map((side) => residentMegabytes(portals[side].pid).toFixed(0)).join(" + "));
    console.log(
      `${JSON.stringify(changes)}; ${JSON.stringify(chat.report)}; resident MB ${resident.join(", ")}`,
    );
    await chat.stop();
    await download.stop();
  },
);
