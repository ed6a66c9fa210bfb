/**
 * How BBR looks for more than a path's known rate (draft-ietf-ccwg-bbr section 5.3.3, "ProbeBW_UP"): how much faster it sends, and
 * whether that brings more. Bytes per second, microseconds.
 */
import { MILLISECOND } from "./limits.ts";

export const UP_GAIN = 1.25;
/**
 * Not in the draft: until the rate has grown, no more is tried than what makes a queue of so much time in a round trip, for
 * others wait in it; but this share at least.
 */
const TRY_TIME = 6 * MILLISECOND;
const TRY_GAIN = 1.1;
/** It goes on until the rate has not grown by this share for so many rounds. */
const GROWTH = 1.05;
const ROUNDS = 4;

export class Upwards {
  /** The rate when it last grew, and how many rounds ago that was. */
  private rate = 0;
  private rounds = 0;
  private grown = false;

  begin(rate: number): void {
    this.rate = rate;
    this.rounds = 0;
    this.grown = false;
  }

  /** A round ends; `rate` is the greatest so far. */
  onRound(rate: number): void {
    this.rounds++;
    if (rate < this.rate * GROWTH) return;
    this.rate = rate;
    this.rounds = 0;
    this.grown = true;
  }

  /** What is sent, as a multiple of the known rate. */
  gain(minRtt: number): number {
    return this.grown ? UP_GAIN : Math.max(TRY_GAIN, Math.min(UP_GAIN, 1 + TRY_TIME / minRtt));
  }

  /** The last round brought no more. */
  get pauses(): boolean {
    return this.rounds > 0;
  }

  /** No round has for long. */
  get ended(): boolean {
    return this.rounds >= ROUNDS;
  }
}
