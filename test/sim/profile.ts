/**
 * What one bulk flow gets out of a set of paths, in virtual time: measured over all of them, and over each of them alone.
 *
 *     bun test/sim/profile.ts                           every plan of test/sim/plans.ts
 *     bun test/sim/profile.ts jit_20 up                 one of them, upwards
 *     bun test/sim/profile.ts jit_20 rtt_320 --seconds 20 --settle 5 --seed 3 --both
 *     bun test/sim/profile.ts jit_20 --json             figures for programs
 *
 * --both leaves out the paths alone, --ping adds a ping beside the flow. Without --seed, plans in which chance plays are run
 * with three.
 */
import { parseArgs } from "node:util";
import type { LineSettings } from "../../src/lab/line.ts";
import { DATA_OVERHEAD_BYTES } from "../../src/wire/datagram.ts";
import { PROFILES } from "../profiles.ts";
import { type Change, PLANS, type Plan } from "./plans.ts";
import { Ping, Stream } from "./traffic.ts";
import { MILLISECOND, type PathPlan, SECOND, World } from "./world.ts";

/** A segment's payload, and what surrounds it on the line: TCP, IP, ours, UDP, IP. */
const PAYLOAD = 1348;
const AROUND = 40 + DATA_OVERHEAD_BYTES + 28;

/** What a plan says, said otherwise. */
export interface ProfileOptions {
  readonly upwards?: boolean | undefined;
  readonly settle?: number | undefined;
  readonly seconds?: number | undefined;
  readonly seed?: number | undefined;
  /** Each path alone as well. Default true. */
  readonly alone?: boolean | undefined;
  /** Also how long 50 pings per second take beside the flow. Default false. */
  readonly ping?: boolean | undefined;
}

interface Measured {
  /** Mbit/s: what the flow got, and what the paths could carry of it, both as means of the time measured. */
  readonly goodput: number;
  readonly limit: number;
  /** Seconds from the last change until half a second at 90 % of the limit begins; null when there is none. */
  readonly reached: number | null;
  /** Milliseconds; 0 when not asked for. */
  readonly ping50: number;
  readonly ping95: number;
  /** Of the flow's sender. */
  readonly timeouts: number;
  readonly resent: number;
}

export interface Figures extends Measured {
  /** Mbit/s over the best of the paths alone. */
  readonly best: number;
  /** The goodput as a share of the limit, and as a multiple of the best path alone. */
  readonly share: number;
  readonly toBest: number;
}

/** Mbit/s of payload that a line can carry: what random loss takes was sent in vain. */
function payloadRate({ rateBitsPerSecond = 0, loss = 0, cut = false }: Partial<LineSettings>): number {
  return cut ? 0 : (rateBitsPerSecond * (1 - loss) * PAYLOAD) / (PAYLOAD + AROUND) / 1e6;
}

/** Mbit/s of payload that the paths can carry. */
export function limitOf(paths: readonly PathPlan[], upwards: boolean): number {
  const rates = paths.map(({ line, up, down }) => payloadRate({ ...line, ...(upwards ? up : down) }));
  return rates.reduce((sum, rate) => sum + rate, 0);
}

function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(share * sorted.length)] ?? 0;
}

const TICK = 100 * MILLISECOND;
/** Ticks over which a rate counts as reached. */
const REACHED_TICKS = 5;

