/**
 * Keeps from TCP flows that begin how much a path's delay varies. A sender that sees round trips grow takes that for a
 * queue, and stops doubling its window long before there is one (HyStart, RFC 9406: on a path that varies by a tenth of its
 * round trip at once, and then it takes minutes to fill it). So the acknowledgements of such a flow that come early are
 * kept until they come as late as most do. Packets of other kinds are never kept, and those that come late are not, so a
 * queue is seen as ever. The first answer to what a flow has sent shows a dialogue (a request, a handshake of TLS), of which
 * nothing is kept from there on.
 *
 * How long a round trip takes is seen here, inside the tunnel: from a segment's leaving to its acknowledgement.
 *
 * A packet sink before the deliverer, of one session. Decides by the times it is given; microseconds.
 */
import { enlarged } from "../share/arrays.ts";
import type { Block, Copy } from "../share/block.ts";
import { NONE, Slots } from "../share/slots.ts";
import type { Store } from "../share/store.ts";
import {
  ACK,
  connectionHash,
  FIN,
  ipHeaderBytes,
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
import type { Rtt } from "./rtt.ts";

/** Flows at a time; one more is not looked after. */
const FLOWS = 16;
/** Times remembered of a flow, and how far apart: a round trip of a quarter of a second. */
const MARKS = 256;
const MARK_APART = MILLISECOND;
/** After so long, or so many bytes, slow start is over. */
const YOUNG = 15 * SECOND;
const YOUNG_BYTES = 64_000_000;
/** A flow that sent nothing for so long makes room for another; for so long as it may be young, and it begins anew. */
const IDLE = SECOND;
/** By so many standard deviations of a path at rest it varies under load: later packets wait for late ones. */
const DEVIATIONS = 5.5;
/** Of that, every sender bears so much (RFC 9406 section 4.2); what is left is hidden, if it is as much as this. */
const BORNE = 4 * MILLISECOND;
const LEAST_SPREAD = 6 * MILLISECOND;
/** Nothing is kept for longer. */
export const MOST_KEPT = 100 * MILLISECOND;
/** Packets kept at a time. */
export const MOST_HELD = 1024;

class YoungFlow {
  key = 0;
  began = 0;
  lastAt = Number.NEGATIVE_INFINITY;
  bytes = 0;
  /** Its acknowledgements are not kept, or no more. */
  grown = false;
  /** Sequence of the first byte. */
  start = 0;
  /** How much later than the least round trip acknowledgements are to come. */
  spread = 0;
  least = Number.POSITIVE_INFINITY;
  /** Sequence after the last byte that left; 0 bytes: none yet. */
  end = 0;
  /** When the bytes before each end left: a ring. */
  readonly ends = new Uint32Array(MARKS);
  readonly times = new Float64Array(MARKS);
  first = 0;
  count = 0;
  /** Packets kept, in order. */
  head = NONE;
  tail = NONE;
}

export class Steadier implements PacketSink {
  /** Packets kept now. */
  held = 0;
  /** The time of the packets that come, set by the caller. */
  now = 0;
  private readonly sink: PacketSink;
  private readonly copy: Copy;
  private readonly slots: Slots;
  /** Those looked after, by their hash; none where no path varies. */
  private flows: YoungFlow[] = [];
  /** When the last of them is young no longer. */
  private youngUntil = 0;
  private lengths = new Uint16Array(0);
  private flags = new Uint8Array(0);
  private dues = new Float64Array(0);
  private limbo = NONE;

  constructor(sink: PacketSink, store: Store, copy: Copy) {
    this.sink = sink;
    this.copy = copy;
    this.slots = new Slots(store);
  }

  /** A packet, or several of one flow in one, leaves. `rtt`: of the path that carries first. */
  onStaged(now: number, packet: Block, offset: number, length: number, rtt: Rtt): void {
    const spread = Math.min(DEVIATIONS * rtt.deviation - BORNE, MOST_KEPT);
    if (spread < LEAST_SPREAD || transportOf(packet, offset) !== PROTOCOL_TCP) return;
    const tcp = offset + ipHeaderBytes(packet, offset);
    if (tcp + TCP_MIN_BYTES > offset + length) return;
    const flags = packet.bytes[tcp + TCP_FLAGS]!;
    const payload = offset + length - tcp - (packet.bytes[tcp + TCP_DATA_OFFSET]! >> 4) * 4;
    const bytes = payload + ((flags & SYN) === 0 ? 0 : 1);
    if (bytes <= 0) return;
    const flow = this.flowFor(now, connectionHash(packet, offset), (flags & SYN) !== 0);
    if (flow === null) return;
    const end = (packet.view.getUint32(tcp + TCP_SEQUENCE) + bytes) >>> 0;
    if (flow.bytes === 0) {
      // It is never twice what it was.
      flow.spread = Math.min(spread, rtt.srtt);
      flow.start = (end - payload) >>> 0;
    }
    // Sent again: its acknowledgement says nothing (RFC 6298 section 3).
    if (flow.bytes > 0 && ((end - flow.end) | 0) <= 0) return;
    flow.end = end;
    flow.bytes += bytes;
    const last = (flow.first + flow.count - 1) & (MARKS - 1);
    if (flow.count > 0 && (flow.count === MARKS || now - flow.times[last]! < MARK_APART)) {
      flow.ends[last] = end;
      return;
    }
    const at = (flow.first + flow.count++) & (MARKS - 1);
    flow.ends[at] = end;
    flow.times[at] = now;
  }

  deliver(block: Block, offset: number, length: number, flags: number): void {
    const young = this.held > 0 || this.now < this.youngUntil;
    const flow = young ? this.flowOf(block, offset, length) : undefined;
    if (flow !== undefined) {
      const due = this.dueOf(flow, block, offset, length);
      if (flow.grown || this.held >= MOST_HELD) this.release(flow, Number.POSITIVE_INFINITY);
      else if (due > this.now || flow.head !== NONE) {
        this.keep(flow, due, block, offset, length, flags);
        return;
      }
    }
    this.sink.deliver(block, offset, length, flags);
  }

  /** When the next packet is to go on; Infinity when none is kept. */
  get nextAt(): number {
    let at = Number.POSITIVE_INFINITY;
    if (this.held === 0) return at;
    for (let i = 0; i < this.flows.length; i++) {
      const { head } = this.flows[i]!;
      if (head !== NONE && this.dues[head]! < at) at = this.dues[head]!;
    }
    return at;
  }

  /** Lets go what has been kept for long enough. */
  onTimeout(now: number): void {
    this.now = now;
    if (this.held === 0) return;
    for (let i = 0; i < this.flows.length; i++) this.release(this.flows[i]!, now);
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
  private flowFor(now: number, key: number, begins: boolean): YoungFlow | null {
    if (this.flows.length === 0) for (let i = 0; i < FLOWS; i++) this.flows.push(new YoungFlow());
    const flow = this.flows[key & (FLOWS - 1)]!;
    const idle = now - flow.lastAt;
    const own = flow.key === key;
    if (own ? begins || idle > YOUNG : idle > IDLE || (begins && flow.grown)) {
      if (flow.head !== NONE) return null;
      flow.key = key;
      flow.began = now;
      flow.bytes = 0;
      flow.grown = false;
      flow.least = Number.POSITIVE_INFINITY;
      flow.count = 0;
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
    return flow?.key === key && flow.count > 0 ? flow : undefined;
  }

  /** When this packet of the other direction should go on, by itself. */
  private dueOf(flow: YoungFlow, block: Block, offset: number, length: number): number {
    const tcp = offset + ipHeaderBytes(block, offset);
    const flags = block.bytes[tcp + TCP_FLAGS]!;
    flow.grown ||= this.now - flow.began >= YOUNG;
    if ((flags & ACK) === 0 || flow.grown) return 0;
    const acked = block.view.getUint32(tcp + TCP_ACK);
    while (flow.count > 1 && ((acked - flow.ends[flow.first]!) | 0) > 0) {
      flow.first = (flow.first + 1) & (MARKS - 1);
      flow.count--;
    }
    const sentAt = flow.times[flow.first]!;
    flow.least = Math.min(flow.least, this.now - sentAt);
    if (((acked - flow.start) | 0) <= 0) return 0;
    const header = (block.bytes[tcp + TCP_DATA_OFFSET]! >> 4) * 4;
    // An answer: what is behind it is not to come later.
    flow.grown = (flags & (SYN | FIN | RST)) !== 0 || tcp + header !== offset + length;
    // No round trip becomes twice as long.
    return flow.grown ? 0 : sentAt + flow.least + flow.spread;
  }

  private keep(
    flow: YoungFlow,
    due: number,
    block: Block,
    offset: number,
    length: number,
    flags: number,
  ): void {
    const { slots } = this;
    const slot = slots.take();
    if (slots.room > this.lengths.length) this.enlarge(slots.room);
    this.copy(slots.blockOf(slot), slots.offsetOf(slot), block, offset, length);
    this.lengths[slot] = length;
    this.flags[slot] = flags;
    slots.next[slot] = NONE;
    if (flow.head === NONE) {
      flow.head = slot;
      this.dues[slot] = due;
    } else {
      slots.next[flow.tail] = slot;
      this.dues[slot] = Math.max(due, this.dues[flow.tail]!);
    }
    flow.tail = slot;
    this.held++;
  }

  private release(flow: YoungFlow, now: number): void {
    const { slots } = this;
    while (flow.head !== NONE && this.dues[flow.head]! <= now) {
      const slot = flow.head;
      flow.head = slots.next[slot]!;
      this.held--;
      this.sink.deliver(slots.blockOf(slot), slots.offsetOf(slot), this.lengths[slot]!, this.flags[slot]!);
      slots.next[slot] = this.limbo;
      this.limbo = slot;
    }
  }

  /** Gives back what is not needed now. True: there is nothing left to give. */
  trim(now: number): boolean {
    if (this.flows.length === 0) return true;
    if (this.held > 0 || this.limbo !== NONE || now < this.youngUntil) return false;
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
    this.dues = new Float64Array(0);
  }

  private enlarge(room: number): void {
    this.lengths = enlarged(this.lengths, new Uint16Array(room));
    this.flags = enlarged(this.flags, new Uint8Array(room));
    this.dues = enlarged(this.dues, new Float64Array(room));
  }
}
