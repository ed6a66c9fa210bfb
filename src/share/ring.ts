/**
 * The ring: inner packets on their way from the stager to the senders. Lock-free; one producer, many consumers.
 *
 * Fixed slots, a power of two of them, in pages of the store that are taken when the producer comes to them. A position
 * counts packets for ever (32 bits, wrapping); it is also the packet's data sequence on the wire. A slot's bytes stay
 * readable until the producer laps it or the packet is settled, so the ring is the retransmission store too: it must have
 * more slots than may be in flight on all paths together, while only a few milliseconds of packets wait in it for a
 * sender. A page all of whose packets are settled goes back to the store.
 *
 *   control:  head, tail (64 bytes) | per page: its number in the store, plus one (4) | per page: packets not settled (4)
 *   words:    stamp, length, flags, note, of each slot
 *   slot:     data sequence (4) | flow predecessor distance (2) | inner packet      = the plaintext of a data datagram
 *
 * The stamp says what a slot holds: position + 1 when it may be read, position while it is written. A reader that is
 * lapped sees another stamp afterwards (`holds`) and discards what it read. Notes and settling are the producer's thread's.
 *
 * An atomic access drains the processor's stores, after a packet's copy of all times; so there are as few as will do: the
 * producer remembers its head, a consumer the head that it saw last, and only `claim` decides about the tail.
 */
import type { Block } from "./block.ts";
import { META, type Store } from "./store.ts";

const HEAD = 0;
const TAIL = 1;
const CONTROL_BYTES = 64;
const STAMP = 0;
const LENGTH = 1;
const FLAGS = 2;
const NOTE = 3;

/**
 * `note`: how often the packet was sent again (bits 0 to 7), that it has arrived or expired, that it waits to be sent again,
 * that a copy of it is under way as well, and by which path (bits 16 on).
 */
export const NOTE_RESENDS = 0xff;
export const NOTE_DONE = 0x100;
export const NOTE_WAITS = 0x200;
export const NOTE_COPIED = 0x400;
export const NOTE_COPY_SHIFT = 16;

export class Ring {
  readonly slots: number;
  readonly slotBytes: number;
  /** Pages it has now. */
  pages = 0;
  /** Packets published that are neither settled nor lapped. The producer's thread's. */
  kept = 0;
  private readonly store: Store;
  private readonly control: Int32Array;
  private readonly table: Int32Array;
  private readonly unsettled: Int32Array;
  /** Of a position, its place in its page; of a position in the ring, its page's place in the table. */
  private readonly inPage: number;
  private readonly pageShift: number;
  /** The first position of the page that the producer is in. */
  private begun = -1;
  /** The producer's own: what `HEAD` is. */
  private head: number;
  /** A consumer's own: what `HEAD` was when it ran out of packets last. */
  private seen: number;

  /** Bytes of control block that a ring of this shape needs. */
  static bytesFor(slots: number, pageSlots: number): number {
    return CONTROL_BYTES + (slots / pageSlots) * 8;
  }

  constructor(control: Block, slots: number, store: Store) {
    if (slots < 2 || (slots & (slots - 1)) !== 0) throw new Error("ring: slots must be a power of two");
    if (slots < store.pageSlots) throw new Error("ring: fewer slots than a page has");
    if (control.bytes.length < Ring.bytesFor(slots, store.pageSlots))
      throw new Error("ring: block too small");
    const { buffer } = control.bytes;
    const count = slots / store.pageSlots;
    this.slots = slots;
    this.slotBytes = store.slotBytes;
    this.store = store;
    this.control = new Int32Array(buffer, 0, 2);
    this.table = new Int32Array(buffer, CONTROL_BYTES, count);
    this.unsettled = new Int32Array(buffer, CONTROL_BYTES + count * 4, count);
    this.inPage = store.pageSlots - 1;
    this.pageShift = Math.log2(store.pageSlots);
    this.head = Atomics.load(this.control, HEAD);
    this.seen = Atomics.load(this.control, TAIL);
  }

  /** Producer: packets published and not yet claimed; what another thread claimed just now may be among them. */
  get backlog(): number {
    return (this.head - this.control[TAIL]!) | 0;
  }

  /** The position the next published packet gets. */
  get nextPosition(): number {
    return Atomics.load(this.control, HEAD) >>> 0;
  }

  /** The block of a position's slot, and its offset there: of one that is reserved, or whose slot `holds` it. */
  blockOf(position: number): Block {
    return this.store.pages[this.pageOf(position)]!;
  }

  offsetOf(position: number): number {
    return this.store.first + (position & this.inPage) * this.slotBytes;
  }

