/**
 * The data caps of one path: how much it has carried this month and today, and what that allows. What counts is what a
 * provider bills: IP packets, both ways, with their IP and UDP headers; the path's socket counts them.
 *
 * Over a cap a path rests, or goes on at a low rate, until the next period. One that rests sends nothing at all: the last
 * full-sized datagram is the last that fits. What comes in cannot be refused, so the peer may send no more than it is given
 * (proto/credit.ts), and what we send leaves room for that.
 *
 * A period ends by the time of day only while that is to be believed (proto/clock.ts). What was counted while it was not
 * may belong to the next period, and is counted there too. A clock that goes back resets nothing. So every mistake is on the side of
 * too much counted.
 */
import type { Calendar, Period, PeriodKind } from "./calendar.ts";
import type { Clock } from "./clock.ts";
import { Credit } from "./credit.ts";

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
  /** What the peer may still send, where the path rests at its cap. */
  readonly credit = new Credit();
  private meter: Meter | null = null;
  /** Of what the meter has counted, so much is in the allowances, and at so much the first of them is used up. */
  private counted = 0;
  private ceiling = 0;
  /** Counted since the time of day was last believed. */
  private unsettled = 0;
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
    this.judge();
  }

  /** Bytes of IP packets that left and came by the path's interface beside what the meter counts. */
  charge(bytes: number): void {
    this.charged += bytes;
  }

  /** The path may not be used. */
  get rests(): boolean {
    return this.reached && this.ends;
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

  /** Nothing may be carried beyond it. */
  get ends(): boolean {
    return this.settings.overBytesPerSecond === 0;
  }

  /** True when a datagram of so many bytes may leave, after `unsent` bytes of IP packets that are to leave first. */
  affords(bytes: number, unsent = 0): boolean {
    return !this.rests && this.fits(bytes, unsent);
  }

  /** True when it would fit, although the path rests already. */
  fits(bytes: number, unsent = 0): boolean {
    if (!this.ends || this.meter === null) return true;
    return unsent + bytes + this.meter.headerBytes + this.credit.outstanding <= this.left;
  }

  /** Sees whether a cap is reached: whether a datagram of so many bytes still fits. */
  check(bytes: number): void {
    if (this.reached || this.meter === null) return;
    // A lower rate begins with the cap; rest, when the next datagram does not fit.
    const needed = this.ends ? bytes + this.meter.headerBytes : 1;
    if (this.left >= needed && !(this.ends && this.credit.given === null && this.credit.isStuck(this.left)))
      return;
    this.reach();
  }

  /** There is no room for a challenge that is due: nothing more can be carried, unless something that is late is not. */
  onSilenced(): void {
    if (this.ends && !this.reached && this.credit.isStuck(this.left)) this.reach();
  }

  private reach(): void {
    const { left } = this;
    this.count();
    for (const each of this.allowances) if (each.limit - each.used <= left) each.reached = true;
    this.judge();
  }

  // --- The peer's credit ---

  /** A path whose largest datagrams have so many bytes begins, from this packet number of the peer on, or changes to this cap. */
  begin(now: number, from: number, bytes: number, changed = false): void {
    const header = this.meter?.headerBytes ?? 0;
    this.credit.begin(now, from, bytes + header, header, changed);
  }

  /** The peer should be given other credit. */
  get isCreditDue(): boolean {
    const { meter } = this;
    if (!this.ends || meter === null || this.reached) return false;
    return this.credit.isDue(this.left, meter.sentWireBytes, meter.receivedWireBytes);
  }

  /** True when a challenge may leave: a new one with what follows from it, or one that has left already once more. */
  affordsChallenge(fresh: boolean): boolean {
    const { price, challenge } = this.credit;
    return !this.ends || this.left - this.credit.outstanding >= (fresh ? price : challenge);
  }

  /** A message has left whose answer, of so many bytes, is no datagram of the path. */
  expect(now: number, bytes: number): void {
    if (this.ends) this.credit.expect(now, bytes + (this.meter?.headerBytes ?? 0));
  }

  /** Gives the peer credit. */
  giveCredit(): void {
    if (this.ends && this.meter !== null)
      this.credit.give(this.left, this.meter.sentWireBytes, this.meter.receivedWireBytes);
  }

  /** Brings the allowances up to date. */
  count(): void {
    const bytes = this.total - this.counted;
    this.counted += bytes;
    this.unsettled += bytes;
    for (const each of this.allowances) each.used += bytes;
  }

  /** Once a second or so. True when a cap was reached and no longer is. */
  onTick(clock: Clock): boolean {
    const before = this.reached;
    this.count();
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

  /** Bytes until the first cap. */
  private get left(): number {
    return this.ceiling - this.total;
  }

  private get total(): number {
    return this.charged + (this.meter === null ? 0 : this.meter.sentWireBytes + this.meter.receivedWireBytes);
  }
}
