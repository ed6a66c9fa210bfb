/**
 * When CUBIC's slow start ends before anything is lost: HyStart as Linux has it (net/ipv4/tcp_cubic.c), the original of
 * RFC 9406. Microseconds.
 */
import { MILLISECOND } from "./world.ts";

/** Below so many segments nothing is judged. */
const LOW_WINDOW = 16;
/** Acknowledgements that follow each other within this belong to one train. */
const TRAIN_GAP = 2 * MILLISECOND;
/** Of each round so many samples are looked at. */
const SAMPLES = 8;
const LEAST_RISE = 4 * MILLISECOND;
const MOST_RISE = 16 * MILLISECOND;

export class HyStart {
  private readonly sent: { readonly end: number; readonly at: number }[] = [];
  private least = Number.POSITIVE_INFINITY;
  private roundEnd = 0;
  private roundBegan = 0;
  private lastAck = 0;
  private samples = 0;
  private roundLeast = Number.POSITIVE_INFINITY;

  onSent(now: number, end: number): void {
    this.sent.push({ end, at: now });
  }

  /** True when slow start should end. `highest`: what has been sent; `window` in segments. */
  onAck(now: number, acknowledged: number, highest: number, window: number): boolean {
    const rtt = this.sample(now, acknowledged);
    this.least = Math.min(this.least, rtt);
    if (acknowledged > this.roundEnd) this.begin(now, highest);
    if (window < LOW_WINDOW) return false;
    if (now - this.lastAck <= TRAIN_GAP) {
      this.lastAck = now;

      if (now - this.roundBegan > this.least / 2) return true;
    }
    this.samples++;
    if (this.samples <= SAMPLES) this.roundLeast = Math.min(this.roundLeast, rtt);
    const rise = Math.min(Math.max(this.least / 8, LEAST_RISE), MOST_RISE);
    return this.samples >= SAMPLES && Number.isFinite(this.roundLeast) && this.roundLeast > this.least + rise;
  }

  private begin(now: number, highest: number): void {
    this.roundEnd = highest;
    this.roundBegan = now;
    this.lastAck = now;
    this.samples = 0;
    this.roundLeast = Number.POSITIVE_INFINITY;
  }

  /** The round trip of the newest that is acknowledged, be it the beginning of what was sent at once. */
  private sample(now: number, acknowledged: number): number {
    while (this.sent.length > 1 && this.sent[0]!.end < acknowledged) this.sent.shift();
    return now - (this.sent[0]?.at ?? now);
  }
}
