/** How long packets of a session may wait: for others of their flow at the receiver, and in their flow's queue at the sender. */
import { INTERVAL } from "./codel.ts";
import { MAX_HOLD_OTHER, MAX_HOLD_STREAM, MAX_JOINING, MAX_TARGET, MILLISECOND, SECOND } from "./limits.ts";
import { HOLD_OTHER, HOLD_STREAM } from "./resequencer.ts";
import type { Session } from "./session.ts";

/**
 * A flow needs a queue to fill the paths after a loss (RFC 9438 leaves 0.7 of its window: 0.43 of a round trip), and to
 * fill at once a path that returns. Where packets are lost, those sent again come later, and the round trip is longer by
 * that: with 45 ms in place of 25, a flow over 2 x 50 Mbit/s with 1 % lost gets .95 of them in place of .90. Others do not
 * wait behind it, so it may have that.
 */
const TARGET_SHARE = 1;
const MIN_TARGET = 45 * MILLISECOND;
/**
 * Where rates vary, the queue of a moment ago is needed again in the next: to fill a radio that recovers, and by a flow
 * that would take long to grow again. What it needed is forgotten so slowly.
 */
const MEMORY = 10 * SECOND;
/** What paths take counts so long after they learnt their rate: before, it is of their own making. */
const LEARNT = SECOND;
/** While a path learns its rate, or sends little to learn its round trip, the queue in front of it is not the flow's fault. */
const LEARNING_TARGET = 195 * MILLISECOND;
/** The queue that lets a slower path join is kept so much longer than needed. */
const JOINING_SLACK = 1.25;

export class Waits {
  /** The queue that flows have needed lately, when it was looked at last, and from when on what paths take counts. */
  private needed = 0;
  private at = 0;
  private countsAt = 0;

  /**
   * Lets the resequencer wait as long as the slowest path and a retransmission may take, and no longer; and a flow's queue
   * stand for as long as the paths in use need it.
   */
  set(now: number, { order, queues, resequencer, scheduler }: Session): void {
    let slowest = 0;
    let latest = 0;
    let carriesLatest = 0;
    let searching = false;
    let pausing = false;
    for (let i = 0; i < order.length; i++) {
      const path = order[i]!;
      if (path.status !== "up" && path.status !== "suspect") continue;
      const { rtt, congestion } = path.recovery;
      slowest = Math.max(slowest, rtt.srtt);
      latest = Math.max(latest, rtt.srtt + 4 * rtt.rttvar);
      if (!path.carries) continue;
      carriesLatest = Math.max(carriesLatest, rtt.srtt + 4 * rtt.rttvar);
      searching ||= congestion.searching;
      pausing ||= congestion.pausing;
    }
    // Noticing the loss, and the way of the packet sent again, behind what is already on that path. What every path has shown to
    // be lost is on its way again, so it is waited for all the same: of 250,000 waits in the plans of test/sim/plans.ts with
    // loss, jitter, unequal paths and cuts, 25 lasted this long, all of them where 30 % of the acknowledgements are lost.
    const bound = 2 * latest + 100 * MILLISECOND;
    resequencer.bounds[HOLD_STREAM] = Math.min(bound, MAX_HOLD_STREAM);
    resequencer.bounds[HOLD_OTHER] = Math.min(bound, MAX_HOLD_OTHER);
    if (searching) this.countsAt = now + LEARNT;
    const usual = Math.min(TARGET_SHARE * carriesLatest, MAX_TARGET);
    this.forget(now, usual);
    if (!pausing && now >= this.countsAt) this.needed = Math.max(this.needed, usual);
    const { codel } = queues;
    const learning = searching || pausing;
    const joining = JOINING_SLACK * scheduler.joiningQueue;
    const wanted = Math.max(this.needed, usual, MIN_TARGET);
    const more = learning
      ? Math.max(2 * carriesLatest, LEARNING_TARGET)
      : joining <= MAX_JOINING
        ? joining
        : 0;
    codel.target = Math.max(wanted, more);
    // The round trip that a flow sees goes through its queue here (RFC 8289 section 4.3).
    codel.interval = Math.max(slowest + codel.target, INTERVAL);
  }

  private forget(now: number, usual: number): void {
    const forgotten = Math.min(Math.max((now - this.at) / MEMORY, 0), 1);
    this.at = now;
    this.needed -= forgotten * Math.max(this.needed - usual, 0);
  }
}
