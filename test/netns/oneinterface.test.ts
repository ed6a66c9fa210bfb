/**
 * A server with one interface and one address: the tunnel, the peers' way out and what is handed over all go by it.
 *
 *     local  path0  10.20.0.2 ── 10.20.0.1  internet  198.51.100.1 ── 198.51.100.7  eth0  remote
 *            path1  10.20.1.2 ── 10.20.1.1            10.30.0.1    ── 10.30.0.2     eth0  server
 */
import { expect } from "bun:test";
import { ADDRESSES, type Family, pathAddress } from "../../src/lab/namespaces.ts";
import type { Lab, PathOptions } from "../../src/lab/topology.ts";
import {
  addressesCount,
  echoes,
  expectAsBefore,
  FAMILIES,
  machinesOf,
  options,
  reach,
  untouched,
  wayOf,
  whoAmI,
} from "./hosting.ts";
import { pathsOf } from "./plug.ts";
import { Router } from "./router.ts";
import { scenario } from "./scenario.ts";
import { pings, SOON, transfer } from "./traffic.ts";

const paths: PathOptions[] = [{ plain: true }, { plain: true }];

const MEGABYTE = 1_000_000;

const PUBLIC = { 4: "198.51.100.7", 6: "2001:db8:51::7" } as const;
const GATEWAY = { 4: "198.51.100.1", 6: "2001:db8:51::1" } as const;
const INSIDE = { 4: "10.77.0.9", 6: "fd77::9" } as const;

function bits(family: Family): number {
  return family === 4 ? 24 : 64;
}

function added(address: string, family: Family, device: string): string {
  return `addr add ${address}/${bits(family)} dev ${device}${family === 6 ? " nodad" : ""}`;
}

/** The Internet between all of them, in place of the laboratory's cables. */
async function build(lab: Lab): Promise<void> {
  await untouched(lab);
  const internet = await Router.start("internet");
  const own = (addresses: Record<Family, string>) =>
    FAMILIES.map((each) => `${addresses[each]}/${bits(each)}`);
  for (const i of [0, 1]) {
    const far = { 4: pathAddress(i, "remote", 4), 6: pathAddress(i, "remote", 6) };
    await internet.cable(`home${i}`, "local", `path${i}`, ...own(far));
    const lines = FAMILIES.flatMap((family) => [
      added(pathAddress(i, "local", family), family, `path${i}`),
      `route add default via ${far[family]} dev path${i} metric ${100 + i}`,
    ]);
    await lab.ip("local", lines);
  }
  await internet.cable("far", "server", "eth0", ...own({ 4: "10.30.0.1", 6: "fd30::1" }));
  await internet.cable("vps", "remote", "eth0", ...own(GATEWAY));
  for (const family of FAMILIES) {
    const server = ADDRESSES.server[family];
    const far = { 4: "10.30.0.1", 6: "fd30::1" }[family];
    await lab.ip("server", [added(server, family, "eth0"), `route add default via ${far} dev eth0`]);
    const length = family === 4 ? 32 : 128;
    await lab.ip("remote", [
      `addr del ${ADDRESSES.remoteEndpoint[family]}/${length} dev lo`,
      added(PUBLIC[family], family, "eth0"),
      `route add default via ${GATEWAY[family]} dev eth0`,
    ]);
  }
  await addressesCount(lab, "local", ["path0", "path1"]);
  await addressesCount(lab, "remote", ["eth0"]);
}

function handovers(more: object) {
  return FAMILIES.map((family) => ({ address: PUBLIC[family], inside: INSIDE[family], ...more }));
}

scenario(
  import.meta.path,
  "one interface serves the tunnel and the peers' way out",
  { paths },
  async (lab) => {
    await build(lab);
    const before = await machinesOf(lab);
    const { toml } = options({});
    for (const outer of FAMILIES) {
      const endpoint = outer === 4 ? `${PUBLIC[4]}:51900` : `[${PUBLIC[6]}]:51900`;
      const local = { ...toml!.local, remote: { endpoint } };
      await lab.startPortals({ route: false, toml: { ...toml, local } });
      for (const family of FAMILIES) {
        for (const from of ["client", "local", "remote"] as const)
          expect(await whoAmI(lab, from, family)).toBe(PUBLIC[family]);
        expect(await transfer(lab, "up", MEGABYTE, family)).toBe(MEGABYTE);
        expect(await transfer(lab, "down", MEGABYTE, family)).toBe(MEGABYTE);
      }
      await lab.stopPortals();
      await expectAsBefore(lab, before);
    }
  },
);

scenario(
  import.meta.path,
  "its only address is a client's at home, beside the tunnel",
  { paths },
  async (lab) => {
    await build(lab);
    for (const family of FAMILIES) {
      const gateway = { 4: "10.10.0.1", 6: "fd10::1" }[family];
      const address = `addr add ${PUBLIC[family]}/${family === 4 ? "32" : "128 nodad"} dev eth0`;
      await lab.ip("client", [address, `route replace default via ${gateway} src ${PUBLIC[family]}`]);
    }
    // One of its interfaces will be the last to have come up.
    const look = async () => (await machinesOf(lab)).map((lines) => lines.toSorted());
    const before = await look();
    const { toml } = options({}, {}, { handover: handovers({ keep: ["22/tcp"] }) });
    const peer = toml!.remote!.peer as { addresses: string[] }[];
    const addresses = [...peer[0]!.addresses, `${INSIDE[4]}/32`, `${INSIDE[6]}/128`];
    await lab.startPortals({
      route: false,
      toml: {
        local: {
          ...toml!.local,
          remote: { endpoint: `${PUBLIC[4]}:51900` },
          handover: handovers({ interface: "lan" }),
        },
        remote: { ...toml!.remote, peer: [{ addresses }] },
      },
    });
    for (const family of FAMILIES) {
      // Whoever speaks, the Internet sees that address; and what it sends there arrives at the client, but for what is kept.
      for (const from of ["client", "local", "remote"] as const)
        expect(await whoAmI(lab, from, family)).toBe(PUBLIC[family]);
      expect(await pings(lab, family)).toBe(true);
      expect(await transfer(lab, "down", MEGABYTE, family)).toBe(MEGABYTE);
      expect(await reach(lab, "client", PUBLIC[family], "80")).toBe(MEGABYTE);
      expect(await reach(lab, "remote", PUBLIC[family], "22")).toBe(MEGABYTE);
      const heard = await echoes(lab, "client", family);
      const ping = ["ping", "-q", "-n", "-c", "3", "-i", "0.02", "-w", String(SOON), PUBLIC[family]];
      expect((await lab.exec("server", ping)).code).toBe(0);
      expect(await echoes(lab, "client", family)).toBeGreaterThanOrEqual(heard + 3);
      expect(await wayOf(lab, PUBLIC[family])).toBe("lan");
      expect(await wayOf(lab, PUBLIC[family], "path1")).toBe("path1");
    }
    // A path that begins now finds the server by that address too, though it is the client's at home.
    await lab.ip("local", ["link set path1 down", "link set path1 up"]);
    await lab.ip(
      "local",
      FAMILIES.map((family) => {
        return `route replace default via ${pathAddress(1, "remote", family)} dev path1 metric 101`;
      }),
    );
    await lab.waitFor("both paths to be up", SOON, async () => {
      return (await pathsOf(lab, "local")).every(({ status }) => status === "up");
    });
    await lab.stopPortals();
    expect(await look()).toEqual(before);
  },
);
