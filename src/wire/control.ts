/**
 * Bodies of the small session datagrams.
 *
 *   challenge:  token (8)  metric (2)  congestion (1)  flags (1)  rate (4)  [header (2)  credit (6)]
 *               for the way back, from local to remote: the path's metric, the congestion control to use, and for a
 *               fixed one the rate in units of 1,000 bytes per second. Flags: 1, the path may carry beside those of a lower
 *               metric (spill); 2, it has a data cap (no copies are to go by it); the others are zero, and not looked at.
 *               The last two only of a path that rests at its data cap (proto/credit.ts): from this challenge on the remote
 *               may send so many bytes on it, `header` for each datagram besides its own, in place of what it was given
 *               before. One that comes again, with the same token, gives nothing more; what an older one says than has
 *               come, by its packet number, does not count. Without them there is no such limit
 *   answer:     token (8)
 *   probe:      empty; acknowledged at once
 *   close:      empty
 *   path status: path id (1)  seen (1)  zero (2)  heard (4)
 *               the sender has given up the path named, and why (PATH_SEEN; what is not known is as `silent`). Sent on the
 *               other paths, a few times, so that both ends leave a dead path when the first of them notices, not each
 *               after a silence of its own. `heard`: low 32 bits of the largest packet number received on that path,
 *               or of its first when none was; it dates the message. Once a later packet has been acknowledged, the path has worked since, and
 *               the message is old. So a repeated or a slow one does no harm. Nobody says that a path is good: each end
 *               finds that out by probes of its own. Of a path whose data cap is reached (capped), the remote sends nothing
 *               more on it, no probes either, until the local does; said also on the path itself when there is no other.
 *   path end:   path id (1)  noted (1)  zero (2)  ended (4)  from (4)
 *               noted 0, from local to remote, on the other paths and again until it is noted: the path named is no more.
 *               `ended`: low 32 bits of the packet number that would have been its next; what has smaller ones belongs to
 *               the path that ended, however late it comes. noted 1, the answer: the remote has forgotten it. `ended` as it
 *               was told, and `from`: where the remote's own packet numbers go on, should the id be used again.
 */
import type { Block } from "../share/block.ts";

export const CHALLENGE_BYTES = 16;
export const CREDIT_CHALLENGE_BYTES = CHALLENGE_BYTES + 8;
export const ANSWER_BYTES = 8;
/** Codes of the congestion field. What is not known is as `bbr`. */
export const CONGESTION = { bbr: 0, newreno: 1, fixed: 2, cubic: 3 } as const;
export type CongestionName = keyof typeof CONGESTION;

/** Bits of the flags. */
const SPILL = 1;
const METERED = 2;

/** Unit of the rate field, bytes per second. */
export const RATE_UNIT = 1000;

/** The largest credit. */
export const MAX_CREDIT = 2 ** 48 - 1;

/** A challenge, to write or read. One object serves many messages. */
export class ChallengeMessage {
  /** One half each. */
  tokenHigh = 0;
  tokenLow = 0;
  metric = 0;
  spill = false;
  /** The path has a data cap, whatever comes when that is reached. */
  metered = false;
  congestion: CongestionName = "bbr";
  /** Bytes per second. */
  rate = 0;
  header = 0;
  /** Bytes; null for no limit. */
  credit: number | null = null;

  /** Bytes written. */
  write(out: Block, offset: number): number {
    const { view, bytes } = out;
    view.setUint32(offset, this.tokenHigh);
    view.setUint32(offset + 4, this.tokenLow);
    view.setUint16(offset + 8, this.metric);
    bytes[offset + 10] = CONGESTION[this.congestion];
    bytes[offset + 11] = (this.spill ? SPILL : 0) | (this.metered ? METERED : 0);
    view.setUint32(offset + 12, Math.round(this.rate / RATE_UNIT));
    if (this.credit === null) return CHALLENGE_BYTES;
    const credit = Math.min(this.credit, MAX_CREDIT);
    view.setUint16(offset + 16, this.header);
    view.setUint16(offset + 18, Math.floor(credit / 2 ** 32));
    view.setUint32(offset + 20, credit >>> 0);
    return CREDIT_CHALLENGE_BYTES;
  }

