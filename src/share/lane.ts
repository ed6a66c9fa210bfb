/**
 * A lane: large slots that go from one thread to another in order, each a batch of datagrams with some words about it. One
 * producer, one consumer. A slot is the producer's from `reserve` to `publish`, the consumer's from then to `release`.
 *
 *   head, tail, the producer waits (64 bytes each) | slots
 *   slot:   words (4 each) | an endpoint (48) | bytes
 *
 * A thread that finds nothing to consume, or no room, sleeps; how it is woken is bell.ts's part, and `next`, `waitForRoom`
 * and `release` say when.
 */
import type { Bell } from "./bell.ts";
import { type Block, partOf } from "./block.ts";
import { Endpoint } from "./endpoint.ts";

const HEAD = 0;
const TAIL = 16;
const WAITS = 32;
const CONTROL_BYTES = 192;
/** Slots of two threads share no line of the processor's cache. */
const LINE = 64;

export interface Shape {
  /** A power of two. */
  readonly slots: number;
  readonly words: number;
  readonly bytes: number;
}

export class Slot {
  readonly words: Int32Array;
  readonly endpoint: Endpoint;
  readonly block: Block;

  constructor(memory: Block, offset: number, { words, bytes }: Shape) {
    this.words = new Int32Array(memory.bytes.buffer, offset, words);
    this.endpoint = new Endpoint(partOf(memory, offset + words * 4, Endpoint.size));
    this.block = partOf(memory, offset + headBytes(words), bytes);
  }
}

export class Lane {
  private readonly control: Int32Array;
  private readonly slots: Slot[] = [];
  private readonly mask: number;

  static bytesFor({ slots, words, bytes }: Shape): number {
    return CONTROL_BYTES + slots * slotBytes(words, bytes);
  }

  /** `memory`: a block of its own, shared by both threads and of zeros at first. */
  constructor(memory: Block, shape: Shape) {
    const { slots, words, bytes } = shape;
    if (slots < 2 || (slots & (slots - 1)) !== 0) throw new Error("lane: slots must be a power of two");
    if (memory.bytes.length < Lane.bytesFor(shape)) throw new Error("lane: block too small");
    this.control = new Int32Array(memory.bytes.buffer, 0, CONTROL_BYTES / 4);
    this.mask = slots - 1;
    for (let i = 0; i < slots; i++) {
      this.slots.push(new Slot(memory, CONTROL_BYTES + i * slotBytes(words, bytes), shape));
    }
  }

  /** Published so far, and released; 32 bits, wrapping. */
  get head(): number {
    return Atomics.load(this.control, HEAD);
  }

  get tail(): number {
    return Atomics.load(this.control, TAIL);
  }

  /** Slots published and not released. */
  get backlog(): number {
    return (this.head - this.tail) | 0;
  }

  /** Slots that the producer may take. */
  get room(): number {
    return this.mask + 1 - this.backlog;
  }

  /** The slot of a position that is not overwritten yet. */
  at(position: number): Slot {
    return this.slots[position & this.mask]!;
  }

  // --- The producer's ---

  /** The next slot to fill; null when there is no room. */
  reserve(): Slot | null {
    return this.room === 0 ? null : this.at(this.head);
  }

  /** The reserved slot is filled. Ring the consumer's bell then. */
  publish(): void {
    Atomics.store(this.control, HEAD, (this.head + 1) | 0);
  }

  /** Asks to be told of room. True: there is none; false: there is some by now. */
  waitForRoom(): boolean {
    Atomics.store(this.control, WAITS, 1);
    return this.room === 0;
  }

  // --- The consumer's ---

  /** The oldest slot; null when nothing waits. */
  peek(): Slot | null {
    return this.backlog === 0 ? null : this.at(this.tail);
  }

  /**
   * The oldest slot; null when nothing waits, and whoever publishes from now on rings. For a consumer that is woken by
   * `bell`, and does not take all there is whenever it is.
   */
  next(bell: Bell): Slot | null {
    const slot = this.peek();
    if (slot !== null) return slot;
    bell.hush();
    const late = this.peek();
    // Its ring, and that of some behind it, may be what was hushed.
    if (late !== null) bell.ring();
    return late;
  }

  /** Done with the oldest slot. True: the producer waits for room, ring its bell. */
  release(): boolean {
    Atomics.store(this.control, TAIL, (this.tail + 1) | 0);
    return Atomics.load(this.control, WAITS) !== 0 && Atomics.exchange(this.control, WAITS, 0) !== 0;
  }
}

function headBytes(words: number): number {
  return Math.ceil((words * 4 + Endpoint.size) / LINE) * LINE;
}

function slotBytes(words: number, bytes: number): number {
  return headBytes(words) + Math.ceil(bytes / LINE) * LINE;
}
