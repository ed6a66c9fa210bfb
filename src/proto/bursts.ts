/**
 * How much of what a path delivers is acknowledged in bursts, with silence before them: where the delay varies, where a
 * radio or a modem hands on many packets at a time (draft-ietf-ccwg-bbr, "extra_acked"). To outlast the silence, so much
 * more must be in flight than rate times round trip. Bytes, bytes per second, microseconds.
 */
import { MILLISECOND, SECOND } from "./limits.ts";

/** So many rounds that had enough to send make a stretch, of which the greatest burst counts; without load, so much time. */
const ROUNDS = 10;
const UNLOADED = 5 * SECOND;
/** No burst counts for more than this much time's worth (Linux says 100 ms). */
const LONGEST = 150 * MILLISECOND;

/**
 * Acknowledgements are some milliseconds apart (proto/reception.ts), and timers late by one or two: without this much
 * more in flight a path of tiny delay would stand still between them.
 */
export const ACK_BUDGET = 4 * MILLISECOND;

export class Bursts {
  private readonly datagram: number;
  /** The greatest burst of this stretch, of the one before, and of the one before that. */
  private now = 0;
  private before = 0;
  private earlier = 0;
  private rounds = 0;
  private began = 0;
  private stretches = 0;
  /** Acknowledged since `since`, which is when the known rate was last ahead of it. */
  private acked = 0;
  private since = 0;
  /**
   * So much later than the least packets usually come. A small window makes no bursts that show it, and would stay small for
   * ever.
   */
  later = 0;

  /** `datagram`: bytes of a full-sized datagram. */
  constructor(datagram: number) {
    this.datagram = datagram;
  }

  /** So much more must be in flight because of bursts: the greatest lately. */
  greatest(rate: number): number {
    return this.orLater(Math.max(this.now, this.before, this.earlier), rate);
  }

  /** So much more in flight is no queue, beyond what acknowledgements make on any path. */
  usual(rate: number): number {
    const bytes = this.orLater(this.repeated, rate);
    return this.later > ACK_BUDGET ? bytes : Math.max(0, bytes - this.byAcks(rate));
  }

  /** By how much the path's delay varies, as its usual bursts show, microseconds; null while they are not known. */
  variation(rate: number): number | null {
    if (!this.known) return null;
    const burst = Math.min(this.repeated, longest(rate));
    return burst > this.byAcks(rate) ? (burst * SECOND) / rate : 0;
  }

  /** Two of three stretches had one as great: what comes only once is no property of the path, but of a processor that was late. */
  private get repeated(): number {
    const { now, before, earlier } = this;
    return Math.max(Math.min(now, before), Math.min(before, earlier), Math.min(now, earlier));
  }

  /** No less than what delays vary by makes; where they do not, none that acknowledgements make on any path. */
  private orLater(burst: number, rate: number): number {
    const bytes = Math.min(Math.max(burst, (rate * this.later) / SECOND), longest(rate));
    return this.later > ACK_BUDGET || bytes > this.byAcks(rate) ? bytes : 0;
  }

  private byAcks(rate: number): number {
    return (rate * ACK_BUDGET) / SECOND + 2 * this.datagram;
  }

  /** Three stretches have been complete since the path was full. */
  get known(): boolean {
    return this.stretches >= 3;
  }

  /** Bytes by which acknowledgements are ahead of the known rate make a burst. `later`: see there. */
  onAcked(now: number, bytes: number, rate: number, later = 0): void {
    this.later = Math.min(later, LONGEST);
    let expected = (rate * (now - this.since)) / SECOND;
    if (this.acked <= expected) {
      this.since = now;
      this.acked = 0;
      expected = 0;
    }
    this.acked += bytes;
    this.now = Math.max(this.now, this.acked - expected);
  }

  /** A round ends. `loaded`: with enough to send. `full`: the path has been filled before. */
  onRound(now: number, loaded: boolean, full: boolean): void {
    if (loaded) this.rounds++;
    if (this.rounds < ROUNDS && now - this.began < UNLOADED) return;
    this.rounds = 0;
    this.began = now;
    this.earlier = this.before;
    this.before = this.now;
    this.now = 0;
    this.stretches = full ? this.stretches + 1 : 0;
  }

  /** Nothing is known any more. */
  forget(): void {
    this.now = 0;
    this.before = 0;
    this.earlier = 0;
    this.stretches = 0;
    this.acked = 0;
  }
}

function longest(rate: number): number {
  return (rate * LONGEST) / SECOND;
}
