/**
 * The receiving half of a path: what arrived, and when and how to say so. Acknowledgements are made from the replay
 * window, so there is one record of what was received.
 *
 * An acknowledgement is due when a hole shows, when enough packets wait for one, or when the oldest has waited long
 * enough: a few per round trip, at least every MAX_ACK_DELAY. A hole that stays open for NACK_AFTER is given up and
 * named in a NACK, so that the sender learns it even if it cannot conclude it from the ranges.
 */
import type { Block } from "../share/block.ts";
import { ACK_DELAY_UNIT, ACK_HEADER_BYTES, ACK_RANGE_BYTES, MAX_FIELD } from "../wire/ack.ts";
import {
  MAX_ACK_DELAY,
  MAX_ACK_RANGES,
  MAX_NACKS,
  MILLISECOND,
  NACK_AFTER,
  REPLAY_WINDOW,
} from "./limits.ts";
import { ReplayWindow } from "./replay.ts";

/** Packets that may wait for an acknowledgement when the path is slow (RFC 9000 section 13.2.2). */
const ACK_EVERY = 2;

export class Reception {
  readonly window = new ReplayWindow(REPLAY_WINDOW);
  /** Packets and bytes accepted, headers included. */
  packets = 0;
  bytes = 0;
  private largestAt = 0;
  /** Ack-eliciting packets not acknowledged yet, and when the first of them came. */
  private pending = 0;
  private pendingSince = 0;
  private urgent = false;
  private lastAckAt = 0;
  /** Packet numbers below this are received or given up; of those from `wholeFrom` on none was given up. */
  private settled = 0;
  private wholeFrom = 0;
  /** Highest packet number there was when the present hole at `settled` was first seen, and when. */
  private holeSince = -1;
  private holeTop = -1;
  /** The newest NACKed ranges, repeated while they fit. */
  private readonly nackFirst = new Float64Array(MAX_NACKS);
  private readonly nackLength = new Float64Array(MAX_NACKS);
  private nacks = 0;

  /** An authentic, fresh packet came. */
  onPacket(now: number, packetNumber: number, bytes: number, ackEliciting: boolean): void {
    const hole = packetNumber > this.window.largest + 1;
    const late = packetNumber < this.window.largest;
    if (packetNumber > this.window.largest) this.largestAt = now;
    this.window.accept(packetNumber);
    this.packets++;
    this.bytes += bytes;
    this.settle(now);
    if (!ackEliciting) return;
    if (this.pending === 0) this.pendingSince = now;
    this.pending++;
    // RFC 9000 section 13.2.1: out-of-order packets are acknowledged at once.
    if (hole || late) this.urgent = true;
  }

  /** Asks for an acknowledgement with the next chance, whatever waits (a probe came). */
  hurry(now: number): void {
    if (this.pending === 0) {
      this.pending = 1;
      this.pendingSince = now;
    }
    this.urgent = true;
  }

  /** When the next acknowledgement is due; Infinity when none is. `srtt` is this path's. */
  ackAt(srtt: number): number {
    if (this.pending === 0) return Number.POSITIVE_INFINITY;
    // Even an urgent one keeps this distance: a burst of holes is one report.
    const spacing = Math.min(srtt / 16, 4 * MILLISECOND);
    if (this.urgent) return this.lastAckAt + Math.min(spacing, MILLISECOND);
    const delay = Math.min(srtt / 4, MAX_ACK_DELAY);
    if (this.pending >= ACK_EVERY) return Math.min(this.lastAckAt + spacing, this.pendingSince + delay);
    return this.pendingSince + delay;
  }

  /** When `onTimeout` wants to be called to give up a hole; Infinity when there is none. */
  get nackAt(): number {
    return this.holeSince < 0 ? Number.POSITIVE_INFINITY : this.holeSince + NACK_AFTER;
  }

  /** Gives up a hole that has been open for NACK_AFTER. */
  onTimeout(now: number): void {
    if (now < this.nackAt) return;
    let at = this.settled;
    while (at <= this.holeTop) {
      while (at <= this.holeTop && this.window.has(at)) at++;
      const first = at;
      while (at <= this.holeTop && !this.window.has(at)) at++;
      if (at > first) this.addNack(first, at - first);
    }
    this.skipTo(Math.max(this.settled, this.holeTop + 1));
    this.holeSince = -1;
    this.settle(now);
    this.hurry(now);
  }

  /** Writes an acknowledgement at `offset`; its length, at most `room`. Resets what waits. */
  writeAck(now: number, out: Block, offset: number, room: number): number {
    const { view, bytes } = out;
    const largest = this.window.largest;
    const lowest = this.window.lowest;
    view.setUint32(offset, largest >>> 0);
    view.setUint16(offset + 4, Math.min(Math.floor((now - this.largestAt) / ACK_DELAY_UNIT), MAX_FIELD));
    let at = this.missingBelow(largest - 1);
    view.setUint16(offset + 8, Math.min(largest - 1 - at, MAX_FIELD));
    let end = offset + ACK_HEADER_BYTES;
    const limit = offset + room - ACK_RANGE_BYTES;
    let ranges = 0;
    while (ranges < MAX_ACK_RANGES && end <= limit && at >= lowest) {
      const gapTop = at;
      const top = this.window.down(at, true);
      if (top < lowest) break;
      at = this.missingBelow(top);
      view.setUint16(end, gapTop - top);
      view.setUint16(end + 2, top - at);
      end += ACK_RANGE_BYTES;
      ranges++;
    }
    let nacks = 0;
    for (let i = this.nacks - 1; i >= 0 && end <= limit; i--) {
      const below = largest - this.nackFirst[i]!;
      if (below > MAX_FIELD || below <= 0) continue;
      view.setUint16(end, below);
      view.setUint16(end + 2, this.nackLength[i]!);
      end += ACK_RANGE_BYTES;
      nacks++;
    }
    bytes[offset + 6] = ranges;
    bytes[offset + 7] = nacks;
    this.pending = 0;
    this.urgent = false;
    this.lastAckAt = now;
    return end - offset;
  }

  /** Advances over what has been received, and notes the hole in front of it, if any. */
  private settle(now: number): void {
    if (this.settled < this.window.lowest) this.skipTo(this.window.lowest);
    while (this.window.has(this.settled)) this.settled++;
    if (this.settled > this.window.largest) {
      this.holeSince = -1;
    } else if (this.holeSince < 0 || this.settled > this.holeTop) {
      this.holeSince = now;
      this.holeTop = this.window.largest - 1;
    }
  }

  /** Nothing below `settled` is waited for any more, whatever came of it. */
  private skipTo(settled: number): void {
    this.settled = settled;
    this.wholeFrom = settled;
  }

  /**
   * Going down from `from`, the first packet number that was not received; one below the window's lowest when there is none.
   * What is known to be whole is passed over: of a path without loss nearly the whole window.
   */
  private missingBelow(from: number): number {
    const { window } = this;
    if (from >= this.settled || from < this.wholeFrom) return window.down(from, false);
    return window.down(Math.max(this.wholeFrom, window.lowest) - 1, false);
  }

  private addNack(first: number, length: number): void {
    if (this.nacks === MAX_NACKS) {
      this.nackFirst.copyWithin(0, 1);
      this.nackLength.copyWithin(0, 1);
      this.nacks--;
    }
    this.nackFirst[this.nacks] = first;
    this.nackLength[this.nacks] = Math.min(length, MAX_FIELD);
    this.nacks++;
  }
}
