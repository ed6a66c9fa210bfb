/**
 * What the compiled program takes: its size; its memory when idle, at most and at the end of flows at full rate, and some time
 * after them; the longest pause of its garbage collection at full rate; and the time from its start until the first inner packet
 * has crossed.
 */
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compile } from "../../build.ts";
import { LabError } from "../../src/lab/failure.ts";
import { ADDRESSES } from "../../src/lab/namespaces.ts";
import { SIDES, type Side, tomlFile } from "../../src/lab/portals.ts";
import { type Lab, withLab } from "../../src/lab/topology.ts";
import { iperf } from "./iperf.ts";
import type { Options } from "./options.ts";
import { type Figure, report } from "./report.ts";
import type { BenchResult, Say } from "./result.ts";
import { inTurn } from "./turn.ts";
import { countMostAnew, mostRssMb, rssMb } from "./usage.ts";

const FIGURES = {
  sizeMb: { title: "program MB", digits: 0 },
  idleMb: { title: "RSS idle MB", digits: 0 },
  mostMb: { title: "at most", digits: 0 },
  loadedMb: { title: "after load", digits: 0 },
  laterMb: { title: "10 s later", digits: 0 },
  pauseMs: { title: "longest GC pause ms", digits: 2 },
  collections: { title: "collections", digits: 0 },
  firstPacketMs: { title: "start to first packet ms", digits: 0 },
} satisfies Record<string, Figure>;

type Measured = Record<keyof typeof FIGURES, number>;

const PATHS = [0, 1];
const IDLE_SECONDS = 3;
const LATER_SECONDS = 10;
const FIRST_PORT = 19_000;

export async function footprint(options: Options, say: Say): Promise<BenchResult> {
  const folder = mkdtempSync(join(tmpdir(), "portal-footprint-"));
  const repeats: Measured[] = [];
  try {
    const program = join(folder, "portal");
    const architecture = process.arch === "arm64" ? "arm64" : "x64";
    await compile(join(import.meta.dir, "../../src/main.ts"), architecture, program);
    await withLab({ paths: PATHS.map(() => ({ plain: true })) }, async (lab) => {
      for (let repeat = 1; repeat <= options.repeats; repeat++) {
        const measured = await inTurn(() => measure(lab, program, folder, options));
        repeats.push(measured);
        say(
          `${repeat}/${options.repeats}: ${Math.round(measured.mostMb)} MB at most, first packet after ${Math.round(measured.firstPacketMs)} ms`,
        );
      }
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
  return report(["the larger of both portals"], FIGURES, [
    { name: "two paths", row: ["portal, two paths, median (least-most)"], repeats },
  ]);
}

async function measure(lab: Lab, program: string, folder: string, options: Options): Promise<Measured> {
  const portals = await lab.startPortals({
    paths: PATHS,
    command: { local: logged(program, folder, "local"), remote: logged(program, folder, "remote") },
  });
  const pids = [portals.local.pid, portals.remote.pid];
  await Bun.sleep(IDLE_SECONDS * 1000);
  const idleMb = rssMb(pids);
  const { seconds } = options;
  countMostAnew(pids);
  for (const direction of options.directions)
    await iperf(lab, { direction, seconds, warmUp: 1, congestion: options.inner[0]! });
  const [mostMb, loadedMb] = [mostRssMb(pids), rssMb(pids)];
  await Bun.sleep(LATER_SECONDS * 1000);
  const laterMb = rssMb(pids);
  const pauses = SIDES.map((side) => pausesIn(readFileSync(logFile(folder, side), "utf8")));
  await portals.local.stop();
  const firstPacketMs = await firstPacket(lab, program);
  await lab.stopPortals();
  return {
    sizeMb: statSync(program).size / 1e6,
    idleMb,
    mostMb,
    loadedMb,
    laterMb,
    pauseMs: Math.max(0, ...pauses.flat()),
    collections: Math.max(...pauses.map((each) => each.length)),
    firstPacketMs,
  };
}

function logFile(folder: string, side: Side): string {
  return join(folder, `${side}.log`);
}

/** The words that start the program so that what it says, with every garbage collection, goes into a file. */
function logged(program: string, folder: string, side: Side): string[] {
  const script = 'exec 2>"$0" && BUN_JSC_logGC=1 exec "$@"';
  return ["sh", "-c", script, logFile(folder, side), program];
}

/** How long each stop for a garbage collection took, in milliseconds, as Bun's runtime tells. */
export function pausesIn(log: string): number[] {
  return [...log.matchAll(/^\[GC<.* p=([\d.]+)ms \(max/gm)].map((found) => Number(found[1]));
}

/** Starts the local portal; the milliseconds until the first packet sent into its tunnel has come out of the other end. */
async function firstPacket(lab: Lab, program: string): Promise<number> {
  const own = (role: string) => [
    process.execPath,
    join(import.meta.dir, "first.ts"),
    role,
    String(FIRST_PORT),
  ];
  const receiver = lab.spawn("remote", own("receive"), "receiver");
  await receiver.nextLine();
  const arrived = receiver.nextLine();
  const sender = lab.spawn("local", own(ADDRESSES.tunnelRemote[4]), "sender");
  await sender.nextLine();
  const began = performance.timeOrigin + performance.now();
  const portal = lab.spawn("local", [program, "--toml", tomlFile("local")], "portal");
  const tooLate = Bun.sleep(20_000).then(() => Promise.reject(new LabError("no packet came through")));
  try {
    return Number(await Promise.race([arrived, tooLate])) - began;
  } finally {
    await Promise.all([portal.stop(), sender.stop("SIGKILL"), receiver.stop("SIGKILL")]);
  }
}
