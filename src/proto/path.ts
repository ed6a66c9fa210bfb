/**
 * A path: one local interface towards one remote endpoint, with its own packet numbers, round-trip time, window and
 * status. It decides what it needs next (a challenge, a probe, an acknowledgement, rest); outbound sends it.
 *
 *   joining --answer--> up --failure--> suspect --10 s--> down      any --data cap reached--> capped
 *                        ^                 |               |           capped --next period--> joining
 *                        +------- answers of its own ------+
 *
 * A failure is silence, a kernel that takes nothing more for it, an interface that goes down, or the peer's word that it
 * has noticed one of these (wire/control.ts). What brings it back is in proto/comeback.ts.
 *
 * A peer's address counts only after it has answered a challenge, at the start and whenever it changes
 * (RFC 9000 section 8.2).
 */
import type { Endpoint } from "../share/endpoint.ts";
import type { DatagramSocket, InterfaceState } from "../share/io.ts";
import type { PathStatus } from "../share/status.ts";
import type { PathSeen } from "../wire/control.ts";
import { expandPacketNumber } from "../wire/datagram.ts";
import { heed, mayChallenge, onCreditSent } from "./budget.ts";
import type { Cap } from "./cap.ts";
import { CapRest } from "./caprest.ts";
import { Challenge } from "./challenge.ts";
import { Comeback } from "./comeback.ts";
import type { Company, PathSettings } from "./company.ts";
import { Grant } from "./credit.ts";
import { ANSWERED, CANNOT_SEND, FailureReport, INTERFACE_IS, PEER_SAYS, sinceUp } from "./failure.ts";
import {
  DOWN_AFTER,
  MAX_ACK_DELAY,
  MILLISECOND,
  PROBE_DOWN,
  PROBE_IDLE,
  PROBE_SUSPECT,
  SECOND,
} from "./limits.ts";
import { Parking } from "./parking.ts";
import { Probes } from "./probes.ts";
import { Reception } from "./reception.ts";
import { Recovery, type RecoverySink } from "./recovery.ts";
import { Silence } from "./silence.ts";
import { Use } from "./use.ts";

export class Path {
  readonly id: number;
  readonly name: string;
  metric: number;
  /** It may carry also while paths of a lower metric are up. */
  spill: boolean;
  /** How it may be used, here and by the peer. */
  readonly use: Use;
  /** Null without data caps, and on the remote, which is told by the local. */
  cap: Cap | null;
  /** What a remote may send, as the local has told it. */
  readonly grant = new Grant();
  readonly socket: DatagramSocket;
  readonly endpoint: Endpoint;
  readonly candidate: Endpoint;
  readonly connected: boolean;
  readonly datagram: number;
  readonly recovery: Recovery;
  readonly reception = new Reception();
  status: PathStatus = "joining";
  /** Why the status is what it is; null while it joins. */
  reason: string | null = null;
  /** It may carry inner packets now. Owned by proto/scheduler.ts. */
  carries = false;
  /** No data may leave on it for now, for want of credit under its data cap. Owned by proto/scheduler.ts. */
  starved = false;
  starvedSince = 0;
  readonly parking = new Parking();
  /** How often it is probed while it carries nothing. */
  idleInterval = PROBE_IDLE;
  /** What the peer is told of its failure. */
  readonly report = new FailureReport();
  /** Packets of other paths that were sent again because this one lost or swallowed them. */
  resentPackets = 0;
  /** The kernel took no more: nothing leaves before this. */
  blockedUntil = 0;

  readonly challenge: Challenge;
  /** What a challenge tells the peer has changed since one was last answered. */
  private untold = false;
  private readonly company: Company;
  private readonly comeback = new Comeback();
  private statusSince: number;
  readonly silence: Silence;
  private lastSentAt: number;
  private readonly probes = new Probes();
  /** Packet numbers from here on, once acknowledged, are answers to what was sent since it was given up. */
  private answersFrom = 0;
  /** The first packet numbers of this path, ours and the peer's: not 0 when its id had another path before. */
  readonly sendsFrom: number;
  readonly receivesFrom: number;
  private readonly capRest = new CapRest();

