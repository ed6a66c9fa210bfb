/**
 * One flow over two paths whose rates change in mid-flow: how soon it has the new limit, what it carries in each phase,
 * and how long a ping beside it takes.
 */
import type { Direction } from "../../src/lab/command.ts";
import { Ping, type PingAnswer } from "../../src/lab/ping.ts";
import { type FlowRecord, recordFlow } from "../../src/lab/record.ts";
import { type Lab, withLab } from "../../src/lab/topology.ts";
import { type Column, renderTable } from "../../src/ui/table.ts";
import { binRates, rateBetween, timeTo } from "./bins.ts";
import { mustHave } from "./congestion.ts";
import { withLateness } from "./late.ts";
import { limitMbit } from "./limit.ts";
import { type Congestion, chosen, type Options } from "./options.ts";
import type { BenchResult, Say } from "./result.ts";
import { percentile, type Summary, showSummary, summarizeEach } from "./sample.ts";
import { inTurn } from "./turn.ts";

const DELAY_MS = 10;
/** Index of the path past the portals. */
const PLAIN_PATH = 2;
const REACHED = 0.9;
const HALF_SECOND = 500;

export interface Scenario {
  readonly name: string;
  /** Mbit/s of both paths, phase by phase. */
  readonly phases: readonly (readonly [number, number])[];
}

/** A step of the first path, and of both. */
function steps(...rates: readonly number[]): Scenario[] {
  const name = rates.join("-");
  const first = rates[0]!;
  return [
    { name: `${name}_one`, phases: rates.map((rate) => [rate, first] as const) },
    { name: `${name}_both`, phases: rates.map((rate) => [rate, rate] as const) },
  ];
}

export const SCENARIOS: readonly Scenario[] = [
  ...steps(50, 10, 50),
  ...steps(50, 100),
  ...steps(20, 200, 20),
];

/** Of one phase. Times in milliseconds, rates in Mbit/s. */
export interface PhaseFigures {
  /** Until the flow has 90 % of the phase's limit; Infinity: not within the phase. */
  readonly until90: number;
  readonly mbit: number;
  /** Goodput until then, but of half a second at least: what the change cost. */
  readonly meanwhile: number;
  readonly p50: number;
  readonly p95: number;
}

/** With the lines' lateness during the whole record. */
type Late = PhaseFigures & { readonly lateMs: number };

/** "plain": over one path of the sum of the rates, without portal: what the flow's own control needs. */
type Way = "portal" | "plain";

interface Outcome {
  readonly scenario: string;
  readonly over: Way;
  readonly inner: Congestion;
  readonly direction: Direction;
  readonly rates: readonly [number, number];
  readonly limitMbit: number;
  readonly figures: Record<keyof Late, Summary>;
}

export async function adapt(options: Options, say: Say): Promise<BenchResult> {
  const scenarios = chosen(SCENARIOS, options.profiles);
  const outcomes: Outcome[] = [];
  await withLab({ paths: new Array(PLAIN_PATH + 1).fill({ delayMs: DELAY_MS }) }, async (lab) => {
    await mustHave(lab, options.inner);
    for (const inner of options.inner) {
      await lab.setTcpCongestion(inner);
      for (const scenario of scenarios) outcomes.push(...(await repeat(lab, scenario, inner, options, say)));
    }
  });
  return { figures: { adapt: outcomes }, text: table(outcomes).join("\n") };
}

async function repeat(
  lab: Lab,
  scenario: Scenario,
  inner: Congestion,
  options: Options,
  say: Say,
): Promise<Outcome[]> {
  const ways: readonly Way[] = options.plain ? ["portal", "plain"] : ["portal"];
  const kinds = options.directions.flatMap((direction) =>
    ways.map((over) => ({ direction, over, runs: [] as Late[][] })),
  );
  for (let count = 1; count <= options.repeats; count++) {
    for (const { direction, over, runs } of kinds) {
      const phases = await inTurn(() => runOnce(lab, scenario, direction, over, options.seconds));
      runs.push(phases);
      const rates = phases.map(({ mbit }) => mbit.toFixed(1)).join(", ");
      say(
        `${scenario.name}, ${count} of ${options.repeats}, ${over}, ${inner} ${direction}: ${rates} Mbit/s`,
      );
    }
  }
  return kinds.flatMap(({ direction, over, runs }) =>
    scenario.phases.map((rates, i) => ({
      scenario: scenario.name,
      over,
      inner,
      direction,
      rates,
      limitMbit: limitOf(rates, over),
      figures: summarizeEach(runs.map((phases) => phases[i]!)),
    })),
  );
}

