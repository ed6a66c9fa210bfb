/**
 * Which paths carry packets now. The paths that carry pull for themselves, best first (outbound.ts); this says how many of
 * them there are, by earliest completion first:
 *
 *   - The fastest path of the lowest metric carries always, and so do those of its metric that are as fast: they pull when
 *     it is full. (That they wait for a load was tried: a flow that keeps its own queue short, as BBR does, got less.)
 *   - The next joins when what waits would take the carrying ones longer than this path is slower, and some more
 *     (`queueFor`), and has done so for a while: at low load nothing is reordered, and flows whose queue has only just grown
 *     do not take the longer way for a loss (their timeouts follow round trips, RFC 6298). A path of a higher metric joins only if it may (`spill`), by the same
 *     rule.
 *   - It leaves when, for a while, less is sent than the others carry without it. If it never brought more than that, it
 *     was in the way (packets that arrived early wait for those on it, and the flow's window is too small for that): then
 *     it is parked, longer each time; long at once, if it has little to give.
 *
 * Of the paths that carry and are alike, the one with the shortest queue in it pulls first.
 *
 * Decides only; reads no clock. Bytes, bytes per second, microseconds.
 */
import { affordsData } from "./budget.ts";
import { INITIAL_WINDOW_PACKETS, MAX_JOINING, MAX_QUEUED, MILLISECOND, SECOND } from "./limits.ts";
import type { Path } from "./path.ts";
import type { Recovery } from "./recovery.ts";

/** Paths whose packets arrive within so much of each other are alike. */
const ALIKE = 4 * MILLISECOND;
/** Samples vary by so much on any path: acknowledgements and timers are some milliseconds late. */
const STEADY = 4 * MILLISECOND;
/** With this standard deviation of its round trips, or more, a path's delay varies. */
const VARIES = 3 * MILLISECOND;
/** Round trips that are longer by this (of satellites in high orbits) no flow is made to grow for: it would seldom pay. */
const NEAR = 300 * MILLISECOND;
/** What was lost before counts no more. */
const LATELY = SECOND;
/** It varies by no more than so many of them, whatever the load makes of it: a rate that varies makes bursts as well. */
const MOST_VARIATION = 3;
/** A packet is overdue when it has been under way for so many times what its path takes, and some more. */
const OVERDUE = 2;
const OVERDUE_SLACK = 20 * MILLISECOND;
/** Where delays vary, nobody knows better than by this share of what both vary by. */
const UNSURE = 1 / 8;
/** A shorter queue is a burst, not a load: it stays on the paths that carry. */
const BURST = MILLISECOND;
/** Half of what a loss takes from a flow's window (RFC 9438 leaves 0.7) is kept in hand. */
const AFTER_LOSS = 0.85;
/** What was sent is judged over so long, and over so many round trips of the slowest path that carries. */
const WINDOW = 250 * MILLISECOND;
const WINDOW_ROUND_TRIPS = 2;
/** After a path joins, the flows need some round trips to make use of it. */
const GRACE_WINDOWS = 2;
/** Sending less than this share of what the other paths carry alone, the last one is not needed; ... */
const NEEDLESS = 0.85;
/** ... and if it never was more than this, it was in the way. */
const USEFUL = 1.05;
/** A path that carries less than this share of what the others do has little to give. */
const LITTLE = 0.15;
/**
 * A path's latest packets are later than its usual ones by so many standard deviations of its round trips. Of that, no more
 * than twice what the usual ones are later, nor is a longer queue asked for than the flows are allowed (proto/waits.ts).
 */
const LATEST = 3;
const MOST_LATEST = 2;
const MOST_QUEUE = 0.75 * MAX_JOINING;
/** No more is asked for: a few flows queue as much at any rate. */
const MOST_WAITING = (MAX_QUEUED / 4) * 1400;
/** A path replaces another as the faster one only if it is by this share: round-trip times vary. */
const CLEARLY_FASTER = 0.8;

export class Scheduler {
  /** All paths of the session: best first. */
  private readonly order: Path[];
  /** Those that may carry now, best first, and how many of them do. */
  private readonly usable: Path[] = [];
  /** Those that carry, in the order in which they pull: best first, and of paths that are alike the one with the shortest queue. */
  readonly pulling: Path[] = [];
  /** Some path may send what others sent as well (proto/copies.ts): see `mayCopy`. */
  copying = false;
  private carrying = 1;
  /** Of the present window: bytes that left, when it began, and whether all that waited could leave at some moment. */
  private sent = 0;
  private since = 0;
  private emptied = false;
  /** Since when the next one would be of use; Infinity: it would not. */
  private helpedSince = Number.POSITIVE_INFINITY;
  /** Windows since the last path joined, and the most that was sent in one of them. */
  private windows = 0;
  private most = 0;