  constructor(now: number, settings: PathSettings, sink: RecoverySink, company: Company) {
    this.id = settings.id;
    this.name = settings.name;
    this.metric = settings.metric;
    this.spill = settings.spill;
    this.use = new Use(settings);
    this.cap = settings.cap;
    this.socket = settings.socket;
    this.endpoint = settings.endpoint;
    this.candidate = settings.candidate;
    this.connected = settings.connected;
    this.datagram = settings.datagram;
    this.recovery = new Recovery(settings.congestion, settings.datagram, sink, settings.socket.headerBytes);
    this.sendsFrom = settings.sendsFrom ?? 0;
    this.receivesFrom = settings.receivesFrom ?? 0;
    this.recovery.log.begin(this.sendsFrom);
    this.reception.window.begin(this.receivesFrom);
    this.company = company;
    this.challenge = new Challenge(now);
    this.statusSince = this.lastSentAt = now;
    this.cap?.begin(now, this.receivesFrom, this.datagram);
    this.silence = new Silence(now, this.recovery);
  }

  /** Where datagrams of this path go; null: the socket is connected. */
  get destination(): Endpoint | null {
    return this.connected ? null : this.endpoint;
  }

  /** True when an inner packet may leave on this path now. */
  maySend(now: number): boolean {
    return this.status === "up" && now >= this.blockedUntil && this.recovery.canSend(now);
  }

  /** When `maySend` may become true by itself. */
  sendAt(now: number): number {
    if (this.status !== "up") return Number.POSITIVE_INFINITY;
    return Math.max(this.recovery.sendAt(now), this.blockedUntil);
  }

  /** An ack-eliciting datagram left. */
  onSent(now: number): void {
    this.lastSentAt = now;
    if (this.status === "up") this.probes.stop();
  }

  // --- Challenges ---

  /** True when a challenge should leave now. The caller draws a token for `onChallengeSent`. */
  challengeDue(now: number): boolean {
    return now >= this.challenge.at && mayChallenge(now, this);
  }

  onChallengeSent(now: number, tokenHigh: number, tokenLow: number): void {
    const { status, challenge, cap } = this;
    const joining = status === "joining" || challenge.toCandidate;
    const again = joining || cap?.ends === true || (this.untold && status === "up");
    if (challenge.onSent(now, tokenHigh, tokenLow, again)) cap?.giveCredit();
    if (!joining && cap?.ends === true) onCreditSent(now, this, cap.credit);
  }

  /** The newest authentic datagram came from another address: ask that address before anything is sent there. */
  onNewAddress(now: number, source: Endpoint): void {
    this.challenge.onNewAddress(now, source, this.candidate);
  }

  /** The newest authentic datagram came from the proved address: any other that is being asked is of no interest. */
  onKnownAddress(now: number): void {
    this.challenge.onKnownAddress(this.status === "joining" ? now : Number.POSITIVE_INFINITY);
  }

  /** The peer answered with a token. True when it was the one we sent. */
  onAnswer(now: number, tokenHigh: number, tokenLow: number): boolean {
    const { challenge } = this;
    if (!challenge.onAnswer(tokenHigh, tokenLow)) return false;
    this.untold = false;
    this.cap?.credit.onAnswer(now);
    if (challenge.leaveCandidate()) {
      this.endpoint.copyFrom(this.candidate);
      this.recovery.onMoved(now);
    }
    const rtt = challenge.roundTrip(now);
    if (rtt > 0) this.recovery.rtt.onSample(now, rtt, 0);
    this.silence.heardAt = now;
    if (this.status === "joining") {
      this.become(now, "up", ANSWERED);
    } else if (this.status !== "up") {
      this.comeback.onProof(now);
      this.tryReturn(now, "answers from a new address");
    }
    return true;
  }

  // --- Acknowledgements and silence ---

  onAckReceived(now: number): void {
    this.silence.heardAt = now;
    if (!this.givenUp) return;
    // What was already under way when the path was given up says nothing of it now.
    const { largestAcked } = this.recovery;
    if (largestAcked < this.answersFrom) return;
    this.answersFrom = largestAcked + 1;
    this.comeback.onAnswer(now, this.answerTimeout);
    if (!this.resting(now)) this.probes.at = now;
    else if (!this.tryReturn(now, "answers again")) this.probes.at = this.lastSentAt + this.comeback.interval;
  }