async function runOnce(
  lab: Lab,
  { phases }: Scenario,
  direction: Direction,
  over: Way,
  seconds: number,
): Promise<Late[]> {
  const set = async ([first, second]: readonly [number, number]): Promise<void> => {
    if (over === "plain") return await lab.line(PLAIN_PATH).set({ mbit: first + second });
    await lab.line(0).set({ mbit: first });
    await lab.line(1).set({ mbit: second });
  };
  await set(phases[0]!);
  if (over === "portal") await lab.startPortals({ paths: [0, 1] });
  else {
    await lab.stopPortals();
    await lab.route(PLAIN_PATH);
  }
  const ping = new Ping(lab);
  const events = phases.slice(1).map((rates, i) => ({ at: (i + 1) * seconds, run: () => set(rates) }));
  const record = { direction, seconds: phases.length * seconds, events, probes: [] };
  const { result, lateMs } = await withLateness(lab, () => recordFlow(lab, record));
  const { answers } = await ping.stop();
  const limits = phases.map((rates) => limitOf(rates, over));
  return judgePhases(result, limits, answers).map((figures) => ({ ...figures, lateMs }));
}

function limitOf(rates: readonly number[], over: Way): number {
  return limitMbit(
    rates.map((mbit) => ({ mbit })),
    over === "portal" ? 4 : null,
  );
}

/** A record as figures of each phase. */
export function judgePhases(
  record: FlowRecord,
  limits: readonly number[],
  answers: readonly PingAnswer[],
): PhaseFigures[] {
  const begins = [record.began, ...record.happened];
  return begins.map((from, i) => {
    const to = begins[i + 1] ?? record.end;
    const until90 = timeTo(binRates(record.flow, from, to), REACHED * limits[i]!);
    const millis = answers.filter(({ at }) => at >= from && at < to).map((answer) => answer.millis);
    const [p50, p95] = [percentile(millis, 0.5), percentile(millis, 0.95)];
    return {
      until90,
      mbit: rateBetween(record.flow, from, to),
      meanwhile: rateBetween(record.flow, from, Math.min(from + Math.max(until90, HALF_SECOND), to)),
      p50: p50 ?? Number.POSITIVE_INFINITY,
      p95: p95 ?? Number.POSITIVE_INFINITY,
    };
  });
}

const COLUMNS: readonly (readonly [title: string, digits: number, name: keyof Late])[] = [
  ["to 90 % ms", 0, "until90"],
  ["goodput until then", 1, "meanwhile"],
  ["of the phase", 1, "mbit"],
  ["ping p50", 0, "p50"],
  ["p95 ms", 0, "p95"],
  ["lines late ms", 1, "lateMs"],
];

function table(outcomes: readonly Outcome[]): string[] {
  const rows = outcomes.map(({ scenario, over, inner, direction, rates, limitMbit: limit, figures }) => [
    scenario,
    over,
    inner,
    direction,
    rates.join(" + "),
    limit.toFixed(1),
    ...COLUMNS.map(([, digits, name]) => showSummary(figures[name], digits)),
  ]);
  const columns: Column[] = [
    ...["scenario", "over", "inner", "way"].map((title) => ({ title, align: "left" as const })),
    ...["paths Mbit/s", "limit", ...COLUMNS.map(([title]) => title)].map((title) => ({
      title,
      align: "right" as const,
    })),
  ];
  return [
    `One TCP flow over two paths of RTT ${2 * DELAY_MS} ms, whose rates change from row to row; median (least-most).`,
    "To 90 %: until half a second has 90 % of the new limit, ∞ when none had. A row's first phase is the flow's start.",
    "",
    ...renderTable(columns, rows, ""),
  ];
}
