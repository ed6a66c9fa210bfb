/**
 * The sending half of a path: packet numbers, loss detection by acknowledgement ranges, NACKs and time (RFC 9002
 * sections 6 and 7), congestion window and pacing. It never sends anything itself and never repeats a packet: it says
 * which ring positions arrived and which were lost, and the session decides where a lost one leaves again.
 */
import type { Block } from "../share/block.ts";
import { ACK_DELAY_UNIT, ACK_HEADER_BYTES, ACK_RANGE_BYTES, ackBytes, ackIsWhole } from "../wire/ack.ts";
import { expandPacketNumber } from "../wire/datagram.ts";
import type { Congestion } from "./congestion.ts";
import {
  GRANULARITY,
  MAX_ACK_DELAY,
  MILLISECOND,
  PACKET_THRESHOLD,
  SECOND,
  TIME_THRESHOLD,
} from "./limits.ts";
import { Pacer } from "./pacer.ts";
import { PathMtu } from "./pathmtu.ts";
import { DeliveryRate } from "./ratesample.ts";
import { Rtt } from "./rtt.ts";
import { FREE, LOST, OUTSTANDING, SentLog, SIZE_PROBE } from "./sentlog.ts";

/** Who is told what became of the inner packets. */
export interface RecoverySink {
  onDelivered(position: number): void;
  onLost(position: number): void;
}

/** A path that reorders by more than this many packets has its losses found by time alone. */
const MAX_PACKET_THRESHOLD = 1024;
const MAX_TIME_THRESHOLD = 2;
/** A path is at rest with no more bytes under way than these: a ping, probes, also of its MTU; ... */
const AT_REST = 4_500;
/** ... once its rate is known, no more than it carries in so long, or a few small packets; ... */
const RESTING_TIME = 4 * MILLISECOND;
const SMALL = 500;
/** ... and while the peer sends no more bytes of data in a round trip. */
const HEARD_AT_REST = 1_500;
/** A radio on which nothing leaves for so long, or a round trip, may sleep: what wakes it tells nothing of how its delay varies. */
const AWAKE = 200 * MILLISECOND;

export class Recovery {
  readonly log = new SentLog();
  readonly rtt = new Rtt();
  congestion: Congestion;
  readonly pacer: Pacer;
  readonly rate = new DeliveryRate();
  /** Which datagrams the path carries whole: it follows from what arrived and what was lost. */
  readonly mtu: PathMtu;
  sentPackets = 0;
  sentBytes = 0;
  ackedPackets = 0;
  lostPackets = 0;
  lostAt = Number.NEGATIVE_INFINITY;
  /** Packets that were declared lost and arrived after all. */
  spuriousPackets = 0;
  /** Probe timeouts in a row without any acknowledgement. */
  ptoCount = 0;
  /** Largest packet number that the peer is known to have received. */
  largestAcked = -1;
  /** When that packet left. */
  largestAckedSentAt = Number.NEGATIVE_INFINITY;
  private readonly sink: RecoverySink;
  /** Losses of packets numbered below this say nothing of congestion: the path was silent. */
  private quietBelow = 0;
  /** When data last came that was no rest; and what has come of it since when, for a round trip. */
  private loadedAt = Number.NEGATIVE_INFINITY;
  private heardBytes = 0;
  private heardSince = Number.NEGATIVE_INFINITY;
  /** When something ack-eliciting last left, and from when on what leaves finds the path awake. */
  private activeAt = Number.NEGATIVE_INFINITY;
  private awakeFrom = Number.NEGATIVE_INFINITY;
  private lossAt = Number.POSITIVE_INFINITY;
  private lastElicitingAt = 0;
  /** Nothing below this needs to be looked at when an acknowledgement comes. */
  private watchFrom = 0;
  private packetThreshold = PACKET_THRESHOLD;
  private timeThreshold = TIME_THRESHOLD;

