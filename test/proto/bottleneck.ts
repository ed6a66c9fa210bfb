/**
 * One sender and one receiver with a line between them, for the tests of what measures and controls a path: the real
 * recovery, pacer and reception on a virtual clock. The sender always has something to send unless told otherwise;
 * acknowledgements come back after the line's delay and are never lost.
 */
import { Line, type LineSettings } from "../../src/lab/line.ts";
import { seededRandom } from "../../src/lab/random.ts";
import type { Congestion } from "../../src/proto/congestion.ts";
import { MILLISECOND, SECOND } from "../../src/proto/limits.ts";
import { Reception } from "../../src/proto/reception.ts";
import { Recovery } from "../../src/proto/recovery.ts";
import { NO_POSITION } from "../../src/proto/sentlog.ts";
import { plainBlock } from "../../src/share/block.ts";

/** Bytes of each packet. */
export const D = 1452;
const ACK_ROOM = 512;
/** Probe timeouts after which the path is given up for silent, and distance of the probes that find it again. */
const SILENT_AFTER = 3;
const PROBE_EVERY = 100 * MILLISECOND;

export interface BottleneckPlan {
  readonly seed?: number;
  /** Bytes per second the sender has to send; without it always more than the path takes. */
  readonly offered?: number;
  /** Bytes the sender keeps in flight at most, as a flow's window does. */
  readonly window?: number;
  /** Least distance of two acknowledgements, beside what reception.ts keeps. */
  readonly ackSpacing?: number;
  /** Longest time by which a turn of the sender comes late. */
  readonly lateness?: number;
}

interface Packet {
  readonly number: number;
  readonly sentAt: number;
}

interface Ack {
  readonly at: number;
  readonly body: Uint8Array;
}

/** What was seen over a stretch of time. */
export interface Stretch {
  /** Bytes per second that came out. */
  readonly rate: number;
  /** Most bytes in flight. */
  readonly inFlight: number;
  /** Mean time that packets waited in the line's queue. */
  readonly wait: number;
}

/** Mbit/s as bytes per second. */
export function megabits(rate: number): number {
  return (rate * 1e6) / 8;
}

/** A line of so many Mbit/s and so long a round trip, whose queue holds two round trips. */
export function path(
  rate: number,
  rttMicros: number,
  more: Partial<LineSettings> = {},
): Partial<LineSettings> {
  const queueMicros = Math.max(2 * rttMicros, 20 * MILLISECOND);
  return { rateBitsPerSecond: rate * 1e6, delayMicros: rttMicros / 2, queueMicros, ...more };
}

export class Bottleneck {
  now = 1;
  readonly recovery: Recovery;
  readonly line: Line<Packet>;
  private readonly reception = new Reception();
  private readonly plan: BottleneckPlan;
  private readonly random: () => number;
  private readonly acks: Ack[] = [];
  private readonly body = plainBlock(ACK_ROOM);
  private ackedAt = 0;
  private sendersTurn = 0;
  private made = 0;
  private silent = false;
  private probeAt = 0;
  private delivered = 0;
  private waited = 0;
  private inFlight = 0;

  constructor(congestion: Congestion, settings: Partial<LineSettings>, plan: BottleneckPlan = {}) {
    this.plan = plan;
    this.random = seededRandom(plan.seed ?? 1);
    this.line = new Line<Packet>(this.random);
    this.line.set(0, settings);
    this.recovery = new Recovery(congestion, D, { onDelivered: () => {}, onLost: () => {} });
    // Full-sized datagrams are known to be carried.
    this.recovery.mtu.onProbeAcked(0, D);
  }

  change(settings: Partial<LineSettings>): void {
    this.line.set(this.now, settings);
  }

  /** Neither end runs for so long; what the line brings waits. */
  holdUp(micros: number): void {
    this.now += micros;
  }

