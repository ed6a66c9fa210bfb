/**
 * The data caps of one path: how much it has carried this month and today, and what that allows. What counts is what a
 * provider bills: IP packets, both ways, with their IP and UDP headers; the path's socket counts them.
 *
 * Over a cap a path rests, or goes on at a low rate, until the next period. One that rests sends nothing at all: the last
 * datagram is the last that fits. What comes in cannot be refused, so it stops a little before (`headroom`), and the peer is told
 * (proto/path.ts): what comes beyond is no more than what was under way.
 *
 * A period ends by the time of day only while that is to be believed (proto/clock.ts). What was counted while it was not
 * may belong to the next period, and is counted there too. A clock that goes back resets nothing. So every mistake is on the side of
 * too much counted.
 */
import type { Calendar, Period, PeriodKind } from "./calendar.ts";
import type { Clock } from "./clock.ts";
import { MILLISECOND, SECOND } from "./limits.ts";

export interface CapSettings {
  /** Bytes a month and a day; null for no such cap. */
  readonly monthBytes: number | null;
  readonly dayBytes: number | null;
  /** Bytes per second each way over a cap; 0 = the path rests. */
  readonly overBytesPerSecond: number;
  readonly calendar: Calendar;
}

/** What counts, since it was made: a path's socket. */
export interface Meter {
  /** Bytes of IP packets sent and received. */
  readonly sentWireBytes: number;
  readonly receivedWireBytes: number;
  /** IP and UDP header around each datagram. */
  readonly headerBytes: number;
}

/** What the peer needs to hear that it should stop, besides a round trip. */
const HEARING = 250 * MILLISECOND;

/** The cap of one kind of period. */
export class Allowance {
  readonly kind: PeriodKind;
  readonly limit: number;
  /** Bytes counted, since when, and until when; null while the date is not known. */
  used = 0;
  period: Period | null = null;
  /** Nothing more fits. Holds until the next period. */
  reached = false;
  /** The period is that of another calendar: a change of the configuration. */
  private foreign = false;

  constructor(kind: PeriodKind, limit: number) {
    this.kind = kind;
    this.limit = limit;
  }

  /** What was counted before a restart. `foreign`: by another calendar. */
  restore(used: number, period: Period | null, reached: boolean, foreign: boolean): void {
    this.used = used;
    this.period = period;
    this.reached = reached || used >= this.limit;
    this.foreign = foreign && period !== null;
  }

  /** Begins the next period when it is time to, with `carried` bytes. */
  onClock(clock: Clock, calendar: Calendar, carried: number): void {
    if (!clock.plausible) return;
    const { period } = this;
    const over = period !== null && clock.wall >= period.until;
    const early = period !== null && clock.wall < period.since;
    if ((over || early) && !clock.settled) return;
    if (over) {
      this.used = carried;
      this.reached = carried >= this.limit;
    }
    if (period === null || over || early || this.foreign) {
      this.period = calendar.period(this.kind, clock.wall);
      this.foreign = false;
    }
  }
}

export class Cap {
  readonly settings: CapSettings;
  readonly allowances: readonly Allowance[];
  private meter: Meter | null = null;
  /** Of what the meter has counted, so much is in the allowances, and at so much the first of them is used up. */
  private counted = 0;
  private ceiling = 0;
  /** Counted since the time of day was last believed. */
  private unsettled = 0;
  /** Bytes received a second: the present and the last. */
  private receivedPerSecond = 0;
  private receivedBefore = 0;
  private tickAt = Number.NEGATIVE_INFINITY;
  private receivedAtTick = 0;
  /** What `charge` was told. */
  private charged = 0;
  /** A cap is reached. */
  private reached = false;

  constructor(settings: CapSettings) {
    this.settings = settings;
    const { monthBytes, dayBytes } = settings;
    const month = monthBytes === null ? [] : [new Allowance("month", monthBytes)];
    const day = dayBytes === null ? [] : [new Allowance("day", dayBytes)];
    this.allowances = [...month, ...day];
  }

