/**
 * A path: one local interface towards one remote endpoint, with its own packet numbers, round-trip time, window and
 * status. It decides what it needs next (a challenge, a probe, an acknowledgement, rest); outbound sends it.
 *
 *   joining --answer--> up --silence--> suspect --10 s--> down
 *                        ^                 |               |
 *                        +---- two acknowledgements in a row ----+
 *
 * A peer's address counts only after it has answered a challenge, at the start and whenever it changes
 * (RFC 9000 section 8.2).
 */
import type { Endpoint } from "../share/endpoint.ts";
import type { DatagramSocket } from "../share/io.ts";
import type { PathStatus } from "../share/status.ts";
import type { CongestionName } from "../wire/control.ts";
import type { Congestion } from "./congestion.ts";
import {
  ANSWERS_TO_RETURN,
  CHALLENGE_INTERVAL,
  DOWN_AFTER,
  MAX_ACK_DELAY,
  MILLISECOND,
  MIN_SUSPECT,
  PROBE_DOWN,
  PROBE_IDLE,
  PROBE_SUSPECT,
} from "./limits.ts";
import { Reception } from "./reception.ts";
import { Recovery, type RecoverySink } from "./recovery.ts";

/** Unanswered packets whose silence is no accident: with 10 % loss all four are lost once in 10,000 times. */
const PACKETS_THAT_CONVINCE = 4;

/** Challenges of one token before they become as rare as a dead path's probes: nobody may ever answer. */
const HASTY_CHALLENGES = 20;

export interface PathSettings {
  readonly id: number;
  readonly name: string;
  readonly metric: number;
  readonly socket: DatagramSocket;
  readonly congestion: Congestion;
  /** What to tell the peer for its side: the congestion control, and its rate in bytes per second when it is fixed. */
  readonly peerCongestion: CongestionName;
  readonly peerRate: number;
  /** Bytes of a full-sized datagram. */
  readonly datagram: number;
  /** The peer's proved address, a candidate for it, and whether the first is known from the start (a connected socket). */
  readonly endpoint: Endpoint;
  readonly candidate: Endpoint;
  readonly connected: boolean;
}

/** Learns of a path's status. */
export type OnStatus = (path: Path, from: PathStatus, to: PathStatus, reason: string) => void;

export class Path {
  readonly id: number;
  readonly name: string;
  metric: number;
  readonly peerCongestion: CongestionName;
  readonly peerRate: number;
  readonly socket: DatagramSocket;
  readonly endpoint: Endpoint;
  readonly candidate: Endpoint;
  readonly connected: boolean;
  readonly datagram: number;
  readonly recovery: Recovery;
  readonly reception = new Reception();
  status: PathStatus = "joining";
  /** Packets of other paths that were sent again because this one lost or swallowed them. */
  resentPackets = 0;
  /** The kernel took no more: nothing leaves before this. */
  blockedUntil = 0;

  /**
   * The token of the open challenge, one half each. It stays the same when the challenge is repeated, so that an answer
   * that takes longer than CHALLENGE_INTERVAL still counts.
   */
  tokenHigh = 0;
  tokenLow = 0;
  private challenged = false;
  private challengedAt = 0;
  /** How often the open challenge has left. */
  private challenges = 0;
  private challengeAt: number;
  /** The challenge goes to the candidate address rather than to the proved one. */
  challengesCandidate = false;

  private readonly onStatus: OnStatus;
  private statusSince: number;
  private lastAckAt: number;
  private lastSentAt: number;
  private answers = 0;
  private probeAt = Number.POSITIVE_INFINITY;
  private probeInterval = 0;

