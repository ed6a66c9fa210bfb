/**
 * One flow over recorded links: over each of them alone and over all, through portal, in the same stretch of every
 * recording, with a ping beside it. Each repeat takes the stretch after the last one's, so shares are of one repeat.
 */
import type { Direction } from "../../src/lab/command.ts";
import { Ping } from "../../src/lab/ping.ts";
import { goodputShare } from "../../src/lab/portals.ts";
import { recordFlow } from "../../src/lab/record.ts";
import { type Lab, withLab } from "../../src/lab/topology.ts";
import { readTrace, traceFrom } from "../../src/lab/trace.ts";
import { type Column, renderTable } from "../../src/ui/table.ts";
import { beginnings, bitsBetween, lengthSeconds, parseRecording, type Recording } from "../traces.ts";
import { rateBetween } from "./bins.ts";
import { mustHave } from "./congestion.ts";
import { withLateness } from "./late.ts";
import { type Congestion, type Options, UsageError } from "./options.ts";
import type { BenchResult, Say } from "./result.ts";
import { percentile } from "./sample.ts";
import { inTurn } from "./turn.ts";

/** The flow has so long to find its rate. */
const WARM_UP_SECONDS = 5;
/** Every line's rate until the recordings begin. */
const BEFORE_MBIT = 20;

/** A path as it is in one repeat. */
interface Stretch extends Recording {
  /** Seconds from the recording's start. */
  readonly from: number;
}

/** One flow. Rates in Mbit/s, round trips in milliseconds. */
export interface Run {
  readonly mbit: number;
  readonly p50: number;
  readonly p95: number;
  /** Pings that were never answered, from the flow's begin. */
  readonly unanswered: number;
  readonly lateMs: number;
}

/** What one repeat found. */
export interface Compared {
  readonly inner: Congestion;
  readonly direction: Direction;
  readonly queueMs: number;
  readonly from: readonly number[];
  /** What each recording could carry of a flow in its stretch. */
  readonly carriable: readonly number[];
  readonly alone: readonly Run[];
  readonly all: Run;
}

/** With what it means: the share of the sum of the paths alone, and the ping's p95 to that of the better path alone. */
export interface Judged extends Compared {
  readonly share: number;
  readonly p95ToBetter: number;
}

export async function traces(options: Options, say: Say): Promise<BenchResult> {
  const recordings = recordingsOf(options.traces);
  const starts = beginnings(recordings, lengthSeconds);
  const found: Judged[] = [];
  await withLab({ paths: recordings.map(() => ({})) }, async (lab) => {
    await mustHave(lab, options.inner);
    for (let repeat = 0; repeat < options.repeats; repeat++) {
      const offset = options.offset + repeat * (WARM_UP_SECONDS + options.seconds);
      const stretches = recordings.map((recording, i) => ({ ...recording, from: starts[i]! + offset }));
      for (const queueMs of options.queuesMs)
        for (const inner of options.inner)
          for (const direction of options.directions)
            found.push(judge(await compare(lab, stretches, { inner, direction, queueMs }, options, say)));
    }
  });
  return { figures: { traces: found }, text: table(found).join("\n") };
}

function recordingsOf(words: readonly string[]): Recording[] {
  if (words.length === 0) throw new UsageError("which recordings? --trace UP:DOWN, once for every path");
  try {
    return words.map(parseRecording);
  } catch (error) {
    throw error instanceof RangeError ? new UsageError(error.message) : error;
  }
}

export function judge(compared: Compared): Judged {
  const { alone, all } = compared;
  const sum = alone.reduce((total, { mbit }) => total + mbit, 0);
  const better = alone.reduce((best, run) => (run.mbit > best.mbit ? run : best));
  return { ...compared, share: all.mbit / sum, p95ToBetter: all.p95 / better.p95 };
}

type Kind = Pick<Compared, "inner" | "direction" | "queueMs">;

