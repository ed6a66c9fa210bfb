/**
 * What one bulk flow gets out of a set of paths, in virtual time: measured over all of them, and over each of them alone.
 *
 *     bun test/sim/profile.ts                    all sixteen profiles, downwards
 *     bun test/sim/profile.ts jit_20 up          one of them, upwards
 *     bun test/sim/profile.ts jit_20 rtt_320 --seconds 10 --settle 5 --seed 3
 */
import { parseArgs } from "node:util";
import type { LineSettings } from "../../src/lab/line.ts";
import { DATA_OVERHEAD_BYTES } from "../../src/wire/datagram.ts";
import { PROFILES } from "../profiles.ts";
import { goodput, Ping, Stream } from "./traffic.ts";
import { type PathPlan, SECOND, World } from "./world.ts";

/** A segment's payload, and what surrounds it on the line: TCP, IP, ours, UDP, IP. */
const PAYLOAD = 1348;
const AROUND = 40 + DATA_OVERHEAD_BYTES + 28;

/** A path as the simulator takes it; `line` alone is the same both ways. */
export interface ProfilePlan {
  readonly name: string;
  readonly lines?: readonly Partial<LineSettings>[];
  readonly paths?: readonly PathPlan[];
}

export interface ProfileOptions {
  /** From the local to the remote. Default false. */
  readonly upwards?: boolean;
  /** Seconds the flow has to find its rate, and seconds measured after them. */
  readonly settle?: number;
  readonly seconds?: number;
  readonly seed?: number;
  /** Each path alone as well: twice the work. Default true. */
  readonly alone?: boolean;
  /** Also how long 50 pings per second take beside the flow. Default false. */
  readonly ping?: boolean;
}

export interface Figures {
  /** Mbit/s: what the flow got, what all paths could carry of it, and what it got over the best path alone. */
  readonly goodput: number;
  readonly limit: number;
  readonly best: number;
  /** The goodput as a share of the limit, and as a multiple of the best path alone. */
  readonly share: number;
  readonly toBest: number;
  /** Milliseconds; 0 when not asked for. */
  readonly pingMedian: number;
  readonly ping95: number;
  /** Of the inner flow's sender. */
  readonly timeouts: number;
  readonly retransmitted: number;
}

function pathsOf({ lines, paths }: ProfilePlan): readonly PathPlan[] {
  return paths ?? (lines ?? []).map((line) => ({ line }));
}

/** Mbit/s of payload that the paths can carry: what random loss takes was sent in vain. */
export function limitOf(paths: readonly PathPlan[], upwards: boolean): number {
  const rates = paths.map(({ line, up, down }) => {
    const { rateBitsPerSecond = 0, loss = 0 } = { ...line, ...(upwards ? up : down) };
    return rateBitsPerSecond * (1 - loss);
  });
  return (rates.reduce((sum, rate) => sum + rate, 0) * PAYLOAD) / (PAYLOAD + AROUND) / 1e6;
}

function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(share * sorted.length)] ?? 0;
}

type Measured = Pick<Figures, "goodput" | "pingMedian" | "ping95" | "timeouts" | "retransmitted">;

/** One bulk flow (CUBIC) over the paths. */
function measure(paths: readonly PathPlan[], options: ProfileOptions): Measured {
  const { upwards = false, settle = 5, seconds = 10, seed = 7, ping = false } = options;
  const world = new World({ seed, locals: [{ paths }] });
  try {
    // The session is made and every path has joined.
    world.runFor(2 * SECOND);
    const stream = new Stream(world, { upwards, cubic: true });
    world.runFor(settle * SECOND);
    const pings = ping ? new Ping(world, 50) : null;
    const rate = goodput(world, stream, seconds * SECOND);
    const times = pings?.times ?? [];
    return {
      goodput: rate,
      pingMedian: percentile(times, 0.5) / 1000,
      ping95: percentile(times, 0.95) / 1000,
      timeouts: stream.timeouts,
      retransmitted: stream.retransmitted,
    };
  } finally {
    world.close();
  }
}

/** Goodput over one path, kept: many plans have the same path. */
const alone = new Map<string, number>();

/** Mbit/s of the flow over the best of the paths alone. */
function bestAlone(paths: readonly PathPlan[], options: ProfileOptions): number {
  const rates = paths.map((path) => {
    const key = JSON.stringify([path, options.upwards, options.settle, options.seconds, options.seed]);
    const rate = alone.get(key) ?? measure([path], { ...options, ping: false }).goodput;
    alone.set(key, rate);
    return rate;
  });
  return Math.max(...rates);
}

export function runProfile(plan: ProfilePlan, options: ProfileOptions = {}): Figures {
  const paths = pathsOf(plan);
  const measured = measure(paths, options);
  const limit = limitOf(paths, options.upwards ?? false);
  const best = options.alone === false ? Number.NaN : bestAlone(paths, options);
  return {
    ...measured,
    limit,
    best,
    share: measured.goodput / limit,
    toBest: measured.goodput / best,
  };
}

function main(): void {
  const { values, positionals } = parseArgs({
    args: process.argv.slice(2),
    allowPositionals: true,
    options: {
      seconds: { type: "string", default: "10" },
      settle: { type: "string", default: "5" },
      seed: { type: "string", default: "7" },
      both: { type: "boolean", default: false },
    },
  });
  const names = positionals.filter((word) => word !== "up" && word !== "down");
  const options: ProfileOptions = {
    upwards: positionals.includes("up"),
    seconds: Number(values.seconds),
    settle: Number(values.settle),
    seed: Number(values.seed),
    alone: !values.both,
    ping: true,
  };
  const cell = (value: number | string): string =>
    (typeof value === "string" ? value : value.toFixed(value < 10 ? 2 : 1)).padStart(9);
  const heads = [
    "Mbit/s",
    "limit",
    "best",
    "share",
    "to best",
    "published",
    "ping 50",
    "ping 95",
    "timeouts",
  ];
  console.log("".padEnd(14), ...heads.map(cell), cell("resent"));
  for (const { published, ...plan } of PROFILES) {
    if (names.length > 0 && !names.includes(plan.name)) continue;
    const got = runProfile(plan, options);
    const reported = Math.max(published.single, published.both);
    const rates = [got.goodput, got.limit, got.best, got.share, got.toBest, reported];
    const rest = [got.pingMedian, got.ping95, String(got.timeouts), String(got.retransmitted)];
    console.log(plan.name.padEnd(14), ...rates.map(cell), ...rest.map(cell));
  }
}

if (import.meta.main) main();
