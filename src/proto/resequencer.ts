/**
 * Delivers inner packets in the order of their own flow. A packet names its flow's previous packet by distance, so it
 * is delivered as soon as that one was delivered or given up, without knowing any flow: a hole in one flow never holds
 * up another. What arrives too early is kept, at most MAX_HELD packets, and at most for its class's bound.
 *
 * A plain TCP acknowledgement waits for nothing: a sender whose acknowledgements stop for a round trip, and then come all at
 * once, stands still, and takes it for a queue. Only its place is kept, for what follows it. Those that it overtook are dropped:
 * they say no more than it does.
 *
 * Datagrams that waited come a few at a time, as programs have room for; and small ones of a flow whose large ones have waited
 * wait as long: in one flow, disorder slows both.
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
import { flowHash, isPlainAck, PROTOCOL_UDP, transportOf } from "../wire/ip.ts";
import { MAX_HELD, MAX_HOLD_OTHER, MAX_HOLD_STREAM, MILLISECOND, SEQUENCE_WINDOW } from "./limits.ts";

/** Takes packets in order. The bytes stay valid until the sink is flushed and `reclaim` is called. */
export interface PacketSink {
  deliver(block: Block, offset: number, length: number, flags: number): void;
}

export type HoldClass = 0 | 1;
export const HOLD_STREAM: HoldClass = 0;
export const HOLD_OTHER: HoldClass = 1;
/** What they waited for is there; they come after as many as may come at once. */
const PACED = 2;

const RECEIVED = 1;
const PASSED = 2;
/** It has come, and has gone on. */
const SETTLED = RECEIVED | PASSED;
/** The shortest window, and the fewest sequences between two calls of `trim` that need a longer one. */
const SHORT_WINDOW = 256;
const QUIET = 64;
/**
 * Datagrams of one flow that go on at once when what they waited for is there, and after so long again, and so that a long
 * queue is gone after a few times more: a program that takes as many as come may have no room for all of them at once.
 */
export const BURST = 48;
export const BURST_EVERY = MILLISECOND;
const BURST_SHARE = 8;
/** Flows with full-sized datagrams; with one more, all are forgotten. */
const MAX_STREAMS = 64;
/** Flows with acknowledgements that did not wait; with one more, of all of them an older one may go on after a newer one. */
const MAX_OVERTAKING = 64;

export class Resequencer {
  /** Longest present wait for a predecessor, by class; the session sets it from its paths' round trips. */
  readonly bounds = new Float64Array([MAX_HOLD_STREAM, MAX_HOLD_OTHER, BURST_EVERY]);
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

  // Held packets: one list per class, in order of time.
  private readonly slots: Slots;
  private sequences = new Uint32Array(0);
  private predecessors = new Uint32Array(0);
  /** 0: the packet has gone on already. */
  private lengths = new Uint16Array(0);
  private flags = new Uint8Array(0);
  private classes = new Uint8Array(0);
  private since = new Float64Array(0);
  private previousSlot = new Int32Array(0);
  private readonly heads = new Int32Array([NONE, NONE, NONE]);
  private readonly tails = new Int32Array([NONE, NONE, NONE]);
  private limbo = NONE;

