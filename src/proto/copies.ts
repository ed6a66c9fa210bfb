/**
 * Packets that leave a second time, by another path; the first of the two that arrives counts. It is of use in three cases:
 *
 *   - Where delays vary, and the other path has nothing to do, neither a loss nor a late packet holds a flow up. It matters
 *     to one that begins: its sender takes what comes late for a queue, and stops growing (proto/ackfilter.ts).
 *   - A path that does not carry yet learns its rate by them, at nobody's expense: when it joins (proto/scheduler.ts), it
 *     need not try with packets that others wait for. (Padding in their place was tried: 61 instead of 78 Mbit/s
 *     over 50 at 20 ms and 50 at 40 ms.)
 *   - A radio that fades has packets in it for seconds, and a flow waits for them while other paths have nothing to do.
 *     (Recorded LTE and UMTS lines, one flow upwards: 0.92 of the sum of both, 0.76 without.) Small ones leave again although
 *     others wait: it costs next to nothing, and they are of calls, pings and acknowledgements.
 *
 * Copies cost what the other path carries. So they leave only by paths of the lowest metric and without a data cap, and are
 * no more than a share of what is sent; with some in hand for flows that begin, and for small packets. Scheduler.mayCopy and
 * overdueUntil say when.
 */
import { NOTE_COPIED, NOTE_COPY_SHIFT, type Ring } from "../share/ring.ts";
import { isForLarger } from "./innermtu.ts";
import type { Path } from "./path.ts";
import { OUTSTANDING } from "./sentlog.ts";

/** So many of the packets that left last may be copied. */
const RECENT = 256;
const NOBODY = -1;
/** Bytes copied for each that is sent, and at once. */
const SHARE = 1 / 16;
const MOST_AT_ONCE = 2_000_000;
/** Up to so many bytes, with its header, a packet is small. */
const SMALL = 512;
/** Bytes in hand beside those, for small ones that are overdue. */
const FOR_SMALL = 250_000;
/** A path that has not learnt its rate by so many bytes has no load to learn it with. */
const MOST_LEARNT = 4_000_000;

export class Copies {
  /** Packets that left a second time. */
  sent = 0;
  private readonly ring: Ring;
  private readonly order: readonly Path[];
  /** Ring positions, and the ids of the paths by which they left; NOBODY: not to be copied any more. */
  private readonly positions = new Uint32Array(RECENT);
  private readonly senders = new Int16Array(RECENT);
  private first = 0;
  private count = 0;
  private inHand = MOST_AT_ONCE + FOR_SMALL;
  /** By path id: bytes of copies that were only to learn its rate. */
  private readonly learnt = new Float64Array(256);

  /** `order`: the paths of the session. */
  constructor(ring: Ring, order: readonly Path[]) {
    this.ring = ring;
    this.order = order;
  }

  /** So many bytes left for the first time, or again. */
  earn(bytes: number): void {
    this.inHand = Math.min(this.inHand + SHARE * bytes, MOST_AT_ONCE + FOR_SMALL);
  }

  /** A packet left by this path that may be copied. */
  onSent(position: number, path: Path): void {
    if (this.count === RECENT) this.shift();
    const at = (this.first + this.count++) & (RECENT - 1);
    this.positions[at] = position;
    this.senders[at] = path.id;
  }

  /** The position of a packet that this path may send as well, the oldest first; -1: none. `learning`: only to learn its rate. */
  take(now: number, path: Path, learning: boolean): number {
    const { ring, senders } = this;
    if (learning && this.learnt[path.id]! >= MOST_LEARNT) return -1;
    // What is at the front and over need not be looked at again.
    while (this.count > 0 && senders[this.first] === NOBODY) this.shift();
    for (let i = 0; i < this.count; i++) {
      const at = (this.first + i) & (RECENT - 1);
      const position = this.positions[at]!;
      if (senders[at] === path.id) continue;
      // What has arrived, was lost or copied before is left alone.
      if (senders[at] === NOBODY || !ring.holds(position) || ring.noteOf(position) !== 0) {
        senders[at] = NOBODY;
        continue;
      }
      const bytes = ring.lengthOf(position);
      if (bytes > this.inHand - FOR_SMALL) break;
      if (isForLarger(now, bytes, path, this.order)) continue;
      if (learning) this.learnt[path.id]! += bytes;
      senders[at] = NOBODY;
      return this.copy(position, bytes, path);
    }
    return -1;
  }

  /**
   * The position of the oldest packet that left by `late` before then and has not arrived, for this path to send as well; -1:
   * none. `small`: of the small ones.
   */
  takeOverdue(now: number, path: Path, late: Path, before: number, small: boolean): number {
    const { ring } = this;
    const { log } = late.recovery;
    let number = Math.max(small ? log.smallFrom : log.overdueFrom, log.oldest);
    let found = -1;
    for (; number < log.next && log.timeOf(number) <= before; number++) {
      if (log.stateOf(number) !== OUTSTANDING) continue;
      const position = log.positionOf(number);
      if (position < 0 || !ring.holds(position) || ring.noteOf(position) !== 0) continue;
      const bytes = ring.lengthOf(position);
      if (small && bytes > SMALL) continue;
      if (bytes <= this.inHand - (small ? 0 : FOR_SMALL) && !isForLarger(now, bytes, path, this.order))
        found = this.copy(position, bytes, path);
      break;
    }
    if (small) log.smallFrom = number;
    else log.overdueFrom = number;
    return found;
  }

  private copy(position: number, bytes: number, path: Path): number {
    this.inHand -= bytes;
    this.sent++;
    this.ring.setNote(position, NOTE_COPIED | (path.id << NOTE_COPY_SHIFT));
    return position;
  }

  /** What left so far stays as it is. */
  forget(): void {
    this.count = 0;
  }

  private shift(): void {
    this.first = (this.first + 1) & (RECENT - 1);
    this.count--;
  }
}
