/** Spreads a path's packets over time: a token bucket of one short quantum (RFC 9002 section 7.7). */
import { PACING_QUANTUM, PACING_QUANTUM_PACKETS, SECOND } from "./limits.ts";

export class Pacer {
  private readonly datagram: number;
  private tokens: number;
  private last = 0;

  constructor(datagram: number) {
    this.datagram = datagram;
    this.tokens = PACING_QUANTUM_PACKETS * datagram;
  }

  /** Bytes of burst allowed at this rate (bytes per second). */
  private burst(rate: number): number {
    return Math.max((rate * PACING_QUANTUM) / SECOND, PACING_QUANTUM_PACKETS * this.datagram);
  }

  /** Fills the bucket up to now. */
  private refill(now: number, rate: number): void {
    if (now > this.last) {
      this.tokens = Math.min(this.tokens + (rate * (now - this.last)) / SECOND, this.burst(rate));
      this.last = now;
    }
  }

  /** True when a packet may leave now. */
  ready(now: number, rate: number): boolean {
    this.refill(now, rate);
    return this.tokens > 0;
  }

  onSent(bytes: number): void {
    this.tokens -= bytes;
  }

  /** When `ready` will be true, given this rate: now or later. Half a quantum is awaited, so that sends come in batches. */
  nextAt(now: number, rate: number): number {
    this.refill(now, rate);
    if (this.tokens > 0) return now;
    return now + ((this.burst(rate) / 2 - this.tokens) * SECOND) / rate;
  }
}