  /** Flows of UDP whose small packets wait like the large ones. */
  private readonly streams = new Set<number>();
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
    if (ahead > 0) this.advance(now, sequence, ahead);
    else if (ahead < -this.mask) return this.duplicate();
    const at = sequence & this.mask;
    if ((this.states[at]! & RECEIVED) !== 0) return this.duplicate();
    this.states[at]! |= RECEIVED;
    const predecessor = (sequence - distance) >>> 0;
    // Room first: what is let go for it may be what this packet waits for.
    if (this.held === MAX_HELD) this.giveUp(now, this.heads.find((head) => head !== NONE)!, MAX_HELD);
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
    else this.pass(now, sequence, BURST);
    return true;
  }

  /** When the oldest wait ends; Infinity when nothing is held. */
  get nextAt(): number {
    let at = Number.POSITIVE_INFINITY;
    for (let c = 0; c < this.heads.length; c++) {
      const head = this.heads[c]!;
      if (head !== NONE) at = Math.min(at, this.since[head]! + this.bounds[c]!);
    }
    return at;
  }

  /** Gives up predecessors that were waited for long enough, and lets the next of a queue go on. */
  onTimeout(now: number): void {
    for (let c = 0; c < this.heads.length; c++) {
      for (let head = this.heads[c]!; head !== NONE; head = this.heads[c]!) {
        if (now < this.since[head]! + this.bounds[c]!) break;
        this.giveUp(now, head, Math.max(BURST, this.held / BURST_SHARE));
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
  private advance(now: number, sequence: number, ahead: number): void {
    while (this.mask < SEQUENCE_WINDOW - 1 && !this.maySlide(ahead)) this.resize(2 * this.states.length);
    const steps = Math.min(ahead, this.states.length);
    for (let i = steps - 1; i >= 0; i--) {
      const at = (sequence - i) & this.mask;
      if (this.waiting[at] !== 0) this.giveUp(now, this.waiting[at]! - 1, MAX_HELD);
      this.states[at] = 0;
    }
    this.highest = sequence;
  }

  /** True when only settled sequences leave the window as it moves up so far. */
  private maySlide(ahead: number): boolean {
    if (ahead > this.mask) return false;
    const oldest = this.highest - this.mask;
    for (let i = 0; i < ahead; i++) {
      const at = (oldest + i) & this.mask;
      if (this.states[at] !== SETTLED || this.waiting[at] !== 0) return false;
    }
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

  /** Marks a sequence as passed and delivers what waited for it, and what waited for that: of datagrams `most` at once. */
  private pass(now: number, sequence: number, most: number): void {
    const { slots } = this;
    let at = sequence & this.mask;
    for (let left = most; ; left--) {
      this.states[at]! |= PASSED;
      const slot = this.waiting[at]! - 1;
      if (slot < 0) return;
      const length = this.lengths[slot]!;
      const block = slots.blockOf(slot);
      const offset = slots.offsetOf(slot);
      this.take(slot);
      if (left <= 0 && length > 0 && transportOf(block, offset) === PROTOCOL_UDP) {
        this.append(now, slot, PACED);
        return;
      }
      this.waiting[at] = 0;
      this.free(slot);
      if (length > 0) {
        this.delivered++;
        this.sink.deliver(block, offset, length, this.flags[slot]!);
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

  /** The predecessor of a held packet will not come in time, if it has not come; `most` as for `pass`. */
  private giveUp(now: number, slot: number, most: number): void {
    const first = this.firstOf(slot);
    if (this.classes[first] !== PACED) this.givenUp++;
    this.pass(now, this.predecessors[first]!, most);
  }

  /** The packet that goes on next, and in its turn this one; this one if it waits for one that has not come. */
  private firstOf(slot: number): number {
    const { next: nexts } = this.slots;
    for (let first = this.heads[PACED]!; first !== NONE; first = nexts[first]!)
      for (let at = first; at >= 0; at = this.waiting[this.sequences[at]! & this.mask]! - 1)
        if (at === slot) return first;
    return slot;
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
    this.append(now, slot, this.isStream(block, offset, length, hold) ? HOLD_STREAM : HOLD_OTHER);
    this.waiting[predecessor & this.mask] = slot + 1;
    this.reordered++;
  }

  /** True for a packet that disorder slows, or whose flow it does: of such a flow of UDP, another packet has waited. */
  private isStream(block: Block, offset: number, length: number, hold: HoldClass): boolean {
    if (transportOf(block, offset) !== PROTOCOL_UDP) return hold === HOLD_STREAM;
    const flow = flowHash(block, offset, length);
    if (this.streams.has(flow)) return true;
    if (hold === HOLD_OTHER) return false;
    if (this.streams.size >= MAX_STREAMS) this.streams.clear();
    this.streams.add(flow);
    return true;
  }

  /** Puts a slot at the end of a list. */
  private append(now: number, slot: number, hold: number): void {
    const { next: nexts } = this.slots;
    this.classes[slot] = hold;
    this.since[slot] = now;
    const tail = this.tails[hold]!;
    this.previousSlot[slot] = tail;
    nexts[slot] = NONE;
    if (tail === NONE) this.heads[hold] = slot;
    else nexts[tail] = slot;
    this.tails[hold] = slot;
    this.held++;
    if (this.held > this.mostHeld) this.mostHeld = this.held;
  }

  /** Takes a slot out of its list. */
  private take(slot: number): void {
    const hold = this.classes[slot]!;
    const previous = this.previousSlot[slot]!;
    const { next: nexts } = this.slots;
    const next = nexts[slot]!;
    if (previous === NONE) this.heads[hold] = next;
    else nexts[previous] = next;
    if (next === NONE) this.tails[hold] = previous;
    else this.previousSlot[next] = previous;
    this.held--;
  }

  /** A slot is in no list any more; its bytes stay until `reclaim`. */
  private free(slot: number): void {
    this.slots.next[slot] = this.limbo;
    this.limbo = slot;
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
    this.streams.clear();
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
