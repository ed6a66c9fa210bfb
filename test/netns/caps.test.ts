/** Data caps of real portals: what counts is what the kernel counts; a path rests, or is slowed; no restart forgets it. */
import { expect } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import type { Direction } from "../../src/lab/command.ts";
import type { Side } from "../../src/lab/portals.ts";
import type { TomlTable } from "../../src/lab/toml.ts";
import type { Lab, PathOptions } from "../../src/lab/topology.ts";
import { parseUsage } from "../../src/run/usage.ts";
import type { CapReport } from "../../src/share/status.ts";
import { pathOf } from "./pathuse.ts";
import { scenario } from "./scenario.ts";
import { startAgain } from "./single.ts";
import { Flow, SOON, startUdp, transfer } from "./traffic.ts";

const paths: PathOptions[] = [
  { mbit: 20, delayMs: 5 },
  { mbit: 20, delayMs: 5 },
];

const MEGABYTE = 1_000_000;
const CAP = 8 * MEGABYTE;

/** A full-sized datagram, as an IP packet: the tunnel's MTU is what fits into one of 1500. */
const FULL = 1500;

/** Below /run, which the laboratory has for itself. */
const STATE = "/run/state";
const FILE = `${STATE}/portal0.caps.json`;

const withCap = (keys: TomlTable): { toml: { local: TomlTable } } => ({
  toml: { local: { state_directory: STATE, path: [{ cap_month: "8 MB", ...keys }] } },
});

async function capOf(lab: Lab): Promise<CapReport> {
  return (await lab.status("local"))!.caps[0]!;
}

async function becomes(lab: Lab, side: Side, status: string): Promise<void> {
  await lab.waitFor(`path 0 of the ${side} to be ${status}`, SOON, async () => {
    return (await pathOf(lab, side, 0)).status === status;
  });
}

/** Bytes of IP packets that the kernel has sent and received on the local's interface of path 0, which is a TUN here. */
async function kernelBytes(lab: Lab): Promise<number> {
  const files = ["tx", "rx"].map((way) => `/sys/class/net/${lab.paths[0]!.name}/statistics/${way}_bytes`);
  const { stdout } = await lab.exec("local", ["cat", ...files]);
  const [sent, received] = stdout.trim().split("\n").map(Number);
  return sent! + received!;
}

/** While no portal runs on the remote, its kernel answers by ICMP, which the local's interface counts and portal does not see. */
async function hush(lab: Lab): Promise<void> {
  const drop =
    "type filter hook output priority 0\nicmp type destination-unreachable icmp code port-unreachable drop";
  const table = `table inet hush {\nchain out {\n${drop}\n}\n}\n`;
  const { code, stderr } = await lab.exec("remote", ["nft", "-f", "-"], table);
  if (code !== 0) throw new Error(stderr);
}

/** What the file says that path 0 has used. */
function kept(): number {
  return parseUsage(readFileSync(FILE, "utf8"))![0]!.month!.usedBytes;
}

/** Waits until the counters have stood still for a while. */
async function quiet(lab: Lab): Promise<void> {
  let last = -1;
  await lab.waitFor("path 0 to be quiet", SOON, async () => {
    const bytes = await kernelBytes(lab);
    const still = bytes === last;
    last = bytes;
    if (!still) await Bun.sleep(300);
    return still;
  });
}

for (const direction of ["up", "down"] as const) {
  scenario(
    import.meta.path,
    `a path rests at its cap and the flow ${direction} goes on`,
    { paths },
    async (lab) => {
      await hush(lab);
      const before = await kernelBytes(lab);
      const portals = await lab.startPortals(withCap({}));
      const flow = await Flow.start(lab, direction);
      for (const side of ["local", "remote"] as const) await becomes(lab, side, "capped");
      await flow.grows(4 * MEGABYTE, "after the cap");
      await quiet(lab);
      let { usedBytes, reached } = await capOf(lab);
      let counted = (await kernelBytes(lab)) - before;
      for (let i = 0; i < 3 && usedBytes !== counted; i++) {
        // Something came between the two questions.
        console.log(`${direction}: used ${usedBytes}, of the kernel ${counted}`);
        ({ usedBytes, reached } = await capOf(lab));
        counted = (await kernelBytes(lab)) - before;
      }
      console.log(`${direction}: cap ${CAP}, used ${usedBytes}, of the kernel ${counted}`);
      expect(reached).toBe(true);
      expect(usedBytes).toBeLessThanOrEqual(CAP);
      expect(usedBytes).toBeGreaterThan(CAP - FULL);
      expect(usedBytes).toBe(counted);
      expect((await pathOf(lab, "remote", 0)).reason).toBe("the peer says: its data cap is reached");
      expect(
        portals.local.errors.some((line) => line.includes("has used its 8.00 MB a month: it rests until")),
      ).toBe(true);
      await flow.stop();
      expect(await portals.local.stop("SIGTERM")).toBe(0);
      expect(kept()).toBe(usedBytes);
    },
  );
}

/** Waits for both counts of what path 0 has carried, the cap's and the kernel's, to stand still. */
async function carried(lab: Lab): Promise<{ used: number; kernel: number }> {
  await quiet(lab);
  return { used: (await capOf(lab)).usedBytes, kernel: await kernelBytes(lab) };
}

const lines: [
  name: string,
  line: PathOptions,
  keys: TomlTable,
  ways: Direction[],
  mbit: number,
  mb: number,
][] = [
  ["200 Mbit/s and 320 ms", { mbit: 200, delayMs: 160 }, {}, ["down"], 150, 20],
  [
    "a second of queue and losses, both ways",
    { mbit: 20, delayMs: 20, queueMs: 1000, loss: 0.002 },
    { congestion: "cubic" },
    ["up", "down"],
    25,
    10,
  ],
];

