/**
 * Slots for packets that wait in no fixed order: pages of the store, taken when first needed and given back when none waits.
 * A slot is a number; its owner keeps what it knows of the packet in arrays of `room` entries.
 */
import { enlarged } from "./arrays.ts";
import type { Block } from "./block.ts";
import type { Store } from "./store.ts";

export const NONE = -1;
const NOTHING = new Int32Array(0);

export class Slots {
  /** The next slot of a list: of free ones here, of used ones as the owner likes. */
  next = NOTHING;
  private readonly store: Store;
  private readonly pages: number[] = [];
  private readonly mask: number;
  private readonly shift: number;
  private free = NONE;

  constructor(store: Store) {
    this.store = store;
    this.mask = store.pageSlots - 1;
    this.shift = Math.log2(store.pageSlots);
  }

  /** Numbers are below this. It grows by doubling, and shrinks to nothing. */
  get room(): number {
    return this.next.length;
  }

  get empty(): boolean {
    return this.pages.length === 0;
  }

  blockOf(slot: number): Block {
    return this.store.pages[this.pages[slot >> this.shift]!]!;
  }

  offsetOf(slot: number): number {
    return this.store.first + (slot & this.mask) * this.store.slotBytes;
  }

  /** The slot that `take` will take. */
  peek(): number {
    if (this.free === NONE) this.grow();
    return this.free;
  }

  take(): number {
    const slot = this.peek();
    this.free = this.next[slot]!;
    return slot;
  }

  put(slot: number): void {
    this.next[slot] = this.free;
    this.free = slot;
  }

  /** Gives back the pages beyond so many slots. No slot may be in use. */
  keep(slots: number): void {
    const pages = (slots + this.mask) >> this.shift;
    if (pages >= this.pages.length) return;
    while (this.pages.length > pages) this.store.give(this.pages.pop()!);
    this.free = NONE;
    if (pages === 0) this.next = NOTHING;
    for (let slot = (pages << this.shift) - 1; slot >= 0; slot--) this.put(slot);
  }

  private grow(): void {
    const from = this.pages.length << this.shift;
    const to = from + this.mask + 1;
    this.pages.push(this.store.take());
    if (to > this.next.length) this.next = enlarged(this.next, new Int32Array(Math.max(to, 2 * from)));
    for (let slot = to - 1; slot >= from; slot--) this.put(slot);
  }
}