  constructor(order: Path[]) {
    this.order = order;
  }

  /** The lowest metric of a path that is up, and not all but used up by its data cap; Infinity when none is. */
  get lowestMetric(): number {
    let metric = Number.POSITIVE_INFINITY;
    let starved = metric;
    for (let i = 0; i < this.order.length; i++) {
      const path = this.order[i]!;
      if (path.status !== "up") continue;
      if (path.starved) starved = Math.min(starved, path.metric);
      else metric = Math.min(metric, path.metric);
    }
    return Number.isFinite(metric) ? metric : starved;
  }

  /** The path that carries first. */
  get first(): Path | undefined {
    return this.pulling[0];
  }

  /** Before the paths pull: sorts them, and lets as many carry as did before. */
  begin(): void {
    const { order, usable, pulling } = this;
    this.sort();
    for (let i = 0; i < order.length; i++) {
      const path = order[i]!;
      path.starved = path.status === "up" && !affordsData(path);
    }
    const metric = this.lowestMetric;
    usable.length = 0;
    for (let i = 0; i < order.length; i++) {
      const path = order[i]!;
      path.carries = false;
      if (path.status !== "up" || path.starved) continue;
      if (path.metric === metric || path.spill) usable.push(path);
    }
    this.carrying = Math.max(Math.min(this.carrying, usable.length), this.alike);
    pulling.length = 0;
    for (let i = 0; i < this.carrying && i < usable.length; i++) this.carry(usable[i]!);
    this.copying = this.wouldCopy;
  }

  /** Puts a path that carries among those that pull: before the ones it is like whose queue is clearly longer now. */
  private carry(path: Path): void {
    const { pulling } = this;
    path.carries = true;
    const queue = queueIn(path);
    let at = pulling.length;
    while (at > 0 && isAlike(path, pulling[at - 1]!) && queue + BURST < queueIn(pulling[at - 1]!)) {
      pulling[at] = pulling[at - 1]!;
      at--;
    }
    pulling[at] = path;
  }

  /** How many of the usable paths are as fast as the first, and of its metric: none is in another's way. At least 1. */
  private get alike(): number {
    const { usable } = this;
    let count = 1;
    while (count < usable.length && isAlike(usable[count]!, usable[0]!)) count++;
    return count;
  }

  /** So many bytes left on some path. */
  onSent(bytes: number): void {
    this.sent += bytes;
  }

  /** After they pulled: `waiting` bytes could not leave. True when a path has joined, so that more may leave now. */
  decide(now: number, waiting: number): boolean {
    if (waiting === 0) this.emptied = true;
    if (now >= this.since + this.windowMicros) this.judge(now);
    const next = this.usable[this.carrying];
    if (waiting === 0 || next === undefined || next.parking.lasts(now) || !this.helps(next, waiting)) {
      this.helpedSince = Number.POSITIVE_INFINITY;
      return false;
    }
    this.helpedSince = Math.min(this.helpedSince, now);
    if (now - this.helpedSince < later(next, this.usable[0]!)) return false;
    this.helpedSince = Number.POSITIVE_INFINITY;
    this.carrying++;
    this.carry(next);
    this.windows = 0;
    this.most = 0;
    this.begins(now);
    return true;
  }

  /**
   * True when a copy by this path is in nobody's way, and of use: it does not carry yet, and learns its rate by copies; or
   * delays vary and it has nothing to do, for nothing waits (`idle`).
   */
  mayCopy(path: Path, idle: boolean): boolean {
    if (learns(path, this.usable[0]!)) return true;
    if (!idle || !this.varies || !takesCopies(path, this.usable[0]!)) return false;
    return path.recovery.congestion.searching || queueIn(path) <= BURST;
  }

  /**
   * What left by `path` until this moment is overdue: it would have been there sooner by another path that carries. A path may
   * become slower than anyone knows yet, with packets in it that others wait for. -Infinity: nothing is.
   */
  overdueUntil(now: number, path: Path): number {
    const until = now - this.patience(path);
    return path.recovery.oldestOutstandingAt <= until ? until : Number.NEGATIVE_INFINITY;
  }

