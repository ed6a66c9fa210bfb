/**
 * Which packet of the same flow went before: a direct-mapped table from flow hash to the flow's last data sequence.
 * Two flows that share an entry are ordered together, which costs a little waiting and never correctness.
 */

const ENTRIES = 4096;
/** The distance travels in 16 bits. */
const MAX_DISTANCE = 0xffff;

export class FlowTable {
  private readonly last = new Uint32Array(ENTRIES);
  private readonly used = new Uint8Array(ENTRIES);

  /** Distance from `sequence` back to the flow's previous packet (0 = none or too far), and remembers this one. */
  distance(hash: number, sequence: number): number {
    const at = hash & (ENTRIES - 1);
    const distance = this.used[at] === 0 ? 0 : (sequence - this.last[at]!) >>> 0;
    this.used[at] = 1;
    this.last[at] = sequence;
    return distance > MAX_DISTANCE ? 0 : distance;
  }
}
