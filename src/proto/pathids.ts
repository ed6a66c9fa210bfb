/**
 * The path ids of one session, a byte each on the wire: which are free, and where the packet numbers of each go on.
 *
 * Packet numbers of one id never repeat under a key, so they go on from path to path. And neither end may take a packet of
 * the path before for one of the path after: the local uses an id again only once the remote has noted that its path has
 * ended (wire/control.ts), and both know from which packet number on the next one's begin. Ids never used come first, then
 * those that have been free for longest.
 */
import { expandPacketNumber } from "../wire/datagram.ts";
import { MILLISECOND, SECOND } from "./limits.ts";

const IDS = 256;
/** An end that is not noted is told again after this long, doubling up to the longest. */
const TELL_AGAIN = 250 * MILLISECOND;
const TELL_LONGEST = 15 * SECOND;

interface Numbers {
  /** The next packet numbers to be used under an id, ours and the peer's. */
  readonly send: number;
  readonly receive: number;
}

const NOTHING: Numbers = { send: 0, receive: 0 };

export interface Ending {
  readonly id: number;
  /** Our packet numbers below this are over. */
  readonly ended: number;
}

export class PathIds {
  /** Ends that the peer has not noted yet. */
  readonly endings: Ending[] = [];
  private readonly numbers = new Map<number, Numbers>();
  /** Ids from here on have never been used. */
  private unused = 0;
  /** The longest free first. */
  private readonly free: number[] = [];
  private tellAt = Number.POSITIVE_INFINITY;
  private interval = TELL_AGAIN;

  /** An id for a new path; -1 when all are in use, or ended and not noted. */
  take(): number {
    if (this.unused < IDS) return this.unused++;
    return this.free.shift() ?? -1;
  }

  /** Where the packet numbers of a new path begin. */
  numbersOf(id: number): Numbers {
    return this.numbers.get(id) ?? NOTHING;
  }

  /** The path has ended: no packet number below these will be used again. */
  end(id: number, send: number, receive: number): void {
    this.numbers.set(id, { send, receive });
  }

  /** The peer is to be told of an end. */
  tell(now: number, id: number): void {
    this.endings.push({ id, ended: this.numbersOf(id).send });
    this.interval = TELL_AGAIN;
    this.tellAt = now;
  }

  /** When the peer is to be told; Infinity when there is nothing to tell. */
  get nextAt(): number {
    return this.tellAt;
  }

  onTold(now: number): void {
    this.tellAt = now + this.interval;
    this.interval = Math.min(2 * this.interval, TELL_LONGEST);
  }

  /** The peer has noted an end. `ended` and `from`: low 32 bits, as in the message. */
  onNoted(id: number, ended: number, from: number): void {
    const at = this.endings.findIndex((ending) => ending.id === id && ending.ended >>> 0 === ended);
    // The answer to a message that was told twice, or to an earlier end of the same id.
    if (at < 0) return;
    this.endings.splice(at, 1);
    if (this.endings.length === 0) this.tellAt = Number.POSITIVE_INFINITY;
    const { send, receive } = this.numbersOf(id);
    this.numbers.set(id, { send, receive: Math.max(receive, expandPacketNumber(from, receive)) });
    this.free.push(id);
  }
}
