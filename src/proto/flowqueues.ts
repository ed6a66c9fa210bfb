/**
 * The queue in front of a session's ring: FQ-CoDel (RFC 8290). Every flow has a queue of its own and flows take turns by
 * bytes, so that a ping or a DNS query never waits behind a download; each queue is kept short by CoDel, so that the flows
 * inside get their drop or mark early.
 *
 * At most MAX_QUEUED packets are kept. Before the first, and after `trim`, it has hardly any memory.
 */
import { enlarged } from "../share/arrays.ts";
import type { Block, Copy } from "../share/block.ts";
import type { DropCounters } from "../share/counters.ts";
import { NONE, Slots } from "../share/slots.ts";
import type { Store } from "../share/store.ts";
import { markCongestion } from "../wire/ecn.ts";
import { Codel } from "./codel.ts";
import { MAX_QUEUED, SECOND } from "./limits.ts";

/** RFC 8290 section 5.2.3: 1024 queues. */
const QUEUES = 1024;
/** Bytes a flow may send in its turn: some packets, so that they can still be merged when they come out. */
const QUANTUM = 6_000;
/** A packet older than this helps nobody. */
const MAX_WAIT = 2 * SECOND;

const NO_SLOTS = new Int16Array(0);
const IDLE = 0;
const NEW = 1;
const OLD = 2;

export class FlowQueues {
  packets = 0;
  bytes = 0;
  /** Packets marked instead of dropped. */
  marked = 0;
  readonly codel = new Codel(0);
  private readonly copy: Copy;
  private readonly drops: DropCounters;

  private readonly slots: Slots;
  private lengths = new Uint16Array(0);
  private flags = new Uint8Array(0);
  private hashes = new Uint32Array(0);
  private since = new Float64Array(0);

  // Of each queue; of none while nothing was queued.
  private heads = NO_SLOTS;
  private tails = NO_SLOTS;
  private backlogs = new Int32Array(0);
  private deficits = NO_SLOTS;
  private lists = new Uint8Array(0);
  private nextQueue = NO_SLOTS;
  /** First and last queue of the lists of new and old flows. */
  private readonly first = new Int32Array([NONE, NONE, NONE]);
  private readonly last = new Int32Array([NONE, NONE, NONE]);
  /** The most packets that waited at a time since the last `trim`. */
  private most = 0;

  constructor(store: Store, copy: Copy, drops: DropCounters) {
    this.slots = new Slots(store);
    this.copy = copy;
    this.drops = drops;
  }

  /** A free slot for the next packet: fill its bytes and call `add`. When all are in use, the longest queue loses its oldest. */
  reserve(): number {
    if (this.packets >= MAX_QUEUED) this.dropFromLongest();
    return this.slots.peek();
  }

  blockOf(slot: number): Block {
    return this.slots.blockOf(slot);
  }

  offsetOf(slot: number): number {
    return this.slots.offsetOf(slot);
  }

  /** Queues the packet that was written into the reserved slot. */
  add(now: number, slot: number, length: number, flags: number, hash: number): void {
    this.slots.take();
    this.prepare();
    this.lengths[slot] = length;
    this.flags[slot] = flags;
    this.hashes[slot] = hash;
    this.since[slot] = now;
    const { next } = this.slots;
    next[slot] = NONE;
    const queue = hash & (QUEUES - 1);
    if (this.heads[queue] === NONE) this.heads[queue] = slot;
    else next[this.tails[queue]!] = slot;
    this.tails[queue] = slot;
    this.backlogs[queue]! += length;
    this.packets++;
    if (this.packets > this.most) this.most = this.packets;
    this.bytes += length;
    if (this.lists[queue] === IDLE) {
      this.deficits[queue] = QUANTUM;
      this.append(NEW, queue);
    }
  }

  /** The slot of the packet that goes next, taken out of its queue; -1 when none waits. Call `move` then. */
  take(now: number): number {
    for (;;) {
      const list = this.first[NEW] !== NONE ? NEW : OLD;
      const queue = this.first[list]!;
      if (queue === NONE) return NONE;
      if (this.deficits[queue]! <= 0) {
        this.deficits[queue]! += QUANTUM;
        this.removeFirst(list);
        this.append(OLD, queue);
        continue;
      }
      const slot = this.takeFrom(now, queue);
      if (slot === NONE) {
        this.removeFirst(list);
        // RFC 8290 section 4.2: an emptied new flow has to wait its turn before it counts as new again.
        if (list === NEW && this.first[OLD] !== NONE) this.append(OLD, queue);
        else this.lists[queue] = IDLE;
        continue;
      }
      this.deficits[queue]! -= this.lengths[slot]!;
      return slot;
    }
  }

