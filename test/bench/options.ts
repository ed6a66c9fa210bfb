/** What `npm run bench` is asked for: its benchmarks, their options, and what each takes when nothing is said. Pure. */
import { parseArgs } from "node:util";
import type { Direction } from "../../src/lab/command.ts";

export const NAMES = [
  "throughput",
  "pps",
  "latency",
  "crypto",
  "ring",
  "footprint",
  "profiles",
  "failover",
  "adapt",
  "traces",
  "fairness",
  "sessions",
  "crowd",
] as const;
export type BenchName = (typeof NAMES)[number];

/** The words make no sense; the message says what to write instead. */
export class UsageError extends Error {}

export const CONGESTIONS = ["cubic", "bbr"] as const;
/** Congestion control of the flow inside. */
export type Congestion = (typeof CONGESTIONS)[number];

export interface Options {
  readonly name: BenchName;
  readonly json: boolean;
  /** What a second is spent on differs: see DEFAULTS. */
  readonly seconds: number;
  readonly repeats: number;
  readonly inner: readonly Congestion[];
  readonly directions: readonly Direction[];
  /** Only these profiles or scenarios; all when empty. */
  readonly profiles: readonly string[];
  /** Only these ways from client to server; all when empty (throughput, pps, latency). */
  readonly ways: readonly string[];
  /** Another portal program to measure in turn with this one, or its main.ts (throughput, pps, latency). */
  readonly against: string | null;
  /** Bytes of IP packet, each measured by itself (pps, crypto). */
  readonly sizes: readonly number[];
  /** Also the same over one path of the sum of the rates, without portal (adapt). */
  readonly plain: boolean;
  /** `UP:DOWN` files of delivery opportunities, one for each path (traces). */
  readonly traces: readonly string[];
  /** Seconds from their start at which measuring begins (traces). */
  readonly offset: number;
  /** One way (traces, fairness). */
  readonly delayMs: number;
  /** Longest waits in the lines' queues, each measured by itself (traces, fairness). */
  readonly queuesMs: readonly number[];
  /** Congestion control of the plain flow (fairness). */
  readonly beside: readonly Congestion[];
  /** A QUIC download ends after so long, finished or not. */
  readonly quicSeconds: number;
  /** Folder of the QUIC programs; null: looked for where programs are. */
  readonly quic: string | null;
}

interface Defaults {
  /** throughput, profiles: length of each flow; failover, adapt: of each phase. */
  readonly seconds: number;
  /** With --repeats 1, which is for a first look. */
  readonly briefSeconds: number;
  readonly inner: readonly Congestion[];
  readonly queuesMs?: readonly number[];
}

const DEFAULTS: Readonly<Record<BenchName, Defaults>> = {
  throughput: { seconds: 5, briefSeconds: 5, inner: ["cubic"] },
  pps: { seconds: 4, briefSeconds: 4, inner: ["cubic"] },
  latency: { seconds: 5, briefSeconds: 5, inner: ["cubic"] },
  crypto: { seconds: 5, briefSeconds: 5, inner: ["cubic"] },
  ring: { seconds: 5, briefSeconds: 5, inner: ["cubic"] },
  footprint: { seconds: 5, briefSeconds: 5, inner: ["cubic"] },
  profiles: { seconds: 8, briefSeconds: 3, inner: CONGESTIONS },
  failover: { seconds: 5, briefSeconds: 5, inner: ["cubic"] },
  adapt: { seconds: 5, briefSeconds: 5, inner: ["cubic"] },
  traces: { seconds: 20, briefSeconds: 20, inner: ["cubic"], queuesMs: [1000] },
  sessions: { seconds: 5, briefSeconds: 5, inner: ["cubic"] },
  crowd: { seconds: 5, briefSeconds: 5, inner: ["cubic"] },
  fairness: { seconds: 20, briefSeconds: 15, inner: ["cubic"], queuesMs: [50, 200] },
};

const DIRECTIONS = ["up", "down"] as const;
const QUIC_SECONDS = 60;
const BRIEF_QUIC_SECONDS = 3;
const MOST_SECONDS = 600;
const MOST_REPEATS = 100;
const DELAY_MS = 20;
const MOST_DELAY_MS = 2000;
const MOST_QUEUE_MS = 10_000;
const MOST_OFFSET = 100_000;
const SIZES = [64, 256, 512, 1400];
/** IP and UDP header, and what iperf3 needs to count. */
const LEAST_SIZE = 48;
const MOST_SIZE = 1420;

