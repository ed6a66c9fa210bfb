/**
 * The queue in front of a session's ring: FQ-CoDel (RFC 8290). Every flow has a queue of its own and flows take turns by
 * bytes, so that a ping or a DNS query never waits behind a download; each queue is kept short by CoDel, so that the flows
 * inside get their drop or mark early.
 *
 * Packets are kept in slots of blocks that are made when first needed, at most MAX_QUEUED.
 */
import { enlarged } from "../share/arrays.ts";
import type { Block, Copy, MakeBlock } from "../share/block.ts";
import type { DropCounters } from "../share/counters.ts";
import { markCongestion } from "../wire/ecn.ts";
import { Codel } from "./codel.ts";
import { MAX_QUEUED, SECOND } from "./limits.ts";

/** RFC 8290 section 5.2.3: 1024 queues. */
const QUEUES = 1024;
/** Bytes a flow may send in its turn: some packets, so that they can still be merged when they come out. */
const QUANTUM = 6_000;
const CHUNK = 256;
const NONE = -1;
/** A packet older than this helps nobody. */
const MAX_WAIT = 2 * SECOND;

const IDLE = 0;
const NEW = 1;
const OLD = 2;

export class FlowQueues {
  packets = 0;
  bytes = 0;
  /** Packets marked instead of dropped. */
  marked = 0;
  readonly codel = new Codel(QUEUES);
  private readonly makeBlock: MakeBlock;
  private readonly copy: Copy;
  private readonly slotBytes: number;
  private readonly drops: DropCounters;

  private readonly chunks: Block[] = [];
  private lengths = new Uint16Array(0);
  private flags = new Uint8Array(0);
  private hashes = new Uint32Array(0);
  private since = new Float64Array(0);
  private nextSlot = new Int32Array(0);
  private free = NONE;

  private readonly heads = new Int32Array(QUEUES).fill(NONE);
  private readonly tails = new Int32Array(QUEUES).fill(NONE);
  private readonly backlogs = new Float64Array(QUEUES);
  private readonly deficits = new Float64Array(QUEUES);
  private readonly lists = new Uint8Array(QUEUES);
  private readonly nextQueue = new Int32Array(QUEUES).fill(NONE);
  /** First and last queue of the lists of new and old flows. */
  private readonly first = new Int32Array([NONE, NONE, NONE]);
  private readonly last = new Int32Array([NONE, NONE, NONE]);

  /** `slotBytes`: room for the largest inner packet. */
  constructor(makeBlock: MakeBlock, copy: Copy, slotBytes: number, drops: DropCounters) {
    this.makeBlock = makeBlock;
    this.copy = copy;
    this.slotBytes = slotBytes;
    this.drops = drops;
  }

  /** A free slot for the next packet: fill its bytes and call `add`. When all are in use, the longest queue loses its oldest. */
  reserve(): number {
    if (this.packets >= MAX_QUEUED) this.dropFromLongest();
    if (this.free === NONE) this.grow();
    return this.free;
  }

  blockOf(slot: number): Block {
    return this.chunks[Math.floor(slot / CHUNK)]!;
  }

  offsetOf(slot: number): number {
    return (slot % CHUNK) * this.slotBytes;
  }

  /** Queues the packet that was written into the reserved slot. */
  add(now: number, slot: number, length: number, flags: number, hash: number): void {
    this.free = this.nextSlot[slot]!;
    this.lengths[slot] = length;
    this.flags[slot] = flags;
    this.hashes[slot] = hash;
    this.since[slot] = now;
    this.nextSlot[slot] = NONE;
    const queue = hash & (QUEUES - 1);
    if (this.heads[queue] === NONE) this.heads[queue] = slot;
    else this.nextSlot[this.tails[queue]!] = slot;
    this.tails[queue] = slot;
    this.backlogs[queue]! += length;
    this.packets++;
    this.bytes += length;
    if (this.lists[queue] === IDLE) {
      this.deficits[queue] = QUANTUM;
      this.append(NEW, queue);
    }
  }

  /** The slot of the packet that goes next, taken out of its queue; -1 when none waits. Call `release` when it is copied. */
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
    this.release(slot);
  }

  private release(slot: number): void {
    this.nextSlot[slot] = this.free;
    this.free = slot;
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
        this.release(slot);
        continue;
      }
      if (!this.codel.drops(queue, now, wait, backlog, this.lengths[slot]!)) return slot;
      if (markCongestion(this.blockOf(slot), this.offsetOf(slot))) {
        this.marked++;
        return slot;
      }
      this.drops.count("queueDelay");
      this.release(slot);
    }
  }

  private unlinkHead(queue: number): void {
    const slot = this.heads[queue]!;
    const length = this.lengths[slot]!;
    this.heads[queue] = this.nextSlot[slot]!;
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
    this.release(slot);
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

  private grow(): void {
    const from = this.chunks.length * CHUNK;
    const size = from + CHUNK;
    this.chunks.push(this.makeBlock(CHUNK * this.slotBytes));
    this.lengths = enlarged(this.lengths, new Uint16Array(size));
    this.flags = enlarged(this.flags, new Uint8Array(size));
    this.hashes = enlarged(this.hashes, new Uint32Array(size));
    this.since = enlarged(this.since, new Float64Array(size));
    this.nextSlot = enlarged(this.nextSlot, new Int32Array(size));
    for (let slot = size - 1; slot >= from; slot--) this.release(slot);
  }
}
