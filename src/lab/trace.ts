/**
 * Traces of delivery opportunities, in the text format of the Mahimahi project: one line per opportunity, the
 * millisecond since the start at which one packet of 1,500 bytes may leave; the same number twice is two packets.
 */
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";

/** Reads a file of them, gzip when its name ends so. Throws a RangeError, or what the file system says. */
export function readTrace(file: string): Float64Array {
  const content = readFileSync(file);
  return parseTrace((file.endsWith(".gz") ? gunzipSync(content) : content).toString("latin1"));
}

/** The opportunities in microseconds, in order. Throws a RangeError that names the first line that is not one. */
export function parseTrace(text: string): Float64Array {
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  const times = new Float64Array(lines.length);
  let last = 0;
  for (const [index, line] of lines.entries()) {
    const where = `trace, line ${index + 1}`;
    if (!/^\d{1,12}\r?$/.test(line)) throw new RangeError(`${where}: expected a number of milliseconds`);
    const millis = Number.parseInt(line, 10);
    if (millis < last)
      throw new RangeError(`${where}: ${millis} ms comes after ${last} ms; times must not fall`);
    times[index] = millis * 1000;
    last = millis;
  }
  if (last === 0) throw new RangeError("trace: needs at least one time above 0 ms");
  return times;
}

/** Microseconds after which the trace begins again. */
export function traceLength(trace: Float64Array): number {
  return trace[trace.length - 1]!;
}

/**
 * The trace as it goes on `from` microseconds after its start, what came before following at its end. A pause that
 * `from` falls into keeps its later part only, so one repetition is shorter by the part before.
 */
export function traceFrom(trace: Float64Array, from: number): Float64Array {
  const length = traceLength(trace);
  const cut = from % length;
  const first = trace.findIndex((time) => time >= cut);
  const turned = new Float64Array(trace.length);
  for (let i = 0; i < trace.length; i++) {
    const at = first + i;
    turned[i] = at < trace.length ? trace[at]! - cut : trace[at - trace.length]! + length - cut;
  }
  return turned;
}
