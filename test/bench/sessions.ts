/**
 * One remote portal that serves a thousand homes: this laboratory's own local portal, and 999 that live in one process
 * (homes.ts) beyond a cable of their own, with two paths each. What a session costs in memory, idle, with a burst of
 * packets to all of them, and some time after it; in processor time, idle; how fast they shake hands; what initiations cost
 * that nobody proves; and what one busy session gets beside the idle ones, and alone.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { LabError } from "../../src/lab/failure.ts";
import { LabProcess, runToEnd } from "../../src/lab/process.ts";
import type { TomlTable } from "../../src/lab/toml.ts";
import { type Lab, withLab } from "../../src/lab/topology.ts";
import { type Column, renderTable } from "../../src/ui/table.ts";
import { formatAddress } from "../../src/wire/address.ts";
import { CABLE, HOME_NETWORK, homeAddress, PATH_NETWORK, PATHS } from "./homeplan.ts";
import type { Progress } from "./homes.ts";
import { iperf } from "./iperf.ts";
import type { Options } from "./options.ts";
import type { BenchResult, Say } from "./result.ts";
import { type Summary, showSummary, summarizeEach } from "./sample.ts";
import { inTurn } from "./turn.ts";

const HOMES = 999;
const NAMESPACE = "homes";
/** Packets of the burst to each home: 256 KB. */
const BURST = 184;
const FLOOD_PER_SECOND = 2000;
const FLOOD_SECONDS = 3;
/** Until what a session has used is given back; and until idle paths are probed as rarely as ever. */
const REST_SECONDS = 20;
const IDLE_SECONDS = 20;
const PATIENCE_SECONDS = 60;

/** Memory in KB per session or MB, times in seconds or milliseconds, rates in Mbit/s. */
const ROWS = {
  idleKb: ["memory of an idle session, KB", 1],
  loadedKb: ["at most, during a burst of 256 KB to each, KB", 1],
  afterKb: [`${REST_SECONDS} s after it, KB`, 1],
  rssMb: ["the remote portal with all of them idle, MB", 0],
  idleCpu: ["processor, all idle, % of a core", 2],
  handshakesPerSecond: ["handshakes per second, all homes at once", 0],
  handshakeMs: ["processor for a handshake and two paths, ms", 2],
  floodMs: ["processor for an initiation nobody proves, ms", 3],
  besideUp: ["one busy session beside idle ones, up, Mbit/s", 0],
  aloneUp: ["alone", 0],
  besideDown: ["one busy session beside idle ones, down, Mbit/s", 0],
  aloneDown: ["alone", 0],
} as const;
type Figure = keyof typeof ROWS;
type Figures = Record<Figure, number>;

export async function sessions(options: Options, say: Say): Promise<BenchResult> {
  const repeats: Figures[] = [];
  await withLab({ paths: [{ plain: true }] }, async (lab) => {
    await connect(lab);
    for (let repeat = 1; repeat <= options.repeats; repeat++) {
      const figures = await inTurn(() => measure(lab, options, say));
      say(`${repeat} of ${options.repeats}: ${figures.idleKb.toFixed(1)} KB per idle session`);
      repeats.push(figures);
    }
  });
  const summaries = summarizeEach(repeats);
  return { figures: { sessions: HOMES + 1, ...summaries }, text: table(summaries).join("\n") };
}

/** A namespace for the homes, in which every address of theirs is its own, and the way to it. */
async function connect(lab: Lab): Promise<void> {
  await must(["ip", "netns", "add", NAMESPACE]);
  await lab.ip("remote", [
    `link add homes type veth peer name remote netns ${NAMESPACE}`,
    `addr add ${CABLE.remote}/24 dev homes`,
    "link set homes up",
    `route add ${PATH_NETWORK} via ${CABLE.homes}`,
  ]);
  const lines = [
    "link set lo up",
    `addr add ${CABLE.homes}/24 dev remote`,
    "link set remote up",
    `route add default via ${CABLE.remote}`,
    `route add local ${PATH_NETWORK} dev lo`,
  ];
  await must(["ip", "-n", NAMESPACE, "-batch", "-"], lines.join("\n"));
}

async function measure(lab: Lab, options: Options, say: Say): Promise<Figures> {
  const homes = homesProcess();
  try {
    const publicKeys = JSON.parse(await homes.nextLine()) as string[];
    const peer: TomlTable[] = publicKeys.map((public_key, i) => {
      return { name: `home${i}`, public_key, addresses: [`${formatAddress(homeAddress(i))}/32`] };
    });
    await lab.startPortals({ paths: [0], toml: { remote: { peer: [{}, ...peer] } } });
    await lab.ip("remote", [`route add ${HOME_NETWORK} dev portal0`]);
    const crowd = await measureCrowd(lab, homes, say);
    const beside = await throughput(lab, options);
    await homes.stop("SIGKILL");
    await lab.startPortals({ paths: [0] });
    const alone = await throughput(lab, options);
    return {
      ...crowd,
      besideUp: beside.up,
      besideDown: beside.down,
      aloneUp: alone.up,
      aloneDown: alone.down,
    };
  } finally {
    await homes.stop("SIGKILL");
  }
}

