/**
 * Traces of delivery opportunities, in the text format of the Mahimahi project: one line per opportunity, the
 * millisecond since the start at which one packet of 1,500 bytes may leave; the same number twice is two packets.
 */

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
