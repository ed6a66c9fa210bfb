/** Portals of several threads: what they carry, how they end, and how they end when a worker fails. */
import { expect } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compile } from "../../build.ts";
import { SIDES } from "../../src/lab/portals.ts";
import type { PathOptions } from "../../src/lab/topology.ts";
import { carriesAll, carryingPaths } from "./carrying.ts";
import { FAIL } from "./failing.ts";
import { expectAsBefore, machineOf, machinesOf, options, untouched } from "./hosting.ts";
import { scenario } from "./scenario.ts";
import { pings, SOON, transfer } from "./traffic.ts";

const plain: PathOptions[] = [{ plain: true }, { plain: true }];

const MEGABYTE = 1_000_000;

for (const [threads, outer] of [
  [2, 4],
  [4, 6],
] as const) {
  scenario(
    import.meta.path,
    `${threads} threads carry over IPv${outer}`,
    { paths: carryingPaths },
    async (lab) => {
      await carriesAll(lab, outer, { threads });
      for (const side of SIDES) expect((await lab.status(side))!.threads).toBe(threads);
      // The acknowledgements of trains that no worker sealed would be missing too.
      for (const { lostPackets, sentPackets } of (await lab.status("local"))!.sessions[0]!.paths)
        expect(lostPackets / sentPackets).toBeLessThan(0.01);
    },
  );
}

scenario(import.meta.path, "the compiled program has workers too", { paths: plain }, async (lab) => {
  const folder = mkdtempSync(join(tmpdir(), "portal-"));
  const program = join(folder, "portal");
  await compile(
    join(import.meta.dir, "../../src/main.ts"),
    process.arch === "arm64" ? "arm64" : "x64",
    program,
  );
  const portals = await lab.startPortals({
    command: { local: [program], remote: [program] },
    toml: { local: { threads: 3 }, remote: { threads: 3 } },
  });
  for (const direction of ["up", "down"] as const) {
    expect(await transfer(lab, direction, 100 * MEGABYTE)).toBe(100 * MEGABYTE);
  }
  for (const side of SIDES) expect((await lab.status(side))!.threads).toBe(3);
  // On SIGTERM it says goodbye, and ends.
  expect(await portals.local.stop()).toBe(0);
  await lab.waitFor("the goodbye", SOON, async () => {
    return (await lab.status("remote"))!.sessions[0]!.establishedSeconds === null;
  });
  expect(portals.remote.errors.some((line) => line.includes("ended: the peer closed it"))).toBe(true);
  expect(await portals.remote.stop()).toBe(0);
  rmSync(folder, { recursive: true });
});

scenario(
  import.meta.path,
  "a worker that fails ends the portal with its reason, and the machine is as before",
  { paths: plain },
  async (lab) => {
    await untouched(lab);
    const before = await machinesOf(lab);
    const command = { local: [process.execPath, join(import.meta.dir, "failing.ts")] };
    const { toml, ...rest } = options({});
    const local = { ...toml!.local, threads: 3 };
    const portals = await lab.startPortals({ ...rest, toml: { ...toml, local }, command });
    expect(await pings(lab, 4)).toBe(true);
    expect(await machineOf(lab, "local")).not.toEqual(before[0]!);
    writeFileSync(FAIL, "");
    expect(await portals.local.exited).toBe(1);
    expect(portals.local.errors.at(-1)).toContain("error a worker thread has failed: error: out of luck");
    await portals.remote.stop();
    await expectAsBefore(lab, before);
  },
);
