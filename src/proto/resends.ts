/**
 * What the paths lost, and which of it leaves again by which path. The oldest loss goes first, by whichever path has room, but:
 *
 *   - What was lost more than once is not for the path that lost it last, whose queue may be overflowing, if there is another.
 *   - What is larger than a path carries is left to one that carries it (proto/innermtu.ts).
 *
 * These wait apart, so that a path that may not take them need not look at each, however many they are.
 */
import type { DropCounters } from "../share/counters.ts";
import {
  NOTE_COPIED,
  NOTE_COPY_SHIFT,
  NOTE_DONE,
  NOTE_RESENDS,
  NOTE_WAITS,
  type Ring,
} from "../share/ring.ts";
import { isForLarger } from "./innermtu.ts";
import { MAX_RESENDS, RESENDS_BY_ANY } from "./limits.ts";
import type { Path } from "./path.ts";

const INITIAL = 16;

/** Ring positions: a queue that grows as needed and allocates nothing otherwise. */
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

  /** The oldest; -1 when empty. */
  peek(): number {
    return this.length === 0 ? -1 : this.positions[this.first]!;
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

/** Packets that had better not leave by this path again. */
interface Kept {
  readonly pathId: number;
  readonly queue: ResendQueue;
}

export class Resends {
  private readonly ring: Ring;
  private readonly paths: readonly Path[];
  private readonly drops: DropCounters;
  private readonly common = new ResendQueue();
  /** Those that were too large for a path that could have taken them. */
  private readonly large = new ResendQueue();
  /** One of each path that has lost packets for another time lately. */
  private kept: Kept[] = [];

  /** `paths`: of the session. */
  constructor(ring: Ring, paths: readonly Path[], drops: DropCounters) {
    this.ring = ring;
    this.paths = paths;
    this.drops = drops;
  }

  /** About so many wait: some may have arrived meanwhile. */
  get length(): number {
    let length = this.common.length + this.large.length;
    for (let i = 0; i < this.kept.length; i++) length += this.kept[i]!.queue.length;
    return length;
  }

  onDelivered(position: number): void {
    const { ring } = this;
    if (!ring.holds(position)) return;
    const note = ring.noteOf(position);
    if ((note & NOTE_DONE) !== 0) return;
    ring.setNote(position, note | NOTE_DONE);
    if ((note & NOTE_WAITS) === 0) ring.settle(position);
  }

  onLost(position: number, path: Path): void {
    const { ring } = this;
    if (!ring.holds(position)) {
      // Settled and given back, unless the ring was too short for it.
      if (ring.lapped(position)) this.drops.count("expired");
      return;
    }
    const note = ring.noteOf(position);
    if ((note & NOTE_DONE) !== 0) return;
    // The copy of one that is under way as well, or waits to leave again.
    if ((note & NOTE_COPIED) !== 0 && note >>> NOTE_COPY_SHIFT === path.id) {
      ring.setNote(position, note & (NOTE_RESENDS | NOTE_WAITS));
      return;
    }
    const resends = (note & NOTE_RESENDS) + 1;
    if (resends > MAX_RESENDS) {
      this.drops.count("expired");
      ring.setNote(position, note | NOTE_DONE);
      ring.settle(position);
      return;
    }
    ring.setNote(position, (note & ~NOTE_RESENDS) | NOTE_WAITS | resends);
    (resends <= RESENDS_BY_ANY ? this.common : this.keptFrom(path.id)).push(position);
  }

  /** The position of a packet that is to leave again by this path now; -1: none. `any`: also what is better sent on another. */
  take(now: number, path: Path, any: boolean): number {
    const position = this.choose(now, path, any);
    if (position < 0) return -1;
    const { ring } = this;
    ring.setNote(position, ring.noteOf(position) & ~NOTE_WAITS);
    path.resentPackets++;
    return position;
  }

  /** Gives memory back that was needed for many. */
  trim(): void {
    this.common.trim();
    this.large.trim();
    this.kept = this.kept.filter(({ queue }) => queue.length > 0);
  }

  private choose(now: number, path: Path, any: boolean): number {
    const large = this.large.length === 0 ? -1 : this.firstLarge(now, path);
    if (large >= 0) return large;
    // What has been waited for longest.
    for (let i = 0; i < this.kept.length; i++) {
      const { pathId, queue } = this.kept[i]!;
      if (queue.length === 0 || (pathId === path.id && !any && this.hasOther(path))) continue;
      const position = this.firstOf(queue, now, path);
      if (position >= 0) return position;
    }
    return this.firstOf(this.common, now, path);
  }

  /** Takes the first of a queue that this path may take, and puts apart what is too large for it. */
  private firstOf(queue: ResendQueue, now: number, path: Path): number {
    for (let position = queue.shift(); position >= 0; position = queue.shift()) {
      if (!this.waits(position)) continue;
      if (!this.isTooLarge(now, position, path)) return position;
      this.large.push(position);
    }
    return -1;
  }

  /** What is too large for this path stays where it is, and what is behind it is as large, or nearly. */
  private firstLarge(now: number, path: Path): number {
    const { large } = this;
    for (let position = large.peek(); position >= 0; position = large.peek()) {
      const waits = this.waits(position);
      if (waits && this.isTooLarge(now, position, path)) return -1;
      large.shift();
      if (waits) return position;
    }
    return -1;
  }

  /** False: it has arrived meanwhile, or the ring holds it no more. Then it is to be taken out of its queue. */
  private waits(position: number): boolean {
    const { ring } = this;
    if (!ring.holds(position)) {
      this.drops.count("expired");
      return false;
    }
    if ((ring.noteOf(position) & NOTE_DONE) === 0) return true;
    ring.settle(position);
    return false;
  }

  private isTooLarge(now: number, position: number, path: Path): boolean {
    return isForLarger(now, this.ring.lengthOf(position), path, this.paths);
  }

  /** There is another path that takes what this one lost. One that carries nothing would let it wait for as long as that lasts. */
  private hasOther(path: Path): boolean {
    for (let i = 0; i < this.paths.length; i++) {
      const other = this.paths[i]!;
      if (other !== path && other.carries && other.status === "up" && other.metric <= path.metric)
        return true;
    }
    return false;
  }

  private keptFrom(pathId: number): ResendQueue {
    for (let i = 0; i < this.kept.length; i++) {
      if (this.kept[i]!.pathId === pathId) return this.kept[i]!.queue;
    }
    const queue = new ResendQueue();
    this.kept.push({ pathId, queue });
    return queue;
  }
}
