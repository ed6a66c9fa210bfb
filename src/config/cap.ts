/** The data caps in a `[[path]]`. Pure. */
import type { CapConfig } from "./config.ts";
import { readRate } from "./rate.ts";
import { parseSize } from "./size.ts";
import { quote, type Table, typeName } from "./table.ts";

/** Bytes that a cap may be. */
const CAP_LEAST = 1e6;
const CAP_MOST = 1e15;

/** Null without a cap, and after a fault in one. */
export function readCap(table: Table): CapConfig | null {
  const monthBytes = readSize(table, "cap_month");
  const dayBytes = readSize(table, "cap_day");
  const resetDay = table.integer("cap_reset_day", 1, 31) ?? 1;
  const timeZone = readTimeZone(table);
  const overBytesPerSecond = readOver(table);
  if (!table.has("cap_month") && table.has("cap_reset_day")) {
    const message = "cap_reset_day goes only with cap_month";
    table.faultAtKey("cap_reset_day", message, 'remove it, or add cap_month = "50 GB"');
  }
  if (!table.has("cap_month") && !table.has("cap_day")) {
    for (const key of ["cap_time_zone", "over_cap"]) {
      if (!table.has(key) || table.hasMisspelt("cap_month") || table.hasMisspelt("cap_day")) continue;
      table.faultAtKey(
        key,
        `${key} goes only with a cap`,
        'remove it, or add cap_month = "50 GB" or cap_day = "2 GB"',
      );
    }
    return null;
  }
  if (monthBytes !== null && dayBytes !== null && dayBytes >= monthBytes) {
    const message = "cap_day is not less than cap_month, and so of no effect";
    table.fault("cap_day", message, "write less than cap_month, or remove it");
  }
  return { monthBytes, dayBytes, resetDay, timeZone, overBytesPerSecond };
}

function readSize(table: Table, key: "cap_month" | "cap_day"): number | null {
  const value = table.raw(key);
  if (value === undefined) return null;
  const advice = `write for example ${key} = "${key === "cap_day" ? "2" : "50"} GB"`;
  if (typeof value !== "string" && typeof value !== "bigint") {
    table.fault(key, `${key} is ${typeName(value)}, not an amount of data`, advice);
    return null;
  }
  const bytes = typeof value === "string" ? parseSize(value) : Number(value);
  if (bytes === null) {
    table.fault(key, `${key} ${quote(String(value))} is no amount of data`, advice);
    return null;
  }
  if (bytes < CAP_LEAST || bytes > CAP_MOST) {
    table.fault(key, `${key} is out of range`, "write an amount from 1 MB to 1000 TB");
    return null;
  }
  return bytes;
}

/** Bytes per second; 0 = off. */
function readOver(table: Table): number {
  if (table.raw("over_cap") === "off") return 0;
  return readRate(table, "over_cap", 'write "off", or a rate such as "256 kbit"') ?? 0;
}

function readTimeZone(table: Table): string {
  const name = table.text("cap_time_zone");
  if (name === null) return "UTC";
  try {
    return new Intl.DateTimeFormat("en-US", { timeZone: name }).resolvedOptions().timeZone;
  } catch {
    const advice = 'write a name such as "Europe/Berlin", as "timedatectl list-timezones" lists them';
    table.fault("cap_time_zone", `cap_time_zone ${quote(name)} is no time zone`, advice);
    return "UTC";
  }
}
