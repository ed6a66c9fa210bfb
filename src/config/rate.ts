/** Rates as people write them. Pure. */

const units: Readonly<Record<string, number>> = { bit: 1, kbit: 1e3, mbit: 1e6, gbit: 1e9 };

/** Bits per second: a number with a unit, `50 Mbit`, `2.5 Gbit/s`, capitals or not; null for anything else. */
export function parseRate(text: string): number | null {
  const match = /^\s*(\d{1,12}(?:\.\d{1,9})?)\s*([kmg]?bit)(?:\/s)?\s*$/i.exec(text);
  if (match === null) return null;
  return Number(match[1]) * units[match[2]!.toLowerCase()]!;
}
