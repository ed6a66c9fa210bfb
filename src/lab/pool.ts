/**
 * Memory for packets on emulated lines: slots of one packet each, in blocks that are added as lines fill and never
 * given back. A slot is named by a number.
 */
import type { Block, MakeBlock } from "../share/block.ts";

/** A packet of the usual MTU and some to spare. */
export const SLOT_BYTES = 2048;
const SLOTS_PER_BLOCK = 1024;

export class SlotPool {
  private readonly makeBlock: MakeBlock;
  private readonly blocks: Block[] = [];
  private free = new Int32Array(SLOTS_PER_BLOCK);
  private freeCount = 0;

  constructor(makeBlock: MakeBlock) {
    this.makeBlock = makeBlock;
  }

  take(): number {
    if (this.freeCount === 0) this.grow();
    return this.free[--this.freeCount]!;
  }

  give(slot: number): void {
    this.free[this.freeCount++] = slot;
  }

  block(slot: number): Block {
    return this.blocks[(slot / SLOTS_PER_BLOCK) | 0]!;
  }

  offset(slot: number): number {
    return (slot % SLOTS_PER_BLOCK) * SLOT_BYTES;
  }

  /** Slots that are taken. */
  get used(): number {
    return this.blocks.length * SLOTS_PER_BLOCK - this.freeCount;
  }

  private grow(): void {
    const first = this.blocks.length * SLOTS_PER_BLOCK;
    this.blocks.push(this.makeBlock(SLOTS_PER_BLOCK * SLOT_BYTES));
    this.free = new Int32Array(this.blocks.length * SLOTS_PER_BLOCK);
    for (let i = 0; i < SLOTS_PER_BLOCK; i++) this.free[i] = first + i;
    this.freeCount = SLOTS_PER_BLOCK;
  }
}
