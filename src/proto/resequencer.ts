/**
 * Delivers inner packets in the order of their own flow. A packet names its flow's previous packet by distance, so it
 * is delivered as soon as that one was delivered or given up, without knowing any flow: a hole in one flow never holds
 * up another. What arrives too early is kept, at most MAX_HELD packets, and at most for its class's bound.
 *
 * A plain TCP acknowledgement waits for nothing: a sender whose acknowledgements stop for a round trip, and then come all at
 * once, stands still, and takes it for a queue. Only its place is kept, for what follows it. Those that it overtook are dropped:
 * they say no more than it does.
 *
 * Data sequences are 32 bits and wrap. Duplicates are dropped by data sequence. A packet that arrives after its successors
 * were let go is still delivered: late is better than lost.
 *
 * The window of sequences is as long as it must be: it grows, up to SEQUENCE_WINDOW, rather than let a sequence leave that
 * may still come, and all before it have come. After `trim` it is short again, and no packet has memory.
 */
import { enlarged } from "../share/arrays.ts";
import type { Block, Copy } from "../share/block.ts";
import type { DropCounters } from "../share/counters.ts";
import { NONE, Slots } from "../share/slots.ts";
import type { Store } from "../share/store.ts";
import { flowHash, isPlainAck } from "../wire/ip.ts";
import { MAX_HELD, MAX_HOLD_OTHER, MAX_HOLD_STREAM, SEQUENCE_WINDOW } from "./limits.ts";

/** Takes packets in order. The bytes stay valid until the sink is flushed and `reclaim` is called. */
export interface PacketSink {
  deliver(block: Block, offset: number, length: number, flags: number): void;
}

export type HoldClass = 0 | 1;
export const HOLD_STREAM: HoldClass = 0;
export const HOLD_OTHER: HoldClass = 1;

const RECEIVED = 1;
const PASSED = 2;
/** It has come, and nothing waits for it. */
const SETTLED = RECEIVED | PASSED;
/** The shortest window, and the fewest sequences between two calls of `trim` that need a longer one. */
const SHORT_WINDOW = 256;
const QUIET = 64;
/** Flows with acknowledgements that did not wait; with one more, of all of them an older one may go on after a newer one. */
const MAX_OVERTAKING = 64;

export class Resequencer {
  /** Longest present wait for a predecessor, by class; the session sets it from its paths' round trips. */
  readonly bounds = new Float64Array([MAX_HOLD_STREAM, MAX_HOLD_OTHER]);
  delivered = 0;
  reordered = 0;
  givenUp = 0;
  duplicates = 0;
  held = 0;
  private readonly sink: PacketSink;
  private readonly copy: Copy;
  private readonly drops: DropCounters;
  /** Room for one packet. */
  readonly slotBytes: number;
  private highest = 0xffffffff;
  /** Of the newest sequences; of all before them, SETTLED. */
  private states = new Uint8Array(SHORT_WINDOW).fill(SETTLED);
  /** Slot + 1 of the packet that waits for this sequence; 0 = none. */
  private waiting = new Uint16Array(SHORT_WINDOW);
  private mask = SHORT_WINDOW - 1;

  // Held packets: one list per class, in order of arrival.
  private readonly slots: Slots;
  private sequences = new Uint32Array(0);
  private predecessors = new Uint32Array(0);
  /** 0: the packet has gone on already. */
  private lengths = new Uint16Array(0);
  private flags = new Uint8Array(0);
  private classes = new Uint8Array(0);
  private since = new Float64Array(0);
  private previousSlot = new Int32Array(0);
  private readonly heads = new Int32Array([NONE, NONE]);
  private readonly tails = new Int32Array([NONE, NONE]);
  private limbo = NONE;

  /** By flow, the latest acknowledgement that did not wait. */
  private readonly overtaking = new Map<number, number>();

  /** Highest sequence at the last `trim`, and the most packets held at a time since. */
  private trimmedAt = 0;
  private mostHeld = 0;

