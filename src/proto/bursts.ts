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

export class Bursts {
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

  /** The greatest lately. */
  greatest(rate: number): number {
    return this.bounded(Math.max(this.now, this.before, this.earlier), rate);
  }

  /** Such that two of three stretches had one as great: what comes only once is no property of the path, but of a processor that was late. */
  usual(rate: number): number {
    const { now, before, earlier } = this;
    const second = Math.max(Math.min(now, before), Math.min(before, earlier), Math.min(now, earlier));
    return this.bounded(second, rate);
  }

  /** No less than what delays vary by makes of this rate, and no more than any burst may be. */
  private bounded(burst: number, rate: number): number {
    const least = (rate * this.later) / SECOND;
    return Math.min(Math.max(burst, least), (rate * LONGEST) / SECOND);
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
