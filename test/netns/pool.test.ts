/** A local without addresses of its own: real portals, a pool at the remote, and the same addresses after every restart. */
import { expect } from "bun:test";
import { ADDRESSES } from "../../src/lab/namespaces.ts";
import { SIDES } from "../../src/lab/portals.ts";
import type { Lab, PathOptions } from "../../src/lab/topology.ts";
import { scenario } from "./scenario.ts";
import { startAgain } from "./single.ts";
import { SOON } from "./traffic.ts";

const paths: PathOptions[] = [{ plain: true }, { plain: true }];

const POOL = ["10.77.0.0/24", "fd77::/64"];

/** The local's addresses in the tunnel, by the kernel. */
async function addresses(lab: Lab): Promise<string[]> {
  const argv = ["ip", "-o", "addr", "show", "dev", "portal0", "scope", "global"];
  const { stdout } = await lab.exec("local", argv);
  return [...stdout.matchAll(/inet6? (\S+)/g)].map((match) => match[1]!);
}

async function pinged(lab: Lab, target: string, from: readonly string[] = []): Promise<boolean> {
  const argv = ["ping", "-q", "-n", "-c", "3", "-i", "0.05", ...from, target];
  return (await lab.exec("local", argv)).code === 0;
}

scenario(
  import.meta.path,
  "a local gets its addresses from the remote, always the same",
  { paths },
  async (lab) => {
    const pool = lab.ipv6 ? POOL : POOL.slice(0, 1);
    const portals = await lab.startPortals({
      toml: {
        local: { tunnel: { addresses: undefined } },
        remote: { listen: { pool }, peer: [{ addresses: undefined }] },
      },
    });
    const first = await addresses(lab);
    console.log(`the local has ${first.join(" and ")}`);
    expect(first.length).toBe(pool.length);
    expect((await lab.status("local"))!.addresses).toEqual(first);
    expect(first[0]).toMatch(/^10\.77\.0\.\d+\/24$/);
    if (lab.ipv6) expect(first[1]).toMatch(/^fd77::[0-9a-f:]+\/64$/);
    const targets = lab.ipv6
      ? [ADDRESSES.tunnelRemote[4], ADDRESSES.tunnelRemote[6]]
      : [ADDRESSES.tunnelRemote[4]];
    for (const target of targets) expect(await pinged(lab, target)).toBe(true);

    // Another address of the pool is not its own.
    await lab.ip("local", ["addr add 10.77.0.250/24 dev portal0"]);
    expect(await pinged(lab, ADDRESSES.tunnelRemote[4], ["-w", "1", "-I", "10.77.0.250"])).toBe(false);
    const { drops, addresses: allowed } = (await lab.status("remote"))!.sessions[0]!;
    expect(drops.badSource).toBeGreaterThan(0);
    expect(allowed).toEqual(first.map((each) => each.replace(/\/24$/, "/32").replace(/\/64$/, "/128")));

    for (const side of SIDES) {
      await portals[side].stop();
      await startAgain(lab, side);
      await lab.waitFor("the addresses to be there again", SOON, async () => {
        const now = await addresses(lab);
        return first.every((each) => now.includes(each));
      });
      for (const target of targets) expect(await pinged(lab, target)).toBe(true);
    }
  },
);