  runFor(micros: number): Stretch {
    const end = this.now + micros;
    this.delivered = 0;
    this.waited = 0;
    this.inFlight = 0;
    for (let at = this.nextAt(); at <= end; at = this.nextAt()) {
      this.now = Math.max(this.now, at);
      this.turn();
    }
    this.now = end;
    const packets = Math.max(this.delivered / D, 1);
    return {
      rate: (this.delivered * SECOND) / micros,
      inFlight: this.inFlight,
      wait: this.waited / packets,
    };
  }

  private nextAt(): number {
    const { recovery, acks, line } = this;
    const ack = acks.length > 0 ? acks[0]!.at : Number.POSITIVE_INFINITY;
    const timer = this.silent ? this.probeAt : recovery.timeoutAt;
    return Math.min(ack, line.nextAt(), this.ackAt, timer, this.silent ? ack : this.sendersTurn);
  }

  private get ackAt(): number {
    const at = this.reception.ackAt(this.recovery.rtt.srtt);
    return Math.max(Math.min(at, this.reception.nackAt), this.ackedAt + (this.plan.ackSpacing ?? 0));
  }

  private turn(): void {
    const { now, line, recovery, acks } = this;
    this.receive();
    if (this.ackAt <= now) this.acknowledge();
    const heard = acks.length > 0 && acks[0]!.at <= now;
    for (let ack = acks[0]; ack !== undefined && ack.at <= now; ack = acks[0]) {
      acks.shift();
      this.body.bytes.set(ack.body);
      recovery.onAck(now, this.body, 0, ack.body.length);
    }
    if (heard && this.silent) {
      this.silent = false;
      recovery.resume(0);
      recovery.mtu.onProbeAcked(0, D);
    }
    if (this.silent) {
      if (now >= this.probeAt) {
        this.probeAt = now + PROBE_EVERY;
        this.offer();
      }
      return;
    }
    if (now >= recovery.timeoutAt && recovery.onTimeout(now)) this.offer();
    if (recovery.ptoCount >= SILENT_AFTER) {
      this.silent = true;
      this.probeAt = now + PROBE_EVERY;
      recovery.abandon(now);
      return;
    }
    if (heard || now >= this.sendersTurn) this.send();
    if (line.inside === 0 && recovery.log.inFlight === 0 && this.sendersTurn === Number.POSITIVE_INFINITY)
      this.sendersTurn = now + MILLISECOND;
  }

  private receive(): void {
    const { line, now, reception } = this;
    for (let packet = line.poll(now); packet !== undefined; packet = line.poll(now)) {
      const { delayMicros, rateBitsPerSecond } = line.current;
      this.delivered += D;
      this.waited += line.arrivedAt - packet.sentAt - delayMicros - (D * 8e6) / rateBitsPerSecond;
      reception.onPacket(now, packet.number, D, true);
    }
  }

  private acknowledge(): void {
    const { now, reception, acks } = this;
    this.ackedAt = now;
    reception.onTimeout(now);
    const length = reception.writeAck(now, this.body, 0, ACK_ROOM);
    const at = Math.max(now + this.line.current.delayMicros, acks.at(-1)?.at ?? 0);
    acks.push({ at, body: this.body.bytes.slice(0, length) });
  }

  private send(): void {
    const { now, recovery, plan } = this;
    const offered = plan.offered ?? Number.POSITIVE_INFINITY;
    const due = (offered * now) / SECOND;
    const full = (): boolean => recovery.log.inFlight + D > (plan.window ?? Number.POSITIVE_INFINITY);
    while (this.made + D <= due && !full() && recovery.canSend(now)) {
      this.made += D;
      this.offer();
    }
    const starved = this.made + D > due;
    if (starved || full()) recovery.onAppLimited();
    const moreAt = full()
      ? Number.POSITIVE_INFINITY
      : starved
        ? ((this.made + D + 1) * SECOND) / offered
        : now;
    const at = Math.max(recovery.sendAt(now), moreAt);
    this.sendersTurn = at + this.random() * (plan.lateness ?? 0);
  }

  private offer(): void {
    const { now, recovery } = this;
    const number = recovery.onSent(now, D, NO_POSITION, true);
    this.line.offer(now, D, { number, sentAt: now });
    this.inFlight = Math.max(this.inFlight, recovery.log.inFlight);
  }
}
