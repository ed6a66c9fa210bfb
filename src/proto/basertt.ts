/**
 * Round-trip time that a path has without a queue: Vegas' BaseRTT, LEDBAT's base delay (RFC 6817). Of a path whose delay is
 * steady that is the least sample. Not in the draft that bbr.ts follows: a radio's delay varies by itself, and rate times
 * least RTT is then far less than what fills the path; every round would find a lower rate. There it is the least of
 * the means of short stretches of time.
 *
 * Whether anything queues is for the caller to know and to say. Microseconds; samples are greater than 0.
 */
import { MILLISECOND, SECOND } from "./limits.ts";

/** After this the least is forgotten, and the least mean too. */
const LIFETIME = 10 * SECOND;
/** A sample within 5 % of the least renews it: a clock of microseconds shows hardly ever the very same. */
const SLACK = 1.05;
/** A path's delay varies when its mean RTT, cruising or drained, exceeds the least by so much. */
const VARIES_SHARE = 0.6;
const VARIES_FLOOR = 15 * MILLISECOND;
/** Stretch of time that a mean is taken over, and a round trip at least. */
const MEAN_TIME = 200 * MILLISECOND;
/** While the rate grows nothing is drained yet, and means are forgotten sooner, because a lucky one would end the growth. */
const GROWTH_LIFETIME = 600 * MILLISECOND;
const GROWTH_LIFETIME_ROUND_TRIPS = 6;

export class BaseRtt {
  /** Infinity before the first sample. */
  least = Number.POSITIVE_INFINITY;
  /** When a sample was last near the least. */
  private leastAt = 0;
  /** Taken for granted until the path has cruised or been drained for the first time. */
  private varies = true;
  /** Least mean, and when it was set; 0 before the first. */
  private leastMean = 0;
  private leastMeanAt = 0;
  // The stretch that the next mean is taken over.
  private sum = 0;
  private count = 0;
  private since = 0;
  private probeLeast = Number.POSITIVE_INFINITY;
  /** Mean of the probe's last whole round: before it, a queue may still have been draining. 0 before the first. */
  private probeMean = 0;

  /** Infinity before the first sample. */
  get value(): number {
    return this.varies ? Math.max(this.leastMean, this.least) : this.least;
  }

  /** When `value` was last seen. */
  get seenAt(): number {
    return this.varies ? this.leastMeanAt : this.leastAt;
  }

  /**
   * A sample outside of a probe. `growing`: the path's rate is not known yet. `cruisingSince`: since when no more is sent
   * than the path takes; Infinity when more or less is.
   */
  onSample(now: number, rtt: number, growing: boolean, cruisingSince: number): void {
    this.take(now, rtt);
    if (now - this.since < Math.max(MEAN_TIME, rtt)) return;
    const { mean } = this;
    if (this.since >= cruisingSince) this.judgeVariation(mean);
    const lifetime = growing ? Math.max(GROWTH_LIFETIME, GROWTH_LIFETIME_ROUND_TRIPS * this.least) : LIFETIME;
    const known = this.leastMean > 0 && now - this.leastMeanAt <= lifetime;
    if (!known || mean < this.leastMean || !this.varies) this.learnMean(now, mean);
    this.forgetStretch();
  }

  /** So little is sent from now on that the path drains. */
  startProbe(): void {
    this.probeLeast = Number.POSITIVE_INFINITY;
  }

  onProbeSample(now: number, rtt: number): void {
    this.take(now, rtt);
    this.probeLeast = Math.min(this.probeLeast, rtt);
  }

  /** Only what the probe allows is in flight any more. */
  onDrained(): void {
    this.probeMean = 0;
    this.forgetStretch();
  }

  /** One of the probe's rounds ends. */
  onProbeRound(): void {
    if (this.count === 0) return;
    this.probeMean = this.mean;
    this.forgetStretch();
  }

  /** What the probe has seen replaces what was known. */
  endProbe(now: number): void {
    if (Number.isFinite(this.probeLeast)) this.least = this.probeLeast;
    this.leastAt = now;
    if (this.probeMean > 0) {
      this.judgeVariation(this.probeMean);
      this.learnMean(now, this.probeMean);
    }
    this.forgetStretch();
  }

  private take(now: number, rtt: number): void {
    if (rtt < this.least || now - this.leastAt > LIFETIME) this.least = rtt;
    if (rtt <= this.least * SLACK) this.leastAt = now;
    if (this.count === 0) this.since = now;
    this.sum += rtt;
    this.count++;
  }

  private get mean(): number {
    return this.sum / this.count;
  }

  private learnMean(now: number, mean: number): void {
    this.leastMean = mean;
    this.leastMeanAt = now;
  }

  private forgetStretch(): void {
    this.sum = 0;
    this.count = 0;
  }

  /** By what the mean is while nothing queues. */
  private judgeVariation(mean: number): void {
    this.varies = mean > this.least + Math.max(VARIES_FLOOR, VARIES_SHARE * this.least);
  }
}
