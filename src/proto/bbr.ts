/**
 * BBR (draft-ietf-ccwg-bbr, BBRv3's model): keeps the greatest delivery rate and the smallest round-trip time seen, sends
 * at that rate, and keeps little more in flight than their product, so that no queue stands in the path. Loss is no
 * signal by itself: random loss changes nothing (proto/round.ts); more says that the path's queue overflows.
 *
 *   startup -- rate grows no more --> drain -- queue gone --> down -> cruise -> refill -> up -> down ...
 *                                                             (any) -- min RTT too old --> probeRtt
 *
 * Where it differs from the draft, and why, stands at the constant. Bytes, bytes per second, microseconds.
 */
import { ACK_BUDGET, Bursts } from "./bursts.ts";
import type { Congestion } from "./congestion.ts";
import { INITIAL_WINDOW_PACKETS, MILLISECOND, SECOND } from "./limits.ts";
import type { RateSample } from "./ratesample.ts";
import { Round } from "./round.ts";
import { Startup } from "./startup.ts";
import { UP_GAIN, Upwards } from "./upwards.ts";

type State = "startup" | "drain" | "down" | "cruise" | "refill" | "up" | "probeRtt";

/** Draft section 2.4: 2/ln 2 would double the rate each round; 2.77 fills the pipe in as many rounds with less queue. */
const STARTUP_GAIN = 2.77;
const DRAIN_GAIN = 0.5;
/** The draft says 0.9. What probing has queued is to be gone soon, because others wait behind it. */
const DOWN_GAIN = 0.5;
/** Where the delay varies, what is in flight never falls to rate times min RTT: draining ends after so many of them. */
const DOWN_ROUND_TRIPS = 3;
const DOWN_TIME = 50 * MILLISECOND;
/**
 * Not in the draft: of a short round trip the rate is measured over few packets, and the greatest of many such samples is
 * more than 1 % too high. While cruising with so much more in flight than fills the pipe, a little less is sent.
 */
const QUEUE_SHARE = 1.1;
const QUEUE_GAIN = 0.9;
/** Where packets come in bursts, what looks like a queue may be none. */
const BURST_GAIN = 0.95;
/**
 * While cruising, more in flight may be bursts, and the known rate too great. But of a whole round trip some packet meets no
 * queue, unless one stands there: less is sent for so many rounds. Then it is not of our making.
 */
const STANDING_ROUNDS = 12;
/** Rounds after which draining ends in any case. */
const DRAIN_ROUNDS = 6;
const WINDOW_GAIN = 2;
/** Draft: 1 % of margin, so that the queue drains on average. */
const PACING_MARGIN = 0.99;
/** Losses that end startup in the middle of a round. */
const OVERFLOW_PACKETS = 8;
const LOSS_BETA = 0.7;
/** The draft waits 2 to 3 s between probes; a tunnel that is to follow a rate within seconds cannot. */
const CRUISE_TIME = 800 * MILLISECOND;
const CRUISE_ROUND_TRIPS = 3;
/**
 * Min RTT is forgotten after 10 s; every 5 s the pipe is drained to see it, unless it was seen anyway: a sample within
 * 5 % of it will do, for a clock of microseconds shows hardly ever the very same.
 */
const MIN_RTT_LIFETIME = 10 * SECOND;
const MIN_RTT_SLACK = 1.05;
const PROBE_RTT_INTERVAL = 5 * SECOND;
const PROBE_RTT_TIME = 200 * MILLISECOND;
const PROBE_RTT_ROUNDS = 2;
const PROBE_RTT_GAIN = 0.5;
/** Rounds at clearly less than the known rate, with the pipe full, after which the known rate is wrong (not in the draft). */
const SLOW_ROUNDS = 3;
const SLOW_SHARE = 0.75;
/** One round suffices when its least RTT is so many times the known one: a queue stands, or the way has become longer. */
const QUEUE_RTT = 2;

export class Bbr implements Congestion {
  readonly name = "bbr";
  readonly drains = true;
  state: State = "startup";
  minRtt = Number.POSITIVE_INFINITY;
  private readonly datagram: number;
  private rateNow = 0;
  private rateBefore = 0;
  private minRttAt = 0;
  private probeRttMin = Number.POSITIVE_INFINITY;
  private probeRttEnd = 0;
  private afterProbeRtt: State = "cruise";
  private stateSince = 0;
  private rtt = 0;
  private slowRounds = 0;
  private roundsInState = 0;
  private filled = false;
  private inFlightHigh = Number.POSITIVE_INFINITY;
  private inFlight = 0;
  /** A queue stands in the path, and is not gone yet. */
  private queued = false;
  private readonly round = new Round();
  private readonly startup = new Startup();
  private readonly upwards = new Upwards();
  private readonly bursts: Bursts;
  /** Most in flight since the last acknowledgement. */
  private mostInFlight = 0;

