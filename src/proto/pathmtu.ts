/**
 * Which datagrams a path carries whole: packetization layer path MTU discovery for datagrams (RFC 8899), by probes of our
 * own that are padded, authenticated and acknowledged. Sizes are of datagrams, without IP and UDP.
 *
 *   base ──most of what we send is acknowledged──────────────> complete      any ──3 lost, no larger one came──> searching
 *     └──3 probes of it lost──> searching ──nothing between──> complete      searching ──nor the base──> error
 *                                   └─────nor the base──> error              complete, error ──raise timer──> searching
 *
 * The largest is tried first: most paths carry it, and one probe says so. A path that comes back is first asked for what it
 * carried before. What the kernel has heard by ICMP ("packet too big") only says which size to try next. A probe counts as
 * lost by the rules of any packet (proto/recovery.ts), which stand for the PROBE_TIMER; never as congestion. Between `limit`
 * and `refused` nothing is known: there, and above, routers and our kernel may fragment.
 */
import { SECOND } from "./limits.ts";

export type MtuState = "base" | "searching" | "complete" | "error";

/** RFC 8899 section 5.1.2. */
export const MAX_PROBES = 3;
/** RFC 8899 section 5.1.1: PMTU_RAISE_TIMER. At first it is shorter and doubles: three probes may be lost by chance. */
export const RAISE_AFTER = 600 * SECOND;
const RAISE_FIRST = 20 * SECOND;
/** A path that has sent less since is idle. */
const RAISE_BYTES = 256 * 1024;
/** A search ends when it knows the limit to so many bytes. */
export const STEP = 8;
/** Lost datagrams of sizes that were known to be carried, with none as large acknowledged after: a black hole (section 4.3). */
export const LOST_TO_DOUBT = 3;
/** Packets may be queued for so long that are larger than what was found since. */
const LATE = SECOND;
/** BASE_PLPMTU, of IP packets: what every IPv6 path carries, and nearly every IPv4 path. */
const BASE_PACKET = 1280;
/** MIN_PLPMTU: what every IPv4 host takes (RFC 1122 section 3.3.2). */
const LEAST_PACKET = 576;
/** The largest there is. */
const ANY_PACKET = 65_535;
/** The likeliest when an interface allows more. */
const ETHERNET_PACKET = 1500;

export class PathMtu {
  state: MtuState = "base";
  /** Datagrams up to this size are known to be carried whole, or taken to be: they are sent with Don't Fragment. */
  limit: number;
  /** From this size on they are known not to be; Infinity while none is. */
  refused = Number.POSITIVE_INFINITY;
  /** The limit that the last search has found; before, and where even the base is not carried, all that we send. */
  found: number;
  /** When a probe of `candidate` bytes is to leave; Infinity while none is. */
  at = Number.POSITIVE_INFINITY;
  candidate = 0;
  readonly base: number;
  readonly most: number;
  /** IP and UDP headers. */
  readonly headers: number;
  private readonly least: number;
  /** Probes of the candidate that were lost; and whether one is under way. */
  private tries = 0;
  private underWay = false;
  /** Some search has found what is in `found`. */
  private known = false;
  /** The path is up. */
  private active = false;
  /** What the path had sent when it was probed last. */
  private sentBytes = 0;
  /** Some probe was acknowledged since the search began. */
  private confirmed = false;
  /** Some probe was lost since the search began; and when the last search ended. */
  private someLost = false;
  private settledAt = Number.NEGATIVE_INFINITY;
  private hint = 0;
  private raiseAfter = RAISE_FIRST;
  /** Lost datagrams that make a black hole, and the smallest of them. */
  private doubts = 0;
  private doubtful = Number.POSITIVE_INFINITY;
  /** They have made the search fall back, and what was believed is asked for. */
  private inDoubt = false;
  private readonly onHole: () => void;
  /** The newest acknowledged datagram that was larger than `least`. */
  private provenNumber = -1;
  private provenSize = 0;

  /** `most`: the largest datagram that we have to send. `onHole`: told when doubtful losses have proved to be a black hole. */
  constructor(most: number, headers: number, onHole: () => void = () => {}) {
    this.onHole = onHole;
    this.most = most;
    this.headers = headers;
    this.base = Math.min(BASE_PACKET - headers, most);
    this.least = Math.min(LEAST_PACKET - headers, this.base);
    this.limit = this.base;
    this.found = most;
    this.known = most === this.base;
    if (this.known) this.state = "complete";
  }

