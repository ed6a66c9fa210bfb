/** What the benchmark `profiles` has measured, as figures and as tables. Pure. */
import type { Direction } from "../../src/lab/command.ts";
import { type Column, renderTable } from "../../src/ui/table.ts";
import { deliverableMbit, limitMbit } from "./limit.ts";
import type { Congestion } from "./options.ts";
import type { PacketCounts } from "./packets.ts";
import type { Plan } from "./plans.ts";
import type { BenchResult } from "./result.ts";
import { type Summary, showSummary, summarize, summarizeEach } from "./sample.ts";

/** One flow over all paths; p50 and so on are round trips of the ping beside it in milliseconds. */
export interface Flow extends PacketCounts {
  readonly inner: Congestion;
  readonly direction: Direction;
  readonly mbit: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  /** Of the emulated lines: see late.ts. */
  readonly lateMs: number;
}

export interface Measured {
  readonly plan: Plan;
  readonly alone: { path: number; inner: Congestion; direction: Direction; mbit: number }[];
  readonly all: Flow[];
  readonly quic: { direction: Direction; mbit: number }[];
}

/** Of one profile, congestion control and direction. Rates in Mbit/s, shares of medians 0..1. */
export interface Figures {
  readonly profile: string;
  readonly inner: Congestion | "quic";
  readonly direction: Direction;
  readonly limitMbit: number;
  /** The limit less what the paths lose at random. */
  readonly deliverableMbit: number;
  /** Null: not measured, as another is alike, or only with the other congestion control. */
  readonly aloneMbit: readonly (Summary | null)[];
  readonly bestAloneMbit: number | null;
  readonly mbit: Summary;
  readonly shareOfLimit: number;
  readonly shareOfDeliverable: number;
  readonly shareOfBest: number | null;
  readonly published: Plan["published"];
  /** Null for QUIC. */
  readonly beside: Record<Beside, Summary> | null;
}

/** What is told beside the goodput: title, digits. */
const BESIDE = {
  p50: ["ping p50", 0],
  p95: ["p95", 0],
  p99: ["p99 ms", 0],
  sent: ["sent", 0],
  lost: ["lost", 0],
  resent: ["sent again", 0],
  dropped: ["dropped", 0],
  held: ["held", 0],
  givenUp: ["given up", 0],
  retransmits: ["by the flow", 0],
  needless: ["needlessly", 0],
  lateMs: ["lines late ms", 1],
} as const;
type Beside = keyof typeof BESIDE;
const BESIDE_NAMES = Object.keys(BESIDE) as Beside[];

export function reportProfiles(measured: readonly Measured[]): BenchResult {
  const figures = measured.flatMap((each) => [...flowFigures(each), ...quicFigures(each)]);
  const text = [
    "One flow, Mbit/s, median (least-most). Limit: sum of rates less headers; in brackets less random loss as well.",
    "Alone: each path by itself through portal, - as another alike. Published: best path alone, all (one HTTP/3 flow).",
    "quic: an HTTP/3 download of 20 MiB (with --repeats 1, the first 3 seconds of it), handshake and slow start included.",
    "",
    ...rateTable(figures),
    "",
    "Beside the TCP flow over all paths: round trips of a ping; packets of the portal that sends the data: sent, lost on its",
    "paths, sent again, dropped from its queue; of the other: held for their predecessor, and predecessors given up; what the",
    "flow itself sent again, its beginning included, and how much of that needlessly; by how much the emulated lines were",
    "late for one packet in a hundred (a busy machine).",
    "",
    ...besideTable(figures),
  ];
  return { figures: { profiles: figures }, text: text.join("\n") };
}

function flowFigures({ plan, alone, all }: Measured): Figures[] {
  const kinds = new Map(all.map(({ inner, direction }) => [`${inner} ${direction}`, { inner, direction }]));
  return [...kinds.values()].map(({ inner, direction }) => {
    const flows = all.filter((flow) => flow.inner === inner && flow.direction === direction);
    const aloneMbit = plan.paths.map((_, path) => {
      const own = alone.filter((each) => each.path === path && each.direction === direction);
      const values = own.filter((each) => each.inner === inner).map(({ mbit }) => mbit);
      return values.length === 0 ? null : summarize(values);
    });
    const bestAloneMbit = Math.max(...aloneMbit.map((each) => each?.median ?? 0));
    const mbit = summarize(flows.map((flow) => flow.mbit));
    const beside = summarizeEach(flows.map((flow) => pick(flow)));
    const shareOfBest = mbit.median / bestAloneMbit;
    return { ...common(plan, mbit), inner, direction, aloneMbit, bestAloneMbit, shareOfBest, beside };
  });
}

function quicFigures({ plan, quic }: Measured): Figures[] {
  const directions = [...new Set(quic.map(({ direction }) => direction))];
  return directions.map((direction) => {
    const mbit = summarize(quic.filter((each) => each.direction === direction).map((each) => each.mbit));
    const alone = { aloneMbit: [], bestAloneMbit: null, shareOfBest: null };
    return { ...common(plan, mbit), inner: "quic", direction, ...alone, beside: null };
  });
}

function common(plan: Plan, mbit: Summary) {
  const [limit, deliverable] = [limitMbit(plan.paths), deliverableMbit(plan.paths)];
  return {
    profile: plan.name,
    limitMbit: limit,
    deliverableMbit: deliverable,
    mbit,
    shareOfLimit: mbit.median / limit,
    shareOfDeliverable: mbit.median / deliverable,
    published: plan.published,
  };
}

function pick(flow: Flow): Record<Beside, number> {
  const pairs = BESIDE_NAMES.map((name) => [name, flow[name]] as const);
  return Object.fromEntries(pairs) as Record<Beside, number>;
}

const KEY: readonly Column[] = [
  { title: "profile", align: "left" },
  { title: "inner", align: "left" },
  { title: "way", align: "left" },
];

function key({ profile, inner, direction }: Figures): string[] {
  return [profile, inner, direction];
}

function right(titles: readonly string[]): Column[] {
  return titles.map((title) => ({ title, align: "right" }));
}

function rateTable(figures: readonly Figures[]): string[] {
  const titles = ["limit", "each alone", "all", "of limit", "of best", "published"];
  const rows = figures.map((each) => {
    const { limitMbit: limit, deliverableMbit: deliverable, shareOfLimit, shareOfDeliverable } = each;
    const lossy = deliverable < limit;
    const less = (all: string, other: string): string => (lossy ? `${all} [${other}]` : all);
    const alone = each.aloneMbit.map((summary) => summary?.median.toFixed(1) ?? "-").join(" ");
    return [
      ...key(each),
      less(limit.toFixed(1), deliverable.toFixed(1)),
      alone === "" ? "-" : alone,
      showSummary(each.mbit, 1),
      less(shareOfLimit.toFixed(2), shareOfDeliverable.toFixed(2)),
      each.shareOfBest?.toFixed(2) ?? "-",
      each.published === null ? "-" : `${each.published.single} ${each.published.both}`,
    ];
  });
  return renderTable([...KEY, ...right(titles)], rows, "");
}

function besideTable(figures: readonly Figures[]): string[] {
  const rows = figures.flatMap((each) => {
    const { beside } = each;
    if (beside === null) return [];
    return [[...key(each), ...BESIDE_NAMES.map((name) => showSummary(beside[name], BESIDE[name][1]))]];
  });
  return renderTable([...KEY, ...right(BESIDE_NAMES.map((name) => BESIDE[name][0]))], rows, "");
}