  /** `datagram`: bytes of a full-sized datagram. */
  constructor(datagram: number) {
    this.datagram = datagram;
    this.bursts = new Bursts(datagram);
  }

  /** The path's rate as known now: the greatest of this probing cycle and of the one before; 0 before the first sample. */
  get rate(): number {
    return Math.max(this.rateNow, this.rateBefore);
  }

  get searching(): boolean {
    return !this.filled;
  }

  get pausing(): boolean {
    return this.state === "probeRtt";
  }

  get variation(): number | null {
    return this.bursts.variation(this.rate);
  }

  rateKnown(srtt: number): number {
    return this.rate > 0 ? this.rate : (this.window * SECOND) / Math.max(srtt, MILLISECOND);
  }

  get window(): number {
    const least = 4 * this.datagram;
    if (this.rate === 0) return INITIAL_WINDOW_PACKETS * this.datagram;
    if (this.state === "probeRtt") return Math.max(PROBE_RTT_GAIN * this.product, least);
    const gain = this.state === "up" ? UP_GAIN : 1;
    const later = this.filled ? 0 : (this.rate * this.bursts.later) / SECOND;
    const window = gain * (WINDOW_GAIN * this.product + this.burst + later) + 3 * this.datagram;
    return Math.max(
      Math.min(window, this.inFlightHigh),
      this.filled ? least : INITIAL_WINDOW_PACKETS * this.datagram,
    );
  }

  /** While the rate is not known, at least what the initial window gives; later a little, so that it can be learnt anew. */
  pacingRate(srtt: number): number {
    const packets = this.filled ? 2 : STARTUP_GAIN * INITIAL_WINDOW_PACKETS;
    const least = (packets * this.datagram * SECOND) / Math.max(srtt, MILLISECOND);
    return Math.max(this.pacingGain * PACING_MARGIN * this.rate, least);
  }

  onSent(now: number, bytes: number, inFlight: number): void {
    this.inFlight = inFlight;
    this.mostInFlight = inFlight;
    this.round.onSent(now, bytes, inFlight);
    if (!this.filled && inFlight >= this.window) this.round.full = true;
    if (this.stateSince === 0) this.enter(now, this.state);
  }

  onAcked(): void {}

  onDoubtfulLoss(): void {}

  /** What an overflow has taken, a bound of what is in flight, is no less than what fills the pipe. */
  onNoCongestion(): void {}

  onLost(): void {}

  /** The path was silent. Its rate may be what it was, so it is tried from below. */
  onTimeout(now: number): void {
    this.rateNow = this.rate / 4;
    this.rateBefore = 0;
    this.inFlightHigh = Number.POSITIVE_INFINITY;
    this.filled = false;
    this.slowRounds = 0;
    this.round.leastInFlight = 0;
    this.bursts.forget();
    this.enter(now, "startup");
  }

  onRate(now: number, sample: RateSample): void {
    this.inFlight = sample.inFlight;
    this.round.onAcked(now, sample);
    this.learnRtt(now, sample.rtt);
    this.learnRate(sample);
    this.bursts.onAcked(now, sample.acked, this.rate, sample.later);
    // Each round trip of startup doubles what is lost: not even one more.
    if (
      this.state === "startup" &&
      this.round.lost >= OVERFLOW_PACKETS * this.datagram &&
      this.round.overflows(this.datagram)
    )
      this.filled = true;
    if (this.inFlight > this.pipeAndSlack) this.queued = true;
    else if (this.inFlight <= this.pipe + 2 * this.datagram + this.usualBurst) this.queued = false;
    if (sample.priorDelivered >= this.round.end) this.endRound(now, sample);
    this.step(now);
    this.mostInFlight = sample.inFlight;
  }

  private get pacingGain(): number {
    switch (this.state) {
      case "startup":
        return STARTUP_GAIN;
      case "drain":
        return DRAIN_GAIN;
      case "down":
        return DOWN_GAIN;
      case "up":
        return this.upwards.gain(this.minRtt);
      case "cruise":
        if (this.stands && this.roundsInState <= STANDING_ROUNDS) return QUEUE_GAIN;
        if (!this.queued) return 1;
        return this.usualBurst > 0 ? BURST_GAIN : QUEUE_GAIN;
      default:
        return 1;
    }
  }