  constructor(now: number, settings: PathSettings, sink: RecoverySink, onStatus: OnStatus) {
    this.id = settings.id;
    this.name = settings.name;
    this.metric = settings.metric;
    this.peerCongestion = settings.peerCongestion;
    this.peerRate = settings.peerRate;
    this.socket = settings.socket;
    this.endpoint = settings.endpoint;
    this.candidate = settings.candidate;
    this.connected = settings.connected;
    this.datagram = settings.datagram;
    this.recovery = new Recovery(settings.congestion, settings.datagram, sink);
    this.onStatus = onStatus;
    this.challengeAt = now;
    this.statusSince = now;
    this.lastAckAt = now;
    this.lastSentAt = now;
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
    return this.status === "up"
      ? Math.max(this.recovery.sendAt(now), this.blockedUntil)
      : Number.POSITIVE_INFINITY;
  }

  /** An ack-eliciting datagram left. */
  onSent(now: number): void {
    this.lastSentAt = now;
    if (this.status === "up") this.probeAt = Number.POSITIVE_INFINITY;
  }

  // --- Challenges ---

  /** True when a challenge should leave now. The caller draws a token for `onChallengeSent`. */
  challengeDue(now: number): boolean {
    return now >= this.challengeAt;
  }

  /** A challenge leaves with `tokenHigh` and `tokenLow` of this path; the arguments are used if none is open yet. */
  onChallengeSent(now: number, tokenHigh: number, tokenLow: number): void {
    if (!this.challenged) {
      this.tokenHigh = tokenHigh;
      this.tokenLow = tokenLow;
      this.challenged = true;
      this.challenges = 0;
    }
    this.challenges++;
    this.challengedAt = now;
    this.challengeAt =
      this.status === "joining" || this.challengesCandidate
        ? now + (this.challenges < HASTY_CHALLENGES ? CHALLENGE_INTERVAL : PROBE_DOWN)
        : Number.POSITIVE_INFINITY;
  }

  /** The newest authentic datagram came from another address: ask that address before anything is sent there. */
  onNewAddress(now: number, source: Endpoint): void {
    if (this.challengesCandidate && this.candidate.samePeer(source)) return;
    this.candidate.copyFrom(source);
    this.challengesCandidate = true;
    this.challenged = false;
    this.challengeAt = Math.max(now, this.challengedAt + CHALLENGE_INTERVAL / 4);
  }

  /** The newest authentic datagram came from the proved address: any other that is being asked is of no interest. */
  onKnownAddress(now: number): void {
    if (!this.challengesCandidate) return;
    this.challengesCandidate = false;
    this.challenged = false;
    this.challengeAt = this.status === "joining" ? now : Number.POSITIVE_INFINITY;
  }

  /** The peer answered with a token. True when it was the one we sent. */
  onAnswer(now: number, tokenHigh: number, tokenLow: number): boolean {
    if (!this.challenged || tokenHigh !== this.tokenHigh || tokenLow !== this.tokenLow) return false;
    this.challenged = false;
    this.challengeAt = Number.POSITIVE_INFINITY;
    if (this.challengesCandidate) {
      this.challengesCandidate = false;
      this.endpoint.copyFrom(this.candidate);
    }
    // RFC 6298 section 3 (Karn): which of several was answered is not known.
    if (this.challenges === 1) this.recovery.rtt.onSample(now - this.challengedAt, 0);
    this.lastAckAt = now;
    if (this.status !== "up")
      this.become(now, "up", this.status === "joining" ? "answered" : "answers from a new address");
    return true;
  }

  // --- Acknowledgements and silence ---

  onAckReceived(now: number): void {
    this.lastAckAt = now;
    if (this.status !== "suspect" && this.status !== "down") return;
    this.answers++;
    if (this.answers >= ANSWERS_TO_RETURN) this.become(now, "up", "answers again");
    else this.probeAt = now;
  }

  /** Something authentic came in while the path was given up: worth a probe at once. */
  onSignOfLife(now: number): void {
    if (this.status !== "suspect" && this.status !== "down") return;
    this.probeInterval = 0;
    this.probeAt = Math.min(this.probeAt, Math.max(now, this.lastSentAt + 10 * MILLISECOND));
  }

