/**
 * The round-trip time that a path usually has while little is in flight on it: a mean, so that a delay that varies counts
 * for what it costs, and one that follows the path when its way changes. For comparing paths; a path's own control wants
 * the smallest (proto/rtt.ts). Microseconds.
 */
import { SECOND } from "./limits.ts";

/** A mean is taken over at least this long, and at least so many samples, ... */
const STRETCH = SECOND;
const STRETCH_SAMPLES = 2;
/** ... and counts for this much against those before. */
const SHARE = 0.5;

export class UsualRtt {
  /** 0 before the first sample. */
  mean = 0;
  /** Mean distance of the samples to it. */
  deviation = 0;
  /** The stretch that is going on: its beginning, its samples, their sum and that of their distances. */
  private since = 0;
  private samples = 0;
  private sum = 0;
  private distances = 0;
  /** One stretch is complete. */
  private known = false;

  onSample(now: number, rtt: number): void {
    if (this.samples === 0) this.since = now;
    this.samples++;
    this.sum += rtt;
    if (!this.known) this.mean = this.sum / this.samples;
    this.distances += Math.abs(rtt - this.mean);
    if (!this.known) this.deviation = this.distances / this.samples;
    if (now - this.since < STRETCH || this.samples < STRETCH_SAMPLES) return;
    const share = this.known ? SHARE : 1;
    this.mean += share * (this.sum / this.samples - this.mean);
    this.deviation += share * (this.distances / this.samples - this.deviation);
    this.known = true;
    this.samples = 0;
    this.sum = 0;
    this.distances = 0;
  }
}
