/**
 * Credit: what the remote may still send on a path with a data cap, so that both directions together stop at the cap and never
 * beyond it (flow control as of RFC 9000 section 4). Bytes of IP packets, as the local's interface sees them.
 *
 * The local gives credit with a challenge (wire/control.ts), whose answer says that it counts: from there on the remote
 * sends no more than that, whatever it had before. So credit is taken back in the same way, where the local needs it
 * itself, and what was lost on the way is given again. What the remote may send is thus known at any moment, and neither
 * the rate nor the delay of a path, nor what is lost of these messages, matters: until an answer comes, the old and the new
 * credit both count as given.
 *
 * What was under way when an answer came may have been lost, or be late. It is taken for late for a while (SETTLE).
 */
import { ANSWER_BYTES, type ChallengeMessage, CREDIT_CHALLENGE_BYTES } from "../wire/control.ts";
import { MIN_DATAGRAM_BYTES } from "../wire/datagram.ts";
import { SECOND } from "./limits.ts";
import type { Recovery } from "./recovery.ts";

/** What comes so long after something that was sent after it is of no path, but of a network that is broken. */
const SETTLE = SECOND;
/** So small a share of what is left is asked about before it is used up: a round trip's worth, while much is left. */
const LOW = 1 / 16;
/** The share of either side that seems to need none: it may, by then. */
const LEAST_SHARE = 1 / 8;
/** Kept for what is not data: by the local for challenges, and the word that the cap is reached; by the remote for answers. */
export const WORDS = 1024;
export const ANSWERS = 256;
/** Besides, before data leaves, for acknowledgements. */
export const ACKS = 128;

/** So often a challenge can be sent again out of what it leaves. */
const AGAIN = 6;

/** So many packets that came are remembered: some may have overtaken an answer. */
const ARRIVALS = 2048;

/** What has come on a path lately: packet numbers and bytes. */
class Arrivals {
  private readonly numbers = new Float64Array(ARRIVALS).fill(-1);
  private readonly bytes = new Uint16Array(ARRIVALS);
  private next = 0;
  /** The greatest number that is no longer here. */
  private forgotten = -1;

  note(packetNumber: number, bytes: number): void {
    this.forgotten = Math.max(this.forgotten, this.numbers[this.next]!);
    this.numbers[this.next] = packetNumber;
    this.bytes[this.next] = bytes;
    this.next = (this.next + 1) % ARRIVALS;
  }

  /** Of what is numbered after this one, so many packets and bytes have come; none, where that is no longer known. */
  after(packetNumber: number): { packets: number; bytes: number } {
    let packets = 0;
    let bytes = 0;
    if (this.forgotten > packetNumber) return { packets, bytes };
    for (let i = 0; i < ARRIVALS; i++) {
      if (this.numbers[i]! <= packetNumber) continue;
      packets++;
      bytes += this.bytes[i]!;
    }
    return { packets, bytes };
  }

  clear(): void {
    this.numbers.fill(-1);
    this.forgotten = -1;
  }
}

/** What the local has given. */
export class Credit {
  /** Bytes of a full-sized IP packet. */
  private full = 0;
  private header = 0;
  /** Of the credit that was answered last so much is left; and so much of what a challenge gives that has no answer yet. */
  private left = 0;
  private asked = 0;
  /** What that challenge says, while it has no answer. */
  given: number | null = null;
  /** Challenges since the last answer. */
  tries = 0;
  /** Until the first answer the remote goes by what it was told before: credit of another cap, or no limit. */
  private foreign = false;
  /** What may come besides: from now on counted among the late, and until it settles. */
  private late = 0;
  private latest = 0;
  /** When what is late is taken for lost. */
  settleAt = Number.POSITIVE_INFINITY;
  /** The first packet number sent by the present credit; of those since, how many came, their bytes, and the largest of them. */
  private from = 0;
  private arrived = 0;
  private arrivedBytes = 0;
  private largest = -1;
  private readonly arrivals = new Arrivals();
  /** The packet that came last, and how much of it was taken from what is asked. */
  private number = -1;
  private bytes = 0;
  private anew = 0;
  /** When credit was last given: bytes sent and received by then, and the remote's share of what followed. */
  private sent = 0;
  private received = 0;
  private share = 1 / 2;
  /** Something waits here that the path might carry. */
  wanted = false;

