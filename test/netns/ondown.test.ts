/** [host] on_down: what becomes of the traffic while there is no remote, and that it comes back. */
import { expect } from "bun:test";
import { ADDRESSES, pathAddress, TUNNEL_INTERFACE } from "../../src/lab/namespaces.ts";
import type { Lab, PathOptions } from "../../src/lab/topology.ts";
import { expectAsBefore, FAMILIES, machinesOf, options, untouched, wayOf, whoAmI } from "./hosting.ts";
import { scenario } from "./scenario.ts";
import { startRemote } from "./single.ts";
import { pings, SOON } from "./traffic.ts";

const paths: PathOptions[] = [{ plain: true }, { plain: true }];

/** The remote passes on packets whether or not its portal runs: it stands for the providers of both paths. */
async function begin(lab: Lab): Promise<string[][]> {
  await untouched(lab);
  const settings = ["ipv4/ip_forward", "ipv6/conf/all/forwarding"];
  await lab.exec("remote", ["sh", "-e"], settings.map((file) => `echo 1 > /proc/sys/net/${file}`).join("\n"));
  return await machinesOf(lab);
}

async function expectWay(lab: Lab, way: string): Promise<void> {
  const wanted = FAMILIES.map(() => way);
  await lab.waitFor(`the way to be ${way}`, SOON, async () => {
    const ways = await Promise.all(FAMILIES.map((family) => wayOf(lab, ADDRESSES.server[family])));
    return ways.join() === wanted.join();
  });
}

scenario(import.meta.path, "direct while there is no remote", { paths }, async (lab) => {
  const before = await begin(lab);
  const portals = await lab.startPortals(options({ on_down: "direct" }));
  await expectWay(lab, TUNNEL_INTERFACE);
  const inside = { 4: "10.30.0.1", 6: "fd30::1" };
  for (const family of FAMILIES) expect(await whoAmI(lab, "client", family)).toBe(inside[family]);
  await portals.remote.stop();
  await expectWay(lab, "path0");
  // By the first path and with its address, for the client as for the machine itself.
  for (const family of FAMILIES) {
    for (const from of ["client", "local"] as const) {
      expect(await whoAmI(lab, from, family)).toBe(pathAddress(0, "local", family));
    }
  }
  const remote = await startRemote(lab);
  await expectWay(lab, TUNNEL_INTERFACE);
  for (const family of FAMILIES) expect(await whoAmI(lab, "client", family)).toBe(inside[family]);
  // Killed, it leaves nothing in the way.
  await portals.local.stop("SIGKILL");
  await expectWay(lab, "path0");
  await remote.stop();
  await lab.startPortals(options({ on_down: "direct" }));
  await lab.stopPortals();
  await expectAsBefore(lab, before);
});

scenario(import.meta.path, "blocked while there is no remote", { paths }, async (lab) => {
  const before = await begin(lab);
  const portals = await lab.startPortals(options({ on_down: "block" }));
  for (const family of FAMILIES) expect(await pings(lab, family)).toBe(true);
  await portals.remote.stop();
  await lab.waitFor("the session to end", SOON, async () => {
    return (await lab.status("local"))!.sessions[0]!.status !== "up";
  });
  // Longer than it takes until "direct" goes direct.
  for (const family of FAMILIES) {
    const argv = ["ping", "-q", "-n", "-c", "20", "-i", "0.2", "-W", "1", ADDRESSES.server[family]];
    expect((await lab.exec("client", argv)).stdout).toContain(" 0 received");
  }
  await expectWay(lab, TUNNEL_INTERFACE);
  await portals.local.stop("SIGKILL");
  await expectWay(lab, "unreachable");
  for (const family of FAMILIES) {
    // The paths' own sockets are not blocked with it.
    const argv = ["ping", "-q", "-n", "-c", "1", "-W", "5", "-I", "path1", pathAddress(1, "remote", family)];
    expect((await lab.exec("local", argv)).code).toBe(0);
    expect(await wayOf(lab, ADDRESSES.remoteEndpoint[family], "path1")).toBe("path1");
  }
  await lab.startPortals(options({ on_down: "block" }));
  for (const family of FAMILIES) expect(await pings(lab, family)).toBe(true);
  await lab.stopPortals();
  await expectAsBefore(lab, before);
});

scenario(
  import.meta.path,
  "a tunnel of one family lets nothing of the other past",
  { paths },
  async (lab) => {
    const before = await begin(lab);
    for (const [family, outer] of [
      [4, 6],
      [6, 4],
    ] as const) {
      const other = outer;
      const length = { 4: 24, 6: 64 }[family];
      const only = (address: string) => ({ addresses: [`${address}/${length}`] });
      const wanted = options({});
      const peer = { addresses: [`${ADDRESSES.tunnelLocal[family]}/${{ 4: 32, 6: 128 }[family]}`] };
      await lab.startPortals({
        ...wanted,
        outer,
        toml: {
          local: { ...wanted.toml!.local, tunnel: only(ADDRESSES.tunnelLocal[family]) },
          remote: { ...wanted.toml!.remote, tunnel: only(ADDRESSES.tunnelRemote[family]), peer: [peer] },
        },
      });
      expect(await pings(lab, family)).toBe(true);
      expect(await wayOf(lab, ADDRESSES.server[family])).toBe(TUNNEL_INTERFACE);
      // The paths are of that family, and carry the tunnel all the same.
      expect(await wayOf(lab, ADDRESSES.server[other])).toBe("unreachable");
      expect(await wayOf(lab, ADDRESSES.client[other])).toBe("lan");
      await lab.stopPortals();
    }
    await expectAsBefore(lab, before);
  },
);