  /** Producer: takes the next slot for writing and returns its position. Call `publish` when it is filled. */
  reserve(): number {
    const position = this.head;
    let page = this.pageOf(position);
    if (page < 0 || this.begun !== (position & ~this.inPage)) page = this.begin(position, page);
    Atomics.store(this.store.metas[page]!, (position & this.inPage) * META + STAMP, position);
    return position >>> 0;
  }

  /** Producer: makes the reserved slot readable. `length` is the plaintext's, sequence and distance included. */
  publish(length: number, flags: number): void {
    const position = this.head;
    const meta = this.metaOf(position);
    const at = (position & this.inPage) * META;
    meta[at + LENGTH] = length;
    meta[at + FLAGS] = flags;
    meta[at + NOTE] = 0;
    this.head = (position + 1) | 0;
    meta[at + STAMP] = this.head;
    // With it everything above.
    Atomics.store(this.control, HEAD, this.head);
    this.kept++;
  }

  /** Consumer: claims the oldest unclaimed packet. Its position, or -1 when none waits. Each is claimed once. */
  claim(): number {
    for (;;) {
      const tail = this.waiting();
      if (tail < 0) return -1;
      if (Atomics.compareExchange(this.control, TAIL, tail | 0, (tail + 1) | 0) === (tail | 0)) return tail;
    }
  }

  /** Consumer: the packet that `claim` would claim now; -1 when none waits. */
  peek(): number {
    return this.waiting();
  }

  /** True while the slot still holds this position, whole. Ask again after reading. */
  holds(position: number): boolean {
    const page = this.pageOf(position);
    if (page < 0) return false;
    const stamp = Atomics.load(this.store.metas[page]!, (position & this.inPage) * META + STAMP);
    return stamp === ((position + 1) | 0);
  }

  /** Of a position that it does not hold: true when the producer has come round since, false when the packet was settled. */
  lapped(position: number): boolean {
    return (Atomics.load(this.control, HEAD) - position) >>> 0 >= this.slots;
  }

  lengthOf(position: number): number {
    return this.metaOf(position)[(position & this.inPage) * META + LENGTH]!;
  }

  flagsOf(position: number): number {
    return this.metaOf(position)[(position & this.inPage) * META + FLAGS]!;
  }

  noteOf(position: number): number {
    return this.metaOf(position)[(position & this.inPage) * META + NOTE]!;
  }

  /** Only meaningful while `holds(position)`. */
  setNote(position: number, note: number): void {
    this.metaOf(position)[(position & this.inPage) * META + NOTE] = note;
  }

  /** Nobody will ask for this packet again: once each, and only while `holds(position)`. */
  settle(position: number): void {
    // Where the producer has come round, the page counts its new packets.
    if (((this.begun - (position & ~this.inPage)) | 0) >= this.slots) return;
    const entry = (position & (this.slots - 1)) >>> this.pageShift;
    const left = this.unsettled[entry]! - 1;
    this.unsettled[entry] = left;
    this.kept--;
    if (left === 0) this.giveBack(entry);
  }

  /** Gives every page back: nobody will ask for any packet again. */
  clear(): void {
    for (let entry = 0; this.pages > 0; entry++) if (this.table[entry] !== 0) this.giveBack(entry);
    this.kept = 0;
  }

  /** The position at the tail, -1 when no packet waits there. */
  private waiting(): number {
    const tail = this.control[TAIL]!;
    // Others may have claimed past what was seen.
    if (((this.seen - tail) | 0) <= 0) {
      this.seen = Atomics.load(this.control, HEAD);
      if (((this.seen - tail) | 0) <= 0) return -1;
    }
    return tail >>> 0;
  }

  private pageOf(position: number): number {
    return this.table[(position & (this.slots - 1)) >>> this.pageShift]! - 1;
  }

  private metaOf(position: number): Int32Array {
    return this.store.metas[this.pageOf(position)]!;
  }

  /** The producer enters a page, or one that was given back while it was in it. */
  private begin(position: number, present: number): number {
    const entry = (position & (this.slots - 1)) >>> this.pageShift;
    const start = position & ~this.inPage;
    this.begun = start;
    // Nobody settles those any more (see there).
    if (present >= 0) this.kept -= this.unsettled[entry]!;
    this.unsettled[entry] = this.store.pageSlots - (position & this.inPage);
    // What is still there is lapped slot by slot.
    if (present >= 0) return present;
    const page = this.store.take();
    const meta = this.store.metas[page]!;
    // Whatever these slots held, it is no packet of this ring's.
    for (let i = 0; i < this.store.pageSlots; i++) meta[i * META + STAMP] = start + i;
    Atomics.store(this.table, entry, page + 1);
    this.pages++;
    return page;
  }

  private giveBack(entry: number): void {
    const page = this.table[entry]! - 1;
    Atomics.store(this.table, entry, 0);
    this.pages--;
    this.store.give(page);
  }
}
