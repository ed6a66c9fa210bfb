/** Measures one TCP flow between client and server, a steady UDP probe beside it, while things happen to the paths. */
import type { Direction, EmulatorStats } from "./command.ts";
import type { SinkReport } from "./flow.ts";
import type { Family } from "./namespaces.ts";
import { recordFlow } from "./record.ts";
import type { Lab } from "./topology.ts";

export interface FlowOptions {
  /** "up": the client sends. */
  direction: Direction;
  /** Length of the measurement, from the flow's first byte. */
  seconds: number;
  /** Family of the flow and the probe. Default 4. */
  family?: Family;
  /** What happens, and how many seconds after the first byte. */
  events?: readonly { readonly at: number; run(): Promise<unknown> }[];
  /** Called about ten times per second. */
  onSample?: (sample: FlowSample) => void;
}

export interface FlowSample {
  /** Since the first byte. */
  seconds: number;
  /** The flow's goodput over the last half second. */
  mbit: number;
  /** What every emulated path delivered in the flow's direction, IP packets, over the last half second. */
  pathMbit: number[];
}

export interface FlowResult {
  /** Goodput, without the flow's beginning (`warmUpSeconds`). */
  mbit: number;
  samples: FlowSample[];
  /** Longest time without a byte of the flow: after the first event, or without one after the warm-up. */
  stallMs: number;
  probe: {
    sent: number;
    lost: number;
    duplicates: number;
    /** As the flow's. */
    stallMs: number;
  };
}

/** How long a flow may take to find its rate before it is measured. */
export function warmUpSeconds(seconds: number): number {
  return Math.min(1, seconds / 4);
}

const SAMPLE_MILLIS = 500;

export async function measureFlow(lab: Lab, options: FlowOptions): Promise<FlowResult> {
  const { direction, seconds, family = 4, events = [], onSample } = options;
  const samples: FlowSample[] = [];
  const sampler = new Sampler(direction);
  let began: number | null = null;
  const onReport = (report: SinkReport): void => {
    began ??= report.at;
    if (report.at > began + seconds * 1000) return;
    void lab.lineStats().then((stats) => {
      const sample = sampler.sample(report, stats);
      if (sample === null) return;
      samples.push(sample);
      onSample?.(sample);
    });
  };
  const record = await recordFlow(lab, { direction, seconds, family, events, onReport });
  const from = record.began + warmUpSeconds(seconds) * 1000;
  const stallFrom = record.happened[0] ?? from;
  const { sent, reports } = record.probes[0]!;
  return {
    mbit: goodput(record.flow.filter(({ at }) => at >= from && at <= record.end)),
    samples,
    stallMs: longestGap(record.flow, stallFrom, record.end),
    probe: {
      sent,
      lost: sent - (reports.at(-1)?.received ?? 0),
      duplicates: reports.at(-1)?.duplicates ?? 0,
      stallMs: longestGap(reports, stallFrom, record.end),
    },
  };
}

function goodput(reports: readonly SinkReport[]): number {
  const [first, last] = [reports.at(0), reports.at(-1)];
  if (first === undefined || last === undefined || last.at === first.at) return 0;
  return megabits(last.bytes - first.bytes, last.at - first.at);
}

/** The longest time without an arrival that the reports between two instants tell of. */
export function longestGap(
  reports: readonly { readonly at: number; readonly gapMs: number }[],
  from: number,
  to: number,
): number {
  return reports
    .filter(({ at }) => at >= from && at <= to)
    .reduce((longest, { gapMs }) => Math.max(longest, gapMs), 0);
}

/** Turns totals into rates over the last half second. */
class Sampler {
  private readonly direction: Direction;
  private readonly totals: { at: number; bytes: number; pathBytes: number[] }[] = [];
  private began = 0;

  constructor(direction: Direction) {
    this.direction = direction;
  }

  sample(report: SinkReport, stats: EmulatorStats): FlowSample | null {
    const pathBytes = stats.paths.map((path) => path[this.direction].deliveredBytes);
    this.totals.push({ at: report.at, bytes: report.bytes, pathBytes });
    if (this.totals.length === 1) this.began = report.at;
    while (this.totals.length > 2 && report.at - this.totals[1]!.at >= SAMPLE_MILLIS) this.totals.shift();
    const first = this.totals[0]!;
    const millis = report.at - first.at;
    if (millis <= 0) return null;
    return {
      seconds: (report.at - this.began) / 1000,
      mbit: megabits(report.bytes - first.bytes, millis),
      pathMbit: pathBytes.map((bytes, i) => megabits(bytes - first.pathBytes[i]!, millis)),
    };
  }
}

function megabits(bytes: number, millis: number): number {
  return (bytes * 8) / (millis * 1000);
}
