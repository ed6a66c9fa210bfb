/**
 * Filters the acknowledgements of TCP flows in their slow start (RFC 3449 section 5.2.2). A sender that sees round trips grow
 * takes that for a queue, and stops doubling its window (HyStart, RFC 9406): where a path's delay varies by a tenth of its
 * round trip long before there is a queue, and of several paths as soon as the first is full; then it takes minutes to fill
 * them. It judges by eight acknowledgements of a round trip, so it gets fewer: of those that say nothing but that more has
 * arrived, one goes on in a quarter of a round trip, the newest, and stands for the ones before it. A sender that grows no
 * more gets all of them again: it has found the rate, or counts acknowledgements in place of bytes. What else comes is never
 * kept. Over one path that is steady, nothing is: there a sender's judgement is right.
 *
 * Round trips are counted as the sender does: one ends when something is acknowledged that left after it began.
 *
 * A packet sink before the deliverer, of one session. Decides by the times it is given; microseconds.
 */
import { enlarged } from "../share/arrays.ts";
import type { Block, Copy } from "../share/block.ts";
import type { DropCounters } from "../share/counters.ts";
import { NONE, Slots } from "../share/slots.ts";
import type { Store } from "../share/store.ts";
import {
  ACK,
  connectionHash,
  FIN,
  ipHeaderBytes,
  isPlainAck,
  PROTOCOL_TCP,
  RST,
  SYN,
  TCP_ACK,
  TCP_DATA_OFFSET,
  TCP_FLAGS,
  TCP_MIN_BYTES,
  TCP_SEQUENCE,
  transportOf,
} from "../wire/ip.ts";
import { MILLISECOND, SECOND } from "./limits.ts";
import type { PacketSink } from "./resequencer.ts";

/** Flows at a time; one more is not looked after. Of each, one packet at most is kept. */
export const FLOWS = 16;
/** After so long, or so many bytes, slow start is over. */
const YOUNG = 15 * SECOND;
const YOUNG_BYTES = 64_000_000;
/**
 * A flow that sent nothing for so long makes room for another, and at once for one that begins if it is grown or has nothing
 * under way. One that sent nothing for as long as it may be young begins anew.
 */
const IDLE = SECOND;
/** One goes on in so many parts of a round trip. When it takes longer than the one before, no more go on than so many. */
const PARTS = 4;
const MOST_GIVEN = 5;
/** Nothing is kept for longer; so more do, in a round trip of more than half a second. */
export const MOST_KEPT = 150 * MILLISECOND;
/** With less under way no sender judges: 16 segments (Linux), or eight acknowledgements of two each (RFC 9406). */
const LOW_WINDOW = 16_000;
/** A round trip that sends less than so many times what the one before did is no slow start. Delays make two; three end it. */
const GROWS = 1.25;
const STILL = 3;
/** Larger packets carry data. What they acknowledge is not noted; then more seems to be under way than is. */
const LARGEST_ACK = 100;

class YoungFlow {
  key = 0;
  began = 0;
  lastAt = Number.NEGATIVE_INFINITY;
  bytes = 0;
  /** Its acknowledgements are not kept, or no more. */
  grown = false;
  /** Sequences after the last byte that left, and after the last that was acknowledged. */
  end = 0;
  acked = 0;
  /** The round trip that is on: when it began, what had left by then, and how many acknowledgements the sender got in it. */
  roundBegan = 0;
  roundEnd = 0;
  given = 0;
  /** How long the one before took, and what it sent. */
  roundTrip = 0;
  roundBytes = 0;
  /** Round trips in a row that sent hardly more than the one before. */
  still = 0;
  /** The acknowledgement kept, always the newest of all; and from when it may go on. */
  slot = NONE;
  nextAt = 0;
}

export class AckFilter implements PacketSink {
  /** Packets kept now. */
  held = 0;
  /** The time of the packets that come, and whether senders are misled by their round trips now: set by the caller. */
  now = 0;
  misled = false;
  private readonly sink: PacketSink;
  private readonly copy: Copy;
  private readonly drops: DropCounters;
  private readonly slots: Slots;
  /** Those looked after, by their hash; none over one path that is steady. */
  private flows: YoungFlow[] = [];
  /** When the last of them is young no longer. */
  private youngUntil = 0;
  private lengths = new Uint16Array(0);
  private flags = new Uint8Array(0);
  private limbo = NONE;

  constructor(sink: PacketSink, store: Store, copy: Copy, drops: DropCounters) {
    this.sink = sink;
    this.copy = copy;
    this.drops = drops;
    this.slots = new Slots(store);
  }

