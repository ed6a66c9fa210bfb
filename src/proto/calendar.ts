/**
 * The periods of a data cap: days, and months that begin on a day of one's choice, at midnight in a time zone (IANA; the
 * zones' rules are the runtime's). A month that is shorter than its reset day begins on its last day. Days of 23 and 25 hours, and
 * days that begin at 01:00 because midnight was skipped, are as the zone has them.
 *
 * Reads no clock: moments are milliseconds since 1970, whole seconds of them.
 */

export type PeriodKind = "month" | "day";

export interface Period {
  /** Its first moment, and the first of the next one. */
  readonly since: number;
  readonly until: number;
}

interface LocalTime {
  readonly year: number;
  /** 1..12 */
  readonly month: number;
  readonly day: number;
  readonly hour: number;
  readonly minute: number;
}

const SECOND = 1000;
const DAY_SECONDS = 86_400;
/** No zone is further from UTC than this, and Samoa skipped a whole day (2011-12-30). */
const WIDEST_SECONDS = 60 * 3600;

export class Calendar {
  readonly timeZone: string;
  readonly resetDay: number;
  private readonly format: Intl.DateTimeFormat;

  /** `resetDay`: 1..31. Throws RangeError for a time zone that the runtime does not know. */
  constructor(timeZone: string, resetDay: number) {
    this.timeZone = timeZone;
    this.resetDay = resetDay;
    this.format = new Intl.DateTimeFormat("en-US", {
      timeZone,
      calendar: "gregory",
      numberingSystem: "latn",
      hourCycle: "h23",
      year: "numeric",
      month: "numeric",
      day: "numeric",
      hour: "numeric",
      minute: "numeric",
    });
  }

  /** The period of a kind that holds this moment. */
  period(kind: PeriodKind, at: number): Period {
    return kind === "month" ? this.month(at) : this.day(at);
  }

  /** `2026-12-01 00:00`, in the calendar's zone. */
  text(at: number): string {
    const { year, month, day, hour, minute } = this.localTime(at);
    return `${year}-${two(month)}-${two(day)} ${two(hour)}:${two(minute)}`;
  }

  private month(at: number): Period {
    const { year, month } = this.localTime(at);
    // Counted from the year 0, so that the month before January and the one after December need no thought.
    const present = year * 12 + month - 1;
    const starts = [-1, 0, 1, 2].map((ahead) => this.startOfDay(this.resetDate(present + ahead)));
    return periodOf(starts, at);
  }

  private day(at: number): Period {
    const { year, month, day } = this.localTime(at);
    const present = daysFromCivil(year, month, day);
    // One more on either side: a clock that is set back at midnight has a day begin before its date comes again.
    const starts = [-1, 0, 1, 2].map((ahead) => this.startOfDay(present + ahead));
    return periodOf(starts, at);
  }

  /** The day, counted from 1970, on which the period of this month begins. */
  private resetDate(months: number): number {
    const year = Math.floor(months / 12);
    const first = daysFromCivil(year, months - year * 12 + 1, 1);
    const next = months + 1;
    const nextYear = Math.floor(next / 12);
    const length = daysFromCivil(nextYear, next - nextYear * 12 + 1, 1) - first;
    return first + Math.min(this.resetDay, length) - 1;
  }

  /** The first moment at which the zone's date is `date` or later. */
  private startOfDay(date: number): number {
    let before = date * DAY_SECONDS - WIDEST_SECONDS;
    let from = date * DAY_SECONDS + WIDEST_SECONDS;
    while (from - before > 1) {
      const middle = Math.floor((before + from) / 2);
      if (this.dateAt(middle * SECOND) < date) before = middle;
      else from = middle;
    }
    return from * SECOND;
  }

  /** The zone's date at a moment, as days from 1970. */
  private dateAt(at: number): number {
    const { year, month, day } = this.localTime(at);
    return daysFromCivil(year, month, day);
  }

  private localTime(at: number): LocalTime {
    const fields: Record<string, number> = {};
    for (const { type, value } of this.format.formatToParts(at)) fields[type] = Number(value);
    const { year, month, day, hour, minute } = fields;
    return { year: year!, month: month!, day: day!, hour: hour!, minute: minute! };
  }
}

/** The last of `starts` that is not after `at`, and the next. */
function periodOf(starts: readonly number[], at: number): Period {
  let i = starts.length - 2;
  while (i > 0 && starts[i]! > at) i--;
  return { since: starts[i]!, until: starts[i + 1]! };
}

/** Days from 1970-01-01 to a date of the Gregorian calendar; years from 1 on. */
function daysFromCivil(year: number, month: number, day: number): number {
  // The year begins in March here, so that the leap day is its last.
  const y = month <= 2 ? year - 1 : year;
  const dayOfYear = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + day - 1;
  return 365 * y + Math.floor(y / 4) - Math.floor(y / 100) + Math.floor(y / 400) + dayOfYear - 719_468;
}

function two(value: number): string {
  return String(value).padStart(2, "0");
}
