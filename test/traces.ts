/**
 * Recorded links as paths, for the simulator and the benchmark: files of delivery opportunities (src/lab/trace.ts), which
 * whoever measures has and names. Paths that have a file in common run through it at moments far apart.
 */
import { existsSync } from "node:fs";
import { OPPORTUNITY_BYTES } from "../src/lab/line.ts";
import { readTrace, traceLength } from "../src/lab/trace.ts";

/** One path's recording: a file for either direction. */
export interface Recording {
  readonly up: string;
  readonly down: string;
}

/** `UP:DOWN`, or one file for both. Throws a RangeError. */
export function parseRecording(text: string): Recording {
  const [up = "", down = up, ...more] = text.split(":");
  if (up === "" || down === "" || more.length > 0)
    throw new RangeError(`a trace is UP:DOWN or one file for both, not "${text}"`);
  for (const file of [up, down]) if (!existsSync(file)) throw new RangeError(`no file ${file}`);
  return { up, down };
}

/** Seconds from each recording's start at which its path begins: those with the same file share its length evenly. */
export function beginnings(
  recordings: readonly Recording[],
  lengthSeconds: (file: string) => number,
): number[] {
  return recordings.map(({ up, down }, i) => {
    const like = recordings.map((other) => other.up === up || other.down === down);
    const before = like.slice(0, i).filter(Boolean).length;
    return (before * lengthSeconds(up)) / like.filter(Boolean).length;
  });
}

export function lengthSeconds(file: string): number {
  return traceLength(readTrace(file)) / 1e6;
}

/** Bits that a recording carries between two of its seconds. */
export function bitsBetween(trace: Float64Array, from: number, to: number): number {
  return (countUntil(trace, to * 1e6) - countUntil(trace, from * 1e6)) * OPPORTUNITY_BYTES * 8;
}

function countUntil(trace: Float64Array, until: number): number {
  const length = traceLength(trace);
  const whole = Math.floor(until / length);
  return whole * trace.length + trace.filter((at) => whole * length + at <= until).length;
}
