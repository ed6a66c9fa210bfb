/**
 * One remote portal that serves a thousand homes: this laboratory's own local portal, and 999 that live in one process
 * (homes.ts) beyond a cable of their own, with two paths each. What a session costs in memory, idle, with a burst of
 * packets to all of them, and some time after it; in processor time, idle; how fast they shake hands; what initiations cost
 * that nobody proves; and what one busy session gets beside the idle ones, and alone.
 */
import type { LabProcess } from "../../src/lab/process.ts";
import { type Lab, withLab } from "../../src/lab/topology.ts";
import { type Column, renderTable } from "../../src/ui/table.ts";
import { PATHS } from "./homeplan.ts";
import { iperf } from "./iperf.ts";
import {
  connectHomes,
  HOMES,
  homesProcess,
  inside,
  must,
  program,
  shakeHands,
  startRemote,
} from "./manyhomes.ts";
import type { Options } from "./options.ts";
import type { BenchResult, Say } from "./result.ts";
import { type Summary, showSummary, summarizeEach } from "./sample.ts";
import { inTurn } from "./turn.ts";
import { countMostAnew, cpuSeconds, mostRssMb, rssMb } from "./usage.ts";

/** Packets of the burst to each home: 256 KB. */
const BURST = 184;
const FLOOD_PER_SECOND = 2000;
const FLOOD_SECONDS = 3;
/** Until what a session has used is given back; and until idle paths are probed as rarely as ever. */
const REST_SECONDS = 20;
const IDLE_SECONDS = 20;

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
    await connectHomes(lab);
    for (let repeat = 1; repeat <= options.repeats; repeat++) {
      const figures = await inTurn(() => measure(lab, options, say));
      say(`${repeat} of ${options.repeats}: ${figures.idleKb.toFixed(1)} KB per idle session`);
      repeats.push(figures);
    }
  });
  const summaries = summarizeEach(repeats);
  return { figures: { sessions: HOMES + 1, ...summaries }, text: table(summaries).join("\n") };
}

async function measure(lab: Lab, options: Options, say: Say): Promise<Figures> {
  const homes = homesProcess();
  try {
    await startRemote(lab, homes);
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
  const before = rssMb([remote]);
  const shaken = await shakeHands(lab, homes);
  say(`${HOMES} homes are up after ${shaken.seconds.toFixed(1)} s`);

  await Bun.sleep(REST_SECONDS * 1000);
  const idle = rssMb([remote]);
  const idleFrom = cpuSeconds([remote]);
  await Bun.sleep(IDLE_SECONDS * 1000);
  const idleCpu = ((cpuSeconds([remote]) - idleFrom) / IDLE_SECONDS) * 100;

  countMostAnew([remote]);
  await must([...inside("server"), ...program("offering.ts"), "burst", String(HOMES), String(BURST)]);
  await Bun.sleep(1000);
  const most = mostRssMb([remote]);
  await Bun.sleep(REST_SECONDS * 1000);
  const after = rssMb([remote]);

  const perSession = (mb: number): number => ((mb - before) / HOMES) * 1000;
  return {
    idleKb: perSession(idle),
    loadedKb: perSession(most),
    afterKb: perSession(after),
    rssMb: idle,
    idleCpu,
    handshakesPerSecond: HOMES / shaken.seconds,
    handshakeMs: (shaken.cpu / HOMES) * 1000,
    floodMs: await flood(remote, homes),
  };
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
  const before = cpuSeconds([remote]);
  await answered(2);
  await Bun.sleep(200);
  return ((cpuSeconds([remote]) - before) / (FLOOD_PER_SECOND * FLOOD_SECONDS)) * 1000;
}

async function throughput(lab: Lab, options: Options): Promise<{ up: number; down: number }> {
  const { seconds, inner } = options;
  const congestion = inner[0]!;
  const up = await iperf(lab, { direction: "up", seconds, warmUp: 1, congestion });
  return { up, down: await iperf(lab, { direction: "down", seconds, warmUp: 1, congestion }) };
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