  /**
   * Something authentic came in. While the path was given up: worth a probe at once. While it rests: the peer has not heard so
   * of us, or it uses the path again, which a challenge says at once.
   */
  onSignOfLife(now: number, challenge = false): void {
    if (this.status === "capped") {
      if (this.connected && this.capRest.isUnheard(now)) this.report.repeat("capped");
      if (!this.connected && this.capRest.isOver(now, challenge)) this.rejoin(now, "the peer uses it again");
    }
    if (!this.givenUp || this.resting(now)) return;
    this.probes.begin(Math.min(this.probes.at, Math.max(now, this.lastSentAt + 10 * MILLISECOND)));
  }

  /** The kernel refused to send: the interface is down or has no route. What was to leave is to leave on the others. */
  onSendFailed(now: number): void {
    this.blockedUntil = now + 100 * MILLISECOND;
    if (this.status === "up") this.suspect(now, CANNOT_SEND, "refused");
    else this.recovery.abandon(now);
    this.reason = sinceUp(this.reason, true);
  }

  // --- What else says that a path is dead, or lives ---

  /** The state of the interface changed, or its addresses or routes did. */
  onInterface(now: number, state: InterfaceState): void {
    if (state !== "up") {
      if (this.status === "up") this.suspect(now, INTERFACE_IS[state], "interfaceDown");
      else if (this.status !== "capped") this.reason = INTERFACE_IS[state];
      this.comeback.onDoubt();
      return;
    }
    this.blockedUntil = 0;
    this.reason = sinceUp(this.reason);
    if (this.status === "joining") this.challenge.at = now;
    else if (this.givenUp && !this.resting(now)) this.probes.begin(now);
  }

  /** The peer has given this path up. `heard`: low 32 bits of the largest packet number it had received of us by then. */
  onPeerGaveUp(now: number, seen: PathSeen, heard: number): void {
    const { log, largestAcked } = this.recovery;
    const received = expandPacketNumber(heard, log.next);
    // It has acknowledged later ones since: the path has worked, and this word is old. Or it is of another path of this id.
    if (largestAcked > received || received < this.sendsFrom) return;
    if (seen === "capped" && !this.connected) this.rest(now, PEER_SAYS[seen]);
    else if (this.status === "up") this.suspect(now, PEER_SAYS[seen], null);
  }

  /** The largest packet number received on it; the first that can be, before any was, since a smaller one is of another path. */
  get heard(): number {
    return Math.max(this.reception.window.largest, this.receivesFrom);
  }

  /** No path is up any more: one that only rests carries again. */
  onAlone(now: number): void {
    if (!this.givenUp || this.tryReturn(now, "no other path is up") || this.status === "down") return;
    this.probes.sooner(this.lastSentAt + PROBE_SUSPECT);
  }

  /** We ran so much later than was due: what should have come meanwhile may have been waiting for us. */
  onLate(now: number, late: number): void {
    this.silence.onLate(now, late);
  }

  /** Asks for a probe with the next chance. A joining path has its challenges, one that rests nothing. */
  wantProbe(now: number): void {
    if (this.status !== "joining" && this.status !== "capped") this.probes.sooner(now);
  }

  /** True when a probe should leave now. Call `onProbeSent` when it did. */
  probeDue(now: number): boolean {
    return now >= this.probes.at;
  }

  onProbeSent(now: number): void {
    this.lastSentAt = now;
    if (this.status === "up") {
      this.probes.onSentUp();
      return;
    }
    this.report.onProbe();
    this.probes.onSent(now, this.status === "down" ? now - this.statusSince : -1);
    if (this.resting(now)) this.probes.at = now + this.comeback.interval;
  }

  /** When `onTimeout` wants to be called, or a challenge, probe or acknowledgement is due. */
  get nextAt(): number {
    if (this.status === "capped") return this.capRest.againAt;
    let at = Math.min(
      this.challenge.at,
      this.probes.at,
      this.reception.ackAt(this.recovery.rtt.srtt),
      this.reception.nackAt,
    );
    at = Math.min(at, this.recovery.timeoutAt, this.cap?.credit.settleAt ?? Number.POSITIVE_INFINITY);
    if (this.status === "up") at = Math.min(at, this.silence.nextAt(this.answerTimeout), this.restAt);
    else if (this.status === "suspect") at = Math.min(at, this.downAt);
    return at;
  }

