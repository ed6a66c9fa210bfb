/**
 * The sending half's memory of one path: what each packet number carried, when it left, and what became of it.
 * A ring over packet numbers that grows (doubling) when more is in flight than it holds, and is small again after `trim`.
 */

import type { DeliveryRate } from "./ratesample.ts";

/** State of a packet number. */
export const FREE = 0;
export const OUTSTANDING = 1;
export const LOST = 2;

/** Carries no inner packet; and, of these, is a probe of the path's MTU. */
export const NO_POSITION = -1;
export const SIZE_PROBE = -2;

/** Enough for probes and a packet now and then. */
const INITIAL = 32;
/**
 * Below this it holds four times what is in flight, since Recovery wants to know for three round trips what was lost. On a
 * fast path that would be much.
 */
const BUSY = 1024;
const SPARE = 4;
const MAXIMUM = 65_536;

export class SentLog {
  /** The next packet number to use. */
  next = 0;
  /** No packet below this is outstanding. */
  oldest = 0;
  /** Bytes outstanding. */
  inFlight = 0;
  /** Where the look for overdue packets goes on: those below have been copied, or are not to be (proto/copies.ts). */
  overdueFrom = 0;
  /** The same of small ones. */
  smallFrom = 0;
  /** Packets outstanding. */
  outstanding = 0;
  private capacity = INITIAL;
  /** `next` at the last `trim`. */
  private trimmedAt = 0;
  private times = new Float64Array(INITIAL);
  private sizes = new Uint16Array(INITIAL);
  private positions = new Float64Array(INITIAL);
  private states = new Uint8Array(INITIAL);
  // What the path had delivered when the packet left (proto/ratesample.ts).
  private delivered = new Float64Array(INITIAL);
  private deliveredTimes = new Float64Array(INITIAL);
  private firstSentTimes = new Float64Array(INITIAL);
  private limited = new Uint8Array(INITIAL);

  /** Before anything is sent: the first packet number to use. */
  begin(first: number): void {
    this.next = first;
    this.oldest = first;
  }

  /** False when the log can take no further packet number before older ones are settled. */
  get hasRoom(): boolean {
    return this.next - this.oldest < MAXIMUM;
  }

  /** Packet numbers still remembered: from this on. */
  get first(): number {
    return Math.max(0, this.next - this.capacity);
  }

  /** Records the packet `next`. An ack-eliciting one is outstanding until acknowledged or lost; others are not tracked. */
  add(now: number, bytes: number, position: number, ackEliciting: boolean): number {
    const wanted = (this.next - this.oldest + 1) * (this.capacity < BUSY ? SPARE : 1);
    if (wanted > this.capacity) this.resize(2 * this.capacity);
    const packetNumber = this.next++;
    const at = packetNumber & (this.capacity - 1);
    this.times[at] = now;
    this.sizes[at] = bytes;
    this.positions[at] = position;
    this.states[at] = ackEliciting ? OUTSTANDING : FREE;
    if (ackEliciting) {
      this.inFlight += bytes;
      this.outstanding++;
    } else if (this.oldest === packetNumber) {
      this.oldest = this.next;
    }
    return packetNumber;
  }

  stateOf(packetNumber: number): number {
    return this.states[packetNumber & (this.capacity - 1)]!;
  }

  timeOf(packetNumber: number): number {
    return this.times[packetNumber & (this.capacity - 1)]!;
  }

  sizeOf(packetNumber: number): number {
    return this.sizes[packetNumber & (this.capacity - 1)]!;
  }

  positionOf(packetNumber: number): number {
    return this.positions[packetNumber & (this.capacity - 1)]!;
  }

  /** Bytes that the path had delivered when this packet left. */
  deliveredBefore(packetNumber: number): number {
    return this.delivered[packetNumber & (this.capacity - 1)]!;
  }

  /** Remembers what the path had delivered when this packet left. */
  noteRate(packetNumber: number, rate: DeliveryRate): void {
    const at = packetNumber & (this.capacity - 1);
    this.delivered[at] = rate.delivered;
    this.deliveredTimes[at] = rate.deliveredAt;
    this.firstSentTimes[at] = rate.firstSentAt;
    this.limited[at] = rate.isAppLimited ? 1 : 0;
  }

  /** Tells the estimator of an acknowledged packet. */
  tellRate(now: number, packetNumber: number, rate: DeliveryRate): void {
    const at = packetNumber & (this.capacity - 1);
    rate.onAcked(
      now,
      this.sizes[at]!,
      this.times[at]!,
      this.delivered[at]!,
      this.deliveredTimes[at]!,
      this.firstSentTimes[at]!,
      this.limited[at] === 1,
    );
  }

  /** Settles an outstanding packet as acknowledged (FREE) or LOST. */
  settle(packetNumber: number, state: typeof FREE | typeof LOST): void {
    const at = packetNumber & (this.capacity - 1);
    if (this.states[at] === OUTSTANDING) {
      this.inFlight -= this.sizes[at]!;
      this.outstanding--;
    }
    this.states[at] = state;
  }

  /** When the `count`-th oldest outstanding packet left; Infinity when fewer are outstanding. */
  outstandingAt(count: number): number {
    if (this.outstanding < count) return Number.POSITIVE_INFINITY;
    let left = count;
    for (let packetNumber = this.oldest; packetNumber < this.next; packetNumber++) {
      if (this.stateOf(packetNumber) === OUTSTANDING && --left === 0) return this.timeOf(packetNumber);
    }
    return Number.POSITIVE_INFINITY;
  }

  /** Moves `oldest` over everything settled. */
  advance(): void {
    while (this.oldest < this.next && this.stateOf(this.oldest) !== OUTSTANDING) this.oldest++;
  }

  /** Gives memory back if few packets left since the last call. True: there is none left to give. */
  trim(): boolean {
    const few = this.next - this.trimmedAt < INITIAL && (this.next - this.oldest) * SPARE < INITIAL;
    if (few && this.capacity > INITIAL) this.resize(INITIAL);
    this.trimmedAt = this.next;
    return this.capacity === INITIAL;
  }

  private resize(capacity: number): void {
    this.times = this.moved(this.times, new Float64Array(capacity));
    this.sizes = this.moved(this.sizes, new Uint16Array(capacity));
    this.positions = this.moved(this.positions, new Float64Array(capacity));
    this.states = this.moved(this.states, new Uint8Array(capacity));
    this.delivered = this.moved(this.delivered, new Float64Array(capacity));
    this.deliveredTimes = this.moved(this.deliveredTimes, new Float64Array(capacity));
    this.firstSentTimes = this.moved(this.firstSentTimes, new Float64Array(capacity));
    this.limited = this.moved(this.limited, new Uint8Array(capacity));
    this.capacity = capacity;
  }

  /** Copies what both remember to its place in a ring of another size. */
  private moved<T extends Float64Array | Uint16Array | Uint8Array>(from: T, to: T): T {
    const first = Math.max(0, this.next - Math.min(from.length, to.length));
    for (let packetNumber = first; packetNumber < this.next; packetNumber++) {
      to[packetNumber & (to.length - 1)] = from[packetNumber & (from.length - 1)]!;
    }
    return to;
  }
}
