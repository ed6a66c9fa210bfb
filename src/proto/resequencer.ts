/**
 * Delivers inner packets in the order of their own flow. A packet names its flow's previous packet by distance, so it
 * is delivered as soon as that one was delivered or given up, without knowing any flow: a hole in one flow never holds
 * up another. What arrives too early is kept, at most MAX_HELD packets, and at most for its class's bound.
 *
 * Data sequences are 32 bits and wrap. Duplicates are dropped by data sequence. A packet that arrives after its successors
 * were let go is still delivered: late is better than lost.
 */
import { enlarged } from "../share/arrays.ts";
import type { Block, Copy, MakeBlock } from "../share/block.ts";
import { MAX_HELD, MAX_HOLD_OTHER, MAX_HOLD_STREAM, SEQUENCE_WINDOW } from "./limits.ts";

/** Takes packets in order. The bytes stay valid until the sink is flushed and `reclaim` is called. */
export interface PacketSink {
  deliver(block: Block, offset: number, length: number, flags: number): void;
}

export type HoldClass = 0 | 1;
export const HOLD_STREAM: HoldClass = 0;
export const HOLD_OTHER: HoldClass = 1;

const MASK = SEQUENCE_WINDOW - 1;
const RECEIVED = 1;
const PASSED = 2;
const CHUNK = 256;
const NONE = -1;

export class Resequencer {
  /** Longest present wait for a predecessor, by class; the session sets it from its paths' round trips. */
  readonly bounds = new Float64Array([MAX_HOLD_STREAM, MAX_HOLD_OTHER]);
  delivered = 0;
  reordered = 0;
  givenUp = 0;
  duplicates = 0;
  held = 0;
  private readonly sink: PacketSink;
  private readonly makeBlock: MakeBlock;
  private readonly copy: Copy;
  /** Room for one packet. */
  readonly slotBytes: number;
  private highest = 0xffffffff;
  private readonly states = new Uint8Array(SEQUENCE_WINDOW);
  /** Slot + 1 of the packet that waits for this sequence; 0 = none. */
  private readonly waiting = new Uint16Array(SEQUENCE_WINDOW);

  // Held packets: slots in chunks of blocks, made when first needed; one list per class, in order of arrival.
  private readonly chunks: Block[] = [];
  private sequences = new Uint32Array(0);
  private predecessors = new Uint32Array(0);
  private lengths = new Uint16Array(0);
  private flags = new Uint8Array(0);
  private classes = new Uint8Array(0);
  private since = new Float64Array(0);
  private nextSlot = new Int32Array(0);
  private previousSlot = new Int32Array(0);
  private readonly heads = new Int32Array([NONE, NONE]);
  private readonly tails = new Int32Array([NONE, NONE]);
  private free = NONE;
  private limbo = NONE;

  /** `slotBytes`: room for the largest inner packet. */
  constructor(sink: PacketSink, makeBlock: MakeBlock, copy: Copy, slotBytes: number) {
    this.sink = sink;
    this.makeBlock = makeBlock;
    this.copy = copy;
    this.slotBytes = slotBytes;
  }

  /** An inner packet arrived. False: a duplicate, dropped. */
  offer(
    now: number,
    sequence: number,
    distance: number,
    block: Block,
    offset: number,
    length: number,
    flags: number,
    hold: HoldClass,
  ): boolean {
    const ahead = (sequence - this.highest) | 0;
    if (ahead > 0) this.advance(sequence, ahead);
    else if (ahead <= -SEQUENCE_WINDOW) return this.duplicate();
    const at = sequence & MASK;
    if ((this.states[at]! & RECEIVED) !== 0) return this.duplicate();
    this.states[at]! |= RECEIVED;
    const predecessor = (sequence - distance) >>> 0;
    // Room first: what is let go for it may be what this packet waits for.
    if (this.held === MAX_HELD)
      this.giveUp(this.heads[this.heads[HOLD_STREAM] === NONE ? HOLD_OTHER : HOLD_STREAM]!);
    if (distance === 0 || this.hasPassed(predecessor) || this.waiting[predecessor & MASK] !== 0) {
      this.delivered++;
      this.sink.deliver(block, offset, length, flags);
      this.pass(sequence);
    } else {
      this.hold(now, sequence, predecessor, block, offset, length, flags, hold);
    }
    return true;
  }

  /** When the oldest wait ends; Infinity when nothing is held. */
  get nextAt(): number {
    let at = Number.POSITIVE_INFINITY;
    for (let c = 0; c < 2; c++) {
      const head = this.heads[c]!;
      if (head !== NONE) at = Math.min(at, this.since[head]! + this.bounds[c]!);
    }
    return at;
  }