  /** False: not the length of one. */
  read({ view, bytes }: Block, offset: number, length: number): boolean {
    if (length !== CHALLENGE_BYTES && length !== CREDIT_CHALLENGE_BYTES) return false;
    this.tokenHigh = view.getUint32(offset);
    this.tokenLow = view.getUint32(offset + 4);
    this.metric = view.getUint16(offset + 8);
    this.congestion = congestionOf(bytes[offset + 10]!);
    this.spill = (bytes[offset + 11]! & SPILL) !== 0;
    this.metered = (bytes[offset + 11]! & METERED) !== 0;
    this.rate = view.getUint32(offset + 12) * RATE_UNIT;
    const limited = length === CREDIT_CHALLENGE_BYTES;
    this.header = limited ? view.getUint16(offset + 16) : 0;
    this.credit = limited ? view.getUint16(offset + 18) * 2 ** 32 + view.getUint32(offset + 20) : null;
    return true;
  }
}

export function writeAnswer(out: Block, offset: number, high: number, low: number): number {
  out.view.setUint32(offset, high);
  out.view.setUint32(offset + 4, low);
  return ANSWER_BYTES;
}

export const PATH_STATUS_BYTES = 8;
/** Codes of the field `seen`: nothing was answered; the kernel takes nothing for it; its interface is down; its data cap is reached. */
export const PATH_SEEN = { silent: 1, refused: 2, interfaceDown: 3, capped: 4 } as const;
export type PathSeen = keyof typeof PATH_SEEN;

export function writePathStatus(
  out: Block,
  offset: number,
  pathId: number,
  seen: PathSeen,
  heard: number,
): number {
  out.bytes[offset] = pathId;
  out.bytes[offset + 1] = PATH_SEEN[seen];
  out.view.setUint16(offset + 2, 0);
  out.view.setUint32(offset + 4, heard >>> 0);
  return PATH_STATUS_BYTES;
}

/** A path status, read. One object serves many messages. */
export class PathStatusMessage {
  pathId = 0;
  seen: PathSeen = "silent";
  /** Low 32 bits of a packet number. */
  heard = 0;

  /** False: not the length of one. */
  read(from: Block, offset: number, length: number): boolean {
    if (length !== PATH_STATUS_BYTES) return false;
    this.pathId = from.bytes[offset]!;
    this.seen = seenOf(from.bytes[offset + 1]!);
    this.heard = from.view.getUint32(offset + 4);
    return true;
  }
}

export const PATH_END_BYTES = 12;

export function writePathEnd(
  out: Block,
  offset: number,
  pathId: number,
  noted: boolean,
  ended: number,
  from: number,
): number {
  out.bytes[offset] = pathId;
  out.bytes[offset + 1] = noted ? 1 : 0;
  out.view.setUint16(offset + 2, 0);
  out.view.setUint32(offset + 4, ended >>> 0);
  out.view.setUint32(offset + 8, from >>> 0);
  return PATH_END_BYTES;
}

/** A path end, read. One object serves many messages. */
export class PathEndMessage {
  pathId = 0;
  noted = false;
  /** Low 32 bits of packet numbers. */
  ended = 0;
  from = 0;

  /** False: not the length of one. */
  read(from: Block, offset: number, length: number): boolean {
    if (length !== PATH_END_BYTES) return false;
    this.pathId = from.bytes[offset]!;
    this.noted = from.bytes[offset + 1] === 1;
    this.ended = from.view.getUint32(offset + 4);
    this.from = from.view.getUint32(offset + 8);
    return true;
  }
}

function seenOf(code: number): PathSeen {
  if (code === PATH_SEEN.refused) return "refused";
  if (code === PATH_SEEN.capped) return "capped";
  return code === PATH_SEEN.interfaceDown ? "interfaceDown" : "silent";
}

/** The congestion control that a challenge's code names. */
function congestionOf(code: number): CongestionName {
  if (code === CONGESTION.newreno) return "newreno";
  if (code === CONGESTION.cubic) return "cubic";
  return code === CONGESTION.fixed ? "fixed" : "bbr";
}