async function compare(
  lab: Lab,
  stretches: readonly Stretch[],
  kind: Kind,
  options: Options,
  say: Say,
): Promise<Compared> {
  const { inner, direction, queueMs } = kind;
  await lab.setTcpCongestion(inner);
  const everyPath = stretches.map((_, i) => i);
  const measure = async (paths: readonly number[]): Promise<Run> => {
    const run = await inTurn(() => runOnce(lab, stretches, paths, kind, options));
    const what = paths.length === stretches.length ? "all" : `path ${paths} alone`;
    say(`${inner} ${direction}, queue ${queueMs} ms, ${what}: ${run.mbit.toFixed(2)} Mbit/s`);
    return run;
  };
  const alone: Run[] = [];
  for (const path of everyPath) alone.push(await measure([path]));
  const all = stretches.length === 1 ? alone[0]! : await measure(everyPath);
  const carriable = stretches.map((stretch) => {
    const trace = traceFrom(readTrace(stretch[direction]), stretch.from * 1e6);
    const bits = bitsBetween(trace, WARM_UP_SECONDS, WARM_UP_SECONDS + options.seconds);
    return (bits * goodputShare(4)) / (options.seconds * 1e6);
  });
  return { ...kind, from: stretches.map(({ from }) => from), carriable, alone, all };
}

async function runOnce(
  lab: Lab,
  stretches: readonly Stretch[],
  paths: readonly number[],
  { direction, queueMs }: Kind,
  { delayMs, seconds }: Options,
): Promise<Run> {
  for (const path of paths) await lab.line(path).set({ mbit: BEFORE_MBIT, trace: null, delayMs, queueMs });
  await lab.startPortals({ paths });
  for (const path of paths) {
    const { up, down, from } = stretches[path]!;
    await lab.line(path).set({ trace: up, traceFromMs: from * 1000 }, "up");
    await lab.line(path).set({ trace: down, traceFromMs: from * 1000 }, "down");
  }
  const began = Date.now();
  const ping = new Ping(lab);
  const record = { direction, seconds: WARM_UP_SECONDS + seconds, probes: [] };
  const { result, lateMs } = await withLateness(lab, () => recordFlow(lab, record));
  // The slowest answers are still on their way.
  await Bun.sleep(2 * queueMs);
  const { answers, sent } = await ping.stop();
  await lab.stopPortals();
  const from = began + WARM_UP_SECONDS * 1000;
  const to = from + seconds * 1000;
  const millis = answers.filter(({ at }) => at >= from && at < to).map((answer) => answer.millis);
  const [p50, p95] = [0.5, 0.95].map((share) => percentile(millis, share) ?? Number.POSITIVE_INFINITY);
  return {
    mbit: rateBetween(result.flow, from, to),
    p50: p50!,
    p95: p95!,
    unanswered: sent - answers.length,
    lateMs,
  };
}

function table(found: readonly Judged[]): string[] {
  const rows = found.flatMap(
    ({ inner, direction, queueMs, from, carriable, alone, all, share, p95ToBetter }) => {
      const key = [inner, direction, String(queueMs)];
      const cells = ({ mbit, p50, p95, unanswered, lateMs }: Run, most: number): string[] => [
        mbit.toFixed(2),
        most.toFixed(2),
        p50.toFixed(0),
        p95.toFixed(0),
        String(unanswered),
        lateMs.toFixed(1),
      ];
      const total = carriable.reduce((sum, each) => sum + each, 0);
      return [
        ...alone.map((run, i) => [
          ...key,
          `path ${i}, ${from[i]!.toFixed(0)} s`,
          ...cells(run, carriable[i]!),
          "-",
          "-",
        ]),
        [...key, "all", ...cells(all, total), share.toFixed(2), p95ToBetter.toFixed(2)],
      ];
    },
  );
  const titles = [
    "Mbit/s",
    "carriable",
    "ping p50",
    "p95 ms",
    "unanswered",
    "lines late ms",
    "of alone",
    "p95 to better",
  ];
  const columns: Column[] = [
    ...["inner", "way", "queue", "over"].map((title) => ({ title, align: "left" as const })),
    ...titles.map((title) => ({ title, align: "right" as const })),
  ];
  return [
    "One TCP flow over recorded links through portal, each alone and all, in the same stretch of the recordings; a ping beside",
    "it. Carriable: payload that the recordings had room for. Of alone: goodput as a share of the sum of the paths alone.",
    "P95 to better: the ping's, as a multiple of that beside the flow over the path that carried more alone.",
    "",
    ...renderTable(columns, rows, ""),
  ];
}
