/** How long packets of a session may wait: for others of their flow at the receiver, and in their flow's queue at the sender. */
import { INTERVAL } from "./codel.ts";
import { MAX_HOLD_OTHER, MAX_HOLD_STREAM, MAX_JOINING, MAX_TARGET, MILLISECOND } from "./limits.ts";
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
/** The queue that lets a slower path join is kept so much longer than needed. */
const JOINING_SLACK = 1.25;

/**
 * Lets the resequencer wait as long as the slowest path and a retransmission may take, and no longer; and a flow's queue
 * stand for as long as the paths in use need it.
 */
export function setWaits({ order, queues, resequencer, scheduler }: Session): void {
  let slowest = 0;
  let latest = 0;
  let carriesLatest = 0;
  let learning = false;
  for (let i = 0; i < order.length; i++) {
    const path = order[i]!;
    if (path.status !== "up" && path.status !== "suspect") continue;
    const { rtt, congestion } = path.recovery;
    slowest = Math.max(slowest, rtt.srtt);
    latest = Math.max(latest, rtt.srtt + 4 * rtt.rttvar);
    if (!path.carries) continue;
    carriesLatest = Math.max(carriesLatest, rtt.srtt + 4 * rtt.rttvar);
    learning ||= congestion.searching || congestion.pausing;
  }
  // Noticing the loss, and the way of the packet sent again, behind what is already on that path. What every path has shown to
  // be lost is on its way again, so it is waited for all the same: of 250,000 waits in the plans of test/sim/plans.ts with
  // loss, jitter, unequal paths and cuts, 25 lasted this long, all of them where 30 % of the acknowledgements are lost.
  const bound = 2 * latest + 100 * MILLISECOND;
  resequencer.bounds[HOLD_STREAM] = Math.min(bound, MAX_HOLD_STREAM);
  resequencer.bounds[HOLD_OTHER] = Math.min(bound, MAX_HOLD_OTHER);
  // While a path still learns its rate, or sends little to learn its round trip, the queue in front of it is not the flow's fault.
  const { codel } = queues;
  const wanted = Math.max(TARGET_SHARE * carriesLatest, MIN_TARGET);
  const joining = JOINING_SLACK * scheduler.joiningQueue;
  codel.target = learning
    ? Math.max(2 * carriesLatest, 1.5 * MAX_TARGET)
    : Math.max(Math.min(wanted, MAX_TARGET), joining <= MAX_JOINING ? joining : 0);
  codel.interval = Math.max(slowest, INTERVAL);
}
