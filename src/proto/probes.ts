/**
 * When a path is probed that is not up, or that carries nothing: with back-off, ever more rarely the longer it is dead.
 * One that has come up is probed a few times in a row: what its round trip is, and how it varies, is known before it is needed.
 */
import {
  LONG_DOWN_AFTER,
  MILLISECOND,
  MIN_SUSPECT,
  PROBE_DOWN,
  PROBE_LONG_DOWN,
  PROBE_SUSPECT,
} from "./limits.ts";

/** Probes of a path that has come up: half a round trip apart, for a flow may begin at once; at least so far. */
const FIRST = 18;
const FIRST_INTERVAL = 20 * MILLISECOND;

export class Probes {
  /** When the next is to leave. */
  at = Number.POSITIVE_INFINITY;
  private interval = 0;
  /** So many still follow each other closely. */
  private first = 0;

  /** None until it is asked for. */
  stop(): void {
    this.at = Number.POSITIVE_INFINITY;
  }

  /** Then at the latest. */
  sooner(at: number): void {
    this.at = Math.min(this.at, at);
  }

  /** Then, and often at first. */
  begin(at: number): void {
    this.interval = 0;
    this.at = at;
  }

  /** The path has come up. */
  onUp(): void {
    this.stop();
    this.first = FIRST;
  }

  /** One left on a path that is up. */
  onSentUp(): void {
    this.stop();
    if (this.first > 0) this.first--;
  }

  /** One left on a path that is not up. `downFor`: how long it has been down; negative while it is not called so. */
  onSent(now: number, downFor: number): void {
    let longest = downFor < LONG_DOWN_AFTER ? PROBE_DOWN : PROBE_LONG_DOWN;
    if (downFor < 0) longest = PROBE_SUSPECT;
    this.interval = Math.min(Math.max(this.interval * 2, MIN_SUSPECT / 2), longest);
    this.at = now + this.interval;
  }

  /** After so long without anything sent a path that is up is probed; `idle` once it is known. */
  rest(idle: number, roundTrip: number): number {
    return this.first > 0 ? Math.max(FIRST_INTERVAL, roundTrip / 2) : idle;
  }
}