  /** The kernel refused to send: the interface is down or has no route. What was to leave is to leave on the others. */
  onSendFailed(now: number): void {
    this.blockedUntil = now + 100 * MILLISECOND;
    if (this.status === "up") this.suspect(now, "the kernel cannot send on it");
    else this.recovery.abandon(now);
  }

  /** Asks for a probe with the next chance. A joining path has its challenges. */
  wantProbe(now: number): void {
    if (this.status !== "joining") this.probeAt = Math.min(this.probeAt, now);
  }

  /** True when a probe should leave now. Call `onProbeSent` when it did. */
  probeDue(now: number): boolean {
    return now >= this.probeAt;
  }

  onProbeSent(now: number): void {
    this.lastSentAt = now;
    if (this.status === "up") {
      this.probeAt = Number.POSITIVE_INFINITY;
      return;
    }
    const longest = this.status === "down" ? PROBE_DOWN : PROBE_SUSPECT;
    this.probeInterval = Math.min(Math.max(this.probeInterval * 2, MIN_SUSPECT / 2), longest);
    this.probeAt = now + this.probeInterval;
  }

  /** When `onTimeout` wants to be called, or a challenge, probe or acknowledgement is due. */
  get nextAt(): number {
    let at = Math.min(
      this.challengeAt,
      this.probeAt,
      this.reception.ackAt(this.recovery.rtt.srtt),
      this.reception.nackAt,
    );
    at = Math.min(at, this.recovery.timeoutAt);
    if (this.status === "up") at = Math.min(at, this.silentAt, this.lastSentAt + PROBE_IDLE);
    else if (this.status === "suspect") at = Math.min(at, this.statusSince + DOWN_AFTER);
    return at;
  }

  onTimeout(now: number): void {
    this.reception.onTimeout(now);
    if (this.recovery.onTimeout(now) && this.status === "up") this.probeAt = now;
    if (this.status === "up") {
      if (now >= this.silentAt)
        this.suspect(
          now,
          `silent for ${Math.round((now - Math.max(this.recovery.oldestOutstandingAt, this.lastAckAt)) / MILLISECOND)} ms`,
        );
      else if (now >= this.lastSentAt + PROBE_IDLE) this.probeAt = now;
    } else if (this.status === "suspect" && now >= this.statusSince + DOWN_AFTER) {
      this.become(now, "down", "no answer");
    } else if (this.status === "down" && now >= this.recovery.oldestOutstandingAt + PROBE_DOWN) {
      // It may stay so for months: probes that will not be answered are not remembered.
      this.recovery.abandon(now);
    }
  }

  /**
   * When silence makes this path suspect. When several packets are unanswered, little longer than the probe timeout after
   * them; when only one or two are, they may be lost by chance, so two more probes (at one and at three probe timeouts)
   * must fail too.
   */
  private get silentAt(): number {
    const { log, rtt } = this.recovery;
    const timeout = rtt.pto(MAX_ACK_DELAY);
    const late =
      Math.max(this.recovery.oldestOutstandingAt, this.lastAckAt) + Math.max(3.5 * timeout, MIN_SUSPECT);
    const convincedAt = Math.max(log.outstandingAt(PACKETS_THAT_CONVINCE), this.lastAckAt);
    return Math.min(late, convincedAt + Math.max(1.5 * timeout, MIN_SUSPECT));
  }

  private suspect(now: number, reason: string): void {
    this.answers = 0;
    this.probeInterval = 0;
    this.probeAt = now;
    this.become(now, "suspect", reason);
    // After the status, so that what was in flight leaves on the others.
    this.recovery.abandon(now);
  }

  private become(now: number, status: PathStatus, reason: string): void {
    const from = this.status;
    this.status = status;
    this.statusSince = now;
    if (status === "up") {
      this.recovery.resume();
      this.answers = 0;
      this.probeAt = Number.POSITIVE_INFINITY;
      this.lastSentAt = now;
    }
    this.onStatus(this, from, status, reason);
  }
}