  constructor(sink: PacketSink, store: Store, copy: Copy, drops: DropCounters) {
    this.sink = sink;
    this.copy = copy;
    this.drops = drops;
    this.slotBytes = store.slotBytes;
    this.slots = new Slots(store);
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
    else if (ahead < -this.mask) return this.duplicate();
    const at = sequence & this.mask;
    if ((this.states[at]! & RECEIVED) !== 0) return this.duplicate();
    this.states[at]! |= RECEIVED;
    const predecessor = (sequence - distance) >>> 0;
    // Room first: what is let go for it may be what this packet waits for.
    if (this.held === MAX_HELD)
      this.giveUp(this.heads[this.heads[HOLD_STREAM] === NONE ? HOLD_OTHER : HOLD_STREAM]!);
    const waits =
      distance !== 0 && !this.hasPassed(predecessor) && this.waiting[predecessor & this.mask] === 0;
    const plainAck = (waits || this.held > 0) && isPlainAck(block, offset, length);
    if (plainAck && this.isOvertaken(sequence, flowHash(block, offset, length), waits))
      this.drops.count("superseded");
    else if (!waits || plainAck) {
      this.delivered++;
      this.sink.deliver(block, offset, length, flags);
    }
    if (waits) this.hold(now, sequence, predecessor, block, offset, plainAck ? 0 : length, flags, hold);
    else this.pass(sequence);
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
      this.limbo = this.slots.next[slot]!;
      this.slots.put(slot);
    }
  }

  private duplicate(): false {
    this.duplicates++;
    return false;
  }

  private hasPassed(sequence: number): boolean {
    if (((this.highest - sequence) | 0) > this.mask) return true;
    return (this.states[sequence & this.mask]! & PASSED) !== 0;
  }

  /** Moves the window up to `sequence`; what waits for a sequence that leaves the window is let go. */
  private advance(sequence: number, ahead: number): void {
    while (this.mask < SEQUENCE_WINDOW - 1 && !this.maySlide(ahead)) this.resize(2 * this.states.length);
    const steps = Math.min(ahead, this.states.length);
    for (let i = steps - 1; i >= 0; i--) {
      const at = (sequence - i) & this.mask;
      if (this.waiting[at] !== 0) this.giveUp(this.waiting[at]! - 1);
      this.states[at] = 0;
    }
    this.highest = sequence;
  }

  /** True when only settled sequences leave the window as it moves up so far. */
  private maySlide(ahead: number): boolean {
    if (ahead > this.mask) return false;
    const oldest = this.highest - this.mask;
    for (let i = 0; i < ahead; i++) if (this.states[(oldest + i) & this.mask] !== SETTLED) return false;
    return true;
  }

  /** Keeps the newest sequences in a window of another length. */
  private resize(length: number): void {
    const { states, waiting, mask } = this;
    this.states = new Uint8Array(length).fill(SETTLED);
    this.waiting = new Uint16Array(length);
    this.mask = length - 1;
    for (let i = Math.min(length, states.length) - 1; i >= 0; i--) {
      const sequence = this.highest - i;
      this.states[sequence & this.mask] = states[sequence & mask]!;
      this.waiting[sequence & this.mask] = waiting[sequence & mask]!;
    }
  }

  /** Marks a sequence as passed and delivers what waited for it, and what waited for that. */
  private pass(sequence: number): void {
    let at = sequence & this.mask;
    for (;;) {
      this.states[at]! |= PASSED;
      const slot = this.waiting[at]! - 1;
      if (slot < 0) return;
      this.waiting[at] = 0;
      this.unlink(slot);
      const { slots } = this;
      const length = this.lengths[slot]!;
      if (length > 0) {
        this.delivered++;
        this.sink.deliver(slots.blockOf(slot), slots.offsetOf(slot), length, this.flags[slot]!);
      }
      at = this.sequences[slot]! & this.mask;
    }
  }

  /** True when a later acknowledgement of this flow has gone on. If not, and if it `waits`, this one is the latest that has. */
  private isOvertaken(sequence: number, flow: number, waits: boolean): boolean {
    const { overtaking } = this;
    const latest = overtaking.get(flow);
    if (latest !== undefined) {
      const before = (latest - sequence) | 0;
      if (before > 0 && before <= this.mask) return true;
    }
    if (!waits) return false;
    if (overtaking.size >= MAX_OVERTAKING) overtaking.clear();
    overtaking.set(flow, sequence);
    return false;
  }

  /** The predecessor of a held packet will not come in time. */
  private giveUp(slot: number): void {
    this.givenUp++;
    this.pass(this.predecessors[slot]!);
  }

  /** `length`: 0 when it has gone on, and only its place is kept. */
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
    const { slots } = this;
    const slot = slots.take();
    if (slots.room > this.lengths.length) this.enlarge(slots.room);
    this.copy(slots.blockOf(slot), slots.offsetOf(slot), block, offset, length);
    this.sequences[slot] = sequence;
    this.predecessors[slot] = predecessor;
    this.lengths[slot] = length;
    this.flags[slot] = flags;
    this.classes[slot] = hold;
    this.since[slot] = now;
    const tail = this.tails[hold]!;
    this.previousSlot[slot] = tail;
    slots.next[slot] = NONE;
    if (tail === NONE) this.heads[hold] = slot;
    else slots.next[tail] = slot;
    this.tails[hold] = slot;
    this.waiting[predecessor & this.mask] = slot + 1;
    this.held++;
    if (this.held > this.mostHeld) this.mostHeld = this.held;
    this.reordered++;
  }

  /** Takes a slot out of its list; its bytes stay until `reclaim`. */
  private unlink(slot: number): void {
    const hold = this.classes[slot]!;
    const previous = this.previousSlot[slot]!;
    const { next: nexts } = this.slots;
    const next = nexts[slot]!;
    if (previous === NONE) this.heads[hold] = next;
    else nexts[previous] = next;
    if (next === NONE) this.tails[hold] = previous;
    else this.previousSlot[next] = previous;
    nexts[slot] = this.limbo;
    this.limbo = slot;
    this.held--;
  }

  private enlarge(room: number): void {
    this.sequences = enlarged(this.sequences, new Uint32Array(room));
    this.predecessors = enlarged(this.predecessors, new Uint32Array(room));
    this.lengths = enlarged(this.lengths, new Uint16Array(room));
    this.flags = enlarged(this.flags, new Uint8Array(room));
    this.classes = enlarged(this.classes, new Uint8Array(room));
    this.since = enlarged(this.since, new Float64Array(room));
    this.previousSlot = enlarged(this.previousSlot, new Int32Array(room));
  }

  /**
   * Gives back what was not needed since the last call: call it every second or so. True: there is nothing left to give.
   * Of the few sequences that came since, none is older than the shortest window; what is has had its time.
   */
  trim(): boolean {
    const few = ((this.highest - this.trimmedAt) | 0) < QUIET;
    if (this.held === 0 && this.limbo === NONE) {
      if (this.mostHeld === 0) this.clear();
      if (few && this.states.length > SHORT_WINDOW) this.resize(SHORT_WINDOW);
    }
    this.trimmedAt = this.highest;
    this.mostHeld = this.held;
    return this.slots.empty && this.states.length === SHORT_WINDOW;
  }

  /** Gives the memory of held packets back; what is held is lost. */
  clear(): void {
    this.slots.clear();
    this.overtaking.clear();
    this.held = 0;
    this.heads.fill(NONE);
    this.tails.fill(NONE);
    this.limbo = NONE;
    this.sequences = this.predecessors = new Uint32Array(0);
    this.lengths = new Uint16Array(0);
    this.flags = this.classes = new Uint8Array(0);
    this.since = new Float64Array(0);
    this.previousSlot = new Int32Array(0);
  }
}