  /**
   * A packet, or several of one flow in one, leaves. `looks`: flows that begin are looked after. `queued`: the flow has filled
   * the paths, and is looked after no more. `usual`: what a round trip takes.
   */
  onStaged(
    now: number,
    packet: Block,
    offset: number,
    length: number,
    looks: boolean,
    queued: boolean,
    usual: number,
  ): void {
    if ((!looks && now >= this.youngUntil) || transportOf(packet, offset) !== PROTOCOL_TCP) return;
    const tcp = offset + ipHeaderBytes(packet, offset);
    if (tcp + TCP_MIN_BYTES > offset + length) return;
    const begins = (packet.bytes[tcp + TCP_FLAGS]! & SYN) !== 0;
    const payload = offset + length - tcp - (packet.bytes[tcp + TCP_DATA_OFFSET]! >> 4) * 4;
    const bytes = payload + (begins ? 1 : 0);
    if (bytes <= 0) return;
    const flow = this.flowFor(now, connectionHash(packet, offset), begins, looks);
    if (flow === null) return;
    flow.grown ||= queued;
    const start = packet.view.getUint32(tcp + TCP_SEQUENCE);
    const end = (start + bytes) >>> 0;
    if (flow.bytes === 0) {
      flow.acked = start;
      flow.roundEnd = start;
      flow.roundTrip = usual;
    } else if (((end - flow.end) | 0) <= 0) return;
    // Before this, it had nothing to send: a round trip begins, and the last one is no measure.
    else if (flow.acked === flow.end) {
      flow.roundBegan = now;
      flow.roundTrip = Math.min(flow.roundTrip, usual);
    }
    flow.end = end;
    flow.bytes += bytes;
  }

  deliver(block: Block, offset: number, length: number, flags: number): void {
    const young = this.held > 0 || (this.now < this.youngUntil && length <= LARGEST_ACK);
    const flow = young ? this.flowOf(block, offset, length) : undefined;
    if (flow !== undefined) {
      const before = flow.acked;
      if (!this.standsForOthers(flow, block, offset, length)) this.release(flow);
      else {
        // It says all that the one kept says.
        if (flow.slot !== NONE) this.drops.count("superseded");
        if (this.mayWait(flow)) {
          this.keep(flow, block, offset, length, flags);
          return;
        }
        if (flow.slot !== NONE) this.give(flow);
      }
      if (flow.acked !== before) this.onGiven(flow);
    }
    this.sink.deliver(block, offset, length, flags);
  }

  /** When the next packet is to go on; Infinity when none is kept. */
  get nextAt(): number {
    let at = Number.POSITIVE_INFINITY;
    if (this.held === 0) return at;
    for (let i = 0; i < this.flows.length; i++) {
      const flow = this.flows[i]!;
      if (flow.slot !== NONE && flow.nextAt < at) at = flow.nextAt;
    }
    return at;
  }

  /** Lets go what has been kept for long enough. */
  onTimeout(now: number): void {
    this.now = now;
    if (this.held === 0) return;
    for (let i = 0; i < this.flows.length; i++) {
      const flow = this.flows[i]!;
      if (flow.slot === NONE || flow.nextAt > now) continue;
      this.release(flow);
    }
  }

  /** The sink has written everything delivered so far: its slots may be used again. */
  reclaim(): void {
    while (this.limbo !== NONE) {
      const slot = this.limbo;
      this.limbo = this.slots.next[slot]!;
      this.slots.put(slot);
    }
  }

  /** The flow that a packet of this connection belongs to; null when it is none, or no longer, to look after. */
  private flowFor(now: number, key: number, begins: boolean, looks: boolean): YoungFlow | null {
    if (this.flows.length === 0) for (let i = 0; i < FLOWS; i++) this.flows.push(new YoungFlow());
    const flow = this.flows[key & (FLOWS - 1)]!;
    const idle = now - flow.lastAt;
    const own = flow.key === key;
    const done = flow.grown || flow.acked === flow.end;
    if (own ? begins || idle > YOUNG : idle > IDLE || (begins && done)) {
      if (!looks || flow.slot !== NONE) return null;
      flow.key = key;
      flow.began = now;
      flow.bytes = 0;
      flow.grown = false;
      flow.roundBegan = now;
      flow.roundBytes = 0;
      flow.given = 0;
      flow.still = 0;
      flow.nextAt = 0;
      this.youngUntil = now + YOUNG;
    } else if (!own) return null;
    flow.lastAt = now;
    flow.grown ||= now - flow.began >= YOUNG || flow.bytes > YOUNG_BYTES;
    return flow.grown ? null : flow;
  }

