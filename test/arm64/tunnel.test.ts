/**
 * The arm64 program on an emulated Raspberry Pi 4 as one of two portals, the other being this machine's own: real
 * kernel, real TUNs, two emulated lines. The lines are slow because the emulated processor is.
 */
import { beforeAll, expect } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Direction } from "../../src/lab/command.ts";
import { insideLab } from "../../src/lab/enter.ts";
import { ADDRESSES, TUNNEL_INTERFACE } from "../../src/lab/namespaces.ts";
import { SIDES, type Side } from "../../src/lab/portals.ts";
import type { Lab, PathOptions } from "../../src/lab/topology.ts";
import type { Drop } from "../../src/share/counters.ts";
import type { PathReport, StatusReport } from "../../src/share/status.ts";
import { scenario } from "../netns/scenario.ts";
import { pings } from "../netns/traffic.ts";
import { arm64Command, arm64Program, buildArm64Program } from "./emulator.ts";
import { TRANSFER_PORT, type Transfer } from "./transfer.ts";

const paths: PathOptions[] = [
  { mbit: 4, delayMs: 10 },
  { mbit: 4, delayMs: 20 },
];

const MEGABYTE = 1_000_000;
const SERVER = `http://${ADDRESSES.server[4]}:${TRANSFER_PORT}`;
const TRANSFER = [process.execPath, join(import.meta.dir, "transfer.ts")];

/** Bytes after which a path has carried a transfer, and not only acknowledgements of one: those of two megabytes are 80 kB. */
const CARRIED = MEGABYTE / 4;

/** Transfers of two megabytes, one after the other, of which each path must carry its part; mostly the first is enough. */
const ROUNDS = 5;

/** Drops that would tell of bytes computed wrongly; a cut causes others. */
const DAMAGE: readonly Drop[] = [
  "malformed",
  "unknownType",
  "notAuthentic",
  "badSource",
  "badInner",
  "tunRefused",
];

/** Seconds that what must happen may take when other work keeps the processors busy. */
const SOON = 60;

if (!insideLab()) beforeAll(buildArm64Program, 120_000);

scenario(import.meta.path, "carries as the local portal, through a cut of a path", { paths }, async (lab) => {
  await lab.startPortals({ command: { local: arm64Command() } });
  await expectAgreed(lab, "aes-256-gcm", "chacha20-poly1305");
  for (const inner of [4, 6] as const) expect(await pings(lab, inner)).toBe(true);
  await serveTransfers(lab);
  for (const direction of ["up", "down"] as const) await transfersOverBoth(lab, direction);
  expectBothUsed(await statusByCommand(lab, "local"));

  const before = sum(await sentBytes(lab, "local"));
  const cutTransfer = new RunningTransfer(lab, "up", 3 * MEGABYTE);
  await cutTransfer.until("to be under way", async () => {
    return sum(await sentBytes(lab, "local")) > before + MEGABYTE / 2;
  });
  await lab.line(0).cut();
  await cutTransfer.until("to meet the cut", async () => (await pathOf(lab, "local", 0)).status !== "up");
  await cutTransfer.end();
  expect((await pathOf(lab, "local", 0)).status).not.toBe("up");

  await lab.line(0).restore();
  await lab.waitFor("the cut path to be up again", SOON, async () => {
    const both = await Promise.all(SIDES.map((side) => pathOf(lab, side, 0)));
    return both.every(({ status }) => status === "up");
  });
  await transfersOverBoth(lab, "up");
  await expectCleanEnd(lab);
});

scenario(import.meta.path, "carries as the remote portal", { paths }, async (lab) => {
  // Over the other family, and with the suite that is computed in JavaScript where libcrypto is missing.
  const authenticateOnly = { tunnel: { privacy: false } };
  await lab.startPortals({
    outer: 6,
    command: { remote: arm64Command() },
    toml: { local: authenticateOnly, remote: authenticateOnly },
  });
  await expectAgreed(lab, "blake2s");
  for (const inner of [4, 6] as const) expect(await pings(lab, inner)).toBe(true);
  await serveTransfers(lab);
  for (const direction of ["up", "down"] as const) await transfersOverBoth(lab, direction);
  expectBothUsed(await statusByCommand(lab, "remote"));
  await expectCleanEnd(lab);
});

/** One transfer through the tunnel; its bytes are checked at its end. */
class RunningTransfer {
  private readonly lab: Lab;
  private readonly bytes: number;
  private readonly finished: Promise<Transfer>;
  private running = true;