  /** Rate times min RTT: the least in flight that fills the path. */
  private get pipe(): number {
    return (this.rate * Math.min(this.minRtt, SECOND)) / SECOND;
  }

  /** The same with what acknowledgements need to arrive. */
  private get product(): number {
    return this.pipe + (this.rate * ACK_BUDGET) / SECOND;
  }

  /** More in flight than this is a queue: not packets in bursts, nor timers that are late. */
  private get pipeAndSlack(): number {
    return QUEUE_SHARE * this.pipe + 2 * this.datagram + (this.rate * MILLISECOND) / SECOND + this.usualBurst;
  }

  /** All of the last round took longer than the way, where delays do not vary: a queue stands, whatever is in flight. */
  private get stands(): boolean {
    const least = QUEUE_SHARE * this.minRtt + ACK_BUDGET + this.inTime(2 * this.datagram);
    return this.round.rttBefore > least && this.bursts.later === 0;
  }

  private learnRtt(now: number, rtt: number): void {
    if (rtt <= 0) return;
    this.rtt = rtt;
    this.round.rtt = Math.min(this.round.rtt, rtt);
    if (this.state === "probeRtt") this.probeRttMin = Math.min(this.probeRttMin, rtt);
    if (rtt < this.minRtt || now - this.minRttAt > MIN_RTT_LIFETIME) this.minRtt = rtt;
    if (rtt <= this.minRtt * MIN_RTT_SLACK) this.minRttAt = now;
  }

  private learnRate(sample: RateSample): void {
    if (sample.rate === 0) return;
    if (sample.rate >= this.rate || !sample.appLimited) {
      this.rateNow = Math.max(this.rateNow, sample.rate);
      this.round.rate = Math.max(this.round.rate, sample.rate);
    }
    if (!sample.appLimited) this.round.limited = false;
  }

  private get burst(): number {
    return this.bursts.greatest(this.rate);
  }

  private get usualBurst(): number {
    return this.bursts.usual(this.rate);
  }

  private inTime(bytes: number): number {
    return this.rate === 0 ? 0 : (bytes * SECOND) / this.rate;
  }

  private endRound(now: number, sample: RateSample): void {
    this.roundsInState++;
    if (this.roundQueued) this.round.countQueued(now, INITIAL_WINDOW_PACKETS * this.datagram);
    this.bursts.onRound(now, !this.round.limited, this.filled);
    if (this.state === "up") this.upwards.onRound(this.rate);
    if (this.state === "startup") this.judgeStartup();
    else if (this.round.overflows(this.datagram)) this.onOverflow(now);
    this.judgeSlowness(now);
    this.round.begin(now, sample.delivered, sample.inFlight);
  }

  private judgeStartup(): void {
    const { round, burst } = this;
    const pipe = UP_GAIN * this.product + burst + INITIAL_WINDOW_PACKETS * this.datagram;
    const least = this.minRtt + this.inTime(burst);
    this.filled = round.overflows(this.datagram) || this.startup.onRound(round, this.rate, least, pipe);
  }

  /** Too much was lost: the path's queue is full, or its rate has dropped. */
  private onOverflow(now: number): void {
    this.inFlightHigh = Math.max(this.product, LOSS_BETA * Math.min(this.window, this.inFlightHigh));
    if (this.isSlow) this.forgetRate(this.round.rate);
    if (this.state === "up") this.enter(now, "down");
  }

  /**
   * With enough to send, round after round delivers less than believed: the path has become slower. If the RTT has grown
   * too, then either a queue stands or the way has become longer and the window is too small for it. To find out which,
   * the path is drained.
   */
  private judgeSlowness(now: number): void {
    if (this.state === "probeRtt") return;
    // While draining, less is sent than the path takes. It is slower if not even most of that arrives, and the queue stays.
    const drains = this.state === "drain" || this.state === "down";
    if (drains && !(this.round.isSlowerThan(SLOW_SHARE * DRAIN_GAIN * this.rate) && this.roundQueued)) return;
    this.slowRounds = this.isSlow ? this.slowRounds + 1 : 0;
    if (this.slowRounds === 0 || (this.slowRounds < SLOW_ROUNDS && !this.roundQueued)) return;
    this.forgetRate(this.round.rate);
    // Or a processor was late, the path's or one of the portals': then the rate is what it was, and soon found again.
    if (this.roundQueued) this.enterProbeRtt(now, "refill");
  }

