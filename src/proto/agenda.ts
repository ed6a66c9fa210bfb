/**
 * Who is to be looked at next: a binary heap of things by their time, which keeps in each thing its place. Finding the
 * next costs nothing, moving one a few comparisons, however many there are.
 */
export interface Planned {
  /** When it is to be looked at. Owned by the agenda while it is in one. */
  at: number;
  /** Its place in the heap; -1 = in none. */
  place: number;
}

export class Agenda<Thing extends Planned> {
  private readonly heap: Thing[] = [];

  get length(): number {
    return this.heap.length;
  }

  /** When the first is due; Infinity when there is none. */
  get nextAt(): number {
    return this.heap.length === 0 ? Number.POSITIVE_INFINITY : this.heap[0]!.at;
  }

  add(thing: Thing): void {
    thing.place = this.heap.push(thing) - 1;
    this.up(thing);
  }

  /** Takes a thing out, if it is in. */
  remove(thing: Thing): void {
    const { place } = thing;
    if (place < 0) return;
    thing.place = -1;
    const last = this.heap.pop()!;
    if (last === thing) return;
    last.place = place;
    this.heap[place] = last;
    this.settle(last);
  }

  /** Takes out the first that is due at `now`; null when none is. */
  due(now: number): Thing | null {
    const first = this.heap[0];
    if (first === undefined || first.at > now) return null;
    this.remove(first);
    return first;
  }

  /** Gives a thing another time, in the agenda or not. */
  move(thing: Thing, at: number): void {
    if (thing.at === at) return;
    thing.at = at;
    if (thing.place >= 0) this.settle(thing);
  }

  private settle(thing: Thing): void {
    if (!this.up(thing)) this.down(thing);
  }

  /** True when it moved. */
  private up(thing: Thing): boolean {
    const { heap } = this;
    const from = thing.place;
    let place = from;
    while (place > 0) {
      const parent = heap[(place - 1) >> 1]!;
      if (parent.at <= thing.at) break;
      heap[place] = parent;
      parent.place = place;
      place = (place - 1) >> 1;
    }
    heap[place] = thing;
    thing.place = place;
    return place !== from;
  }

  private down(thing: Thing): void {
    const { heap } = this;
    let { place } = thing;
    for (;;) {
      let at = 2 * place + 1;
      if (at >= heap.length) break;
      if (at + 1 < heap.length && heap[at + 1]!.at < heap[at]!.at) at++;
      const child = heap[at]!;
      if (child.at >= thing.at) break;
      heap[place] = child;
      child.place = place;
      place = at;
    }
    heap[place] = thing;
    thing.place = place;
  }
}