  private flowOf(block: Block, offset: number, length: number): YoungFlow | undefined {
    if (transportOf(block, offset) !== PROTOCOL_TCP || length < ipHeaderBytes(block, offset) + TCP_MIN_BYTES)
      return undefined;
    const key = connectionHash(block, offset);
    const flow = this.flows[key & (FLOWS - 1)];
    return flow?.key === key && flow.bytes > 0 ? flow : undefined;
  }

  /**
   * True for a packet of the other direction that says nothing but that more has arrived, of a flow in its slow start with
   * so much under way that its sender would judge.
   */
  private standsForOthers(flow: YoungFlow, block: Block, offset: number, length: number): boolean {
    const tcp = offset + ipHeaderBytes(block, offset);
    const flags = block.bytes[tcp + TCP_FLAGS]!;
    flow.grown ||= this.now - flow.began >= YOUNG || (flags & (FIN | RST)) !== 0;
    if ((flags & ACK) === 0 || flow.grown) return false;
    const acked = block.view.getUint32(tcp + TCP_ACK);
    const more = (acked - flow.acked) | 0;
    const underWay = (flow.end - flow.acked) | 0;
    if (more <= 0 || more > underWay) return false;
    flow.acked = acked;
    return this.misled && underWay >= LOW_WINDOW && isPlainAck(block, offset, length);
  }

  /** One that ends a round trip goes on at once, and so does one that no newer one can follow. */
  private mayWait(flow: YoungFlow): boolean {
    return this.now < flow.nextAt && ((flow.acked - flow.roundEnd) | 0) <= 0 && flow.acked !== flow.end;
  }

  /** The sender gets an acknowledgement: the newest. */
  private onGiven(flow: YoungFlow): void {
    if (((flow.acked - flow.roundEnd) | 0) > 0) this.endRound(flow);
    flow.given++;
    const part = flow.given < MOST_GIVEN ? flow.roundTrip / PARTS : MOST_KEPT;
    flow.nextAt = this.now + Math.min(part, MOST_KEPT);
  }

  private endRound(flow: YoungFlow): void {
    const bytes = (flow.end - flow.roundEnd) | 0;
    flow.still = flow.roundBytes >= LOW_WINDOW && bytes < GROWS * flow.roundBytes ? flow.still + 1 : 0;
    flow.grown ||= flow.still >= STILL;
    flow.roundTrip = this.now - flow.roundBegan;
    flow.roundBytes = bytes;
    flow.roundBegan = this.now;
    flow.roundEnd = flow.end;
    flow.given = 0;
  }

  /** In the place of one that is kept, if there is one. */
  private keep(flow: YoungFlow, block: Block, offset: number, length: number, flags: number): void {
    const { slots } = this;
    if (flow.slot === NONE) {
      flow.slot = slots.take();
      this.held++;
      if (slots.room > this.lengths.length) this.enlarge(slots.room);
    }
    const { slot } = flow;
    this.copy(slots.blockOf(slot), slots.offsetOf(slot), block, offset, length);
    this.lengths[slot] = length;
    this.flags[slot] = flags;
  }

  private release(flow: YoungFlow): void {
    const { slot } = flow;
    if (slot === NONE) return;
    const { slots } = this;
    this.sink.deliver(slots.blockOf(slot), slots.offsetOf(slot), this.lengths[slot]!, this.flags[slot]!);
    this.give(flow);
    this.onGiven(flow);
  }

  private give(flow: YoungFlow): void {
    this.slots.next[flow.slot] = this.limbo;
    this.limbo = flow.slot;
    flow.slot = NONE;
    this.held--;
  }

  /** Gives back what is not needed now. True: there is nothing left to give. */
  trim(now: number): boolean {
    if (this.flows.length === 0) return true;
    if (this.held > 0 || this.limbo !== NONE) return false;
    this.slots.clear();
    // One that has grown is not to begin anew.
    if (this.flows.some(({ lastAt }) => now < lastAt + YOUNG)) return false;
    this.clear();
    return true;
  }

  /** Gives all memory back; what is kept is lost. */
  clear(): void {
    this.slots.clear();
    this.flows = [];
    this.held = 0;
    this.limbo = NONE;
    this.lengths = new Uint16Array(0);
    this.flags = new Uint8Array(0);
  }

  private enlarge(room: number): void {
    this.lengths = enlarged(this.lengths, new Uint16Array(room));
    this.flags = enlarged(this.flags, new Uint8Array(room));
  }
}