  /** Counts what this meter counts from now on. */
  attach(meter: Meter): void {
    this.count();
    this.meter = meter;
    this.counted = this.total;
    this.receivedAtTick = meter.receivedWireBytes;
    this.judge();
  }

  /** Bytes of IP packets that left and came by the path's interface beside what the meter counts. */
  charge(bytes: number): void {
    this.charged += bytes;
  }

  /** The path may not be used. */
  get rests(): boolean {
    return this.reached && this.settings.overBytesPerSecond === 0;
  }

  /** Bytes per second that the path may send and receive at most; 0 = as much as it can. */
  get rate(): number {
    return this.reached ? this.settings.overBytesPerSecond : 0;
  }

  /** Why the path rests, in words. */
  get reason(): string {
    const { calendar } = this.settings;
    // The one that lasts longest.
    let last: Allowance | null = null;
    for (const each of this.allowances) {
      if (each.reached && (last === null || (each.period?.until ?? 0) > (last.period?.until ?? 0)))
        last = each;
    }
    if (last === null) return "its data cap is reached";
    const until =
      last.period === null ? "" : ` until ${calendar.text(last.period.until)} ${calendar.timeZone}`;
    return `its data cap of a ${last.kind} is reached: rests${until}`;
  }

  /** True when a datagram of so many bytes may leave, after `unsent` bytes of IP packets that are to leave first. */
  affords(bytes: number, unsent = 0): boolean {
    return !this.rests && this.fits(bytes, unsent);
  }

  /** True when it would fit, although the path rests already. */
  fits(bytes: number, unsent = 0): boolean {
    if (this.settings.overBytesPerSecond > 0 || this.meter === null) return true;
    return this.total + unsent + bytes + this.meter.headerBytes <= this.ceiling;
  }

  /** Sees whether a cap is reached: whether a datagram of so many bytes still fits, beside what comes in a round trip. */
  check(bytes: number, rtt: number): void {
    if (this.reached || this.meter === null) return;
    // A lower rate begins with the cap; rest, when the next datagram does not fit.
    let needed = 1;
    if (this.settings.overBytesPerSecond === 0) {
      const received = Math.max(this.receivedPerSecond, this.receivedBefore);
      needed = bytes + this.meter.headerBytes + (received * (rtt + HEARING)) / SECOND;
    }
    const left = this.ceiling - this.total;
    if (left >= needed) return;
    this.count();
    for (const each of this.allowances) if (each.limit - each.used <= left) each.reached = true;
    this.judge();
  }

  /** Brings the allowances up to date. */
  count(): void {
    const bytes = this.total - this.counted;
    this.counted += bytes;
    this.unsettled += bytes;
    for (const each of this.allowances) each.used += bytes;
  }

  /** Once a second or so. True when a cap was reached and no longer is. */
  onTick(now: number, clock: Clock): boolean {
    const before = this.reached;
    this.count();
    const received = this.meter?.receivedWireBytes ?? 0;
    if (now > this.tickAt) {
      this.receivedBefore = this.receivedPerSecond;
      this.receivedPerSecond = ((received - this.receivedAtTick) * SECOND) / (now - this.tickAt);
      this.receivedAtTick = received;
      this.tickAt = now;
    }
    for (const each of this.allowances) each.onClock(clock, this.settings.calendar, this.unsettled);
    if (clock.settled) this.unsettled = 0;
    this.judge();
    return before && !this.reached;
  }

  private judge(): void {
    let left = Number.POSITIVE_INFINITY;
    let reached = false;
    for (const each of this.allowances) {
      left = Math.min(left, each.limit - each.used);
      reached ||= each.reached;
    }
    this.reached = reached;
    this.ceiling = this.total + left;
  }

  private get total(): number {
    return this.charged + (this.meter === null ? 0 : this.meter.sentWireBytes + this.meter.receivedWireBytes);
  }
}
