/**
 * Which packet of the same flow went before: a direct-mapped table from flow hash to the flow's last data sequence.
 * Two flows that share an entry are ordered together, which costs a little waiting and never correctness.
 */

const ENTRIES = 4096;
/** The distance travels in 16 bits. */
const MAX_DISTANCE = 0xffff;
const NOTHING = new Uint32Array(0);

export class FlowTable {
  /** Last sequence plus one; 0 = none. Made when first needed. */
  private next = NOTHING;

  /** Distance from `sequence` back to the flow's previous packet (0 = none or too far), and remembers this one. */
  distance(hash: number, sequence: number): number {
    if (this.next.length === 0) this.next = new Uint32Array(ENTRIES);
    const at = hash & (ENTRIES - 1);
    const next = this.next[at]!;
    // The very last sequence before they wrap is taken for none: its successor is not held for it.
    const distance = next === 0 ? 0 : (sequence - next + 1) >>> 0;
    this.next[at] = sequence + 1;
    return distance > MAX_DISTANCE ? 0 : distance;
  }

  get empty(): boolean {
    return this.next.length === 0;
  }

  /** Forgets all flows: what is to come waits for nothing that went before. */
  forget(): void {
    this.next = NOTHING;
  }
}
