/** Rates as people write them. Pure. */
import { quote, type Table, typeName } from "./table.ts";

/** Bits per second that a rate may be. */
const RATE_LEAST = 8_000;
const RATE_MOST = 1e12;

const units: Readonly<Record<string, number>> = { bit: 1, kbit: 1e3, mbit: 1e6, gbit: 1e9 };

/** Bits per second: a number with a unit, `50 Mbit`, `2.5 Gbit/s`, capitals or not; null for anything else. */
export function parseRate(text: string): number | null {
  const match = /^\s*(\d{1,12}(?:\.\d{1,9})?)\s*([kmg]?bit)(?:\/s)?\s*$/i.exec(text);
  if (match === null) return null;
  return Number(match[1]) * units[match[2]!.toLowerCase()]!;
}

/** Bytes per second, from `50 Mbit` or a whole number of bits per second; null without the key, and after a fault. */
export function readRate(
  table: Table,
  key: string,
  advice = `write for example ${key} = "50 Mbit"`,
): number | null {
  const value = table.raw(key);
  if (value === undefined) return null;
  if (typeof value !== "string" && typeof value !== "bigint") {
    table.fault(key, `${key} is ${typeName(value)}, not a rate`, advice);
    return null;
  }
  const bits = typeof value === "string" ? parseRate(value) : Number(value);
  if (bits === null) {
    table.fault(key, `${key} ${quote(String(value))} is no rate`, advice);
    return null;
  }
  if (bits < RATE_LEAST || bits > RATE_MOST) {
    table.fault(key, `${key} is out of range`, "write a rate from 8 kbit to 1000 Gbit a second");
    return null;
  }
  return bits / 8;
}