  constructor(lab: Lab, direction: Direction, bytes: number) {
    this.lab = lab;
    this.bytes = bytes;
    this.finished = this.run(direction).finally(() => {
      this.running = false;
    });
    // Whoever awaits it is told; until then a failure must not end the test without its name.
    this.finished.catch(() => {});
  }

  /** Waits for something that must happen before the transfer ends. */
  async until(what: string, condition: () => Promise<boolean>): Promise<void> {
    await this.lab.waitFor(`the transfer ${what}`, SOON, async () => {
      const happened = await condition();
      if (this.running) return happened;
      await this.finished;
      throw new Error(`the transfer ended too early ${what}`);
    });
  }

  async end(): Promise<void> {
    await this.lab.waitFor("the end of the transfer", SOON, () => !this.running);
    const { bytes, sent, arrived } = await this.finished;
    expect(bytes).toBe(this.bytes);
    expect(arrived).toBe(sent);
  }

  private async run(direction: Direction): Promise<Transfer> {
    const argv = [...TRANSFER, direction, SERVER, String(this.bytes)];
    const { code, stdout, stderr } = await this.lab.exec("client", argv);
    if (code !== 0) throw new Error(`transfer ${direction}: ${stderr}`);
    return JSON.parse(stdout);
  }
}

async function serveTransfers(lab: Lab): Promise<void> {
  await lab.spawn("server", [...TRANSFER, "serve"], "transfer server").nextLine();
}

/** Transfers until each path has carried some of it: when the processors are busy, one may lie idle for a while. */
async function transfersOverBoth(lab: Lab, direction: Direction): Promise<void> {
  const sender: Side = direction === "up" ? "local" : "remote";
  const before = await sentBytes(lab, sender);
  let carried: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    await new RunningTransfer(lab, direction, 2 * MEGABYTE).end();
    carried = (await sentBytes(lab, sender)).map((bytes, i) => bytes - before[i]!);
    if (Math.min(...carried) > CARRIED) return;
  }
  throw new Error(`the paths carried ${carried.join(" and ")} bytes of ${ROUNDS} transfers ${direction}`);
}

async function sentBytes(lab: Lab, side: Side): Promise<number[]> {
  return (await lab.status(side))!.sessions[0]!.paths.map((path) => path.sentBytes);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

async function pathOf(lab: Lab, side: Side, path: number): Promise<PathReport> {
  return (await lab.status(side))!.sessions[0]!.paths[path]!;
}

/** What the arm64 program's own `portal status --json` says of a running portal. */
async function statusByCommand(lab: Lab, side: Side): Promise<StatusReport> {
  const argv = arm64Command("status", "--json", "--socket", `/run/portal/${side}.sock`);
  const { code, stdout, stderr } = await lab.exec(side, argv);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return JSON.parse(stdout);
}

/** Half of what was sent, as some was lost on the way. */
function expectBothUsed({ sessions }: StatusReport): void {
  for (const { sentBytes, receivedBytes } of sessions[0]!.paths) {
    expect(Math.min(sentBytes, receivedBytes)).toBeGreaterThan(CARRIED / 2);
  }
}

/**
 * Both sides have a session of the same one of these suites. A machine without libcrypto takes fewer; what it takes it
 * computes by other means, and the same.
 */
async function expectAgreed(lab: Lab, ...suites: string[]): Promise<void> {
  expect(runningPrograms()).toHaveLength(1);
  const agreed = (await lab.status("local"))!.sessions[0]!.suite!;
  expect(suites).toContain(agreed);
  for (const side of SIDES) {
    const { cipher, sessions } = (await lab.status(side))!;
    expect(cipher.split(" or ")).toContain(agreed);
    expect([sessions[0]!.status, sessions[0]!.suite]).toEqual(["up", agreed]);
  }
}

/** Both portals end when they are told to, and nothing of them remains. */
async function expectCleanEnd(lab: Lab): Promise<void> {
  for (const side of SIDES) {
    const { drops } = (await lab.status(side))!.sessions[0]!;
    for (const reason of DAMAGE) expect(drops).not.toHaveProperty(reason);
    expect(await lab.portals![side].stop()).toBe(0);
    expect(await lab.hasInterface(side, TUNNEL_INTERFACE)).toBe(false);
  }
  expect(runningPrograms()).toEqual([]);
}

/** Processes of this laboratory, which has process numbers of its own, that run the arm64 program. */
function runningPrograms(): string[] {
  return readdirSync("/proc").filter((pid) => /^\d+$/.test(pid) && commandLine(pid).includes(arm64Program));
}

function commandLine(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
  } catch {
    // Ended meanwhile.
    return [];
  }
}
