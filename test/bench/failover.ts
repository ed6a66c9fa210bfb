/**
 * One flow over two equal paths, and a probe of 100 packets per second each way beside it, while the first path is cut
 * and comes back, and then its interface goes down at the local portal and comes back.
 */
import type { Direction } from "../../src/lab/command.ts";
import { longestGap } from "../../src/lab/measure.ts";
import { type FlowRecord, type ProbeRecord, recordFlow } from "../../src/lab/record.ts";
import { type Lab, withLab } from "../../src/lab/topology.ts";
import { type Column, renderTable } from "../../src/ui/table.ts";
import { binRates, rateBetween, timeTo } from "./bins.ts";
import { mustHave } from "./congestion.ts";
import { withLateness } from "./late.ts";
import type { Congestion, Options } from "./options.ts";
import type { BenchResult, Say } from "./result.ts";
import { type Summary, showSummary, summarizeEach } from "./sample.ts";
import { inTurn } from "./turn.ts";

const PATH = { mbit: 50, delayMs: 10 };
/** The flow has found its rate, and how long that rate is measured. */
const WARM_UP_SECONDS = 2;
const BEFORE_SECONDS = 3;
const AWAY_SECONDS = 3;
const REACHED = 0.9;

export type EventName = "cut" | "return" | "interface down" | "interface up";

/** What happened from one event to the next. Times in milliseconds, rates in Mbit/s. */
export interface EventFigures {
  readonly lostUp: number;
  readonly lostDown: number;
  readonly gapUp: number;
  readonly gapDown: number;
  readonly stall: number;
  /** The flow's goodput before its path went. */
  readonly before: number;
  /** The flow's goodput until the next event. */
  readonly mbit: number;
  /** Until the flow has 90 % of the rate it had before its path went; Infinity: not until the next event. */
  readonly until90: number;
}

/** With the lines' lateness during the whole record. */
type Late = EventFigures & { readonly lateMs: number };

interface Outcome {
  readonly inner: Congestion;
  readonly direction: Direction;
  readonly event: EventName;
  readonly figures: Record<keyof Late, Summary>;
}

export async function failover(options: Options, say: Say): Promise<BenchResult> {
  const outcomes: Outcome[] = [];
  await withLab({ paths: [PATH, PATH] }, async (lab) => {
    await mustHave(lab, options.inner);
    const events = plannedEvents(lab, options.seconds);
    for (const inner of options.inner) {
      await lab.setTcpCongestion(inner);
      const runs: Record<Direction, Late[][]> = { up: [], down: [] };
      for (let repeat = 1; repeat <= options.repeats; repeat++) {
        for (const direction of options.directions) {
          const run = await inTurn(() => runOnce(lab, direction, events, options.seconds));
          runs[direction].push(run);
          say(
            `${repeat} of ${options.repeats}, ${inner} ${direction}: ${run[0]!.before.toFixed(1)} Mbit/s before`,
          );
        }
      }
      for (const direction of options.directions)
        outcomes.push(...summarizeRuns(inner, direction, events, runs[direction]));
    }
  });
  return { figures: { failover: outcomes }, text: table(outcomes).join("\n") };
}

interface Planned {
  readonly name: EventName;
  readonly at: number;
  run(): Promise<void>;
}

function plannedEvents(lab: Lab, backSeconds: number): Planned[] {
  const cut = WARM_UP_SECONDS + BEFORE_SECONDS;
  const down = cut + AWAY_SECONDS + backSeconds;
  return [
    { name: "cut", at: cut, run: () => lab.line(0).cut() },
    { name: "return", at: cut + AWAY_SECONDS, run: () => lab.line(0).restore() },
    { name: "interface down", at: down, run: () => lab.setInterface(0, "down") },
    { name: "interface up", at: down + AWAY_SECONDS, run: () => lab.setInterface(0, "up") },
  ];
}

