/** A congestion control that knows its rate, sends at it whatever happens, and learns nothing. */
import type { Congestion } from "../../src/proto/congestion.ts";
import type { RateSample } from "../../src/proto/ratesample.ts";

export class Steady implements Congestion {
  readonly name = "steady";
  readonly drains = true;
  readonly window = Number.POSITIVE_INFINITY;
  searching = false;
  pausing = false;
  variation: number | null = 0;
  /** Bytes per second. */
  rate: number;

  constructor(rate: number) {
    this.rate = rate;
  }

  rateKnown(): number {
    return this.rate;
  }

  pacingRate(): number {
    return this.rate;
  }

  onSent(): void {}

  onAcked(): void {}

  onDoubtfulLoss(): void {}

  onNoCongestion(): void {}

  onLost(): void {}

  onRate(_now: number, _sample: RateSample): void {}

  onTimeout(): void {}
}