for (const [name, line, keys, ways, mbit, megabytes] of lines) {
  scenario(import.meta.path, `a cap ends to a datagram over ${name}`, { paths: [line] }, async (lab) => {
    const cap = megabytes * MEGABYTE;
    await hush(lab);
    const before = await kernelBytes(lab);
    await lab.startPortals(withCap({ cap_month: `${megabytes} MB`, ...keys }));
    const flows = await Promise.all(ways.map((way) => startUdp(lab, way, mbit)));
    await becomes(lab, "local", "capped");
    const { used, kernel } = await carried(lab);
    console.log(`${name}: cap ${cap}, used ${used}, of the kernel ${kernel - before}`);
    expect(used).toBeLessThanOrEqual(cap);
    expect(used).toBeGreaterThan(cap - FULL);
    expect(kernel - before).toBe(used);
    for (const flow of flows) await flow.stop();
  });
}

scenario(
  import.meta.path,
  "a cap ends to a datagram although both were restarted meanwhile",
  { paths },
  async (lab) => {
    await hush(lab);
    const before = await kernelBytes(lab);
    const { local, remote } = await lab.startPortals(withCap({}));
    let flow = await Flow.start(lab, "down");
    await flow.grows(2 * MEGABYTE, "before");
    expect(await local.stop("SIGTERM")).toBe(0);
    const counted = kept();
    const again = await startAgain(lab, "local");
    await flow.grows(MEGABYTE, "after the local's end");
    await flow.stop();
    // What came while there was no portal to take it.
    const between = await carried(lab);
    const missed = between.kernel - before - between.used;
    expect(between.used).toBeGreaterThan(counted + MEGABYTE / 4);
    flow = await Flow.start(lab, "down");
    await flow.grows(MEGABYTE, "before the remote's end");
    await remote.stop("SIGKILL");
    await startAgain(lab, "remote");
    await flow.stop();
    flow = await Flow.start(lab, "down");
    for (const side of ["local", "remote"] as const) await becomes(lab, side, "capped");
    const { used, kernel } = await carried(lab);
    const came = kernel - before - missed;
    console.log(`cap ${CAP}, used ${used}, of the kernel ${came}, and ${missed} before the second start`);
    expect(used).toBeLessThanOrEqual(CAP);
    expect(used).toBeGreaterThan(CAP - FULL);
    expect(came).toBe(used);
    await flow.stop();
    expect(await again.stop("SIGTERM")).toBe(0);
    expect(kept()).toBe(used);
  },
);

scenario(import.meta.path, "no restart forgets what was used", { paths }, async (lab) => {
  await hush(lab);
  const before = await kernelBytes(lab);
  const portals = await lab.startPortals(withCap({ cap_month: "1 GB" }));
  const flow = await Flow.start(lab, "up");
  await flow.grows(4 * MEGABYTE, "before");
  expect(await portals.local.stop("SIGTERM")).toBe(0);
  const again = await startAgain(lab, "local");
  await flow.grows(4 * MEGABYTE, "after a clean end");
  await flow.stop();
  await quiet(lab);
  // Both runs, but for what came while there was no portal to take it.
  const missed = (await kernelBytes(lab)) - before - (await capOf(lab)).usedBytes;
  console.log(`after a clean end: ${missed} bytes came in between`);
  expect(missed).toBeGreaterThanOrEqual(0);
  expect(missed).toBeLessThan(100_000);

  const second = await Flow.start(lab, "up");
  await second.grows(4 * MEGABYTE, "before the kill");
  const { usedBytes } = await capOf(lab);
  await again.stop("SIGKILL");
  const last = await startAgain(lab, "local");
  const { usedBytes: after } = await capOf(lab);
  console.log(`after a kill: ${usedBytes} bytes seen before, ${after} counted`);
  expect(after).toBeGreaterThan(usedBytes);
  // The cap's two hundredth part, or four seconds of the path's rate.
  expect(after - usedBytes).toBeLessThan(15 * MEGABYTE);
  await second.grows(MEGABYTE, "after the kill");
  await second.stop();

  expect(await last.stop("SIGTERM")).toBe(0);
  writeFileSync(FILE, "something else");
  const broken = await startAgain(lab, "local");
  expect(broken.errors.some((line) => line.includes(`${FILE} is not what portal writes: kept as`))).toBe(
    true,
  );
  expect(existsSync(`${FILE}.broken`)).toBe(true);
  expect((await capOf(lab)).usedBytes).toBeLessThan(MEGABYTE);
});

for (const direction of ["up", "down"] as const) {
  scenario(
    import.meta.path,
    `a path over its cap carries little more ${direction}`,
    { paths: [paths[0]!] },
    async (lab) => {
      await lab.startPortals(withCap({ cap_month: "2 MB", over_cap: "2 Mbit" }));
      await transfer(lab, direction, 2 * MEGABYTE);
      for (const side of ["local", "remote"] as const) {
        await lab.waitFor(`the ${side} to be limited`, SOON, async () => {
          return (await pathOf(lab, side, 0)).congestion === "fixed";
        });
      }
      const flow = await Flow.start(lab, direction);
      await flow.grows(200_000, "at the rate over the cap");
      const [from, since] = [await kernelBytes(lab), performance.now()];
      await flow.grows(400_000, "at the rate over the cap");
      const rate = (((await kernelBytes(lab)) - from) * 8) / (performance.now() - since) / 1000;
      console.log(`${direction}: ${rate.toFixed(2)} Mbit/s, both ways together`);
      // The flow's direction, and its acknowledgements in the other.
      expect(rate).toBeLessThan(2.6);
      expect((await capOf(lab)).overBitsPerSecond).toBe(2_000_000);
      await flow.stop();
    },
  );
}
