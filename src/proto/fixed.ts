/** Congestion control for a line whose rate is known and guaranteed: sends at the configured rate, whatever is lost. */
import type { Congestion } from "./congestion.ts";
import { INITIAL_RTT, SECOND } from "./limits.ts";

export class Fixed implements Congestion {
  readonly name = "fixed";
  readonly searching = false;
  readonly pausing = false;
  readonly drains = true;
  readonly variation = 0;
  private readonly rate: number;
  private rtt = INITIAL_RTT;

  /** `bytesPerSecond`: UDP payload per second; larger than 0. */
  constructor(bytesPerSecond: number) {
    this.rate = bytesPerSecond;
  }

  /** Two round trips' worth: pacing is the limit, the window only bounds what a dead path can swallow. */
  get window(): number {
    return Math.max((2 * this.rate * this.rtt) / SECOND, 20_000);
  }

  rateKnown(): number {
    return this.rate;
  }

  pacingRate(): number {
    return this.rate;
  }

  onSent(_now: number, _bytes: number, _inFlight: number): void {}

  onAcked(_now: number, _bytes: number, _sentAt: number, rtt: number, _limited: boolean): void {
    if (rtt > 0) this.rtt += (rtt - this.rtt) / 8;
  }

  onDoubtfulLoss(): void {}

  onNoCongestion(): void {}

  onLost(_now: number, _bytes: number, _sentAt: number): void {}

  onRate(): void {}

  onTimeout(_now: number): void {}
}
