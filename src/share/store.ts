/**
 * The store: memory for inner packets, in pages of some slots that all sessions of a portal share. A session takes a page
 * when it has packets to keep and gives it back when it has none, so that memory follows what is under way, not how many
 * sessions there are.
 *
 *   page:  per slot four words of its owner's (4 x 4 bytes) | slots
 *
 * Pages are numbered for good, so that another thread that was given the same blocks finds them; taking and giving is one
 * thread's. A page taken holds whatever its last owner left. Nothing is allocated but the pages.
 */
import type { Block, MakeBlock } from "./block.ts";

/** Gives a block's memory back to the system. It may be used again, and holds nothing of what it held. */
export type ReleaseBlock = (block: Block) => void;

/** Slots of a page: enough that pages change hands rarely, few enough (64 KB) for a session that keeps a packet or two. */
export const PAGE_SLOTS = 32;
/** Words of a slot's owner. */
export const META = 4;
/** Fewer pages are not worth the system calls. */
export const LEAST_RELEASED = 16;

export class Store {
  readonly slotBytes: number;
  readonly pageSlots: number;
  /** Where the slots of a page begin. */
  readonly first: number;
  /** The pages, by number, and the words of their slots. */
  readonly pages: Block[] = [];
  readonly metas: Int32Array[] = [];
  private readonly make: MakeBlock;
  private readonly release: ReleaseBlock;
  /** Nobody's; the one given back last is taken first, while the processor's cache still has it. */
  private readonly spare: number[] = [];
  /** Nobody's, and without memory. */
  private readonly bare: number[] = [];
  /** So many were spare all the time since the last `trim`. */
  private unneeded = 0;

  /** `slotBytes`: room for a packet; a multiple of 4. `pages`: those another thread's store has. */
  constructor(
    make: MakeBlock,
    release: ReleaseBlock,
    slotBytes: number,
    pageSlots = PAGE_SLOTS,
    pages: readonly Block[] = [],
  ) {
    if (pageSlots < 2 || (pageSlots & (pageSlots - 1)) !== 0)
      throw new Error("store: slots of a page must be a power of two");
    this.make = make;
    this.release = release;
    this.slotBytes = slotBytes;
    this.pageSlots = pageSlots;
    this.first = pageSlots * META * 4;
    for (const page of pages) this.add(page);
  }

  get pageBytes(): number {
    return this.first + this.pageSlots * this.slotBytes;
  }

  /** Pages that somebody has. */
  get used(): number {
    return this.pages.length - this.spare.length - this.bare.length;
  }

  /** Pages that have memory and are nobody's. */
  get spares(): number {
    return this.spare.length;
  }

  take(): number {
    const page = this.spare.pop() ?? this.bare.pop() ?? this.add(this.make(this.pageBytes));
    if (this.spare.length < this.unneeded) this.unneeded = this.spare.length;
    return page;
  }

  give(page: number): void {
    this.spare.push(page);
  }

  /** Gives half of what was not needed since the last call back to the system: call it every second or so. */
  trim(): void {
    const count = Math.min(Math.max(this.unneeded >> 1, LEAST_RELEASED), this.unneeded);
    for (const page of this.spare.splice(0, count)) {
      this.release(this.pages[page]!);
      this.bare.push(page);
    }
    this.unneeded = this.spare.length;
  }

  private add(page: Block): number {
    this.metas.push(new Int32Array(page.bytes.buffer, page.bytes.byteOffset, this.pageSlots * META));
    return this.pages.push(page) - 1;
  }
}
