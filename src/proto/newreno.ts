/**
 * New Reno (RFC 5681, RFC 6582, in the form of RFC 9002 section 7 and appendix B), the congestion control of the
 * dissertation: slow start, congestion avoidance, and one halving per round trip of loss.
 *
 * Slow start also ends when the round-trip time grows well beyond its minimum (the idea of HyStart++, RFC 9406): a
 * tunnel that doubles into a modem's queue would have to send half a window again.
 */
import type { Congestion } from "./congestion.ts";
import {
  INITIAL_WINDOW_PACKETS,
  LOSS_REDUCTION,
  MILLISECOND,
  MINIMUM_WINDOW_PACKETS,
  PACING_GAIN,
  PACING_GAIN_SLOW_START,
  SECOND,
} from "./limits.ts";

/** RFC 9406 section 4.2: the rise in RTT that ends slow start is min RTT / 8, within these bounds. */
const MIN_RTT_RISE = 4 * MILLISECOND;
const MAX_RTT_RISE = 16 * MILLISECOND;
/** RFC 9406 section 4.2: samples of a round before its minimum is believed. */
const ROUND_SAMPLES = 8;

export class NewReno implements Congestion {
  readonly name = "newreno";
  window: number;
  slowStartThreshold = Number.POSITIVE_INFINITY;
  private readonly datagram: number;
  /** Packets sent before this moment belong to a loss already answered (RFC 9002 section 7.3.2). */
  private recoveryStart = -1;
  private minRtt = Number.POSITIVE_INFINITY;
  private roundMin = Number.POSITIVE_INFINITY;
  private roundSamples = 0;
  private roundStart = -1;

  /** `datagram`: bytes of a full-sized datagram. */
  constructor(datagram: number) {
    this.datagram = datagram;
    this.window = INITIAL_WINDOW_PACKETS * datagram;
  }

  get inSlowStart(): boolean {
    return this.window < this.slowStartThreshold;
  }

  pacingRate(srtt: number): number {
    const gain = this.inSlowStart ? PACING_GAIN_SLOW_START : PACING_GAIN;
    return (gain * this.window * SECOND) / Math.max(srtt, 1);
  }

  onSent(_now: number, _bytes: number, _inFlight: number): void {}

  onAcked(now: number, bytes: number, sentAt: number, rtt: number, limited: boolean): void {
    if (rtt > 0 && rtt < this.minRtt) this.minRtt = rtt;
    if (sentAt <= this.recoveryStart) return;
    // RFC 9002 section 7.8: do not grow a window that is not used.
    if (!limited) return;
    if (this.inSlowStart) {
      this.window += bytes;
      this.watchDelay(now, sentAt, rtt);
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

  /** The path may come back as it was: keep the known level as threshold, start small (RFC 5681 section 3.1, equation 4). */
  onTimeout(now: number): void {
    if (this.window > INITIAL_WINDOW_PACKETS * this.datagram) {
      this.slowStartThreshold = Math.max(this.window * LOSS_REDUCTION, this.minimum);
    }
    this.window = INITIAL_WINDOW_PACKETS * this.datagram;
    this.recoveryStart = now;
  }

  private get minimum(): number {
    return MINIMUM_WINDOW_PACKETS * this.datagram;
  }

  /** Leaves slow start when a whole round's smallest RTT lies above the path's minimum by more than jitter explains. */
  private watchDelay(now: number, sentAt: number, rtt: number): void {
    if (sentAt > this.roundStart) {
      this.roundStart = now;
      this.roundMin = Number.POSITIVE_INFINITY;
      this.roundSamples = 0;
    }
    if (rtt <= 0) return;
    if (rtt < this.roundMin) this.roundMin = rtt;
    if (++this.roundSamples < ROUND_SAMPLES) return;
    const rise = Math.min(Math.max(this.minRtt / 8, MIN_RTT_RISE), MAX_RTT_RISE);
    if (this.roundMin > this.minRtt + rise) this.slowStartThreshold = this.window;
  }
}
