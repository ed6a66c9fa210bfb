/** What BBR has seen in one round trip: from the moment a packet leaves until it is acknowledged (proto/bbr.ts). */

import { SECOND } from "./limits.ts";
import type { RateSample } from "./ratesample.ts";

/** Share of a round's bytes whose loss means a full queue. The draft says 2 %; cellular and Wi-Fi paths lose more at random. */
const LOSS_THRESHOLD = 0.1;
/**
 * So many standard deviations above it, because a round of few packets may lose a third of them by chance: without this,
 * 8 % of random loss would be taken for a full queue again and again.
 */
const LOSS_DEVIATIONS = 2;

export class Round {
  /** Bytes delivered in total when it ends. */
  end = 0;
  lost = 0;
  acked = 0;
  /** The greatest delivery rate, bytes per second, and the least round-trip time, microseconds. */
  rate = 0;
  rtt = Number.POSITIVE_INFINITY;
  /** The least of the round before; 0: none is known. */
  rttBefore = 0;
  /**
   * The longest time in it in which nothing was acknowledged of what was in flight, microseconds. A long one is a hold-up, of a
   * processor or a radio, after which all that has waited comes at once.
   */
  silence = 0;
  mostInFlight = 0;
  /** After any acknowledgement, that of its beginning included. */
  leastInFlight = 0;
  /** There never was enough to send, nor a queue in the path all the time. */
  limited = true;
  /** In startup: the window was full at some moment, so more to send would not have left. */
  full = false;
  private began = 0;
  /** When something was acknowledged last, or left with nothing else in flight. */
  private heardAt = 0;

  /** The next one. */
  begin(now: number, end: number, inFlight: number): void {
    this.began = now;
    this.end = end;
    this.leastInFlight = inFlight;
    this.lost = 0;
    this.acked = 0;
    this.rate = 0;
    this.rttBefore = Number.isFinite(this.rtt) ? this.rtt : 0;
    this.rtt = Number.POSITIVE_INFINITY;
    this.silence = 0;
    this.mostInFlight = 0;
    this.limited = true;
    this.full = false;
  }

  onSent(now: number, bytes: number, inFlight: number): void {
    if (inFlight <= bytes) this.heardAt = now;
    this.mostInFlight = Math.max(this.mostInFlight, inFlight);
  }

  onAcked(now: number, { lost, acked, inFlight }: RateSample): void {
    this.silence = Math.max(this.silence, now - this.heardAt);
    this.heardAt = now;
    this.lost += lost;
    this.acked += acked;
    this.leastInFlight = Math.min(this.leastInFlight, inFlight);
  }

  /** There was enough to send, or a queue, and less than this was delivered, bytes per second. */
  isSlowerThan(rate: number): boolean {
    return !this.limited && this.rate > 0 && this.rate < rate;
  }

  /**
   * A queue stood in the path until now, from the beginning, if never less than `load` was in flight: the path was busy, though
   * there may have been little to send, and what it delivered is what it carries.
   */
  countQueued(now: number, load: number): void {
    if (!this.limited || this.leastInFlight < load || now <= this.began) return;
    this.limited = false;
    this.rate = Math.max(this.rate, (this.acked * SECOND) / (now - this.began));
  }

  /** More was lost than chance explains. */
  overflows(datagram: number): boolean {
    const packets = Math.max((this.lost + this.acked) / datagram, 1);
    const deviation = Math.sqrt((LOSS_THRESHOLD * (1 - LOSS_THRESHOLD)) / packets);
    return this.lost / datagram > (LOSS_THRESHOLD + LOSS_DEVIATIONS * deviation) * packets;
  }
}