  /** `headers`: of IP and UDP, around each datagram. */
  constructor(congestion: Congestion, datagram: number, sink: RecoverySink, headers = 28) {
    this.congestion = congestion;
    this.mtu = new PathMtu(datagram, headers, () => this.congestion.onNoCongestion());
    this.pacer = new Pacer(datagram);
    this.sink = sink;
  }

  /** Takes the next packet number for a datagram of `bytes` that leaves now. */
  onSent(now: number, bytes: number, position: number, ackEliciting: boolean): number {
    if (ackEliciting && this.log.inFlight === 0) this.rate.onIdleSend(now);
    const packetNumber = this.log.add(now, bytes, position, ackEliciting);
    this.sentPackets++;
    this.sentBytes += bytes;
    this.pacer.onSent(bytes);
    if (ackEliciting) {
      this.log.noteRate(packetNumber, this.rate);
      this.lastElicitingAt = now;
      if (now - this.activeAt > Math.max(AWAKE, this.rtt.srtt)) this.awakeFrom = now + this.rtt.srtt;
      this.activeAt = now;
      this.congestion.onSent(now, bytes, this.log.inFlight);
    }
    return packetNumber;
  }

  /** True when window and pacer let a packet with data leave now. */
  canSend(now: number): boolean {
    return this.windowOpen && this.pacer.ready(now, this.pacingRate);
  }

  get windowOpen(): boolean {
    return this.log.inFlight < this.congestion.window && this.log.hasRoom;
  }

  /** Bytes per second that the path is known to carry. */
  get rateKnown(): number {
    return this.congestion.rateKnown(this.rtt.srtt);
  }

  /** A datagram with data came on this path. */
  onData(now: number, bytes: number): void {
    if (now - this.heardSince > this.rtt.srtt) {
      this.heardSince = now;
      this.heardBytes = 0;
    }
    this.heardBytes += bytes;
    if (this.heardBytes > HEARD_AT_REST) this.loadedAt = now;
  }

  get pacingRate(): number {
    return this.congestion.pacingRate(this.rtt.srtt);
  }

  /** When the pacer opens again; Infinity while the window is shut (an acknowledgement opens it). */
  sendAt(now: number): number {
    return this.windowOpen ? this.pacer.nextAt(now, this.pacingRate) : Number.POSITIVE_INFINITY;
  }

  /** There is room, and nothing to send: what is measured now is not what the path could do. */
  onAppLimited(): void {
    if (this.windowOpen) this.rate.onAppLimited(this.log.inFlight);
  }

  /** An authentic acknowledgement. False when it is malformed or speaks of packets never sent. */
  onAck(now: number, body: Block, offset: number, length: number): boolean {
    if (!ackIsWhole(body, offset, length)) return false;
    const { view, bytes } = body;
    const largest = expandPacketNumber(view.getUint32(offset), this.log.next);
    if (largest >= this.log.next) return false;
    const delay = view.getUint16(offset + 4) * ACK_DELAY_UNIT;
    const inFlight = this.log.inFlight;
    this.ptoCount = 0;
    this.rate.begin();
    const rtt = this.sampleRtt(now, largest, delay);

    let low = largest - view.getUint16(offset + 8);
    this.ackRange(now, low, largest, inFlight);
    let at = offset + ACK_HEADER_BYTES;
    for (let i = bytes[offset + 6]!; i > 0; i--, at += ACK_RANGE_BYTES) {
      const high = low - 1 - view.getUint16(at);
      low = high - view.getUint16(at + 2) + 1;
      if (low < 0 || low > high) break;
      this.ackRange(now, low, high, inFlight);
    }
    at = offset + ackBytes(bytes[offset + 6]!, 0);
    for (let i = bytes[offset + 7]!; i > 0; i--, at += ACK_RANGE_BYTES) {
      const first = largest - view.getUint16(at);
      this.loseRange(now, first, first + view.getUint16(at + 2) - 1);
    }
    if (largest > this.largestAcked) {
      this.largestAcked = largest;
      if (largest >= this.log.first) this.largestAckedSentAt = this.log.timeOf(largest);
    }
    this.detectLosses(now);
    const later = this.rtt.usualLater(this.congestion.searching);
    this.congestion.onRate(now, this.rate.end(this.log.inFlight, rtt, this.rtt.min, later));
    this.rate.sample.lost = 0;
    return true;
  }