  /**
   * How a datagram of this size leaves: 0, whole; otherwise whoever has to may fragment it, and this machine, where it is
   * known to be needed, to packets of so many bytes.
   */
  fragmentsOf(bytes: number): number {
    if (bytes <= this.limit) return 0;
    return bytes >= this.refused ? this.limit + this.headers : ANY_PACKET;
  }

  /** The largest IP packet that is carried whole; null while the first search goes on. */
  get packet(): number | null {
    if (this.state === "error") return this.least + this.headers;
    return this.known || this.found < this.most ? this.found + this.headers : null;
  }

  /** A probe is under way, or about to leave. */
  get searches(): boolean {
    return this.state === "base" || this.state === "searching";
  }

  /**
   * True for a datagram that may have been lost for its size: a probe was lost in the search in which it left, or the search had
   * just ended, and what was made before still left.
   */
  suspects(bytes: number, sentAt: number): boolean {
    return bytes > this.limit && this.someLost && (this.searches || sentAt <= this.settledAt + LATE);
  }

  /** The first answer of a search is awaited: a round trip. What is larger than the limit had better wait for it. */
  get awaits(): boolean {
    return this.searches && this.underWay && !this.someLost && !this.confirmed && !this.known;
  }

  // --- When to search ---

  /** The path is up: what it carried before is asked for anew. */
  begin(now: number): void {
    this.active = true;
    if (this.most === this.base && this.state === "complete") return;
    // Until a probe of it is lost, what was found before is believed.
    const believed = this.known ? this.found : this.base;
    this.inDoubt = false;
    this.fallBack(now, this.found);
    this.limit = believed;
  }

  /** The path leads another way: nothing is known of it. */
  renew(now: number): void {
    this.refused = Number.POSITIVE_INFINITY;
    this.found = this.most;
    this.known = this.most === this.base;
    if (this.known) {
      this.state = "complete";
      this.limit = this.base;
    }
    this.hint = 0;
    this.raiseAfter = RAISE_FIRST;
    if (this.active) this.begin(now);
  }

  /** The path is not up: nothing is asked. */
  stop(): void {
    this.active = false;
    this.at = Number.POSITIVE_INFINITY;
    this.underWay = false;
  }

  /** True when a probe of the candidate is due on a path that has sent so many bytes. An idle one is asked later for more. */
  isDue(now: number, sentBytes: number): boolean {
    if (now < this.at) return false;
    const sent = sentBytes - this.sentBytes;
    // One that carries hardly anything whole is not used much for that.
    if (this.state === "complete" && sent < RAISE_BYTES) {
      this.at = now + this.raiseAfter;
      return false;
    }
    this.sentBytes = sentBytes;
    if (this.searches) return true;
    this.refused = Number.POSITIVE_INFINITY;
    this.hint = this.limit;
    this.someLost = false;
    this.confirmed = this.state === "complete";
    this.ask(now, this.state === "complete" ? this.most : this.base);
    return true;
  }

  // --- Probes ---

  /** It cannot leave now. */
  delay(now: number): void {
    this.at = now + SECOND;
  }

  onProbeSent(): void {
    this.underWay = true;
    this.at = Number.POSITIVE_INFINITY;
  }

  onProbeAcked(now: number, bytes: number): void {
    this.forgive();
    this.inDoubt = false;
    this.confirmed = true;
    if (bytes >= this.refused) this.refused = Number.POSITIVE_INFINITY;
    const more = bytes > this.limit;
    if (more) this.limit = bytes;
    if (this.active && (this.searches ? bytes === this.candidate : more)) this.advance(now);
  }

  /** `quiet`: the path is silent, which says nothing of sizes. */
  onProbeLost(now: number, bytes: number, quiet: boolean): void {
    if (bytes !== this.candidate || !this.underWay) return;
    this.underWay = false;
    if (quiet) return;
    this.tries++;
    this.someLost = true;
    if (bytes <= this.limit) this.limit = this.base;
    if (this.tries < MAX_PROBES) this.at = now;
    else this.refuse(now);
  }

  /** True when a probe of the candidate was lost: worth asking the kernel what it has heard. */
  get wantsHint(): boolean {
    return this.tries > 0;
  }

