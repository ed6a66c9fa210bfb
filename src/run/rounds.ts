/**
 * When JavaScript's event loop gets its rounds. Bun's runtime collects garbage in one about every second, which takes 1 to
 * 3 ms: right after a packet has left that would hold up its answer. A round that is due therefore waits until nothing has
 * come for a moment, but not for ever.
 */

/** Microseconds between two rounds while nothing comes: how soon a signal or a status request is seen. */
const EVERY = 100_000;
/** The same while packets come: a round costs 2 us. */
const BUSY = 20_000;
/** As long as packets come and go without such a moment. */
const LATEST = 40_000;
/** A round trip in a house takes less. */
const QUIET = 1_000;

export class Rounds {
  private lastAt = Number.NEGATIVE_INFINITY;
  private cameAt = Number.NEGATIVE_INFINITY;
  /** When the first packet after the last round came. */
  private firstAt = Number.NEGATIVE_INFINITY;

  /** Something has come that may be answered at once. */
  onPackets(now: number): void {
    if (this.cameAt <= this.lastAt) this.firstAt = now;
    this.cameAt = now;
  }

  /** The event loop has had a round. */
  onRound(now: number): void {
    this.lastAt = now;
  }

  /** When the next one is due, if nothing comes until then. */
  get nextAt(): number {
    const { lastAt, cameAt, firstAt } = this;
    if (cameAt <= lastAt) return lastAt + EVERY;
    return Math.min(Math.max(lastAt + BUSY, cameAt + QUIET), Math.max(lastAt, firstAt) + LATEST);
  }
}
