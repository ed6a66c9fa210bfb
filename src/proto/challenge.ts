/**
 * The challenge of a path: its token, where it goes, and when it is to leave. An answer proves that the address hears us
 * (RFC 9000 section 8.2), and that the peer knows what the challenge tells of the path (wire/control.ts).
 */
import type { Endpoint } from "../share/endpoint.ts";
import { CHALLENGE_INTERVAL, PROBE_DOWN } from "./limits.ts";

/** Challenges of one token before they become as rare as a dead path's probes: nobody may ever answer. */
const HASTY = 20;

export class Challenge {
  /**
   * The token, one half each. It stays the same when the challenge is repeated, so that an answer that takes longer than
   * CHALLENGE_INTERVAL still counts.
   */
  tokenHigh = 0;
  tokenLow = 0;
  /** It goes to the candidate address rather than to the proved one. */
  toCandidate = false;
  /** When it is to leave. */
  at: number;
  /** When the open one left first. */
  openedAt = 0;
  private open = false;
  private sentAt = 0;
  /** How often it has left. */
  private count = 0;

  constructor(now: number) {
    this.at = now;
  }

  /** One has left, and an answer to it would count. */
  get isOpen(): boolean {
    return this.open;
  }

  /** Another one is to leave then; answers to this one no longer count. */
  renew(at: number): void {
    this.open = false;
    this.at = at;
  }

  /** None until it is asked for. */
  stop(): void {
    this.toCandidate = false;
    this.renew(Number.POSITIVE_INFINITY);
  }

  /** The peer is where it was: none goes to the candidate any more. `at`: when the next is to leave if one did. */
  onKnownAddress(at: number): void {
    if (this.leaveCandidate()) this.renew(at);
  }

  /** None goes to the candidate any more. True when one did. */
  leaveCandidate(): boolean {
    const left = this.toCandidate;
    this.toCandidate = false;
    return left;
  }

  /**
   * It leaves; the token is that of the arguments if none is open yet. `again`: it is repeated until it is answered. True when it
   * is a new one.
   */
  onSent(now: number, tokenHigh: number, tokenLow: number, again: boolean): boolean {
    const fresh = !this.open;
    if (fresh) {
      this.tokenHigh = tokenHigh;
      this.tokenLow = tokenLow;
      this.open = true;
      this.openedAt = now;
      this.count = 0;
    }
    this.count++;
    this.sentAt = now;
    const interval = this.count < HASTY ? CHALLENGE_INTERVAL : PROBE_DOWN;
    this.at = again ? now + interval : Number.POSITIVE_INFINITY;
    return fresh;
  }

  /** It leaves so much later. */
  delay(from: number, micros: number): void {
    this.at = from + micros;
  }

  /** The peer seems to be at another address: the next goes there, unless one does already. */
  onNewAddress(now: number, source: Endpoint, candidate: Endpoint): void {
    if (this.toCandidate && candidate.samePeer(source)) return;
    candidate.copyFrom(source);
    this.toCandidate = true;
    this.renew(Math.max(now, this.sentAt + CHALLENGE_INTERVAL / 4));
  }

  /** True when the peer answered the open one. */
  onAnswer(tokenHigh: number, tokenLow: number): boolean {
    if (!this.open || tokenHigh !== this.tokenHigh || tokenLow !== this.tokenLow) return false;
    this.renew(Number.POSITIVE_INFINITY);
    return true;
  }

  /** How long the answer took that came just now; 0 when it is not known which of several was answered (RFC 6298 section 3, Karn). */
  roundTrip(now: number): number {
    return this.count === 1 ? now - this.sentAt : 0;
  }
}