  /** When the next packet under way by `path` will be overdue; Infinity: none, or those that are have been looked at. */
  overdueAt(now: number, path: Path): number {
    const { log } = path.recovery;
    const next = Math.max(log.smallFrom, log.oldest);
    if (next >= log.next) return Number.POSITIVE_INFINITY;
    const at = log.timeOf(next) + this.patience(path);
    return at > now ? at : Number.POSITIVE_INFINITY;
  }

  /**
   * True when this path, which carries, may send as well what is overdue on `late`: it has nothing to do; or for `small`
   * packets, would have had them there by now.
   */
  mayRescue(path: Path, late: Path, small: boolean): boolean {
    if (path === late || !takesCopies(path, this.usable[0]!)) return false;
    const queue = queueIn(path);
    return queue <= BURST || (small && queue + roundTrip(path) < this.patience(late));
  }

  /** How long packets may be under way by `path`. Infinity: there is no other way. */
  private patience(path: Path): number {
    const { pulling } = this;
    let other = Number.POSITIVE_INFINITY;
    for (let i = 0; i < pulling.length; i++)
      if (pulling[i] !== path) other = Math.min(other, roundTrip(pulling[i]!));
    return path.status === "up"
      ? Math.max(OVERDUE * roundTrip(path) + OVERDUE_SLACK, other)
      : Number.POSITIVE_INFINITY;
  }

  /** How long round trips take may tell senders nothing of queues: see `misleads`. */
  get mayMislead(): boolean {
    return this.usable.length > 1 || (this.usable.length > 0 && this.varies);
  }

  /**
   * How long round trips take tells senders nothing of queues now: delays vary; there is a path whose round trip is another;
   * or something was lost, for which what came after it waits.
   */
  misleads(now: number): boolean {
    const { usable } = this;
    if (this.varies) return true;
    const other = usable[this.alike];
    if (other !== undefined && !other.parking.lasts(now) && roundTrip(other) < roundTrip(usable[0]!) + NEAR)
      return true;
    for (let i = 0; i < this.carrying && i < usable.length; i++)
      if (now < usable[i]!.recovery.lostAt + LATELY) return true;
    return false;
  }

  /** The delay of the first path varies. */
  get varies(): boolean {
    return this.usable[0]!.recovery.rtt.deviation >= VARIES;
  }

  private get wouldCopy(): boolean {
    const { usable } = this;
    if (usable.length < 2) return false;
    if (this.varies) return usable[1]!.metric === usable[0]!.metric;
    for (let i = this.carrying; i < usable.length; i++) if (learns(usable[i]!, usable[0]!)) return true;
    return false;
  }

  /** The queue in front of the paths that carry, in time, with which the next one joins; 0 when there is none. */
  get joiningQueue(): number {
    const next = this.usable[this.carrying];
    return next === undefined ? 0 : queueFor(next, this.usable[0]!);
  }

  /** True when so much waits that `next` is of use beside those that carry. */
  private helps(next: Path, waiting: number): boolean {
    const first = this.usable[0]!;
    // Paths that still learn their rate, and have a queue only for that, are waited for, unless this one is known to carry more.
    // A flow in its slow start would take what comes later by the other path for a queue, and stop growing long before the first
    // path is full (RFC 9406).
    const waits = !isAlike(next, first);
    const knows = next.metric === first.metric && !next.recovery.congestion.searching;
    let rate = 0;
    for (let i = 0; i < this.carrying; i++) {
      const { recovery } = this.usable[i]!;
      const { rateKnown } = recovery;
      if (waits && recovery.congestion.searching && !(knows && rateKnown < next.recovery.rateKnown))
        return false;
      rate += rateKnown;
    }
    return waiting >= Math.min((queueFor(next, first) * rate) / SECOND, MOST_WAITING);
  }

  private judge(now: number): void {
    const rate = (this.sent * SECOND) / Math.max(now - this.since, 1);
    const { emptied } = this;
    this.begins(now);
    if (this.carrying <= this.alike) return;
    this.windows++;
    if (this.windows <= GRACE_WINDOWS) return;
    this.most = Math.max(this.most, rate);
    if (!emptied) return;
    let others = 0;
    for (let i = 0; i < this.carrying - 1; i++) others += this.usable[i]!.recovery.rateKnown;
    const last = this.usable[this.carrying - 1]!;
    if (rate >= NEEDLESS * others) return;
    const { congestion, rateKnown } = last.recovery;
    // One that carries more than all others is not: then less was sent because the flows had less, or the others are.
    const late = later(last, this.usable[0]!) >= ALIKE;
    const inTheWay = late && this.most < USEFUL * others && rateKnown <= others;
    const little = !congestion.searching && rateKnown < LITTLE * others;
    if (inTheWay) last.parking.begin(now, little);
    else last.parking.forget();
    last.carries = false;
    this.carrying--;
    this.windows = 0;
    this.most = 0;
  }

