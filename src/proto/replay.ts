/**
 * Replay window of one path and direction (RFC 6479): a bitmap over the newest packet numbers, moved in whole words so
 * that nothing is shifted. It is also the record acknowledgements are made from. Packet numbers are safe integers from 0.
 *
 * Ask with `check` before the tag is verified, and `accept` only after.
 */
export type Freshness = "fresh" | "duplicate" | "tooOld";

const WORD = 32;

export class ReplayWindow {
  /** Largest packet number accepted; -1 before the first. */
  largest = -1;
  private readonly words: Int32Array;
  private readonly span: number;

  /** Remembers `size` packet numbers; a power of two, at least 64. */
  constructor(size: number) {
    if (size < 64 || (size & (size - 1)) !== 0) throw new Error("replay window: size must be a power of two");
    // One word more than the window, which is being cleared ahead of it (RFC 6479 section 2.1).
    this.words = new Int32Array(size / WORD);
    this.span = size - WORD;
  }

  check(packetNumber: number): Freshness {
    if (packetNumber > this.largest) return "fresh";
    if (packetNumber <= this.largest - this.span) return "tooOld";
    return this.bit(packetNumber) ? "duplicate" : "fresh";
  }

  /** Marks an authentic packet number for which `check` says fresh. */
  accept(packetNumber: number): void {
    const count = this.words.length;
    if (packetNumber > this.largest) {
      const from = Math.floor(this.largest / WORD);
      const to = Math.floor(packetNumber / WORD);
      const clear = Math.min(to - from, count);
      for (let i = 0; i < clear; i++) this.words[(to - i) % count] = 0;
      this.largest = packetNumber;
    }
    this.words[Math.floor(packetNumber / WORD) % count]! |= 1 << (packetNumber % WORD);
  }

  /** True when this packet number, inside the window, was accepted. */
  has(packetNumber: number): boolean {
    return (
      packetNumber <= this.largest &&
      packetNumber > this.largest - this.span &&
      packetNumber >= 0 &&
      this.bit(packetNumber)
    );
  }

  /** Lowest packet number the window still knows; at least 0. */
  get lowest(): number {
    return Math.max(0, this.largest - this.span + 1);
  }

  private bit(packetNumber: number): boolean {
    return (
      ((this.words[Math.floor(packetNumber / WORD) % this.words.length]! >>> (packetNumber % WORD)) & 1) === 1
    );
  }
}