  /** A path begins whose first packet number of the remote is this one; or goes on, under another cap (`foreign`). */
  begin(now: number, from: number, full: number, header: number, foreign: boolean): void {
    this.end(now);
    this.full = full;
    this.header = header;
    this.foreign = foreign;
    this.arrivals.clear();
    this.renumber(from);
  }

  /** The path has ended. What the remote was given may still come. */
  end(now: number): void {
    this.onTimeout(now);
    this.expect(now, this.left + this.asked);
    this.left = 0;
    this.asked = 0;
    this.given = null;
    this.tries = 0;
  }

  /** Bytes that the remote may still send, or has sent, and that have not come. */
  get outstanding(): number {
    return this.left + this.asked + this.late + this.latest;
  }

  /** So much more may come soon, of another kind. */
  expect(now: number, bytes: number): void {
    if (bytes <= 0) return;
    this.latest += bytes;
    this.settleAt = Math.min(this.settleAt, now + SETTLE);
  }

  /** A datagram of this path came. */
  onPacket(packetNumber: number, bytes: number): void {
    this.number = packetNumber;
    this.bytes = bytes + this.header;
    if (packetNumber < this.from) {
      // What is late for longer goes first, as the rest is reserved for longer; then what came before it in its place.
      const late = Math.min(this.late, this.bytes);
      const latest = Math.min(this.latest, this.bytes - late);
      this.late -= late;
      this.latest -= latest;
      this.left = Math.max(0, this.left - (this.bytes - late - latest));
      return;
    }
    this.arrivals.note(packetNumber, this.bytes);
    this.arrived++;
    this.arrivedBytes += this.bytes;
    this.largest = Math.max(this.largest, packetNumber);
    const old = Math.min(this.bytes, this.left);
    this.left -= old;
    // The rest was sent by the new credit, although its answer has not come.
    this.anew = this.foreign ? 0 : Math.min(this.bytes - old, this.asked);
    this.asked -= this.anew;
  }

  /** That was the answer to the challenge: what is numbered after it was sent by the new credit. */
  onAnswer(now: number): void {
    const { number, from, largest, arrived, given } = this;
    if (given === null) return;
    // Of what came, these at most may be numbered after it.
    const after = Math.max(0, largest - number);
    const before = Math.max(0, arrived - 1 - after);
    // What overtook it was sent by the new credit as well, and took nothing of the old.
    const overtook = this.arrivals.after(number);
    const most = Math.min(this.asked + this.anew, given - overtook.bytes);
    const left = Math.max(0, most - this.bytes);
    const old = Math.max(0, this.left + this.asked - left);
    this.expect(now, Math.min(Math.max(0, number - from - before) * this.full, old));
    this.left = left;
    this.asked = 0;
    this.given = null;
    this.tries = 0;
    this.foreign = false;
    this.renumber(number + 1);
    if (overtook.packets === 0) return;
    this.arrived = overtook.packets;
    this.arrivedBytes = overtook.bytes;
    this.largest = largest;
  }

  onTimeout(now: number): void {
    if (now < this.settleAt) return;
    this.late = now < this.settleAt + SETTLE ? this.latest : 0;
    this.latest = 0;
    this.settleAt = this.late > 0 ? now + SETTLE : Number.POSITIVE_INFINITY;
  }

  /** True when other credit is due, `rest` bytes before the cap: the remote has little left, or we have. */
  isDue(rest: number, sent: number, received: number): boolean {
    const free = rest - this.outstanding;
    if (this.given !== null || free < this.price) return false;
    const { left, held, least } = this;
    const low = Math.max(rest * LOW, this.full + ACKS + WORDS);
    const next = this.next(rest, this.shareSince(sent, received)) - this.answer;
    // Of what is late, some can soon be given.
    const waits = this.late + this.latest > 0;
    if (held < low) {
      if (next >= Math.max(2 * held, ACKS)) return true;
      // Too little for either: asking uses it up.
      if (held < least && !waits && !this.wanted) return true;
    }
    if (free >= low) return false;
    if (next + this.full <= left) return true;
    return this.wanted && free < this.full + ACKS + WORDS && (next < left || !waits);
  }

  /** Gives credit in place of all that was given before: so many bytes. `sent` and `received` since the path's interface was. */
  give(rest: number, sent: number, received: number): void {
    // Whether an earlier challenge has arrived, nobody knows. Then the remote may only lack the credit to answer.
    const most = this.given === null ? rest : ANSWERS;
    this.left += this.asked;
    this.asked = 0;
    this.share = this.shareSince(sent, received);
    this.asked = Math.min(this.next(rest, this.share), most);
    this.given = this.asked;
    this.sent = sent;
    this.received = received;
  }

