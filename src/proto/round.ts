/** What BBR has seen in one round trip: from the moment a packet leaves until it is acknowledged (proto/bbr.ts). */

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
  mostInFlight = 0;
  /** There never was enough to send. */
  limited = true;
  /** In startup: the window was full at some moment, so more to send would not have left. */
  full = false;

  /** The next one. */
  begin(end: number): void {
    this.end = end;
    this.lost = 0;
    this.acked = 0;
    this.rate = 0;
    this.rtt = Number.POSITIVE_INFINITY;
    this.mostInFlight = 0;
    this.limited = true;
    this.full = false;
  }

  /** There was enough to send, and less than this was delivered, bytes per second. */
  isSlowerThan(rate: number): boolean {
    return !this.limited && this.rate > 0 && this.rate < rate;
  }

  /** More was lost than chance explains. */
  overflows(datagram: number): boolean {
    const packets = Math.max((this.lost + this.acked) / datagram, 1);
    const deviation = Math.sqrt((LOSS_THRESHOLD * (1 - LOSS_THRESHOLD)) / packets);
    return this.lost / datagram > (LOSS_THRESHOLD + LOSS_DEVIATIONS * deviation) * packets;
  }
}
