/**
 * Delivery rate estimation of one path (draft-cheng-iccrg-delivery-rate-estimation): each packet remembers how much had
 * been delivered when it left, so its acknowledgement tells how fast the path delivered in between. Bytes and
 * microseconds.
 */

/** What one acknowledgement tells. Reused: valid until the next. */
export interface RateSample {
  /** Bytes per second; 0 when this acknowledgement gives no usable sample. */
  rate: number;
  /** Bytes this acknowledgement newly delivered, and bytes found lost since the one before. */
  acked: number;
  lost: number;
  /** Bytes delivered in total, and when the newest acknowledged packet left: a round ends when the two meet. */
  delivered: number;
  priorDelivered: number;
  /** Bytes in flight after this acknowledgement. */
  inFlight: number;
  /** The sender had too little to send: the rate is a lower bound. */
  appLimited: boolean;
  /** The round-trip time measured by this acknowledgement; 0 = none. */
  rtt: number;
  /** So much longer than the least does a round trip usually take, for the path's delay varies. */
  later: number;
}

export class DeliveryRate {
  readonly sample: RateSample = {
    rate: 0,
    acked: 0,
    lost: 0,
    delivered: 0,
    priorDelivered: 0,
    inFlight: 0,
    appLimited: false,
    rtt: 0,
    later: 0,
  };
  /** Bytes delivered in total, and when the last of them were. */
  delivered = 0;
  deliveredAt = 0;
  /** When the packet left that was acknowledged last: the start of the next sample's sending interval. */
  firstSentAt = 0;
  /** Until this much is delivered, samples are limited by the application; 0 = they are not. */
  private appLimitedUntil = 0;
  private sendElapsed = 0;
  private ackElapsed = 0;

  /** A packet leaves while nothing is in flight: the interval begins anew. */
  onIdleSend(now: number): void {
    this.firstSentAt = now;
    this.deliveredAt = now;
  }

  get isAppLimited(): boolean {
    return this.appLimitedUntil > 0;
  }

  /** The path could have sent and had nothing to send. */
  onAppLimited(inFlight: number): void {
    this.appLimitedUntil = Math.max(this.delivered + inFlight, 1);
  }

  /** An acknowledgement begins. */
  begin(): void {
    const { sample } = this;
    sample.rate = 0;
    sample.acked = 0;
    sample.rtt = 0;
    sample.priorDelivered = -1;
    this.sendElapsed = 0;
    this.ackElapsed = 0;
  }

  /** A packet of this acknowledgement: what it remembered when it left. */
  onAcked(
    now: number,
    bytes: number,
    sentAt: number,
    delivered: number,
    deliveredAt: number,
    firstSentAt: number,
    appLimited: boolean,
  ): void {
    const { sample } = this;
    this.delivered += bytes;
    this.deliveredAt = now;
    sample.acked += bytes;
    // The packet that left last tells of the newest interval.
    if (delivered < sample.priorDelivered) return;
    if (delivered === sample.priorDelivered && sentAt < this.firstSentAt) return;
    sample.priorDelivered = delivered;
    sample.appLimited = appLimited;
    this.sendElapsed = sentAt - firstSentAt;
    this.ackElapsed = now - deliveredAt;
    this.firstSentAt = sentAt;
  }

  onLost(bytes: number): void {
    this.sample.lost += bytes;
  }

  /** The acknowledgement is complete. `minRtt`: an interval shorter than it proves nothing. */
  end(inFlight: number, rtt: number, minRtt: number, later = 0): RateSample {
    const { sample } = this;
    sample.delivered = this.delivered;
    sample.inFlight = inFlight;
    sample.rtt = rtt;
    sample.later = later;
    if (this.appLimitedUntil > 0 && this.delivered > this.appLimitedUntil) this.appLimitedUntil = 0;
    const interval = Math.max(this.sendElapsed, this.ackElapsed);
    if (sample.priorDelivered >= 0 && interval >= minRtt && interval > 0) {
      sample.rate = ((this.delivered - sample.priorDelivered) * 1_000_000) / interval;
    }
    return sample;
  }
}
