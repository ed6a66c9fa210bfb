/** [[handover]]: a client at home has the server's own address, and the server keeps with it the tunnel and what it wants. */
import { expect } from "bun:test";
import { ADDRESSES } from "../../src/lab/namespaces.ts";
import type { Lab, PathOptions } from "../../src/lab/topology.ts";
import {
  echoes,
  expectAsBefore,
  FAMILIES,
  hideNft,
  machinesOf,
  options,
  reach,
  untouched,
  useIptables,
  wayOf,
  whoAmI,
} from "./hosting.ts";
import { scenario } from "./scenario.ts";
import { pings, SOON, transfer } from "./traffic.ts";

const paths: PathOptions[] = [{ plain: true }, { plain: true }];

const MEGABYTE = 1_000_000;

/** The server's public address carries the tunnel as well. */
const PUBLIC = ADDRESSES.remoteEndpoint;
const INSIDE = { 4: "10.77.0.9", 6: "fd77::9" } as const;
const GATEWAY = { 4: "10.10.0.1", 6: "fd10::1" } as const;

function handovers(more: object) {
  return FAMILIES.map((family) => ({ address: PUBLIC[family], inside: INSIDE[family], ...more }));
}

/** What the client's owner does; and a server with one address, by which it speaks itself. */
async function giveAddresses(lab: Lab): Promise<void> {
  for (const family of FAMILIES) {
    const address = `addr add ${PUBLIC[family]}/${family === 4 ? "32" : "128 nodad"} dev eth0`;
    await lab.ip("client", [address, `route replace default via ${GATEWAY[family]} src ${PUBLIC[family]}`]);
    const length = family === 4 ? 32 : 128;
    await lab.ip("remote", [`route add ${ADDRESSES.server[family]}/${length} dev wan src ${PUBLIC[family]}`]);
  }
}

for (const tool of ["nft", "iptables"] as const) {
  scenario(import.meta.path, `a client has the server's address by ${tool}`, { paths }, async (lab) => {
    await untouched(lab);
    await giveAddresses(lab);
    if (tool === "iptables") {
      hideNft();
      await useIptables(lab);
    }
    const before = await machinesOf(lab);
    // With and without the machine's own traffic in the tunnel.
    const routed = tool === "nft";
    const { toml } = options(
      routed ? {} : { routes: undefined },
      {},
      { handover: handovers({ keep: ["22/tcp"] }) },
    );
    const peer = toml!.remote!.peer as { addresses: string[] }[];
    const inside = [`${INSIDE[4]}/32`, `${INSIDE[6]}/128`];
    await lab.startPortals({
      route: false,
      toml: {
        local: { ...toml!.local, handover: handovers({ interface: "lan" }) },
        remote: { ...toml!.remote, peer: [{ addresses: [...peer[0]!.addresses, ...inside] }] },
      },
    });
    for (const family of FAMILIES) {
      // The Internet sees that address, whoever speaks: the client, or the server itself.
      for (const from of ["client", "remote"] as const)
        expect(await whoAmI(lab, from, family)).toBe(PUBLIC[family]);
      expect(await pings(lab, family)).toBe(true);
      expect(await transfer(lab, "down", MEGABYTE, family)).toBe(MEGABYTE);
      // And reaches the client by it, but for what the server keeps.
      expect(await reach(lab, "client", PUBLIC[family], "80")).toBe(MEGABYTE);
      expect(await reach(lab, "remote", PUBLIC[family], "22")).toBe(MEGABYTE);
      const heard = await echoes(lab, "client", family);
      const ping = ["ping", "-q", "-n", "-c", "3", "-i", "0.02", "-w", String(SOON), PUBLIC[family]];
      expect((await lab.exec("server", ping)).code).toBe(0);
      // One more when an answer took its time.
      expect(await echoes(lab, "client", family)).toBeGreaterThanOrEqual(heard + 3);
      // At home it is the client's; the paths' own sockets still find the server by it.
      expect(await wayOf(lab, PUBLIC[family])).toBe("lan");
      expect(await wayOf(lab, PUBLIC[family], "path1")).toBe("path1");
      // The local machine itself goes out as any peer does, or by its own route.
      const seen = routed ? { 4: "10.30.0.1", 6: "fd30::1" } : { 4: "10.20.0.2", 6: "fd20::2" };
      expect(await whoAmI(lab, "local", family)).toBe(seen[family]);
    }
    expect((await lab.status("local"))!.sessions[0]!.paths.map(({ status }) => status)).toEqual(["up", "up"]);
    await lab.stopPortals();
    await expectAsBefore(lab, before);
  });
}