  private begins(now: number): void {
    this.sent = 0;
    this.since = now;
    this.emptied = false;
  }

  private get windowMicros(): number {
    const last = this.usable[this.carrying - 1];
    return Math.max(WINDOW, last === undefined ? 0 : WINDOW_ROUND_TRIPS * last.recovery.rtt.srtt);
  }

  /** Lowest metric first, then the fastest. */
  private sort(): void {
    const { order } = this;
    for (let i = 1; i < order.length; i++) {
      const path = order[i]!;
      let at = i - 1;
      while (at >= 0 && goesBefore(path, order[at]!)) {
        order[at + 1] = order[at]!;
        at--;
      }
      order[at + 1] = path;
    }
  }
}

/**
 * What a packet and its acknowledgement take: the least, and where the delay varies, as much as it varies; before the
 * congestion control knows how much, as the first samples did.
 */
function roundTrip({ recovery }: Path): number {
  const { rtt } = recovery;
  return rtt.sampled ? rtt.min + variationOf(recovery) : rtt.srtt;
}

function variationOf({ rtt, congestion }: Recovery): number {
  const variation = congestion.variation ?? Math.max(0, rtt.firstSpread - STEADY);
  return rtt.deviation > 0 ? Math.min(variation, MOST_VARIATION * rtt.deviation + STEADY) : variation;
}

/** How much later a packet arrives that takes `path` instead of `first`. */
function later(path: Path, first: Path): number {
  return Math.max(0, (roundTrip(path) - roundTrip(first)) / 2);
}

function isAlike(path: Path, first: Path): boolean {
  if (path.metric !== first.metric) return false;
  const unsure = UNSURE * (variationOf(path.recovery) + variationOf(first.recovery));
  return later(path, first) < Math.max(ALIKE, unsure);
}

/**
 * The queue that a path's own packets make in it, in time: what is in flight beyond what fills it. At low load there is
 * none, nor for an initial window on a path whose rate is not known yet.
 */
function queueIn(path: Path): number {
  const { log, rateKnown, rtt } = path.recovery;
  const least = (INITIAL_WINDOW_PACKETS * path.datagram * SECOND) / Math.max(rtt.srtt, MILLISECOND);
  return Math.max(0, (log.inFlight * SECOND) / Math.max(rateKnown, least) - roundTrip(path));
}

/**
 * The queue in front of `first`, in time, with which `path` is of use. With it, a flow's packets and acknowledgements take
 * longer by `later`; the flow's window must be large enough for that, also after its next loss, or less would arrive than
 * without. What the window is beyond the round trip is the queue. Where the path varies more than the first, it is to last for
 * its latest packets as well.
 */
function queueFor(path: Path, first: Path): number {
  const least = roundTrip(first);
  const difference = later(path, first);
  if (difference < ALIKE) return BURST;
  const varies = path.recovery.rtt.deviation - first.recovery.rtt.deviation;
  const latest = Math.min(Math.max(LATEST * varies, 0), MOST_LATEST * difference);
  const usual = (least + difference) / AFTER_LOSS - least;
  return Math.max(usual, Math.min(usual + latest / AFTER_LOSS, MOST_QUEUE));
}

/** Users may pay for what a path of a higher metric, or one with a data cap, carries. */
function takesCopies(path: Path, first: Path): boolean {
  return path.metric === first.metric && path.cap === null && !path.grant.isMetered;
}

/** It may be wanted soon: more is under way than a few packets. */
function learns(path: Path, first: Path): boolean {
  if (path.carries || !takesCopies(path, first) || !path.recovery.congestion.searching) return false;
  return first.recovery.log.inFlight > INITIAL_WINDOW_PACKETS * first.datagram;
}

function goesBefore(path: Path, other: Path): boolean {
  if (path.metric !== other.metric) return path.metric < other.metric;
  return roundTrip(path) < CLEARLY_FASTER * roundTrip(other);
}