type Crowd = Omit<Figures, "besideUp" | "besideDown" | "aloneUp" | "aloneDown">;

async function measureCrowd(lab: Lab, homes: LabProcess, say: Say): Promise<Crowd> {
  const remote = lab.portals!.remote.pid;
  await Bun.sleep(3000);
  const before = memory(remote);
  const shaken = await shakeHands(lab, homes);
  say(`${HOMES} homes are up after ${shaken.seconds.toFixed(1)} s`);

  await Bun.sleep(REST_SECONDS * 1000);
  const idle = memory(remote);
  const idleFrom = cpuSeconds(remote);
  await Bun.sleep(IDLE_SECONDS * 1000);
  const idleCpu = ((cpuSeconds(remote) - idleFrom) / IDLE_SECONDS) * 100;

  // proc(5): VmHWM counts anew.
  writeFileSync(`/proc/${remote}/clear_refs`, "5");
  await must([...inside("server"), ...own(), "burst", String(HOMES), String(BURST)]);
  await Bun.sleep(1000);
  const most = memory(remote, "VmHWM");
  await Bun.sleep(REST_SECONDS * 1000);
  const after = memory(remote);

  const perSession = (bytes: number): number => (bytes - before) / HOMES / 1000;
  return {
    idleKb: perSession(idle),
    loadedKb: perSession(most),
    afterKb: perSession(after),
    rssMb: idle / 1e6,
    idleCpu,
    handshakesPerSecond: HOMES / shaken.seconds,
    handshakeMs: (shaken.cpu / HOMES) * 1000,
    floodMs: await flood(remote, homes),
  };
}

async function shakeHands(lab: Lab, homes: LabProcess): Promise<{ seconds: number; cpu: number }> {
  const remote = lab.portals!.remote.pid;
  const { publicKey } = (await lab.status("remote"))!;
  let up = 0;
  homes.onLine((line) => {
    up = Math.max(up, (JSON.parse(line) as Partial<Progress>).up ?? 0);
  });
  const from = performance.now();
  const before = cpuSeconds(remote);
  homes.send(`begin ${publicKey}`);
  await lab.waitFor("all homes to be up", PATIENCE_SECONDS, () => {
    if (!homes.running) throw homes.failure(1);
    return up === HOMES;
  });
  return { seconds: (performance.now() - from) / 1000, cpu: cpuSeconds(remote) - before };
}

/** Milliseconds of the remote's processor for each, what the idle sessions cost meanwhile included. */
async function flood(remote: number, homes: LabProcess): Promise<number> {
  const answers: unknown[] = [];
  homes.onLine((line) => {
    const answer = JSON.parse(line) as unknown;
    if (typeof answer !== "object") answers.push(answer);
  });
  const answered = async (count: number): Promise<void> => {
    while (answers.length < count) await Bun.sleep(10);
  };
  homes.send(`flood ${FLOOD_PER_SECOND} ${FLOOD_SECONDS}`);
  await answered(1);
  const before = cpuSeconds(remote);
  await answered(2);
  await Bun.sleep(200);
  return ((cpuSeconds(remote) - before) / (FLOOD_PER_SECOND * FLOOD_SECONDS)) * 1000;
}

async function throughput(lab: Lab, options: Options): Promise<{ up: number; down: number }> {
  const { seconds, inner } = options;
  const congestion = inner[0]!;
  const up = await iperf(lab, { direction: "up", seconds, warmUp: 1, congestion });
  return { up, down: await iperf(lab, { direction: "down", seconds, warmUp: 1, congestion }) };
}

function homesProcess(): LabProcess {
  return new LabProcess("homes", [...inside(NAMESPACE), ...own(), String(HOMES)]);
}

function own(): string[] {
  return [process.execPath, new URL("./homes.ts", import.meta.url).pathname];
}

function inside(namespace: string): string[] {
  return ["ip", "netns", "exec", namespace];
}

async function must(argv: readonly string[], input = ""): Promise<void> {
  const { code, stderr } = await runToEnd(argv, input);
  if (code !== 0) throw new LabError(`${argv.join(" ")}: ${stderr.trim()}`);
}

/** Bytes of a process's memory (proc(5)). */
function memory(pid: number, what: "VmRSS" | "VmHWM" = "VmRSS"): number {
  const text = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(new RegExp(`^${what}:\\s+(\\d+) kB`, "m").exec(text)?.[1] ?? 0) * 1024;
}

/** User and system time (proc(5), fields 14 and 15 of stat, in hundredths of a second). */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

function table(summaries: Record<Figure, Summary>): string[] {
  const columns: Column[] = [
    { title: `one remote, ${HOMES + 1} sessions, ${PATHS} paths each`, align: "left" },
    { title: "median (least-most)", align: "right" },
  ];
  const rows = (Object.keys(ROWS) as Figure[]).map((figure) => {
    const [title, digits] = ROWS[figure];
    return [title, showSummary(summaries[figure], digits)];
  });
  return renderTable(columns, rows, "");
}
