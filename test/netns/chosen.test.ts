/** NAT at the remote for chosen peers only: a laptop, which is behind the home's router and has a portal of its own, and not the home. */
import { expect } from "bun:test";
import { generateKeyPairSync } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { ADDRESSES, endpointRoute } from "../../src/lab/namespaces.ts";
import { selfCommand } from "../../src/lab/self.ts";
import { formatToml, type TomlTable } from "../../src/lab/toml.ts";
import type { PathOptions } from "../../src/lab/topology.ts";
import { expectAsBefore, FAMILIES, hideNft, machinesOf, untouched, useIptables, whoAmI } from "./hosting.ts";
import { scenario } from "./scenario.ts";
import { SOON } from "./traffic.ts";

const paths: PathOptions[] = [{ plain: true }];

const LAPTOP = { 4: "10.77.0.3", 6: "fd77::3" } as const;
const ROUTES = ["10.30.0.0/24", "fd30::/64"];

function keyPair(): { privateKey: string; publicKey: string } {
  const { d, x } = generateKeyPairSync("x25519").privateKey.export({ format: "jwk" });
  const base64 = (text: string | undefined): string => Buffer.from(text!, "base64url").toString("base64");
  return { privateKey: base64(d), publicKey: base64(x) };
}

for (const tool of ["nft", "iptables"] as const) {
  scenario(
    import.meta.path,
    `NAT by ${tool} for one peer, and another keeps its address`,
    { paths },
    async (lab) => {
      await untouched(lab);
      if (tool === "iptables") {
        hideNft();
        await useIptables(lab);
      }
      // The laptop's datagrams pass the home's router, which knows nothing of them.
      await lab.ip("remote", ["route add 10.10.0.0/24 via 10.20.0.2"]);
      await lab.ip("local", [endpointRoute(0, "path0", 4)]);
      const before = await machinesOf(lab);
      const laptop = keyPair();
      const addresses = FAMILIES.map((family) => `${LAPTOP[family]}/${family === 4 ? 32 : 128}`);
      const own = FAMILIES.map((family) => `${ADDRESSES.tunnelLocal[family]}/${family === 4 ? 32 : 128}`);
      await lab.startPortals({
        route: false,
        toml: {
          local: { host: { routes: ROUTES, forwarding: true } },
          remote: {
            host: { nat: addresses },
            peer: [{ addresses: own }, { name: "laptop", public_key: laptop.publicKey, addresses }],
          },
        },
      });
      const remoteKey = /public_key = "(.*)"/.exec(readFileSync("/run/portal/local.toml", "utf8"))![1]!;
      const toml: TomlTable = {
        role: "local",
        control_socket: "/run/portal/laptop.sock",
        tunnel: { addresses: [`${LAPTOP[4]}/24`, `${LAPTOP[6]}/64`] },
        keys: { private_key: laptop.privateKey },
        remote: { endpoint: `${ADDRESSES.remoteEndpoint[4]}:51900`, public_key: remoteKey },
        path: [{ interface: "eth0" }],
        host: { routes: ROUTES },
      };
      writeFileSync("/run/portal/laptop.toml", formatToml(toml), { mode: 0o600 });
      const portal = lab.spawn("client", [...selfCommand(), "--toml", "/run/portal/laptop.toml"], "laptop");
      await lab.waitFor("the laptop's session", SOON, () => {
        if (!portal.running) throw portal.failure(-1);
        return portal.errors.some((line) => line.includes("joining -> up"));
      });
      for (const family of FAMILIES) {
        expect(await whoAmI(lab, "client", family)).toBe({ 4: "10.30.0.1", 6: "fd30::1" }[family]);
        expect(await whoAmI(lab, "local", family)).toBe(ADDRESSES.tunnelLocal[family]);
      }
      await portal.stop();
      await lab.stopPortals();
      await expectAsBefore(lab, before);
    },
  );
}
