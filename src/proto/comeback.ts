/**
 * Coming back: when a path that was given up may carry packets again.
 *
 * It needs ANSWERS_TO_RETURN answers in a row. One that came back and failed again soon flaps: it must go on answering for
 * 1 s, the next time for 2 s, then 4 s, up to REST_LONGEST, before it carries again. Once it has been up for FLAPS_FORGOTTEN, this is
 * forgotten. Without another path there is nothing to wait for: it carries at once.
 *
 * A path that answers as soon as it is asked was never dead (its peer, or we, had no processor for a moment): that counts
 * as no failure.
 */
import {
  ANSWERS_TO_RETURN,
  FALSE_ALARM,
  FLAPS_FORGOTTEN,
  MILLISECOND,
  REST_FIRST,
  REST_LONGEST,
} from "./limits.ts";

/** While it rests, a path is asked so many times, so that a long rest costs no more than a short one. */
const PROBES_PER_REST = 10;
/** But not more often than this. */
const MIN_INTERVAL = 100 * MILLISECOND;

export class Comeback {
  /** For how long it must answer before it carries again; 0 = two answers will do. */
  rest = 0;
  /** Answers in a row. */
  private answers = 0;
  private firstAt = 0;
  private lastAt = 0;
  private givenUpAt = 0;
  /** Failures that are not forgotten. */
  private failures = 0;

  /** The path, up since then, is given up. */
  onGivenUp(now: number, upSince: number): void {
    if (now >= upSince + FLAPS_FORGOTTEN) this.failures = 0;
    this.rest = this.failures === 0 ? 0 : Math.min(REST_FIRST * 2 ** (this.failures - 1), REST_LONGEST);
    this.answers = 0;
    this.givenUpAt = now;
  }

  /** The path answered what was sent since. `timeout`: how long an answer may take on it. */
  onAnswer(now: number, timeout: number): void {
    if (!this.fresh(now, timeout)) this.answers = 0;
    if (this.answers === 0) this.firstAt = now;
    this.answers++;
    this.lastAt = now;
  }

  /** One answer that says as much as several. */
  onProof(now: number): void {
    if (this.answers === 0) this.firstAt = now;
    this.answers = Math.max(this.answers, ANSWERS_TO_RETURN);
    this.lastAt = now;
  }

  /** What it has answered so far no longer counts. */
  onDoubt(): void {
    this.answers = 0;
  }

  /** True when it answers, and has only to go on doing so. */
  resting(now: number, timeout: number): boolean {
    return this.answers >= ANSWERS_TO_RETURN && this.fresh(now, timeout);
  }

  /** True when it may carry packets. `alone`: no other path can. */
  ready(now: number, timeout: number, alone: boolean): boolean {
    return this.resting(now, timeout) && (alone || now >= this.firstAt + this.rest);
  }

  /** It carries again. `rtt`: its round-trip time, of which a false alarm takes one or two to be found out. */
  onReturned(rtt: number): void {
    if (this.firstAt > this.givenUpAt + FALSE_ALARM + 2 * rtt) this.failures++;
    this.answers = 0;
  }

  /** How often to ask it while it rests. */
  get interval(): number {
    return Math.max(this.rest / PROBES_PER_REST, MIN_INTERVAL);
  }

  /** True when the last answer is not older than it would be if one of two probes had been lost. */
  private fresh(now: number, timeout: number): boolean {
    return now <= this.lastAt + 2 * this.interval + timeout;
  }
}
