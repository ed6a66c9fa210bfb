/**
 * A first-in, first-out queue of packets that allocates only when it grows.
 *
 * Fields stand in arrays of their own, so that pushing and taking a packet makes no object. An item that was taken
 * or overwritten is forgotten at once: the queue keeps nothing alive.
 */
export class PacketRing<T> {
  private items: (T | undefined)[] = new Array<T | undefined>(64).fill(undefined);
  private sizes = new Float64Array(64);
  private times = new Float64Array(64);
  private marks = new Uint8Array(64);
  private head = 0;
  private count = 0;

  get length(): number {
    return this.count;
  }

  push(item: T | undefined, bytes: number, time: number, mark: number): void {
    if (this.count === this.sizes.length) this.grow();
    const at = (this.head + this.count) & (this.sizes.length - 1);
    this.items[at] = item;
    this.sizes[at] = bytes;
    this.times[at] = time;
    this.marks[at] = mark;
    this.count++;
  }

  /** The four fields of the oldest packet; meaningless when the queue is empty. */
  get item(): T | undefined {
    return this.items[this.head];
  }

  get bytes(): number {
    return this.sizes[this.head]!;
  }

  get time(): number {
    return this.times[this.head]!;
  }

  get mark(): number {
    return this.marks[this.head]!;
  }

  set mark(value: number) {
    this.marks[this.head] = value;
  }

  /** Forgets the oldest packet. */
  drop(): void {
    this.items[this.head] = undefined;
    this.head = (this.head + 1) & (this.sizes.length - 1);
    this.count--;
  }

  private grow(): void {
    const old = this.sizes.length;
    const items = new Array<T | undefined>(old * 2).fill(undefined);
    const sizes = new Float64Array(old * 2);
    const times = new Float64Array(old * 2);
    const marks = new Uint8Array(old * 2);
    for (let i = 0; i < this.count; i++) {
      const from = (this.head + i) & (old - 1);
      items[i] = this.items[from];
      sizes[i] = this.sizes[from]!;
      times[i] = this.times[from]!;
      marks[i] = this.marks[from]!;
    }
    this.items = items;
    this.sizes = sizes;
    this.times = times;
    this.marks = marks;
    this.head = 0;
  }
}
