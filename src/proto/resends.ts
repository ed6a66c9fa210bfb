/** Ring positions that were lost and wait to leave again: a queue that grows as needed and allocates nothing otherwise. */
const INITIAL = 16;

export class ResendQueue {
  private positions = new Uint32Array(INITIAL);
  private first = 0;
  length = 0;

  push(position: number): void {
    if (this.length === this.positions.length) {
      const larger = new Uint32Array(this.length * 2);
      for (let i = 0; i < this.length; i++) larger[i] = this.at(i);
      this.positions = larger;
      this.first = 0;
    }
    this.positions[(this.first + this.length) & (this.positions.length - 1)] = position;
    this.length++;
  }

  /** The oldest, removed; -1 when empty. */
  shift(): number {
    if (this.length === 0) return -1;
    const position = this.positions[this.first]!;
    this.first = (this.first + 1) & (this.positions.length - 1);
    this.length--;
    return position;
  }

  /** Gives memory back if nothing waits. */
  trim(): void {
    if (this.length === 0 && this.positions.length > INITIAL) this.positions = new Uint32Array(INITIAL);
    if (this.length === 0) this.first = 0;
  }

  private at(i: number): number {
    return this.positions[(this.first + i) & (this.positions.length - 1)]!;
  }
}