/** One bulk flow (CUBIC) over the paths. */
function measure(plan: Plan, options: ProfileOptions): Measured {
  const { paths, changes = [] } = plan;
  const { seed = 7, ping = false } = options;
  const { upwards = plan.upwards ?? false, settle = plan.settle ?? 3, seconds = plan.seconds ?? 4 } = options;
  const world = new World({ seed, locals: [{ paths }] });
  try {
    // The session is made and every path has joined.
    world.runFor(2 * SECOND);
    const stream = new Stream(world, { upwards, cubic: true, hystart: true });
    world.runFor(settle * SECOND);
    const began = world.now;
    for (const { at, path, set } of changes)
      world.at(began + at * SECOND, () => world.setLine(world.wires[path]!, set));
    const pings = ping ? new Ping(world, 50) : null;
    /** Of each tick, Mbit/s. */
    const rates: number[] = [];
    const limits: number[] = [];
    for (let i = 0; i < (seconds * SECOND) / TICK; i++) {
      const before = stream.receivedBytes;
      world.runFor(TICK);
      rates.push(((stream.receivedBytes - before) * 8) / TICK);
      const lines = world.wires.map((wire) => (upwards ? wire.up : wire.down).current);
      limits.push(lines.reduce((sum, line) => sum + payloadRate(line), 0));
    }
    return {
      goodput: mean(rates),
      limit: mean(limits),
      reached: reachedAfter(changes, rates, limits),
      ping50: percentile(pings?.times ?? [], 0.5) / 1000,
      ping95: percentile(pings?.times ?? [], 0.95) / 1000,
      timeouts: stream.timeouts,
      resent: stream.retransmitted,
    };
  } finally {
    world.close();
  }
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function reachedAfter(
  changes: readonly Change[],
  rates: readonly number[],
  limits: readonly number[],
): number | null {
  if (changes.length === 0) return null;
  const last = (changes.at(-1)!.at * SECOND) / TICK;
  for (let i = last; i + REACHED_TICKS <= rates.length; i++) {
    if (mean(rates.slice(i, i + REACHED_TICKS)) >= 0.9 * limits.at(-1)!) return ((i - last) * TICK) / SECOND;
  }
  return null;
}

/** Goodput over one path, kept: many plans have the same path. */
const alone = new Map<string, number>();

/** Mbit/s of the flow over the best of the paths alone. */
function bestAlone(plan: Plan, options: ProfileOptions): number {
  const rates = plan.paths.map((path, i) => {
    const changes = (plan.changes ?? []).filter((change) => change.path === i);
    const single: Plan = { ...plan, paths: [path], changes: changes.map((each) => ({ ...each, path: 0 })) };
    const key = JSON.stringify([{ ...single, name: "" }, options]);
    const rate = alone.get(key) ?? measure(single, { ...options, ping: false }).goodput;
    alone.set(key, rate);
    return rate;
  });
  return Math.max(...rates);
}

export function runProfile(plan: Plan, options: ProfileOptions = {}): Figures {
  const measured = measure(plan, options);
  const best = options.alone === false ? Number.NaN : bestAlone(plan, options);
  const share = measured.goodput / measured.limit;
  return { ...measured, best, share, toBest: measured.goodput / best };
}

/** Seeds beside the first, for plans in which chance plays: one alone says little of them. */
const MORE_SEEDS = [8, 9];

/** The same, where lines lose packets or vary in delay as the mean of three seeds. */
export function runProfiles(plan: Plan, options: ProfileOptions = {}): Figures {
  const first = runProfile(plan, options);
  if (options.seed !== undefined || !plan.paths.some(playsChance)) return first;
  const all = [first, ...MORE_SEEDS.map((seed) => runProfile(plan, { ...options, seed }))];
  const meanOf = (value: (each: Figures) => number): number => mean(all.map(value));
  const goodput = meanOf((each) => each.goodput);
  const limit = meanOf((each) => each.limit);
  const best = meanOf((each) => each.best);
  return {
    ...first,
    ...{ goodput, limit, best, share: goodput / limit, toBest: goodput / best },
    ping50: meanOf((each) => each.ping50),
    ping95: meanOf((each) => each.ping95),
  };
}

function playsChance({ line, up, down }: PathPlan): boolean {
  return [line, up, down].some((each) => (each?.loss ?? 0) > 0 || (each?.jitterMicros ?? 0) > 0);
}

function cell(value: number | string | null): string {
  const text = typeof value === "number" ? value.toFixed(value < 10 ? 2 : 1) : (value ?? "-");
  return text.padStart(9);
}

function print({ name }: Plan, got: Figures): void {
  const published = PROFILES.find((profile) => profile.name === name)?.published;
  const reported = published === undefined ? null : Math.max(published.single, published.both);
  const rates = [got.goodput, got.limit, got.best, got.share, got.toBest, reported, got.reached];
  const rest = [got.ping50, got.ping95, String(got.timeouts), String(got.resent)];
  console.log(name.padEnd(16), ...[...rates, ...rest].map(cell));
}

function main(): void {
  const number = { type: "string" } as const;
  const flag = { type: "boolean", default: false } as const;
  const { values, positionals } = parseArgs({
    args: process.argv.slice(2),
    allowPositionals: true,
    options: { seconds: number, settle: number, seed: number, both: flag, ping: flag, json: flag },
  });
  const asked = (text: string | undefined): number | undefined =>
    text === undefined ? undefined : Number(text);
  const direction = positionals.find((word) => word === "up" || word === "down");
  const names = positionals.filter((word) => word !== direction);
  const unknown = names.find((name) => !PLANS.some((plan) => plan.name === name));
  if (unknown !== undefined) throw new Error(`no plan named ${unknown} in test/sim/plans.ts`);
  const options: ProfileOptions = {
    upwards: direction === undefined ? undefined : direction === "up",
    seconds: asked(values.seconds),
    settle: asked(values.settle),
    seed: asked(values.seed),
    alone: !values.both,
    ping: values.ping,
  };
  const plans = PLANS.filter(({ name }) => names.length === 0 || names.includes(name));
  if (values.json) {
    for (const plan of plans) console.log(JSON.stringify({ name: plan.name, ...runProfiles(plan, options) }));
    return;
  }
  const heads = [
    "Mbit/s",
    "limit",
    "best",
    "share",
    "to best",
    "published",
    "90 % in s",
    "ping 50",
    "ping 95",
  ];
  console.log("".padEnd(16), ...[...heads, "timeouts", "resent"].map(cell));
  for (const plan of plans) print(plan, runProfile(plan, options));
}

if (import.meta.main) main();
