/** Round-trip time estimation of one path (RFC 9002 section 5, RFC 6298). Times in microseconds. */
import { GRANULARITY, INITIAL_RTT } from "./limits.ts";

const FIRST_SAMPLES = 8;

export class Rtt {
  /** The last sample, without the peer's acknowledgement delay. */
  latest = 0;
  srtt = INITIAL_RTT;
  rttvar = INITIAL_RTT / 2;
  /** Smallest sample seen; 0 before the first. */
  min = 0;
  /** False until the first sample. */
  sampled = false;
  /** The first samples, the least first. Later ones may have waited in queues that the path's load made, and tell of that. */
  private readonly first = new Float64Array(FIRST_SAMPLES);
  private firsts = 0;

  /** A sample from a packet sent `sample` ago, which the peer says it kept for `ackDelay`. */
  onSample(sample: number, ackDelay: number): void {
    if (sample < 0) return;
    // Not in RFC 6298: half of the least so far makes what went before worthless. A first answer may have waited for a program
    // that was just starting, and ten later ones would not outweigh it.
    if (!this.sampled || sample < this.min / 2) {
      this.sampled = true;
      this.min = sample;
      this.latest = sample;
      this.srtt = sample;
      this.rttvar = sample / 2;
      this.firsts = 0;
      this.keepFirst(sample);
      return;
    }
    if (sample < this.min) this.min = sample;
    // RFC 9002 section 5.3: subtract the delay only if the result is not below min_rtt.
    const adjusted = sample - ackDelay >= this.min ? sample - ackDelay : sample;
    this.latest = adjusted;
    this.rttvar = 0.75 * this.rttvar + 0.25 * Math.abs(this.srtt - adjusted);
    this.srtt = 0.875 * this.srtt + 0.125 * adjusted;
    if (this.firsts < FIRST_SAMPLES) this.keepFirst(adjusted);
  }

  /** How much longer than the least round trip the usual one was, before the path had a load: the median, for some may have been late. */
  get firstSpread(): number {
    return this.firsts === 0 ? 0 : this.first[(this.firsts - 1) >> 1]! - this.first[0]!;
  }

  private keepFirst(sample: number): void {
    const { first } = this;
    let at = this.firsts++;
    for (; at > 0 && first[at - 1]! > sample; at--) first[at] = first[at - 1]!;
    first[at] = sample;
  }

  /** Probe timeout (RFC 9002 section 6.2.1). */
  pto(maxAckDelay: number): number {
    return this.srtt + Math.max(4 * this.rttvar, GRANULARITY) + maxAckDelay;
  }
}
