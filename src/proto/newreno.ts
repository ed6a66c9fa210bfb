/**
 * New Reno (RFC 5681, RFC 6582, in the form of RFC 9002 section 7 and appendix B), the congestion control of the
 * dissertation: slow start, congestion avoidance, and one halving per round trip of loss.
 *
 * Slow start ends at the first loss and not by delay (RFC 9406): measured on emulated 40 ms paths, the jitter of a busy
 * machine ended it at a tenth of the path's rate, while what a doubling too many loses is the tunnel's to repair.
 */
import type { Congestion } from "./congestion.ts";
import {
  INITIAL_WINDOW_PACKETS,
  LOSS_REDUCTION,
  MINIMUM_WINDOW_PACKETS,
  PACING_GAIN,
  PACING_GAIN_SLOW_START,
  SECOND,
} from "./limits.ts";

export class NewReno implements Congestion {
  readonly name = "newreno";
  window: number;
  slowStartThreshold = Number.POSITIVE_INFINITY;
  private readonly datagram: number;
  /** Packets sent before this moment belong to a loss already answered (RFC 9002 section 7.3.2). */
  private recoveryStart = -1;

  /** `datagram`: bytes of a full-sized datagram. */
  constructor(datagram: number) {
    this.datagram = datagram;
    this.window = INITIAL_WINDOW_PACKETS * datagram;
  }

  get inSlowStart(): boolean {
    return this.window < this.slowStartThreshold;
  }

  get searching(): boolean {
    return this.inSlowStart;
  }

  pacingRate(srtt: number): number {
    const gain = this.inSlowStart ? PACING_GAIN_SLOW_START : PACING_GAIN;
    return (gain * this.window * SECOND) / Math.max(srtt, 1);
  }

  onSent(_now: number, _bytes: number, _inFlight: number): void {}

  onAcked(_now: number, bytes: number, sentAt: number, _rtt: number, limited: boolean): void {
    if (sentAt <= this.recoveryStart) return;
    // RFC 9002 section 7.8: do not grow a window that is not used.
    if (!limited) return;
    if (this.inSlowStart) {
      this.window += bytes;
    } else {
      this.window += (this.datagram * bytes) / this.window;
    }
  }

  onLost(now: number, _bytes: number, sentAt: number): void {
    if (sentAt <= this.recoveryStart) return;
    this.recoveryStart = now;
    this.slowStartThreshold = Math.max(this.window * LOSS_REDUCTION, this.minimum);
    this.window = this.slowStartThreshold;
  }

  onRate(): void {}

  /**
   * Starts small again. A silent path is cut, not congested: it may come back as it was, so the level it had is where
   * slow start ends.
   */
  onTimeout(now: number): void {
    if (this.window > INITIAL_WINDOW_PACKETS * this.datagram) {
      this.slowStartThreshold = this.window;
    }
    this.window = INITIAL_WINDOW_PACKETS * this.datagram;
    this.recoveryStart = now;
  }

  private get minimum(): number {
    return MINIMUM_WINDOW_PACKETS * this.datagram;
  }
}