  /** For how long the first packet of this flow's queue has waited. */
  waitOf(now: number, hash: number): number {
    const head = this.packets === 0 ? NONE : this.heads[hash & (QUEUES - 1)]!;
    return head === NONE ? 0 : now - this.since[head]!;
  }

  lengthOf(slot: number): number {
    return this.lengths[slot]!;
  }

  flagsOf(slot: number): number {
    return this.flags[slot]!;
  }

  hashOf(slot: number): number {
    return this.hashes[slot]!;
  }

  /** Copies a taken packet to where it goes, and frees its slot. */
  move(slot: number, to: Block, offset: number): void {
    this.copy(to, offset, this.blockOf(slot), this.offsetOf(slot), this.lengths[slot]!);
    this.slots.put(slot);
  }

  /** The queue's next packet that CoDel lets pass; -1 when the queue is empty. */
  private takeFrom(now: number, queue: number): number {
    for (;;) {
      const slot = this.heads[queue]!;
      if (slot === NONE) {
        this.codel.onEmpty(queue);
        return NONE;
      }
      const backlog = this.backlogs[queue]!;
      this.unlinkHead(queue);
      const wait = now - this.since[slot]!;
      if (wait > MAX_WAIT) {
        this.drops.count("overflow");
        this.slots.put(slot);
        continue;
      }
      if (!this.codel.drops(queue, now, wait, backlog, this.lengths[slot]!)) return slot;
      if (markCongestion(this.blockOf(slot), this.offsetOf(slot))) {
        this.marked++;
        return slot;
      }
      this.drops.count("queueDelay");
      this.slots.put(slot);
    }
  }

  private unlinkHead(queue: number): void {
    const slot = this.heads[queue]!;
    const length = this.lengths[slot]!;
    this.heads[queue] = this.slots.next[slot]!;
    this.backlogs[queue]! -= length;
    this.packets--;
    this.bytes -= length;
  }

  private dropFromLongest(): void {
    let longest = 0;
    for (let queue = 1; queue < QUEUES; queue++) {
      if (this.backlogs[queue]! > this.backlogs[longest]!) longest = queue;
    }
    const slot = this.heads[longest]!;
    this.unlinkHead(longest);
    this.drops.count("overflow");
    this.slots.put(slot);
  }

  private append(list: number, queue: number): void {
    this.lists[queue] = list;
    this.nextQueue[queue] = NONE;
    if (this.first[list] === NONE) this.first[list] = queue;
    else this.nextQueue[this.last[list]!] = queue;
    this.last[list] = queue;
  }

  private removeFirst(list: number): void {
    const queue = this.first[list]!;
    this.first[list] = this.nextQueue[queue]!;
    if (this.first[list] === NONE) this.last[list] = NONE;
  }

  /** Gives back what was not needed since the last call, if nothing waits now. True: there is nothing left to give. */
  trim(): boolean {
    if (this.packets === 0 && this.most === 0) this.clear();
    this.most = this.packets;
    return this.slots.empty;
  }

  /** Gives all memory back; what is queued is lost. */
  clear(): void {
    this.slots.clear();
    this.packets = 0;
    this.bytes = 0;
    this.first.fill(NONE);
    this.last.fill(NONE);
    this.heads = this.tails = this.deficits = this.nextQueue = NO_SLOTS;
    this.backlogs = new Int32Array(0);
    this.lists = new Uint8Array(0);
    this.lengths = new Uint16Array(0);
    this.flags = new Uint8Array(0);
    this.hashes = new Uint32Array(0);
    this.since = new Float64Array(0);
    this.codel.reset(0);
  }

  /** Makes the memory for what is to be queued. */
  private prepare(): void {
    if (this.slots.room > this.lengths.length) this.enlarge(this.slots.room);
    if (this.heads.length > 0) return;
    // Slots and bytes of a turn fit in 16 bits.
    this.heads = new Int16Array(QUEUES).fill(NONE);
    this.tails = new Int16Array(QUEUES).fill(NONE);
    this.backlogs = new Int32Array(QUEUES);
    this.deficits = new Int16Array(QUEUES);
    this.lists = new Uint8Array(QUEUES);
    this.nextQueue = new Int16Array(QUEUES).fill(NONE);
    this.codel.reset(QUEUES);
  }

  private enlarge(room: number): void {
    this.lengths = enlarged(this.lengths, new Uint16Array(room));
    this.flags = enlarged(this.flags, new Uint8Array(room));
    this.hashes = enlarged(this.hashes, new Uint32Array(room));
    this.since = enlarged(this.since, new Float64Array(room));
  }
}