  /** All of this round took clearly longer than the way, the bursts on it and a hold-up in it explain. */
  private get roundQueued(): boolean {
    const took = this.round.rtt - this.round.silence;
    if (this.rate === 0 || !Number.isFinite(took)) return false;
    return took > QUEUE_RTT * (this.minRtt + ACK_BUDGET + this.inTime(this.burst));
  }

  /** This round had enough to send, and delivered clearly less than the known rate. */
  private get isSlow(): boolean {
    return this.round.isSlowerThan(SLOW_SHARE * this.rate);
  }

  private forgetRate(rate: number): void {
    this.rateNow = rate;
    this.rateBefore = rate;
    this.slowRounds = 0;
  }

  /** The states' transitions. */
  private step(now: number): void {
    const elapsed = now - this.stateSince;
    switch (this.state) {
      case "startup":
        if (this.filled) this.enter(now, "drain");
        return;
      case "drain":
        if (this.inFlight <= this.pipe || this.roundsInState >= DRAIN_ROUNDS) this.enter(now, "down");
        return;
      case "down":
        if (
          this.inFlight <= this.pipe + this.burst ||
          elapsed > Math.max(DOWN_ROUND_TRIPS * this.minRtt, DOWN_TIME)
        )
          this.enter(now, "cruise");
        this.mayProbeRtt(now);
        return;
      case "cruise":
        if (elapsed > Math.max(CRUISE_TIME, CRUISE_ROUND_TRIPS * this.minRtt)) this.enter(now, "refill");
        this.mayProbeRtt(now);
        return;
      case "refill":
        if (this.roundsInState >= 1) this.enter(now, "up");
        return;
      case "up":
        this.raise();
        // Long enough for the greater rate to be seen, and as long as it goes on growing.
        if (this.upwards.ended || (this.upwards.pauses && this.hasQueued)) this.enter(now, "down");
        return;
      case "probeRtt":
        this.inProbeRtt(now);
    }
  }

  /** Probing upwards has filled the pipe: more in flight, and it takes longer. A rate that grows is seen after two rounds. */
  private get hasQueued(): boolean {
    const full = this.upwards.gain(this.minRtt) * (this.pipe + this.burst);
    if (this.roundsInState < 1 || this.inFlight <= full) return false;
    const least = Math.min(QUEUE_SHARE * this.minRtt, this.minRtt + ACK_BUDGET);
    return this.roundsInState >= 2 || this.rtt > least + this.inTime(this.burst);
  }

  /** While probing upwards, the bound that an overflow has set is raised again. */
  private raise(): void {
    if (this.mostInFlight >= this.inFlightHigh - this.datagram)
      this.inFlightHigh += this.datagram * Math.max(1, this.roundsInState);
  }

  private mayProbeRtt(now: number): void {
    if (now - this.minRttAt > PROBE_RTT_INTERVAL) this.enterProbeRtt(now, "cruise");
  }

  /** `next`: what is entered when the least round trip is known. */
  private enterProbeRtt(now: number, next: State): void {
    this.afterProbeRtt = next;
    this.probeRttEnd = 0;
    this.probeRttMin = Number.POSITIVE_INFINITY;
    this.enter(now, "probeRtt");
  }

  private inProbeRtt(now: number): void {
    if (this.probeRttEnd === 0) {
      if (this.inFlight <= this.window) this.probeRttEnd = now + PROBE_RTT_TIME;
      return;
    }
    if (now < this.probeRttEnd || this.roundsInState < PROBE_RTT_ROUNDS) return;
    if (Number.isFinite(this.probeRttMin)) this.minRtt = this.probeRttMin;
    this.minRttAt = now;
    this.enter(now, this.filled ? this.afterProbeRtt : "startup");
  }

  private enter(now: number, state: State): void {
    this.state = state;
    this.stateSince = now;
    this.roundsInState = 0;
    if (state === "startup") {
      this.startup.begin();
    } else if (state === "up") {
      this.upwards.begin(this.rate);
    } else if (state === "down" && this.rateNow > 0) {
      // A probing cycle ends: rates are remembered over two of them.
      this.rateBefore = this.rateNow;
      this.rateNow = 0;
    }
  }
}
