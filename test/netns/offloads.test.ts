/** Without the kernel's segmentation offloads, by the operator's wish or the kernel's, everything is carried as with them. */
import { expect } from "bun:test";
import { join } from "node:path";
import type { Family } from "../../src/lab/namespaces.ts";
import { SIDES, type Side } from "../../src/lab/portals.ts";
import { selfCommand } from "../../src/lab/self.ts";
import type { Lab, PathOptions } from "../../src/lab/topology.ts";
import type { StatusReport } from "../../src/share/status.ts";
import { scenario } from "./scenario.ts";
import { controlSocket } from "./single.ts";
import { echoDatagrams, pings, SOON, transfer } from "./traffic.ts";

const paths: PathOptions[] = [
  { mbit: 100, delayMs: 2 },
  { mbit: 100, delayMs: 3 },
];

const MEGABYTE = 1_000_000;
const REFUSING = join(import.meta.dir, "refusing.ts");

type Offloads = StatusReport["offloads"];
const ALL: Offloads = { tun: true, udpSegmentation: true, udpReceive: true };
const NONE: Offloads = { tun: false, udpSegmentation: false, udpReceive: false };

/** Pings, TCP both ways and UDP there and back, each byte checked. */
async function expectCarried(lab: Lab, families: readonly Family[]): Promise<void> {
  for (const family of families) {
    expect(await pings(lab, family)).toBe(true);
    for (const direction of ["up", "down"] as const) {
      expect(await transfer(lab, direction, 2 * MEGABYTE, family)).toBe(2 * MEGABYTE);
    }
    // Now both ends know the MTU of the way, and let larger packets leave in fragments.
    expect(await pings(lab, family, 3, ["-s", "4000"])).toBe(true);
    const { sent, ...came } = await echoDatagrams(lab, 300, family);
    expect(came).toEqual({ echoed: sent, duplicates: 0, damaged: 0 });
  }
}

/** What `portal status --json` says of a side's offloads. */
async function offloadsOf(lab: Lab, side: Side): Promise<Offloads> {
  const argv = [...selfCommand(), "status", "--json", "--socket", controlSocket(side)];
  const { code, stdout, stderr } = await lab.exec(side, argv);
  if (code !== 0) throw new Error(stderr);
  return (JSON.parse(stdout) as StatusReport).offloads;
}

/** What a side has said of the kernel, since its start. */
function warnings(lab: Lab, side: Side): string[] {
  const lines = lab.portals![side].errors.filter((line) => line.includes(" warn this kernel "));
  return lines.map((line) => line.replace(/^.* warn /, ""));
}

for (const without of [["local"], ["remote"], ["local", "remote"]] as const) {
  const toml = Object.fromEntries(without.map((side) => [side, { tunnel: { offloads: false } }]));

  scenario(import.meta.path, `offloads = false on ${without.join(" and ")}`, { paths }, async (lab) => {
    await lab.startPortals({ toml });
    for (const side of SIDES) {
      expect(await offloadsOf(lab, side)).toEqual(side in toml ? NONE : ALL);
    }
    await expectCarried(lab, [4, 6]);
    // The operator knows.
    for (const side of SIDES) expect(warnings(lab, side)).toEqual([]);
  });
}

const noTun = "this kernel gives no TUN offloads: portal works without, more slowly";
const noSegmentation = "this kernel cannot segment UDP (UDP_SEGMENT): portal works without, more slowly";
const noReceive = "this kernel cannot receive UDP in batches (UDP_GRO): portal works without, more slowly";

const REFUSALS: [what: string, offloads: Offloads, warnings: string[]][] = [
  ["headers", { ...ALL, tun: false }, [noTun]],
  ["tun", { ...ALL, tun: false }, [noTun]],
  ["udp", { ...NONE, tun: true }, [noSegmentation, noReceive]],
  ["headers,udp", NONE, [noSegmentation, noReceive, noTun]],
];

for (const [what, offloads, expected] of REFUSALS) {
  scenario(import.meta.path, `a kernel that refuses: ${what}`, { paths }, async (lab) => {
    const refusing = [process.execPath, REFUSING, what];
    await lab.startPortals({ command: { local: refusing, remote: refusing } });
    for (const side of SIDES) expect(await offloadsOf(lab, side)).toEqual(offloads);
    await expectCarried(lab, [4]);
    // In whatever order a side opens its devices.
    for (const side of SIDES) expect(warnings(lab, side).sort()).toEqual([...expected].sort());
  });
}

scenario(import.meta.path, "a kernel that refuses to segment UDP when it sends", { paths }, async (lab) => {
  const refusing = [process.execPath, REFUSING, "sending"];
  await lab.startPortals({ command: { local: refusing, remote: refusing } });
  await expectCarried(lab, [4]);
  for (const side of SIDES) {
    expect(await offloadsOf(lab, side)).toEqual({ ...ALL, udpSegmentation: false });
    await lab.waitFor("a warning", SOON, () => warnings(lab, side).length > 0);
    expect(warnings(lab, side)).toEqual([noSegmentation]);
  }
});