  /** The kernel has heard that IP packets may have so many bytes; 0 = nothing. It is the size to try next, if it is between. */
  onHint(packet: number): void {
    const bytes = packet - this.headers;
    if (bytes < this.base || bytes <= this.limit || bytes >= Math.min(this.refused, this.most)) return;
    // Smaller than the one that was lost.
    if (this.tries > 0 && bytes >= this.candidate) return;
    this.hint = bytes;
    this.candidate = bytes;
    this.tries = 0;
  }

  /** Our own kernel does not send datagrams of this size whole. */
  onTooBig(now: number, bytes: number): void {
    if (this.underWay && bytes === this.candidate) {
      this.underWay = false;
      this.someLost = true;
      this.refuse(now);
    } else if (bytes <= this.limit) this.doubt(now);
  }

  // --- Black holes ---

  onAcked(packetNumber: number, bytes: number): void {
    if (bytes <= this.least) return;
    if (packetNumber > this.provenNumber) {
      this.provenNumber = packetNumber;
      this.provenSize = bytes;
    }
    if (bytes >= this.doubtful) this.forgive();
  }

  /** True for the first of some losses that may be a black hole's, and no sign of congestion (section 3). */
  onLost(now: number, packetNumber: number, bytes: number): boolean {
    if (bytes <= this.least || bytes > this.limit) return false;
    if (packetNumber < this.provenNumber && bytes <= this.provenSize) return false;
    const first = this.doubts === 0 && !this.inDoubt;
    this.doubts++;
    this.doubtful = Math.min(this.doubtful, bytes);
    if (this.doubts >= LOST_TO_DOUBT) this.doubt(now);
    return first;
  }

  /** Back to the base at once; what was believed until now is asked for first. */
  private doubt(now: number): void {
    this.inDoubt = this.doubts > 0;
    this.fallBack(now, this.limit);
  }

  private fallBack(now: number, first: number): void {
    this.limit = this.base;
    this.confirmed = false;
    this.someLost = false;
    this.forgive();
    this.ask(now, first);
  }

  private forgive(): void {
    this.doubts = 0;
    this.doubtful = Number.POSITIVE_INFINITY;
  }

  // --- The search ---

  private ask(now: number, bytes: number): void {
    this.state = bytes === this.base || this.state === "base" ? "base" : "searching";
    this.candidate = bytes;
    this.tries = 0;
    this.underWay = false;
    this.at = now;
  }

  private refuse(now: number): void {
    if (this.inDoubt) this.onHole();
    this.inDoubt = false;
    if (this.candidate === this.base) this.fail(now);
    else {
      this.refused = Math.min(this.refused, this.candidate);
      if (this.state === "base") this.state = "searching";
      this.advance(now);
    }
  }

  private advance(now: number): void {
    // What ICMP has said, and a probe has shown, is good enough to go by while the search makes sure.
    if (this.limit === this.hint && this.confirmed) this.found = this.limit;
    const next = this.next();
    if (next > 0) this.ask(now, next);
    else {
      this.state = "complete";
      this.known = true;
      this.found = this.limit;
      this.rest(now, this.limit < this.most);
    }
  }

  /** The size to try next; 0 when the limit is known. */
  private next(): number {
    const { limit, refused, hint, most } = this;
    if (refused > most) return limit < most ? most : 0;
    if (refused - limit <= STEP) return this.confirmed ? 0 : this.base;
    if (hint > limit && hint < refused) return hint;
    // It was right, unless a little more is carried.
    if (hint === limit) return limit + STEP;
    const ethernet = ETHERNET_PACKET - this.headers;
    if (ethernet > limit && ethernet < refused) return ethernet;
    return limit + ((refused - limit) >> 1);
  }

  /** Not even the base is carried whole: what is larger than what every path carries is fragmented. */
  private fail(now: number): void {
    this.state = "error";
    this.known = false;
    this.limit = this.least;
    this.refused = this.base;
    this.found = this.most;
    this.rest(now, true);
  }

  private rest(now: number, raise: boolean): void {
    this.tries = 0;
    this.underWay = false;
    this.settledAt = now;
    this.at = raise ? now + this.raiseAfter : Number.POSITIVE_INFINITY;
    this.raiseAfter = Math.min(2 * this.raiseAfter, RAISE_AFTER);
  }
}
