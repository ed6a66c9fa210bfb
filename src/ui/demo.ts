/** What `portal demo` shows: bars while a phase runs, a line when it has ended, a table at the end. Pure. */
import { type Column, renderTable } from "./table.ts";
import { formatMillis, formatShare } from "./units.ts";

export type DemoDirection = "up" | "down";

export interface DemoPath {
  readonly name: string;
  readonly mbit: number;
  /** One way. */
  readonly delayMs: number;
  /** Standard deviation. */
  readonly jitterMs: number;
  /** Share of packets, 0..1. */
  readonly loss: number;
  /** What a flow can carry over it through the tunnel, after all headers. */
  readonly limitMbit: number;
}

/** A flow over all paths, the first of which was cut and restored. */
export interface DemoCut {
  readonly mbit: number;
  readonly flowStallMs: number;
  readonly probeStallMs: number;
  readonly probeSent: number;
  readonly probeLost: number;
}

/** The object that `portal demo --json` prints. Rates are the goodput of one TCP flow in Mbit/s. */
export interface DemoReport {
  readonly seconds: number;
  readonly paths: readonly DemoPath[];
  /** Sum over the paths of rate x (inner TCP payload / outer IP bytes) of a full packet. */
  readonly limitMbit: number;
  /** Each path alone: the better of its directions. */
  readonly singleMbit: readonly number[];
  readonly singleUpMbit: readonly number[];
  readonly singleDownMbit: readonly number[];
  readonly bothUpMbit: number;
  readonly bothDownMbit: number;
  /** Of the limit, 0..1. */
  readonly shareUp: number;
  readonly shareDown: number;
  /** Longest time without a byte of the flow or a packet of the probe around a cut, of both directions. */
  readonly cutStallMs: number;
  /** The probe beside every flow over all paths: with and without cut, both directions. */
  readonly probeSent: number;
  readonly probeLost: number;
  readonly cutUp: DemoCut;
  readonly cutDown: DemoCut;
}

/** What runs now. */
export interface DemoPhase {
  readonly title: string;
  readonly limitMbit: number;
  /** Indices of the paths in use. */
  readonly paths: readonly number[];
}

export interface DemoSample {
  readonly seconds: number;
  readonly mbit: number;
  readonly pathMbit: readonly number[];
}

const BAR_COLUMNS = 30;
const EIGHTHS = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/** A bar of `value` where `full` fills all columns; as wide as it is long. */
export function bar(value: number, full: number, columns = BAR_COLUMNS): string {
  const eighths = Math.round(Math.min(1, Math.max(0, full > 0 ? value / full : 0)) * columns * 8);
  return "█".repeat(eighths >> 3) + EIGHTHS[eighths & 7]!;
}

/** The lines of a running phase: the flow, and each path it may use. All bars have one scale. */
export function liveLines(
  phase: DemoPhase,
  sample: DemoSample,
  all: readonly DemoPath[],
  note: string,
): string[] {
  const full = Math.max(phase.limitMbit, ...phase.paths.map((i) => all[i]!.mbit));
  const rows: [label: string, mbit: number, of: number][] = [
    ["  the flow, Mbit/s", sample.mbit, phase.limitMbit],
    ...phase.paths.map((i): [string, number, number] => {
      return [`  ${pathLabel(all[i]!)}`, sample.pathMbit[i] ?? 0, all[i]!.mbit];
    }),
  ];
  const width = Math.max(...rows.map(([label]) => label.length));
  const title = note === "" ? phase.title : `${phase.title}: ${note}`;
  return [
    `${title}, ${sample.seconds.toFixed(1)} s`,
    ...rows.map(([label, mbit, of]) => {
      const drawn = bar(mbit, full).padEnd(BAR_COLUMNS);
      return `${label.padEnd(width)}  ${drawn} ${mbit.toFixed(1).padStart(6)} of ${of.toFixed(1)}`;
    }),
  ];
}

/** One line for a phase that has ended. */
export function phaseLine(phase: DemoPhase, mbit: number): string {
  const share = formatShare(phase.limitMbit > 0 ? mbit / phase.limitMbit : 0);
  return `${phase.title.padEnd(36)} ${mbit.toFixed(1).padStart(6)} Mbit/s, ${share} of the limit`;
}

/** `path0 50 Mbit/s 20 ms`. */
export function pathLabel(path: DemoPath): string {
  const jitter = path.jitterMs > 0 ? `+-${path.jitterMs}` : "";
  const loss = path.loss > 0 ? ` ${formatShare(path.loss)} loss` : "";
  return `${path.name} ${path.mbit} Mbit/s ${path.delayMs}${jitter} ms${loss}`;
}

const COLUMNS: readonly Column[] = [
  { title: "one TCP flow, Mbit/s", align: "left" },
  { title: "limit", align: "right" },
  { title: "up", align: "right" },
  { title: "down", align: "right" },
];

const CUT_COLUMNS: readonly Column[] = [
  { title: "", align: "left" },
  { title: "up", align: "right" },
  { title: "down", align: "right" },
];

/** The table at the end. */
export function renderReport(report: DemoReport): string {
  const { paths, cutUp, cutDown } = report;
  const mbit = (value: number): string => value.toFixed(1);
  const rates = [
    ...paths.map((path, i) => [
      `${pathLabel(path)} alone`,
      mbit(path.limitMbit),
      mbit(report.singleUpMbit[i]!),
      mbit(report.singleDownMbit[i]!),
    ]),
    [
      paths.length === 2 ? "both paths" : `all ${paths.length} paths`,
      mbit(report.limitMbit),
      mbit(report.bothUpMbit),
      mbit(report.bothDownMbit),
    ],
    ["  of the limit", "", formatShare(report.shareUp), formatShare(report.shareDown)],
  ];
  const both = (row: (cut: DemoCut) => string): string[] => [row(cutUp), row(cutDown)];
  const cuts = [
    ["the flow, Mbit/s", ...both((cut) => mbit(cut.mbit))],
    ["longest stall of the flow", ...both((cut) => formatMillis(cut.flowStallMs))],
    ["longest stall of the probe", ...both((cut) => formatMillis(cut.probeStallMs))],
    ["packets the probe lost", ...both((cut) => `${cut.probeLost} of ${cut.probeSent}`)],
  ];
  const name = paths[0]?.name ?? "";
  return [
    ...renderTable(COLUMNS, rates, ""),
    "",
    `${name} cut and restored in mid-flow`,
    ...renderTable(CUT_COLUMNS, cuts, "  "),
    "",
    `Delays are one way. The limit is each path's rate less all headers. The probe sends 100 packets`,
    `per second beside the flow; over ${paths.length === 2 ? "both" : "all"} paths it lost ${report.probeLost} of ${report.probeSent}.`,
  ].join("\n");
}
