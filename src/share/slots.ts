/**
 * Slots for packets that wait in no fixed order: in pages of the store, each taken when the one before it is full, and given
 * back when none of its packets waits any more. Packets that come and go in order leave no page half empty; where flows
 * drain at different paces, the emptiest page is filled again before there is much more memory than packets.
 *
 * A slot is a number; its owner keeps what it knows of the packet in arrays of `room` entries.
 */
import { enlarged } from "./arrays.ts";
import type { Block } from "./block.ts";
import type { Store } from "./store.ts";

export const NONE = -1;
const NOTHING = new Int32Array(0);
/** So many pages may be there beyond those needed and a quarter of them. */
export const SPARE_PAGES = 2;

export class Slots {
  /** The next slot of a list: of a page's free ones here, of used ones as the owner likes. */
  next = NOTHING;
  private readonly store: Store;
  private readonly mask: number;
  private readonly shift: number;
  /** Of our pages, by number: which of the store's it is (NONE: given back), its first free slot, how many are used. */
  private readonly pages: number[] = [];
  private readonly free: number[] = [];
  private readonly used: number[] = [];
  /** Numbers of pages that were given back. */
  private readonly absent: number[] = [];
  /** The page that is being filled; kept while it is empty, so that no page comes and goes with every packet. */
  private filling = NONE;
  /** Slots in use. */
  private taken = 0;

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
    return this.held === 0;
  }

  blockOf(slot: number): Block {
    return this.store.pages[this.pages[slot >> this.shift]!]!;
  }

  offsetOf(slot: number): number {
    return this.store.first + (slot & this.mask) * this.store.slotBytes;
  }

  /** The slot that `take` will take. */
  peek(): number {
    if (this.filling === NONE || this.free[this.filling] === NONE) this.filling = this.nextPage();
    return this.free[this.filling]!;
  }

  take(): number {
    const slot = this.peek();
    const { filling } = this;
    this.free[filling] = this.next[slot]!;
    this.used[filling]!++;
    this.taken++;
    return slot;
  }

  put(slot: number): void {
    const page = slot >> this.shift;
    this.next[slot] = this.free[page]!;
    this.free[page] = slot;
    this.taken--;
    if (--this.used[page]! === 0 && page !== this.filling) this.giveBack(page);
  }

  /** Gives everything back; slots in use are lost. */
  clear(): void {
    for (const page of this.pages) if (page !== NONE) this.store.give(page);
    this.pages.length = this.free.length = this.used.length = this.absent.length = 0;
    this.filling = NONE;
    this.taken = 0;
    this.next = NOTHING;
  }

  /** Pages of the store that it has. */
  private get held(): number {
    return this.pages.length - this.absent.length;
  }

  private nextPage(): number {
    const needed = this.taken >> this.shift;
    if (this.held > needed + (needed >> 2) + SPARE_PAGES) return this.emptiest();
    const page = this.absent.pop() ?? this.pages.length;
    const from = page << this.shift;
    const to = from + this.mask + 1;
    this.pages[page] = this.store.take();
    this.used[page] = 0;
    this.free[page] = from;
    if (to > this.next.length) this.next = enlarged(this.next, new Int32Array(Math.max(to, 2 * from)));
    for (let slot = from; slot < to; slot++) this.next[slot] = slot + 1;
    this.next[to - 1] = NONE;
    return page;
  }

  /** Of the pages we have; a fifth of it is free at least, so that it is not looked for with every packet. */
  private emptiest(): number {
    let best = NONE;
    for (let page = 0; page < this.pages.length; page++) {
      if (this.pages[page] === NONE) continue;
      if (best === NONE || this.used[page]! < this.used[best]!) best = page;
    }
    return best;
  }

  private giveBack(page: number): void {
    this.store.give(this.pages[page]!);
    this.pages[page] = NONE;
    this.absent.push(page);
  }
}