  /** When `onTimeout` wants to be called, or a probe of the path's MTU is due. */
  get timeoutAt(): number {
    return Math.min(this.lossAt, this.ptoAt, this.mtu.at);
  }

  /** The probe timeout (RFC 9002 section 6.2); Infinity when nothing is outstanding. */
  get ptoAt(): number {
    if (this.log.inFlight === 0) return Number.POSITIVE_INFINITY;
    return this.lastElicitingAt + this.rtt.pto(MAX_ACK_DELAY) * 2 ** Math.min(this.ptoCount, 6);
  }

  /** True when the probe timeout has struck and a probe should leave. */
  onTimeout(now: number): boolean {
    if (now >= this.lossAt) this.detectLosses(now);
    if (now < this.ptoAt) return false;
    this.ptoCount++;
    // Without a probe going out at once, the timer would strike again immediately.
    this.lastElicitingAt = now;
    return true;
  }

  /** When the oldest unacknowledged packet left; Infinity when none is outstanding. */
  get oldestOutstandingAt(): number {
    return this.log.inFlight === 0 ? Number.POSITIVE_INFINITY : this.log.timeOf(this.log.oldest);
  }

  /** Gives up everything in flight: the path is silent. Each packet goes to the sink as lost. */
  abandon(now: number): void {
    this.quietBelow = Number.POSITIVE_INFINITY;
    this.mtu.stop();
    for (let packetNumber = this.log.oldest; packetNumber < this.log.next; packetNumber++) {
      if (this.log.stateOf(packetNumber) === OUTSTANDING) this.lose(now, packetNumber);
    }
    this.log.advance();
    this.lossAt = Number.POSITIVE_INFINITY;
    this.congestion.onTimeout(now);
  }

  /** The path leads to another address, maybe another way. */
  onMoved(now: number): void {
    this.mtu.renew(now);
    this.rtt.renew();
    this.rtt.forgetLeast();
  }

  /** The path is up: from here on a loss is congestion, or a datagram too big. */
  resume(now: number): void {
    this.quietBelow = this.log.next;
    this.activeAt = now;
    this.awakeFrom = now;
    this.rtt.renew();
    this.mtu.begin(now);
  }

  /** The round-trip time that this acknowledgement shows; 0 when it shows none. */
  private sampleRtt(now: number, largest: number, delay: number): number {
    if (largest <= this.largestAcked || largest < this.log.oldest) return 0;
    if (this.log.stateOf(largest) !== OUTSTANDING) return 0;
    const sentAt = this.log.timeOf(largest);
    const atRest = this.wasAtRest(sentAt, largest);
    const tells = atRest || (this.congestion.drains && sentAt >= this.awakeFrom);
    this.rtt.onSample(now, now - sentAt, delay, atRest, tells);
    return this.rtt.latest;
  }

  /** Nothing but the path itself says how long this packet took. */
  private wasAtRest(sentAt: number, packetNumber: number): boolean {
    if (sentAt < this.awakeFrom || sentAt <= this.loadedAt) return false;
    let most = AT_REST;
    if (!this.congestion.searching)
      most = Math.min(most, Math.max((this.rateKnown * RESTING_TIME) / SECOND, SMALL));
    // What has arrived since it left was under way when it did.
    return this.log.inFlight + this.rate.delivered - this.log.deliveredBefore(packetNumber) <= most;
  }

