/**
 * When BBR's startup has found the path's rate (draft-ietf-ccwg-bbr section 5.3.1.2): when it grows no more, though there
 * is enough to send, or when a queue grows in its place. Bytes, bytes per second, microseconds.
 */
import { ACK_BUDGET } from "./bursts.ts";
import { MILLISECOND } from "./limits.ts";
import type { Round } from "./round.ts";

/** The rate grows no more when it has not by a quarter in three rounds. */
const GROWTH = 1.25;
const ROUNDS = 3;
/**
 * Not in the draft, which knows only senders that fill the window: a flow that grows slowly keeps ever more in flight, up
 * to twice what fills the path. Rounds after which that counts, and how much longer than the least they take.
 */
const QUEUE_ROUNDS = 2;
/** A flow that sends in bursts makes queues that come and go: after so many rounds with one no more is to be learnt. */
const BURST_ROUNDS = 6;
const QUEUE_RTT = 1.1;
/** So many rounds with a hold-up in them are passed over: where each has one, they are the path's nature. */
const HELD_ROUNDS = 6;

export class Startup {
  /** The rate when it last grew, and the most in flight then. */
  private rate = 0;
  private inFlight = 0;
  /** Rounds since then, those of them that had enough to send, and those in which some moment had more than fills the pipe. */
  private rounds = 0;
  private loaded = 0;
  private queued = 0;
  /** Rounds of this startup that were held up. */
  private held = 0;

  begin(): void {
    this.rate = 0;
    this.rounds = 0;
    this.loaded = 0;
    this.queued = 0;
    this.held = 0;
  }

  /**
   * A round ends; `rate` is the greatest so far. True when the path's rate has been found. `rtt`: what the way takes, and
   * the bursts on it. `pipe`: more in flight than this may be a queue.
   */
  onRound(round: Round, rate: number, rtt: number, pipe: number): boolean {
    if (rate >= this.rate * GROWTH) {
      this.rate = rate;
      this.inFlight = round.mostInFlight;
      this.queued = 0;
      this.rounds = 0;
      this.loaded = 0;
    } else {
      if (this.heldUp(round, rtt)) return false;
      this.rounds++;
      if (!round.limited || round.full) this.loaded++;
    }
    if (round.mostInFlight >= pipe) this.queued++;
    if (this.loaded >= ROUNDS || this.queued >= BURST_ROUNDS) return true;
    return this.rounds >= QUEUE_ROUNDS && this.queues(round, rtt, pipe);
  }

  /** Nothing was heard for longer than the way takes. A queue, and a rate that has not grown, are of that hold-up. */
  private heldUp(round: Round, rtt: number): boolean {
    return round.silence > rtt + ACK_BUDGET && ++this.held <= HELD_ROUNDS;
  }

  /** More was in flight, all of it took longer, and no more was delivered. */
  private queues(round: Round, rtt: number, pipe: number): boolean {
    return (
      round.mostInFlight >= Math.max(GROWTH * this.inFlight, pipe) &&
      round.rtt > QUEUE_RTT * rtt + MILLISECOND
    );
  }
}
