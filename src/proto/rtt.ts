/** Round-trip time estimation of one path (RFC 9002 section 5, RFC 6298). Times in microseconds. */
import { GRANULARITY, INITIAL_RTT } from "./limits.ts";

export class Rtt {
  /** The last sample, without the peer's acknowledgement delay. */
  latest = 0;
  srtt = INITIAL_RTT;
  rttvar = INITIAL_RTT / 2;
  /** Smallest sample seen; 0 before the first. */
  min = 0;
  /** False until the first sample. */
  sampled = false;

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
      return;
    }
    if (sample < this.min) this.min = sample;
    // RFC 9002 section 5.3: subtract the delay only if the result is not below min_rtt.
    const adjusted = sample - ackDelay >= this.min ? sample - ackDelay : sample;
    this.latest = adjusted;
    this.rttvar = 0.75 * this.rttvar + 0.25 * Math.abs(this.srtt - adjusted);
    this.srtt = 0.875 * this.srtt + 0.125 * adjusted;
  }

  /** Probe timeout (RFC 9002 section 6.2.1). */
  pto(maxAckDelay: number): number {
    return this.srtt + Math.max(4 * this.rttvar, GRANULARITY) + maxAckDelay;
  }
}