async function runOnce(
  lab: Lab,
  direction: Direction,
  events: readonly Planned[],
  backSeconds: number,
): Promise<Late[]> {
  await lab.startPortals();
  const seconds = events.at(-1)!.at + backSeconds;
  const record = { direction, seconds, events, probes: ["up", "down"] } as const;
  const { result, lateMs } = await withLateness(lab, () => recordFlow(lab, record));
  return judge(result).map((figures) => ({ ...figures, lateMs }));
}

/** A record as figures of each event. */
export function judge(record: FlowRecord): EventFigures[] {
  const { flow, happened, end } = record;
  const rateBefore = (at: number): number => rateBetween(flow, at - BEFORE_SECONDS * 1000, at);
  const probe = (way: Direction): ProbeRecord => record.probes.find(({ direction }) => direction === way)!;
  return happened.map((from, i) => {
    const to = happened[i + 1] ?? end;
    // A path goes at the first and the third event, and the rate to come back to is the one before that.
    const before = rateBefore(happened[i - (i % 2)]!);
    return {
      lostUp: lostBetween(probe("up"), from, happened[i + 1] ?? Number.POSITIVE_INFINITY),
      lostDown: lostBetween(probe("down"), from, happened[i + 1] ?? Number.POSITIVE_INFINITY),
      gapUp: longestGap(probe("up").reports, from, to),
      gapDown: longestGap(probe("down").reports, from, to),
      stall: longestGap(flow, from, to),
      before,
      mbit: rateBetween(flow, from, to),
      until90: timeTo(binRates(flow, from, to), REACHED * before),
    };
  });
}

/**
 * Packets of a probe lost between two instants: overtaken and not delivered. `to` Infinity: to the end, where what was
 * never overtaken is lost too. What is merely held up at an instant counts before it and not after it.
 */
export function lostBetween({ reports, sent }: ProbeRecord, from: number, to: number): number {
  const missing = (at: number): number => {
    const last = reports.findLast((report) => report.at <= at);
    return last === undefined ? 0 : last.reached - last.received;
  };
  const until = to === Number.POSITIVE_INFINITY ? sent - (reports.at(-1)?.received ?? 0) : missing(to);
  return until - missing(from);
}

function summarizeRuns(
  inner: Congestion,
  direction: Direction,
  events: readonly Planned[],
  runs: readonly Late[][],
): Outcome[] {
  return events.map(({ name }, i) => {
    const figures = summarizeEach(runs.map((run) => run[i]!));
    return { inner, direction, event: name, figures };
  });
}

const COLUMNS: readonly (readonly [title: string, digits: number, name: keyof Outcome["figures"]])[] = [
  ["lost up", 0, "lostUp"],
  ["down", 0, "lostDown"],
  ["longest gap up", 0, "gapUp"],
  ["down ms", 0, "gapDown"],
  ["flow's stall ms", 0, "stall"],
  ["before Mbit/s", 1, "before"],
  ["until next event", 1, "mbit"],
  ["back to 90 % ms", 0, "until90"],
  ["lines late ms", 1, "lateMs"],
];

function table(outcomes: readonly Outcome[]): string[] {
  const rows = outcomes.map(({ inner, direction, event, figures }) => [
    inner,
    direction,
    event,
    ...COLUMNS.map(([, digits, name]) => {
      const back = event === "return" || event === "interface up";
      return name === "until90" && !back ? "-" : showSummary(figures[name], digits);
    }),
  ]);
  const columns: Column[] = [
    ...["inner", "way", "first path"].map((title) => ({ title, align: "left" as const })),
    ...COLUMNS.map(([title]) => ({ title, align: "right" as const })),
  ];
  return [
    `One TCP flow over 2 x ${PATH.mbit} Mbit/s, RTT ${2 * PATH.delayMs} ms, and a probe of 100 packets per second each way; median`,
    `(least-most) from one event to the next. Back to 90 %: until half a second has 90 % of the rate before the path went.`,
    "",
    ...renderTable(columns, rows, ""),
  ];
}
