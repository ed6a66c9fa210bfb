/**
 * What the congestion controls that fill a queue until something is lost have in common (RFC 9002 section 7 and appendix
 * B): slow start, one reduction per round trip of loss, and pacing by the window. How the window grows in between, and
 * what a loss leaves of it, is newreno.ts and cubic.ts.
 *
 * Slow start ends at the first loss and not by delay (RFC 9406): measured on emulated 40 ms paths, the jitter of a busy
 * machine ended it at a tenth of the path's rate, while what a doubling too many loses is the tunnel's to repair.
 */
import type { Congestion } from "./congestion.ts";
import {
  INITIAL_WINDOW_PACKETS,
  MINIMUM_WINDOW_PACKETS,
  PACING_GAIN,
  PACING_GAIN_SLOW_START,
  SECOND,
} from "./limits.ts";

export abstract class LossBased implements Congestion {
  abstract readonly name: string;
  window: number;
  slowStartThreshold = Number.POSITIVE_INFINITY;
  protected readonly datagram: number;
  /** Packets sent before this moment belong to a loss already answered (RFC 9002 section 7.3.2). */
  private recoveryStart = -1;
  /** Window and threshold before losses that may be no sign of congestion; 0 when there were none. */
  private windowBefore = 0;
  private thresholdBefore = 0;

  readonly pausing = false;
  readonly drains = false;
  readonly variation = 0;

  /** `datagram`: bytes of a full-sized datagram. */
  constructor(datagram: number) {
    this.datagram = datagram;
    this.window = INITIAL_WINDOW_PACKETS * datagram;
  }

  /** Congestion avoidance: grows the window for `bytes` that arrived. */
  protected abstract avoid(now: number, bytes: number, rtt: number): void;

  /** Takes note of a loss: what it leaves of the window, in bytes. Called once per round trip of loss. */
  protected abstract reduce(): number;

  /** In slow start. */
  get searching(): boolean {
    return this.window < this.slowStartThreshold;
  }

  rateKnown(srtt: number): number {
    return (this.window * SECOND) / Math.max(srtt, 1);
  }

  pacingRate(srtt: number): number {
    const gain = this.searching ? PACING_GAIN_SLOW_START : PACING_GAIN;
    return gain * this.rateKnown(srtt);
  }

  onSent(_now: number, _bytes: number, _inFlight: number): void {}

  onAcked(now: number, bytes: number, sentAt: number, rtt: number, limited: boolean): void {
    if (sentAt <= this.recoveryStart) return;
    // RFC 9002 section 7.8: do not grow a window that is not used.
    if (!limited) return;
    if (this.searching) this.window += bytes;
    else this.avoid(now, bytes, rtt);
  }

  onDoubtfulLoss(): void {
    this.windowBefore = this.window;
    this.thresholdBefore = this.slowStartThreshold;
  }

  /** As RFC 9438 section 4.9.2 does it for losses that turn out to be none. */
  onNoCongestion(): void {
    this.window = Math.max(this.window, this.windowBefore);
    this.slowStartThreshold = Math.max(this.slowStartThreshold, this.thresholdBefore);
    this.windowBefore = 0;
    this.thresholdBefore = 0;
  }

  onLost(now: number, _bytes: number, sentAt: number): void {
    if (sentAt <= this.recoveryStart) return;
    this.recoveryStart = now;
    this.slowStartThreshold = Math.max(this.reduce(), MINIMUM_WINDOW_PACKETS * this.datagram);
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
    this.windowBefore = 0;
    this.thresholdBefore = 0;
  }
}