/** Throws a UsageError. */
export function parseOptions(words: readonly string[]): Options {
  const { values, positionals } = parse(words);
  if (positionals.length > 1) throw new UsageError("one benchmark at a time");
  const name = oneOf("benchmark", positionals[0] ?? "throughput", NAMES);
  const defaults = DEFAULTS[name];
  const repeats = whole("--repeats", values.repeats, 3, 1, MOST_REPEATS);
  const seconds = repeats === 1 ? defaults.briefSeconds : defaults.seconds;
  return {
    name,
    json: values.json ?? false,
    seconds: number("--seconds", values.seconds, seconds, 2, MOST_SECONDS),
    repeats,
    inner: values.inner === undefined ? defaults.inner : listed("--inner", values.inner, CONGESTIONS),
    directions: listed("--directions", values.directions ?? "both", DIRECTIONS),
    profiles: values.profile ?? [],
    ways: values.way ?? [],
    against: values.against ?? null,
    sizes: values.size?.map((text) => whole("--size", text, 0, LEAST_SIZE, MOST_SIZE)) ?? SIZES,
    plain: values.plain ?? false,
    traces: values.trace ?? [],
    offset: number("--offset", values.offset, 0, 0, MOST_OFFSET),
    delayMs: number("--delay", values.delay, DELAY_MS, 0, MOST_DELAY_MS),
    queuesMs:
      values.queue?.map((text) => number("--queue", text, 0, 1, MOST_QUEUE_MS)) ?? defaults.queuesMs ?? [],
    beside: listed("--beside", values.beside ?? "both", CONGESTIONS),
    quicSeconds: repeats === 1 ? BRIEF_QUIC_SECONDS : QUIC_SECONDS,
    quic: values.quic ?? null,
  };
}

function parse(words: readonly string[]) {
  try {
    return parseArgs({
      args: [...words],
      allowPositionals: true,
      options: {
        json: { type: "boolean" },
        seconds: { type: "string" },
        repeats: { type: "string" },
        inner: { type: "string" },
        directions: { type: "string" },
        profile: { type: "string", multiple: true },
        way: { type: "string", multiple: true },
        against: { type: "string" },
        size: { type: "string", multiple: true },
        plain: { type: "boolean" },
        trace: { type: "string", multiple: true },
        offset: { type: "string" },
        delay: { type: "string" },
        queue: { type: "string", multiple: true },
        beside: { type: "string" },
        quic: { type: "string" },
      },
    });
  } catch (error) {
    throw new UsageError((error as Error).message.split(". ")[0]);
  }
}

function number(
  option: string,
  text: string | undefined,
  usual: number,
  least: number,
  most: number,
): number {
  if (text === undefined) return usual;
  const value = text === "" ? Number.NaN : Number(text);
  if (value >= least && value <= most) return value;
  throw new UsageError(`${option} is a number from ${least} to ${most}, not "${text}"`);
}

function whole(option: string, text: string | undefined, usual: number, least: number, most: number): number {
  const value = number(option, text, usual, least, most);
  if (!Number.isInteger(value)) throw new UsageError(`${option} is a whole number`);
  return value;
}

function oneOf<Word extends string>(what: string, text: string, words: readonly Word[]): Word {
  const found = words.find((word) => word === text);
  if (found !== undefined) return found;
  throw new UsageError(`no ${what} "${text}": there are ${words.join(", ")}`);
}

/** One of the words, or "both". */
function listed<Word extends string>(option: string, text: string, words: readonly Word[]): readonly Word[] {
  return text === "both" ? words : [oneOf(`${option} value`, text, [...words, "both" as Word])];
}

/** Those that are named, in their own order; all when none is. Throws a UsageError. */
export function chosen<Named extends { readonly name: string }>(
  all: readonly Named[],
  names: readonly string[],
  what = "profile",
): readonly Named[] {
  const known = all.map(({ name }) => name);
  for (const name of names) oneOf(what, name, known);
  return names.length === 0 ? all : all.filter(({ name }) => names.includes(name));
}
