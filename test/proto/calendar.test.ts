/** Periods of data caps, in time zones of all kinds, against a slow model that looks at every quarter of an hour. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Calendar, type PeriodKind } from "../../src/proto/calendar.ts";

const QUARTER = 900_000;
const DAY = 86_400_000;

const ZONES = [
  "UTC",
  "Europe/Berlin",
  "America/New_York",
  "Asia/Kathmandu",
  "Australia/Lord_Howe", // half an hour of summer time
  "Pacific/Kiritimati", // UTC+14
  "Etc/GMT+12",
  "Africa/Cairo", // clocks change at midnight
  "America/Havana",
  "Asia/Beirut",
];

const iso = (at: number) => new Date(at).toISOString().replace(":00.000Z", "Z");
const from = (text: string) => Date.parse(text);

function periodText(kind: PeriodKind, zone: string, resetDay: number, at: string): string {
  const { since, until } = new Calendar(zone, resetDay).period(kind, from(at));
  return `${iso(since)} ${iso(until)}`;
}

describe("months", () => {
  test.each([
    ["UTC", 1, "2026-11-22T02:30:00Z", "2026-11-01T00:00Z 2026-12-01T00:00Z"],
    ["UTC", 1, "2026-11-01T00:00:00Z", "2026-11-01T00:00Z 2026-12-01T00:00Z"],
    ["UTC", 1, "2026-10-31T23:59:59Z", "2026-10-01T00:00Z 2026-11-01T00:00Z"],
    ["UTC", 15, "2026-01-14T23:59:59Z", "2025-12-15T00:00Z 2026-01-15T00:00Z"],
    ["UTC", 15, "2026-12-15T00:00:00Z", "2026-12-15T00:00Z 2027-01-15T00:00Z"],
    // Shorter months.
    ["UTC", 31, "2026-02-27T12:00:00Z", "2026-01-31T00:00Z 2026-02-28T00:00Z"],
    ["UTC", 31, "2026-02-28T00:00:00Z", "2026-02-28T00:00Z 2026-03-31T00:00Z"],
    ["UTC", 31, "2026-04-30T00:00:00Z", "2026-04-30T00:00Z 2026-05-31T00:00Z"],
    ["UTC", 30, "2028-02-29T00:00:00Z", "2028-02-29T00:00Z 2028-03-30T00:00Z"],
    ["UTC", 29, "2027-02-28T00:00:00Z", "2027-02-28T00:00Z 2027-03-29T00:00Z"],
    ["UTC", 29, "2100-02-28T00:00:00Z", "2100-02-28T00:00Z 2100-03-29T00:00Z"],
    // Summer time begins on 2026-03-29 and ends on 2026-10-25.
    ["Europe/Berlin", 1, "2026-03-31T21:59:59Z", "2026-02-28T23:00Z 2026-03-31T22:00Z"],
    ["Europe/Berlin", 1, "2026-03-31T22:00:00Z", "2026-03-31T22:00Z 2026-04-30T22:00Z"],
    ["Europe/Berlin", 25, "2026-10-24T22:00:00Z", "2026-10-24T22:00Z 2026-11-24T23:00Z"],
    ["America/New_York", 1, "2026-11-01T03:59:59Z", "2026-10-01T04:00Z 2026-11-01T04:00Z"],
    ["Pacific/Kiritimati", 1, "2026-10-31T10:00:00Z", "2026-10-31T10:00Z 2026-11-30T10:00Z"],
    ["Asia/Kathmandu", 1, "2026-10-31T18:14:59Z", "2026-09-30T18:15Z 2026-10-31T18:15Z"],
    // Midnight was skipped on 2026-04-24: the day began at 01:00.
    ["Africa/Cairo", 24, "2026-04-23T22:00:00Z", "2026-04-23T22:00Z 2026-05-23T21:00Z"],
    // A day that never was, 2011-12-30.
    ["Pacific/Apia", 30, "2011-12-30T10:00:00Z", "2011-12-30T10:00Z 2012-01-29T10:00Z"],
  ])("%s, reset on day %i: %s is in %s", (zone, resetDay, at, expected) => {
    expect(periodText("month", zone, resetDay, at)).toBe(expected);
  });
});

describe("days", () => {
  test.each([
    ["UTC", "2026-11-22T02:30:00Z", "2026-11-22T00:00Z 2026-11-23T00:00Z"],
    // Of 23 and of 25 hours.
    ["Europe/Berlin", "2026-03-29T12:00:00Z", "2026-03-28T23:00Z 2026-03-29T22:00Z"],
    ["Europe/Berlin", "2026-10-25T12:00:00Z", "2026-10-24T22:00Z 2026-10-25T23:00Z"],
    ["Australia/Lord_Howe", "2026-10-04T12:00:00Z", "2026-10-03T13:30Z 2026-10-04T13:00Z"],
    ["Pacific/Apia", "2011-12-30T09:59:59Z", "2011-12-29T10:00Z 2011-12-30T10:00Z"],
    ["Pacific/Apia", "2011-12-30T10:00:00Z", "2011-12-30T10:00Z 2011-12-31T10:00Z"],
  ])("%s: %s is in %s", (zone, at, expected) => {
    expect(periodText("day", zone, 1, at)).toBe(expected);
  });
});

/** A date as the runtime writes it for people, by another way than the calendar's. */
function localDate(zone: string, at: number): string {
  return new Date(at).toLocaleDateString("sv-SE", { timeZone: zone });
}