  /** Gives up predecessors that were waited for long enough. */
  onTimeout(now: number): void {
    for (let c = 0; c < 2; c++) {
      for (let head = this.heads[c]!; head !== NONE; head = this.heads[c]!) {
        if (now < this.since[head]! + this.bounds[c]!) break;
        this.giveUp(head);
      }
    }
  }

  /** The sink has written everything delivered so far: slots of delivered packets may be used again. */
  reclaim(): void {
    while (this.limbo !== NONE) {
      const slot = this.limbo;
      this.limbo = this.nextSlot[slot]!;
      this.nextSlot[slot] = this.free;
      this.free = slot;
    }
  }

  private duplicate(): false {
    this.duplicates++;
    return false;
  }

  private hasPassed(sequence: number): boolean {
    if (((this.highest - sequence) | 0) >= SEQUENCE_WINDOW) return true;
    return (this.states[sequence & MASK]! & PASSED) !== 0;
  }

  /** Moves the window up to `sequence`; what waits for a sequence that leaves the window is let go. */
  private advance(sequence: number, ahead: number): void {
    const steps = Math.min(ahead, SEQUENCE_WINDOW);
    for (let i = steps - 1; i >= 0; i--) {
      const at = (sequence - i) & MASK;
      if (this.waiting[at] !== 0) this.giveUp(this.waiting[at]! - 1);
      this.states[at] = 0;
    }
    this.highest = sequence;
  }

  /** Marks a sequence as passed and delivers what waited for it, and what waited for that. */
  private pass(sequence: number): void {
    let at = sequence & MASK;
    for (;;) {
      this.states[at]! |= PASSED;
      const slot = this.waiting[at]! - 1;
      if (slot < 0) return;
      this.waiting[at] = 0;
      this.unlink(slot);
      this.delivered++;
      const block = this.chunks[Math.floor(slot / CHUNK)]!;
      this.sink.deliver(block, (slot % CHUNK) * this.slotBytes, this.lengths[slot]!, this.flags[slot]!);
      at = this.sequences[slot]! & MASK;
    }
  }

  /** The predecessor of a held packet will not come in time. */
  private giveUp(slot: number): void {
    this.givenUp++;
    this.pass(this.predecessors[slot]!);
  }

  private hold(
    now: number,
    sequence: number,
    predecessor: number,
    block: Block,
    offset: number,
    length: number,
    flags: number,
    hold: HoldClass,
  ): void {
    if (this.free === NONE) this.grow();
    const slot = this.free;
    this.free = this.nextSlot[slot]!;
    this.copy(this.chunks[Math.floor(slot / CHUNK)]!, (slot % CHUNK) * this.slotBytes, block, offset, length);
    this.sequences[slot] = sequence;
    this.predecessors[slot] = predecessor;
    this.lengths[slot] = length;
    this.flags[slot] = flags;
    this.classes[slot] = hold;
    this.since[slot] = now;
    const tail = this.tails[hold]!;
    this.previousSlot[slot] = tail;
    this.nextSlot[slot] = NONE;
    if (tail === NONE) this.heads[hold] = slot;
    else this.nextSlot[tail] = slot;
    this.tails[hold] = slot;
    this.waiting[predecessor & MASK] = slot + 1;
    this.held++;
    this.reordered++;
  }

  /** Takes a slot out of its list; its bytes stay until `reclaim`. */
  private unlink(slot: number): void {
    const hold = this.classes[slot]!;
    const previous = this.previousSlot[slot]!;
    const next = this.nextSlot[slot]!;
    if (previous === NONE) this.heads[hold] = next;
    else this.nextSlot[previous] = next;
    if (next === NONE) this.tails[hold] = previous;
    else this.previousSlot[next] = previous;
    this.nextSlot[slot] = this.limbo;
    this.limbo = slot;
    this.held--;
  }

  /** Adds a chunk of slots. */
  private grow(): void {
    const from = this.chunks.length * CHUNK;
    const size = from + CHUNK;
    this.chunks.push(this.makeBlock(CHUNK * this.slotBytes));
    this.sequences = enlarged(this.sequences, new Uint32Array(size));
    this.predecessors = enlarged(this.predecessors, new Uint32Array(size));
    this.lengths = enlarged(this.lengths, new Uint16Array(size));
    this.flags = enlarged(this.flags, new Uint8Array(size));
    this.classes = enlarged(this.classes, new Uint8Array(size));
    this.since = enlarged(this.since, new Float64Array(size));
    this.nextSlot = enlarged(this.nextSlot, new Int32Array(size));
    this.previousSlot = enlarged(this.previousSlot, new Int32Array(size));
    for (let slot = size - 1; slot >= from; slot--) {
      this.nextSlot[slot] = this.free;
      this.free = slot;
    }
  }
}
