/**
 * The ring: inner packets on their way from the stager to the senders. Lock-free; one producer, many consumers.
 *
 * Fixed slots, a power of two of them, in one block (shared memory when several threads use it). A position counts
 * packets for ever (32 bits, wrapping); it is also the packet's data sequence on the wire. A slot's bytes stay readable
 * until the producer laps it, so the ring is the retransmission store too: it must have more slots than may be in
 * flight on all paths together, while only a few milliseconds of packets wait in it for a sender.
 *
 *   block:  control (64 bytes) | per slot: stamp, length, flags, note (4 x 4 bytes) | slots
 *   slot:   data sequence (4) | flow predecessor distance (2) | inner packet        = the plaintext of a data datagram
 *
 * The stamp says what a slot holds: position + 1 when it may be read, position while it is written. A reader that is
 * lapped sees another stamp afterwards (`holds`) and discards what it read.
 */
import type { Block } from "./block.ts";

const HEAD = 0;
const TAIL = 1;
const CONTROL_BYTES = 64;
const META = 4;
const STAMP = 0;
const LENGTH = 1;
const FLAGS = 2;
const NOTE = 3;

/** `note`: how often the packet was sent again (bits 0 to 7), that it has arrived, and the path that lost it last (bits 16 on). */
export const NOTE_RESENDS = 0xff;
export const NOTE_DONE = 0x100;
export const NOTE_PATH_SHIFT = 16;

export class Ring {
  readonly block: Block;
  readonly slots: number;
  readonly slotBytes: number;
  private readonly control: Int32Array;
  private readonly meta: Int32Array;
  private readonly first: number;

  /** Bytes of block that a ring of this shape needs. */
  static bytesFor(slots: number, slotBytes: number): number {
    return CONTROL_BYTES + slots * META * 4 + slots * slotBytes;
  }

  constructor(block: Block, slots: number, slotBytes: number) {
    if (slots < 2 || (slots & (slots - 1)) !== 0) throw new Error("ring: slots must be a power of two");
    if (block.bytes.length < Ring.bytesFor(slots, slotBytes)) throw new Error("ring: block too small");
    this.block = block;
    this.slots = slots;
    this.slotBytes = slotBytes;
    this.control = new Int32Array(block.bytes.buffer, 0, 2);
    this.meta = new Int32Array(block.bytes.buffer, CONTROL_BYTES, slots * META);
    this.first = CONTROL_BYTES + slots * META * 4;
  }

  /** Packets published and not yet claimed. */
  get backlog(): number {
    return (Atomics.load(this.control, HEAD) - Atomics.load(this.control, TAIL)) | 0;
  }

  /** The position the next published packet gets. */
  get nextPosition(): number {
    return Atomics.load(this.control, HEAD) >>> 0;
  }

  /** Offset in the block of a position's slot. */
  offsetOf(position: number): number {
    return this.first + (position & (this.slots - 1)) * this.slotBytes;
  }

  /** Producer: takes the next slot for writing and returns its offset in the block. Call `publish` when it is filled. */
  reserve(): number {
    const position = Atomics.load(this.control, HEAD);
    Atomics.store(this.meta, (position & (this.slots - 1)) * META + STAMP, position);
    return this.offsetOf(position);
  }

  /** Producer: makes the reserved slot readable. `length` is the plaintext's, sequence and distance included. */
  publish(length: number, flags: number): void {
    const position = Atomics.load(this.control, HEAD);
    const at = (position & (this.slots - 1)) * META;
    this.meta[at + LENGTH] = length;
    this.meta[at + FLAGS] = flags;
    this.meta[at + NOTE] = 0;
    Atomics.store(this.meta, at + STAMP, (position + 1) | 0);
    Atomics.store(this.control, HEAD, (position + 1) | 0);
  }

  /** Consumer: claims the oldest unclaimed packet. Its position, or -1 when none waits. Each is claimed once. */
  claim(): number {
    for (;;) {
      const tail = Atomics.load(this.control, TAIL);
      if (tail === Atomics.load(this.control, HEAD)) return -1;
      if (Atomics.compareExchange(this.control, TAIL, tail, (tail + 1) | 0) === tail) return tail >>> 0;
    }
  }

  /** True while the slot still holds this position, whole. Ask again after reading. */
  holds(position: number): boolean {
    return Atomics.load(this.meta, (position & (this.slots - 1)) * META + STAMP) === ((position + 1) | 0);
  }

  lengthOf(position: number): number {
    return this.meta[(position & (this.slots - 1)) * META + LENGTH]!;
  }

  flagsOf(position: number): number {
    return this.meta[(position & (this.slots - 1)) * META + FLAGS]!;
  }

  noteOf(position: number): number {
    return Atomics.load(this.meta, (position & (this.slots - 1)) * META + NOTE);
  }

  /** Only meaningful while `holds(position)`. */
  setNote(position: number, note: number): void {
    Atomics.store(this.meta, (position & (this.slots - 1)) * META + NOTE, note);
  }
}