  /** `unread`: there is more to read, perhaps what this path waits for. `wanted`: something waits to be sent. */
  onTimeout(now: number, unread = false, wanted = false): void {
    if (this.connected) heed(now, this, wanted);
    const capped = this.status === "capped";
    if (capped && this.capRest.isAgain(now)) this.report.onProbe();
    if (capped) return;
    this.reception.onTimeout(now);
    if (this.recovery.onTimeout(now) && this.status === "up") this.probes.at = now;
    if (this.status === "up") {
      const timeout = this.answerTimeout;
      if (this.silence.doubts(now, timeout)) this.company.onDoubt(now, this);
      if (this.silence.over(now, timeout, unread, this.socket, this.company.peerAliveAt)) {
        this.suspect(now, `silent for ${Math.round(this.silence.lasts(now) / MILLISECOND)} ms`, "silent");
      } else if (now >= this.restAt) this.probes.at = now;
    } else if (this.status === "suspect" && now >= this.downAt) {
      this.become(now, "down", `no answer; ${this.reason}`);
    } else if (this.status === "down" && now >= this.recovery.oldestOutstandingAt + PROBE_DOWN) {
      // It may stay so for months: probes that will not be answered are not remembered.
      this.recovery.abandon(now);
    }
  }

  // --- Data caps ---

  /** Stops using the path. If it is our data cap, the peer has to hear of it, unless it does not know the path. */
  rest(now: number, reason: string): void {
    this.capRest.begin(now, this.cap !== null);
    if (this.status === "capped") return;
    this.challenge.stop();
    this.probes.stop();
    this.report.onGivenUp(this.cap === null || this.recovery.sentPackets === 0 ? null : "capped");
    this.become(now, "capped", reason);
    // After the status, so that what was in flight leaves on the others.
    this.recovery.abandon(now);
  }

  rejoin(now: number, reason: string): void {
    this.challenge.at = now;
    this.report.onReturned();
    this.become(now, "joining", reason);
  }

  /** Its metric, spill or use has changed. Here that holds at once; the peer hears of it, while the path is up. */
  retell(now: number): void {
    this.recovery.congestion = this.use.congestion;
    this.untold = true;
    this.challenge.renew(this.status === "up" ? now : this.challenge.at);
  }

  /** How long an answer may take. */
  private get answerTimeout(): number {
    return this.recovery.rtt.pto(MAX_ACK_DELAY);
  }

  /** It answers, and must only go on doing so. */
  private resting(now: number): boolean {
    return this.comeback.resting(now, this.answerTimeout);
  }

  /** When a path that is up is probed if nothing is sent on it. */
  private get restAt(): number {
    return this.lastSentAt + this.probes.rest(this.idleInterval, this.recovery.rtt.srtt);
  }

  private get givenUp(): boolean {
    return this.status === "suspect" || this.status === "down";
  }

  /** When a suspect path is called down: nothing has come for long. One that rests answers. */
  private get downAt(): number {
    return Math.max(this.statusSince, this.silence.heardAt) + DOWN_AFTER;
  }

  /** `seen`: what the peer is told; null when it was the peer who told us. */
  private suspect(now: number, reason: string, seen: PathSeen | null): void {
    this.comeback.onGivenUp(now, this.statusSince);
    const { rest } = this.comeback;
    this.answersFrom = this.recovery.log.next;
    this.report.onGivenUp(seen);
    this.probes.begin(now);
    // It may have no credit to answer with.
    if (this.cap?.ends === true) this.challenge.at = Math.min(this.challenge.at, now);
    this.become(
      now,
      "suspect",
      rest === 0 ? reason : `${reason}; flapping: rests for ${rest / SECOND} s once it answers`,
    );
    // After the status, so that what was in flight leaves on the others.
    this.recovery.abandon(now);
  }

  /** Lets a path that was given up carry again, if it may. */
  private tryReturn(now: number, reason: string): boolean {
    if (!this.comeback.ready(now, this.answerTimeout, !this.company.isUp)) return false;
    this.comeback.onReturned(this.recovery.rtt.srtt);
    this.become(now, "up", reason);
    return true;
  }

  private become(now: number, status: PathStatus, reason: string): void {
    const from = this.status;
    this.status = status;
    this.reason = reason;
    this.statusSince = now;
    if (status === "up") {
      this.recovery.resume(now);
      this.report.onReturned();
      this.probes.onUp();
      this.lastSentAt = now;
      if (this.untold) this.challenge.at = now;
    }
    this.company.onStatus(this, from, status, reason);
  }
}