  private ackRange(now: number, low: number, high: number, inFlight: number): void {
    // What has been sent since `watchFrom` was set may have taken the places of the oldest numbers in the log.
    const from = Math.max(low, this.watchFrom, this.log.first);
    for (let packetNumber = from; packetNumber <= high; packetNumber++) {
      const state = this.log.stateOf(packetNumber);
      if (state === FREE) continue;
      const sentAt = this.log.timeOf(packetNumber);
      const position = this.log.positionOf(packetNumber);
      const bytes = this.log.sizeOf(packetNumber);
      if (state === LOST) {
        this.onSpurious(now - sentAt, packetNumber);
      } else {
        this.log.tellRate(now, packetNumber, this.rate);
        this.congestion.onAcked(now, bytes, sentAt, this.rtt.latest, this.wasLimited(inFlight));
      }
      this.log.settle(packetNumber, FREE);
      this.ackedPackets++;
      if (position === SIZE_PROBE) this.mtu.onProbeAcked(now, bytes);
      else this.mtu.onAcked(packetNumber, bytes);
      if (position >= 0) this.sink.onDelivered(position);
    }
  }

  /** RFC 9002 section 7.8, with the slack of Linux's tcp_is_cwnd_limited: half a window while it doubles. */
  private wasLimited(inFlight: number): boolean {
    return inFlight * 2 >= this.congestion.window;
  }

  /** A packet declared lost has arrived: this path reorders more than believed (RFC 9002 section 6.1, adaptive thresholds). */
  private onSpurious(age: number, packetNumber: number): void {
    this.spuriousPackets++;
    const distance = this.largestAcked - packetNumber;
    if (distance >= this.packetThreshold) this.packetThreshold = Math.min(distance + 1, MAX_PACKET_THRESHOLD);
    const factor = age / Math.max(this.rtt.srtt, 1);
    if (factor > this.timeThreshold) this.timeThreshold = Math.min(factor, MAX_TIME_THRESHOLD);
  }

  private loseRange(now: number, low: number, high: number): void {
    const top = Math.min(high, this.log.next - 1);
    for (let packetNumber = Math.max(low, this.log.oldest); packetNumber <= top; packetNumber++) {
      if (this.log.stateOf(packetNumber) === OUTSTANDING) this.lose(now, packetNumber);
    }
  }

  private detectLosses(now: number): void {
    this.lossAt = Number.POSITIVE_INFINITY;
    const delay = Math.max(this.timeThreshold * Math.max(this.rtt.srtt, this.rtt.latest), GRANULARITY);
    this.log.advance();
    for (let packetNumber = this.log.oldest; packetNumber < this.largestAcked; packetNumber++) {
      if (this.log.stateOf(packetNumber) !== OUTSTANDING) continue;
      const sentAt = this.log.timeOf(packetNumber);
      if (packetNumber + this.packetThreshold <= this.largestAcked || sentAt + delay <= now) {
        this.lose(now, packetNumber);
      } else {
        this.lossAt = sentAt + delay;
        break;
      }
    }
    this.log.advance();
    this.forget(now - 3 * this.rtt.srtt);
  }

  private lose(now: number, packetNumber: number): void {
    const position = this.log.positionOf(packetNumber);
    const bytes = this.log.sizeOf(packetNumber);
    const quiet = packetNumber < this.quietBelow;
    this.log.settle(packetNumber, LOST);
    if (position === SIZE_PROBE) {
      // RFC 8899 section 3: the loss of a probe is no sign of congestion.
      this.mtu.onProbeLost(now, bytes, quiet);
      return;
    }
    // Nor may be that of a datagram as large as a probe that was lost.
    const sentAt = this.log.timeOf(packetNumber);
    if (!quiet && !this.mtu.suspects(bytes, sentAt)) {
      if (this.mtu.onLost(now, packetNumber, bytes)) this.congestion.onDoubtfulLoss();
      this.rate.onLost(bytes);
      this.congestion.onLost(now, bytes, sentAt);
    }
    this.lostPackets++;
    this.lostAt = now;
    if (position >= 0) this.sink.onLost(position);
  }

  /** Stops watching for the late arrival of packets lost before `before`. */
  private forget(before: number): void {
    this.watchFrom = Math.max(this.watchFrom, this.log.first);
    while (this.watchFrom < this.log.oldest) {
      if (this.log.stateOf(this.watchFrom) === LOST && this.log.timeOf(this.watchFrom) > before) break;
      this.watchFrom++;
    }
  }
}
