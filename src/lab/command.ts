/**
 * What the emulator is told and what it answers: one JSON object per line each way, one answer per command, in order.
 *
 *     {"path": 0, "direction": "up", "set": {"mbit": 20, "delayMs": 40}}     change a line; without direction both
 *     {"stats": true}                                                       counters, lateness and CPU time
 *
 * Pure. What is no command gives a message, never an exception.
 */
import type { LineCounts, LineSettings } from "./line.ts";

export type Direction = "up" | "down";

/** Settings of one direction in an operator's units. What is left out stays as it is. */
export interface LineOptions {
  /** Megabits of IP packet per second; null = no limit. */
  mbit?: number | null;
  /** What leaves at once after a pause, as from a token bucket of this size. */
  burstBytes?: number;
  /** One way. */
  delayMs?: number;
  /** Standard deviation; order is kept. */
  jitterMs?: number;
  /** Shares, 0..1. */
  loss?: number;
  reorder?: number;
  duplicate?: number;
  corrupt?: number;
  reorderMs?: number;
  /** Longest wait in the queue; null = no bound. */
  queueMs?: number | null;
  queueBytes?: number | null;
  cut?: boolean;
  /**
   * A file of delivery opportunities (lab/trace.ts), may be gzip; it takes the rate's place and begins when it is set,
   * also when it was set before. null = none.
   */
  trace?: string | null;
  /** With `trace`: begins so long after its start. */
  traceFromMs?: number;
}

export type EmulatorCommand =
  | {
      readonly kind: "set";
      readonly path: number;
      readonly direction: Direction | null;
      readonly set: LineOptions;
    }
  | { readonly kind: "stats" };

export interface LineStats extends LineCounts {
  /** Packets inside the line. */
  inside: number;
  /** Delivered packets that the kernel did not take: the interface was down. */
  refused: number;
}

export interface EmulatorStats {
  paths: { up: LineStats; down: LineStats }[];
  /** How much later than the model says packets were written, since the last question; microseconds. */
  latenessMicros: { p50: number; p99: number; max: number };
  cpuSeconds: number;
}

const SHARES = ["loss", "reorder", "duplicate", "corrupt"] as const;

/** Each numeric option: the setting it becomes, and its unit in the setting's. Null means Infinity where it may. */
const NUMBERS = [
  ["mbit", "rateBitsPerSecond", 1e6, true],
  ["burstBytes", "burstBytes", 1, false],
  ["delayMs", "delayMicros", 1000, false],
  ["jitterMs", "jitterMicros", 1000, false],
  ["reorderMs", "reorderMicros", 1000, false],
  ["queueMs", "queueMicros", 1000, true],
  ["queueBytes", "queueBytes", 1, true],
] as const;

const KNOWN: readonly string[] = [...NUMBERS.map(([name]) => name), ...SHARES, "cut", "trace", "traceFromMs"];

/** Reads one line. A string says what is wrong with it. */
export function parseCommand(line: string): EmulatorCommand | string {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return "not JSON";
  }
  if (!isRecord(value)) return "not an object";
  if (value.stats === true) return { kind: "stats" };
  const { path, direction = null, set } = value;
  if (typeof path !== "number" || !Number.isSafeInteger(path) || path < 0) return "path must be a number";
  if (direction !== null && direction !== "up" && direction !== "down") return "direction must be up or down";
  const wrong = wrongOptions(set);
  return wrong ?? { kind: "set", path, direction, set: set as LineOptions };
}

/** What is wrong with a line's options; null when nothing is. */
export function wrongOptions(set: unknown): string | null {
  if (!isRecord(set)) return "set must be an object";
  for (const name of Object.keys(set))
    if (!KNOWN.includes(name)) return `unknown setting ${JSON.stringify(name)}`;
  for (const [name, , , mayBeNull] of NUMBERS) {
    const value = set[name];
    if (value === undefined || (value === null && mayBeNull)) continue;
    if (typeof value !== "number" || !(value >= 0) || value > 1e12)
      return `${name} must be a number, 0 or more`;
  }
  for (const name of SHARES) {
    const value = set[name];
    if (value !== undefined && !(typeof value === "number" && value >= 0 && value <= 1))
      return `${name} must be a share, 0 to 1`;
  }
  if (set.cut !== undefined && typeof set.cut !== "boolean") return "cut must be true or false";
  if (set.trace !== undefined && set.trace !== null && typeof set.trace !== "string")
    return "trace must be a file's path";
  const from = set.traceFromMs;
  if (from === undefined) return null;
  if (typeof set.trace !== "string") return "traceFromMs goes with a trace";
  if (typeof from !== "number" || !(from >= 0) || from > 1e12)
    return "traceFromMs must be a number, 0 or more";
  return null;
}

/** The options as the line model takes them. `trace` is the content of the file that they name. */
export function lineSettings(options: LineOptions, trace: Float64Array | null): Partial<LineSettings> {
  const settings: { -readonly [key in keyof LineSettings]?: LineSettings[key] } = {};
  for (const [name, setting, unit] of NUMBERS) {
    const value = options[name];
    if (value !== undefined) settings[setting] = value === null ? Number.POSITIVE_INFINITY : value * unit;
  }
  for (const name of SHARES) if (options[name] !== undefined) settings[name] = options[name];
  if (options.cut !== undefined) settings.cut = options.cut;
  if (options.trace !== undefined) settings.trace = trace;
  return settings;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
