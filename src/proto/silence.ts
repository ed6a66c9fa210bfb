/**
 * Silence: from when on a path that does not answer is taken for dead.
 *
 * When several packets are unanswered, that is little longer than the probe timeout after them. When only one or two are,
 * they may be lost by chance, so two more probes (at one and at three probe timeouts) must fail too.
 *
 * Time in which we ourselves, or a thread of ours, did not run is no silence: what the peer answered then may still wait for
 * us. Nor is it the path's silence when the peer does not run: then it answers on no path. So before a path is given up, the
 * others are probed, and it is given up when one of them was answered; without any answer, PATIENCE later.
 */
import type { DatagramSocket } from "../share/io.ts";
import { LATE_TURN, MAX_EXCUSE, MILLISECOND, MIN_SUSPECT, PATIENCE } from "./limits.ts";
import type { Recovery } from "./recovery.ts";

/** Unanswered packets whose silence is no accident: with 10 % loss all four are lost once in 10,000 times. */
const PACKETS_THAT_CONVINCE = 4;

export class Silence {
  /** When the peer last acknowledged something. */
  heardAt: number;
  private readonly recovery: Recovery;
  /** Silence counts from here at the earliest. */
  private excusedUntil = 0;
  /** It is not judged before this, unless something arrives. */
  private judgeAt = 0;
  /** The beginning of the silence of which the others were last told. */
  private doubted = -1;
  /** Since when another thread of ours was behind whenever this silence was judged; -1 when it was not. */
  private behindSince = -1;

  constructor(now: number, recovery: Recovery) {
    this.heardAt = now;
    this.recovery = recovery;
  }

  /** When `doubts` or `over` may become true. `timeout`: how long an answer may take. */
  nextAt(timeout: number): number {
    const at = Math.max(this.limit(timeout), this.judgeAt);
    return this.doubted === this.since ? at : Math.min(at, this.doubtAt(timeout));
  }

  /** True, once, when an answer is overdue: time to ask on the other paths whether the peer lives. */
  doubts(now: number, timeout: number): boolean {
    if (now < this.doubtAt(timeout) || this.doubted === this.since) return false;
    this.doubted = this.since;
    return true;
  }

  /**
   * True when the path is to be given up. `unread`: there is more to read, perhaps what it waits for. `socket`: the path's,
   * which another thread of ours may be behind with. `aliveAt`: when we sent the newest packet, on whichever path, that the peer
   * has answered.
   */
  over(
    now: number,
    timeout: number,
    unread: boolean,
    socket: Pick<DatagramSocket, "behind">,
    aliveAt: number,
  ): boolean {
    if (now < this.limit(timeout)) return false;
    if (this.excused(now, socket.behind === true)) return false;
    const limit = this.limit(timeout);
    if (now < limit) return false;
    const alive = aliveAt >= this.since + this.recovery.rtt.srtt;
    if (!unread && (alive || now >= limit + PATIENCE)) return true;
    this.judgeAt = unread ? now : limit + PATIENCE;
    return false;
  }

  /** A thread that is behind for a moment may be done in the next. One that stays so does not run: no silence either. */
  private excused(now: number, behind: boolean): boolean {
    // Of an earlier silence, or of none.
    if (behind && this.behindSince < this.since) this.behindSince = now;
    if (behind && now < this.behindSince + LATE_TURN) {
      this.judgeAt = now + MILLISECOND;
      return true;
    }
    if (behind) this.onLate(now, Number.POSITIVE_INFINITY);
    this.behindSince = -1;
    return false;
  }

  private doubtAt(timeout: number): number {
    return Math.max(this.since, this.excusedUntil) + Math.max(timeout, MIN_SUSPECT / 2);
  }

  /** When it will have lasted too long. */
  private limit(timeout: number): number {
    const { log } = this.recovery;
    const heardAt = Math.max(this.heardAt, this.excusedUntil);
    const lone = Math.max(this.recovery.oldestOutstandingAt, heardAt) + Math.max(3.5 * timeout, MIN_SUSPECT);
    const several = Math.max(log.outstandingAt(PACKETS_THAT_CONVINCE), heardAt);
    return Math.min(lone, several + Math.max(1.5 * timeout, MIN_SUSPECT));
  }

  /** How long nothing has been answered. */
  lasts(now: number): number {
    return now - this.since;
  }

  /** We run so much later than was due. */
  onLate(now: number, late: number): void {
    const { since } = this;
    this.excusedUntil = Math.min(now, since + MAX_EXCUSE, Math.max(since, this.excusedUntil) + late);
  }

  /** Infinity when there is nothing to answer. */
  private get since(): number {
    return Math.max(this.recovery.oldestOutstandingAt, this.heardAt);
  }
}
