/** Round-trip time estimation of one path (RFC 9002 section 5, RFC 6298). Times in microseconds. */
import { GRANULARITY, INITIAL_RTT, MILLISECOND, SECOND } from "./limits.ts";

/** Samples that say what the path takes before it has a load, and as many at rest as say how it varies. */
const FIRST = 8;
const RESTED = 16;
/** So few say nothing; fewer than so many, nothing of how a path varies. */
const FEW = 4;
const ENOUGH = 6;
/** The minimum is of two windows, each so long at least and of so many samples; BBR empties its queue more often. */
const MIN_WINDOW = 15 * SECOND;
const MIN_SAMPLES = 8;
/** Packets that leave within so much take the same time, for they keep their order. */
const CLOSE = 15 * MILLISECOND;
/** Once it is known how a path varies, samples at rest are so far apart: neighbours wait in one queue. */
const APART = 100 * MILLISECOND;
/** Of normal samples, the mean is so many standard deviations from the least of some fifty. */
const USUAL = 2;
/** By less than so much round trips vary on any path: programs are late. */
const STEADY = 10 * MILLISECOND;
/** Or there was a load; then it is no more than this. */
const MOST_EARLY = 50 * MILLISECOND;
/** What as many later ones say, against what was known before. */
const LATER_WEIGHT = 0.5;
/**
 * How many standard deviations lie between the second least and the third largest of eight, nine ... sixteen normal samples.
 * Fewer are taken for eight: better too little than too much.
 */
const RANGES = [1.33, 1.51, 1.66, 1.79, 1.9, 2.01, 2.1, 2.19, 2.27];
const LEAST_RANGE = 8;

/** So many samples, the least first. */
class Some {
  count = 0;
  private readonly sorted: Float64Array;

  constructor(most: number) {
    this.sorted = new Float64Array(most);
  }

  get full(): boolean {
    return this.count === this.sorted.length;
  }

  add(sample: number): void {
    const { sorted } = this;
    let at = this.count++;
    for (; at > 0 && sorted[at - 1]! > sample; at--) sorted[at] = sorted[at - 1]!;
    sorted[at] = sample;
  }

  /** The median, less the least. */
  get spread(): number {
    return this.count === 0 ? 0 : this.sorted[(this.count - 1) >> 1]! - this.sorted[0]!;
  }

  /** The standard deviation, from the third largest less the second least: two may have been late for other reasons. */
  get deviation(): number {
    const { count, sorted } = this;
    return count < ENOUGH ? 0 : (sorted[count - 3]! - sorted[1]!) / RANGES[Math.max(count - LEAST_RANGE, 0)]!;
  }
}

export class Rtt {
  /** The last sample, without the peer's acknowledgement delay. */
  latest = 0;
  srtt = INITIAL_RTT;
  rttvar = INITIAL_RTT / 2;
  /** Smallest sample, 0 before the first; of late, as what a path takes may change for good (MIN_WINDOW). */
  min = 0;
  /** The smallest of the present window and of the one before, and when the present one began. */
  private least = 0;
  private leastBefore = Number.POSITIVE_INFINITY;
  private leastSince = 0;
  /** Samples of the present window that tell what the path takes, and the smallest of them. */
  private telling = 0;
  private leastTelling = Number.POSITIVE_INFINITY;
  /** False until the first sample. */
  sampled = false;
  /** The first samples. Later ones may have waited in queues that the path's load made, and tell of that. */
  private readonly first = new Some(FIRST);
  /** The standard deviation of samples at rest; 0 while it is not known. */
  deviation = 0;
  /** The last samples at rest that do not count in it yet; all do, until it is known by as many. */
  private readonly rested = new Some(RESTED);
  private settled = false;
  /** When the packet left that the last of them is of. */
  private restedAt = Number.NEGATIVE_INFINITY;

