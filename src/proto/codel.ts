/**
 * CoDel (RFC 8289): drops or marks a queue's packets when even the shortest wait of an interval was too long. One
 * object for many queues: the state of each stands in arrays, by its number. Times in microseconds.
 */
import { MILLISECOND } from "./limits.ts";

/** RFC 8289 section 4.3: 5 ms of standing queue are acceptable; an interval covers the round trip of most flows. */
export const TARGET = 5 * MILLISECOND;
export const INTERVAL = 100 * MILLISECOND;

const NO_TIMES = new Float64Array(0);
const NO_COUNTS = new Uint32Array(0);
const NO_FLAGS = new Uint8Array(0);

export class Codel {
  /** Wait that is acceptable; larger for slow lines and long round trips (the session sets it). */
  target = TARGET;
  /** Covers the round trip of most flows (the session sets it). */
  interval = INTERVAL;
  private firstAbove = NO_TIMES;
  private dropNext = NO_TIMES;
  private count = NO_COUNTS;
  private lastCount = NO_COUNTS;
  private dropping = NO_FLAGS;

  constructor(queues: number) {
    this.reset(queues);
  }

  /** Begins anew with so many queues; none take no memory. */
  reset(queues: number): void {
    if (queues === 0) {
      this.firstAbove = this.dropNext = NO_TIMES;
      this.count = this.lastCount = NO_COUNTS;
      this.dropping = NO_FLAGS;
      return;
    }
    this.firstAbove = new Float64Array(queues);
    this.dropNext = new Float64Array(queues);
    this.count = new Uint32Array(queues);
    this.lastCount = new Uint32Array(queues);
    this.dropping = new Uint8Array(queues);
  }

  /**
   * The packet at the head of a queue has waited for `sojourn` and `backlog` bytes wait in the queue, itself included.
   * True: drop or mark it (and, when it was dropped, ask for the next).
   */
  drops(queue: number, now: number, sojourn: number, backlog: number, packet: number): boolean {
    const above = this.isAbove(queue, now, sojourn, backlog <= packet);
    if (this.dropping[queue] === 1) {
      if (!above) {
        this.dropping[queue] = 0;
        return false;
      }
      if (now < this.dropNext[queue]!) return false;
      this.count[queue]!++;
      this.dropNext[queue] = this.next(this.dropNext[queue]!, this.count[queue]!);
      return true;
    }
    if (!above) return false;
    this.dropping[queue] = 1;
    // RFC 8289 section 4.3: begin near the rate that controlled the queue the last time, if that was a moment ago.
    const delta = this.count[queue]! - this.lastCount[queue]!;
    const recent = now - this.dropNext[queue]! < 16 * this.interval;
    this.count[queue] = delta > 1 && recent ? delta : 1;
    this.lastCount[queue] = this.count[queue]!;
    this.dropNext[queue] = this.next(now, this.count[queue]!);
    return true;
  }

  /** The queue has run empty. */
  onEmpty(queue: number): void {
    this.firstAbove[queue] = 0;
    this.dropping[queue] = 0;
  }

  private isAbove(queue: number, now: number, sojourn: number, last: boolean): boolean {
    if (sojourn < this.target || last) {
      this.firstAbove[queue] = 0;
      return false;
    }
    if (this.firstAbove[queue] === 0) {
      this.firstAbove[queue] = now + this.interval;
      return false;
    }
    return now >= this.firstAbove[queue]!;
  }

  private next(from: number, count: number): number {
    return from + this.interval / Math.sqrt(count);
  }
}