  /** Bytes that a new challenge takes at least, with its answer, and a last word after that. */
  get price(): number {
    return this.challenge + 2 * this.answer;
  }

  /** Hardly ever, when many of these messages were lost: there is no room for another one, and will be none. */
  isStuck(rest: number): boolean {
    if (this.late + this.latest > 0) return false;
    const free = rest - this.outstanding;
    return this.given !== null ? free < this.challenge : free < this.price && this.held < this.least;
  }

  /** What could be given now, the answer included. */
  private next(rest: number, share: number): number {
    const { challenge, answer, late, latest } = this;
    const whole = rest - late - latest - challenge - answer;
    const small = rest * LOW < this.full + ACKS + WORDS;
    let remotes = share * whole;
    // Near the end, one side has it all: ours, while there is something to send.
    if (small) {
      remotes = this.wanted
        ? Math.max(LEAST_SHARE * whole, answer + ANSWERS + ACKS)
        : whole - Math.max(LEAST_SHARE * whole, WORDS + ACKS);
    }
    // What was given before counts until there is an answer. It may never come, and we have something to send as well.
    const free = rest - this.outstanding;
    const spare = Math.min(free - challenge - this.afterwards, small ? free : free / 2);
    return Math.floor(Math.max(Math.min(remotes, spare), answer));
  }

  /** The remote's share of what was carried since credit was last given; as before while that was hardly anything. */
  private shareSince(sent: number, received: number): number {
    const came = received - this.received;
    const all = came + sent - this.sent;
    return all < this.full ? this.share : Math.min(Math.max(came / all, LEAST_SHARE), 1 - LEAST_SHARE);
  }

  /** What a challenge leaves where it can: it may have to be sent again, several times, and a last word. */
  private get afterwards(): number {
    return AGAIN * this.challenge + this.answer;
  }

  /** What the remote seems to have left: what has not come, of what is numbered below something that has, was lost. */
  private get held(): number {
    const { from, arrived } = this;
    const missing = this.largest + 1 - from - arrived;
    return arrived === 0 ? this.left : Math.max(0, this.left - (missing * this.arrivedBytes) / arrived);
  }

  /** What the remote needs for a full-sized packet. */
  private get least(): number {
    return this.full + ACKS + ANSWERS;
  }

  private renumber(from: number): void {
    this.from = from;
    this.arrived = 0;
    this.arrivedBytes = 0;
    this.largest = from - 1;
  }

  /** Bytes of a challenge, and of its answer. */
  get challenge(): number {
    return MIN_DATAGRAM_BYTES + CREDIT_CHALLENGE_BYTES + this.header;
  }

  private get answer(): number {
    return MIN_DATAGRAM_BYTES + ANSWER_BYTES + this.header;
  }
}

/** What a sender counts: all that it has sent on a path. */
type Sender = Pick<Recovery, "sentBytes" | "sentPackets">;

/** What the remote was given: it may send until it has sent so much. */
export class Grant {
  private until = Number.POSITIVE_INFINITY;
  private header = 0;
  /** The path has a data cap at the local. */
  isMetered = false;
  /** The challenge that gave it, which may come several times. */
  private packetNumber = -1;
  private tokenHigh = 0;
  private tokenLow = 0;

  /** False: a newer challenge has come before this one. */
  onChallenge(
    packetNumber: number,
    { tokenHigh, tokenLow, credit, header, metered }: ChallengeMessage,
    sender: Sender,
  ): boolean {
    if (packetNumber < this.packetNumber) return false;
    const again = this.packetNumber >= 0 && tokenHigh === this.tokenHigh && tokenLow === this.tokenLow;
    this.packetNumber = packetNumber;
    if (again) return true;
    this.tokenHigh = tokenHigh;
    this.tokenLow = tokenLow;
    this.header = header;
    this.isMetered = metered;
    this.until = this.used(sender) + (credit ?? Number.POSITIVE_INFINITY);
    return true;
  }

  affords(bytes: number, sender: Sender): boolean {
    return this.used(sender) + bytes + this.header <= this.until;
  }

  private used({ sentBytes, sentPackets }: Sender): number {
    return sentBytes + sentPackets * this.header;
  }
}
