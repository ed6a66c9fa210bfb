/** A local without addresses of its own: real portals, a pool at the remote, and the same addresses after every restart. */
import { expect } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { ADDRESSES } from "../../src/lab/namespaces.ts";
import { SIDES } from "../../src/lab/portals.ts";
import type { Lab, PathOptions } from "../../src/lab/topology.ts";
import { scenario } from "./scenario.ts";
import { startAgain, tomlFile } from "./single.ts";
import { pings, SOON } from "./traffic.ts";

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
    const other = first[0] === "10.77.0.250/24" ? "10.77.0.249" : "10.77.0.250";
    await lab.ip("local", [`addr add ${other}/24 dev portal0`]);
    expect(await pinged(lab, ADDRESSES.tunnelRemote[4], ["-w", "1", "-I", other])).toBe(false);
    await lab.ip("local", [`addr del ${other}/24 dev portal0`]);
    const { drops, addresses: allowed } = (await lab.status("remote"))!.sessions[0]!;
    expect(drops.badSource).toBeGreaterThan(0);
    expect(allowed).toEqual(first.map((each) => each.replace(/\/24$/, "/32").replace(/\/64$/, "/128")));

    let remote = portals.remote;
    for (const side of SIDES) {
      await portals[side].stop();
      const again = await startAgain(lab, side);
      if (side === "remote") remote = again;
      await lab.waitFor("the addresses to be there again", SOON, async () => {
        const now = await addresses(lab);
        return first.every((each) => now.includes(each));
      });
      for (const target of targets) expect(await pinged(lab, target)).toBe(true);
    }

    // Another address of the same network takes no route with the one before.
    const routes = async () => (await lab.exec("local", ["ip", "route", "show", "dev", "portal0"])).stdout;
    const before = (await routes()).split("\n").filter((line) => !line.includes("proto kernel"));
    expect(before.length).toBeGreaterThan(1);
    await remote.stop();
    const next = first[0] === "10.77.0.99/24" ? "10.77.0.98" : "10.77.0.99";
    const file = tomlFile("remote");
    const text = readFileSync(file, "utf8");
    writeFileSync(file, text.replace("[[peer]]", `[[peer]]\naddresses = ["${next}/32", "10.10.0.0/24"]`));
    await startAgain(lab, "remote");
    await lab.waitFor("the other address", SOON, async () => (await addresses(lab)).includes(`${next}/24`));
    expect((await routes()).split("\n").filter((line) => !line.includes("proto kernel"))).toEqual(before);
    expect((await addresses(lab)).filter((each) => each.startsWith("10."))).toEqual([`${next}/24`]);
    await lab.waitFor("answers at it", SOON, () => pings(lab, 4));
  },
);
