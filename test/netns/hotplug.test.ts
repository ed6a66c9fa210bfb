/** Interfaces come and go under a local portal, and change: paths follow. (All at random, beside flows: churn.test.ts.) */
import { expect } from "bun:test";
import { writeFileSync } from "node:fs";
import { ADDRESSES, endpointRoute, type Family } from "../../src/lab/namespaces.ts";
import { SIDES } from "../../src/lab/portals.ts";
import type { Lab, PathOptions } from "../../src/lab/topology.ts";
import { FAMILIES } from "./hosting.ts";
import { pathsOf, plug, renumber, settled, unplug, usualAddress } from "./plug.ts";
import { scenario } from "./scenario.ts";
import { pings, SOON } from "./traffic.ts";

const paths: PathOptions[] = [{ plain: true }, { plain: true }];

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
      const { sentPackets, inFlightBytes, mtuSearch } = (await pathsOf(lab, "local"))[1]!;
      sent = sentPackets;
      return sent === before && inFlightBytes === 0 && mtuSearch === "complete";
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

scenario(
  import.meta.path,
  "the tunnel's interface is taken down and up again: it has the addresses it had",
  { paths: [{ plain: true }] },
  async (lab) => {
    await lab.startPortals();
    await lab.ip("local", ["link set portal0 down", "link set portal0 up"]);
    for (const family of FAMILIES) {
      const to = ADDRESSES.tunnelRemote[family];
      const ping = await lab.exec("local", ["ping", "-q", "-c", "3", "-i", "0.1", "-w", String(SOON), to]);
      expect(ping.stdout).toContain(" 0% packet loss");
    }
  },
);