  /**
   * A sample from a packet sent `sample` ago, which the peer says it kept for `ackDelay`. `atRest`: only the path itself made it
   * last. `tells`: there are some that are, among samples like this one.
   */
  onSample(now: number, sample: number, ackDelay: number, atRest = false, tells = atRest): void {
    if (sample < 0) return;
    // Not in RFC 6298: of the first samples, half of the least so far makes what went before worthless. A first answer may have
    // waited for a program that was just starting, and ten later ones would not outweigh it. Later it is a delay that varies.
    if (!this.sampled || (sample < this.min / 2 && this.first.count < FEW)) {
      this.sampled = true;
      this.min = sample;
      this.forgetLeast();
      this.least = sample;
      this.leastSince = now;
      this.latest = sample;
      this.srtt = sample;
      this.rttvar = sample / 2;
      this.first.count = 0;
      this.first.add(sample);
      this.deviation = 0;
      this.renew();
      this.restedAt = Number.NEGATIVE_INFINITY;
      if (atRest) this.onRested(now - sample, sample);
      return;
    }
    // What the peer kept it for makes no path shorter than it was, nor longer.
    this.onLeast(now, Math.min(sample, Math.max(sample - ackDelay, this.min)), tells);
    // RFC 9002 section 5.3: subtract the delay only if the result is not below min_rtt.
    const adjusted = sample - ackDelay >= this.min ? sample - ackDelay : sample;
    this.latest = adjusted;
    this.rttvar = 0.75 * this.rttvar + 0.25 * Math.abs(this.srtt - adjusted);
    this.srtt = 0.875 * this.srtt + 0.125 * adjusted;
    if (!this.first.full) this.first.add(adjusted);
    if (atRest) this.onRested(now - sample, Math.max(sample - ackDelay, this.min));
  }

  /** How much longer than the least round trip the usual one was, before the path had a load: the median, for some may have been late. */
  get firstSpread(): number {
    return this.first.spread;
  }

  /**
   * How much longer than the least a round trip usually takes, for delays vary. `early`: the path has had no load for long, so
   * that the first samples may say it where nothing else does.
   */
  usualLater(early: boolean): number {
    let later = early ? Math.min(this.firstSpread, MOST_EARLY) : 0;
    if (this.deviation > 0) later = USUAL * this.deviation;
    return later < STEADY ? 0 : later;
  }

  /** The path has come up, or leads to another address: how it varies is soon known anew. */
  renew(): void {
    this.rested.count = 0;
    this.settled = false;
  }

  /** It leads to another address: the next sample is the smallest. */
  forgetLeast(): void {
    this.least = Number.POSITIVE_INFINITY;
    this.leastBefore = Number.POSITIVE_INFINITY;
    this.leastTelling = Number.POSITIVE_INFINITY;
    this.telling = 0;
  }

  private onLeast(now: number, sample: number, tells: boolean): void {
    this.least = Math.min(this.least, sample);
    if (tells) {
      this.telling++;
      this.leastTelling = Math.min(this.leastTelling, sample);
    }
    if (this.telling >= MIN_SAMPLES && now >= this.leastSince + MIN_WINDOW) {
      // Of before a long silence nothing counts any more.
      const late = now >= this.leastSince + 2 * MIN_WINDOW;
      this.leastBefore = late ? this.leastTelling : this.least;
      this.least = sample;
      this.leastSince = now;
      this.leastTelling = Number.POSITIVE_INFINITY;
      this.telling = 0;
    }
    this.min = Math.min(this.least, this.leastBefore);
  }

  private onRested(sentAt: number, sample: number): void {
    const { rested } = this;
    if (sentAt < this.restedAt + (this.settled ? APART : CLOSE)) return;
    this.restedAt = sentAt;
    rested.add(sample);
    if (!this.settled && rested.count >= ENOUGH) this.deviation = rested.deviation;
    if (!rested.full) return;
    this.deviation += LATER_WEIGHT * (rested.deviation - this.deviation);
    this.settled = true;
    rested.count = 0;
  }

  /** Probe timeout (RFC 9002 section 6.2.1). */
  pto(maxAckDelay: number): number {
    return this.srtt + Math.max(4 * this.rttvar, GRANULARITY) + maxAckDelay;
  }
}