/** The first quarter of an hour of the local date `wanted` or a later one. */
function slowStart(zone: string, wanted: string): number {
  let at = from(`${wanted}T00:00:00Z`) - 2 * DAY;
  while (localDate(zone, at) < wanted) at += QUARTER;
  return at;
}

function slowMonth(zone: string, resetDay: number, at: number): { since: number; until: number } {
  const [year, month] = localDate(zone, at).split("-").map(Number) as [number, number];
  const starts = [-1, 0, 1, 2].map((ahead) => {
    const first = new Date(Date.UTC(year, month - 1 + ahead, 1));
    const length = new Date(Date.UTC(first.getUTCFullYear(), first.getUTCMonth() + 1, 0)).getUTCDate();
    first.setUTCDate(Math.min(resetDay, length));
    return slowStart(zone, first.toISOString().slice(0, 10));
  });
  const i = starts.findLastIndex((start) => start <= at);
  return { since: starts[i]!, until: starts[i + 1]! };
}

const moments = fc.integer({ min: from("2015-01-01T00:00Z") / 1000, max: from("2040-01-01T00:00Z") / 1000 });

test("months are those of the slow model", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...ZONES),
      fc.integer({ min: 1, max: 31 }),
      moments,
      (zone, resetDay, second) => {
        const at = second * 1000;
        expect(new Calendar(zone, resetDay).period("month", at)).toEqual(slowMonth(zone, resetDay, at));
      },
    ),
    { numRuns: 60 },
  );
});

test("periods follow each other without a gap, and hold their moments", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...ZONES),
      fc.constantFrom<PeriodKind>("month", "day"),
      fc.integer({ min: 1, max: 31 }),
      moments,
      (zone, kind, resetDay, second) => {
        const calendar = new Calendar(zone, resetDay);
        const at = second * 1000;
        const { since, until } = calendar.period(kind, at);
        expect(since <= at && at < until).toBe(true);
        expect(calendar.period(kind, since)).toEqual({ since, until });
        expect(calendar.period(kind, until - 1)).toEqual({ since, until });
        expect(calendar.period(kind, until).since).toBe(until);
        const days = (until - since) / DAY;
        if (kind === "month") expect(days > 27.9 && days < 31.1).toBe(true);
        else expect(days > 0.95 && days < 1.05).toBe(true);
      },
    ),
    { numRuns: 400 },
  );
});

test("a moment is written in the zone's time", () => {
  expect(new Calendar("Europe/Berlin", 1).text(from("2026-11-30T23:00:00Z"))).toBe("2026-12-01 00:00");
  expect(new Calendar("Asia/Kathmandu", 1).text(from("2026-11-30T18:20:00Z"))).toBe("2026-12-01 00:05");
});

test("a zone that nobody knows is refused", () => {
  expect(() => new Calendar("Europe/Nowhere", 1)).toThrow(RangeError);
});
