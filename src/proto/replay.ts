/**
 * Replay window of one path and direction (RFC 6479): a bitmap over the newest packet numbers, moved in whole words so
 * that nothing is shifted. It is also the record acknowledgements are made from. Packet numbers are safe integers from 0.
 *
 * Ask with `check` before the tag is verified, and `accept` only after.
 */
export type Freshness = "fresh" | "duplicate" | "tooOld";

const WORD = 32;

export class ReplayWindow {
  /** Largest packet number accepted; one below the first possible before any was. */
  largest = -1;
  /** Packet numbers below this belong to another path. */
  private first = 0;
  private readonly words: Int32Array;
  private readonly span: number;

  /** Remembers `size` packet numbers; a power of two, at least 64. */
  constructor(size: number) {
    if (size < 64 || (size & (size - 1)) !== 0) throw new Error("replay window: size must be a power of two");
    // One word more than the window, which is being cleared ahead of it (RFC 6479 section 2.1).
    this.words = new Int32Array(size / WORD);
    this.span = size - WORD;
  }

  /** Before anything is accepted: what is below `first` is too old. */
  begin(first: number): void {
    this.first = first;
    this.largest = first - 1;
  }

  check(packetNumber: number): Freshness {
    if (packetNumber > this.largest) return "fresh";
    if (packetNumber <= this.largest - this.span || packetNumber < this.first) return "tooOld";
    return this.bit(packetNumber) ? "duplicate" : "fresh";
  }

  /** Marks an authentic packet number for which `check` says fresh. */
  accept(packetNumber: number): void {
    if (packetNumber > this.largest) {
      const from = Math.floor(this.largest / WORD);
      const to = Math.floor(packetNumber / WORD);
      const clear = Math.min(to - from, this.words.length);
      for (let i = 0; i < clear; i++) this.words[this.index(to - i)] = 0;
      this.largest = packetNumber;
    }
    this.words[this.index(Math.floor(packetNumber / WORD))]! |= 1 << packetNumber;
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

  /** Lowest packet number the window still knows. */
  get lowest(): number {
    return Math.max(this.first, this.largest - this.span + 1);
  }

  /**
   * The lower end of a run: going down from `from`, the first packet number that was accepted (or, with `accepted` false,
   * that was not). One below `lowest` when there is none. Looks at whole words.
   */
  down(from: number, accepted: boolean): number {
    const { lowest } = this;
    for (let at = from; at >= lowest; ) {
      const word = this.words[this.index(Math.floor(at / WORD))]!;
      // The bits of interest, `at` itself topmost.
      const wanted = (accepted ? word : ~word) << (WORD - 1 - (at & (WORD - 1)));
      if (wanted !== 0) return Math.max(at - Math.clz32(wanted), lowest - 1);
      at = Math.floor(at / WORD) * WORD - 1;
    }
    return lowest - 1;
  }

  private bit(packetNumber: number): boolean {
    return ((this.words[this.index(Math.floor(packetNumber / WORD))]! >>> packetNumber) & 1) === 1;
  }

  /** Where a word of the packet numbers' bits lies. By mask: a remainder of floating-point numbers costs ten times as much. */
  private index(word: number): number {
    return word & (this.words.length - 1);
  }
}
