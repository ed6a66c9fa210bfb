/** The hosts behind the portals: UDP and ICMP at a rate, and bulk transfers by a plain TCP (RFC 5681, 6298, 6675, 9438). */

import type { LineSettings } from "../../src/lab/line.ts";
import { HyStart } from "./hystart.ts";
import {
  type ChecksumMode,
  type Entry,
  Flow,
  type FlowSettings,
  ICMP,
  MARK_BYTES,
  TCP,
  type TcpFields,
  TcpFlag,
  UDP,
  Violation,
} from "./inner.ts";
import { innerAddress, type Node, serverAddress } from "./node.ts";
import { MILLISECOND, SECOND, type World } from "./world.ts";

export interface FlowPlan {
  /** Index of the local at one end; the remote is the other. */
  readonly local?: number;
  /** From the local towards the remote, or back. */
  readonly upwards: boolean;
  readonly ipv6?: boolean;
  readonly checksum?: ChecksumMode;
  readonly timestamps?: boolean;
}

interface Ends {
  readonly from: Node;
  readonly to: Node;
}

function endsOf(world: World, plan: FlowPlan): Ends {
  const local = world.locals[plan.local ?? 0]!;
  return plan.upwards ? { from: local, to: world.remote } : { from: world.remote, to: local };
}

function settingsOf(world: World, plan: FlowPlan, protocol: number): FlowSettings {
  const inner = innerAddress(plan.local ?? 0, plan.ipv6 ?? false);
  const server = serverAddress(plan.ipv6 ?? false);
  const ports = world.ledger.flows++ % 20_000;
  return {
    protocol,
    source: plan.upwards ? inner : server,
    destination: plan.upwards ? server : inner,
    sourcePort: 10_000 + ports,
    destinationPort: 40_000 + ports,
    checksum: plan.checksum ?? "partial",
    timestamps: plan.timestamps ?? false,
  };
}

/** Packets sent at a steady rate, whatever becomes of them. */
export class Datagrams {
  readonly flow: Flow;
  sent = 0;
  received = 0;
  /** Longest time between two packets that came out, and the greatest delay of one. */
  longestGap = 0;
  longestDelay = 0;
  private lastAt = -1;
  private readonly world: World;
  private readonly from: Node;
  private readonly plan: DatagramPlan;
  private stopAt = Number.POSITIVE_INFINITY;

  constructor(world: World, plan: DatagramPlan) {
    this.world = world;
    this.plan = plan;
    const { from, to } = endsOf(world, plan);
    this.from = from;
    this.flow = new Flow(settingsOf(world, plan, plan.icmp === true ? ICMP : UDP), to.name);
    this.flow.onPacket = (entry, now) => this.onPacket(entry, now);
    world.at(plan.startAt ?? world.now, () => this.send());
  }

  stop(): void {
    this.stopAt = this.world.now;
  }

  private send(): void {
    const { world, plan } = this;
    if (world.now >= this.stopAt || this.sent >= (plan.count ?? Number.POSITIVE_INFINITY)) return;
    const batch = plan.icmp === true || this.flow.settings.checksum !== "partial" ? 1 : (plan.batch ?? 1);
    const size = plan.size ?? 100;
    this.sent += batch;
    this.from.send(world.ledger.make(this.flow, world.now, new Array<number>(batch).fill(size)));
    world.after((batch * SECOND) / plan.perSecond, () => this.send());
  }

  private onPacket(entry: Entry, now: number): void {
    this.received++;
    if (this.lastAt >= 0) this.longestGap = Math.max(this.longestGap, now - this.lastAt);
    this.lastAt = now;
    this.longestDelay = Math.max(this.longestDelay, now - entry.at);
  }
}

/** Echo requests upwards at a steady rate, each answered at once, and how long the way there and back took. */
export class Ping {
  sent = 0;
  readonly times: number[] = [];
  private readonly world: World;
  private readonly there: Flow;
  private readonly back: Flow;
  private readonly every: number;
  private stopped = false;

  constructor(world: World, perSecond: number) {
    this.world = world;
    this.every = SECOND / perSecond;
    const local = world.locals[0]!;
    this.there = new Flow(settingsOf(world, { upwards: true }, ICMP), world.remote.name);
    this.back = new Flow(settingsOf(world, { upwards: false }, ICMP), local.name);
    // Answers come in any order, but each is the answer to one request.
    const asked = new Map<number, number>();
    this.there.onPacket = (entry, now) => {
      asked.set(this.back.made, entry.at);
      world.remote.send(world.ledger.make(this.back, now, [56]));
    };
    this.back.onPacket = (entry, now) => this.times.push(now - asked.get(entry.index)!);
    this.send();
  }

  stop(): void {
    this.stopped = true;
  }

  private send(): void {
    const { world } = this;
    if (this.stopped) return;
    this.sent++;
    world.locals[0]!.send(world.ledger.make(this.there, world.now, [56]));
    world.after(this.every, () => this.send());
  }
}

export interface DatagramPlan extends FlowPlan {
  readonly perSecond: number;
  /** Payload bytes, 8 or more. */
  readonly size?: number;
  readonly count?: number;
  readonly icmp?: boolean;
  /** Packets per read of the TUN (USO). */
  readonly batch?: number;
  readonly startAt?: number;
}

export interface StreamPlan extends FlowPlan {
  /** Bytes to send; without it the stream goes on for ever. */
  readonly bytes?: number;
  /** False: one packet per read of the TUN, as without TSO. */
  readonly segments?: boolean;
  readonly segmentBytes?: number;
  /** Grows by CUBIC (RFC 9438), as today's kernels do, instead of by RFC 5681. */
  readonly cubic?: boolean;
  /** CUBIC: slow start ends as in Linux (hystart.ts), not only when something is lost. */
  readonly hystart?: boolean;
  readonly startAt?: number;
}

/** Bytes a sender may have in its kernel's queue towards the TUN (TCP small queues). */
const SMALL_QUEUE = 131_072;
const MAX_WINDOW = 4 << 20;
const MIN_RTO = 200 * MILLISECOND;
const MAX_TSO = 60_000;
/** Gaps a receiver tells of at once. */
const MAX_HOLES = 64;

/** A bulk transfer over TCP. */
export class Stream {
  readonly data: Flow;
  readonly acks: Flow;
  /** Bytes the receiver has in order. */
  receivedBytes = 0;
  timeouts = 0;
  retransmitted = 0;
  private readonly world: World;
  private readonly ends: Ends;
  private readonly plan: StreamPlan;
  private size: number;
  private readonly bytes: number;
  // Sender.
  private readonly first: number;
  private unacked: number;
  private next: number;
  private highest: number;
  private window: number;
  private threshold = Number.POSITIVE_INFINITY;
  /** CUBIC: when slow start should end before something is lost; null once it has. */
  private slowStart: HyStart | null;
  /** CUBIC: the window before the last reduction, when that was, and how many seconds later it is reached again. */
  private windowBefore = 0;
  private reducedAt = 0;
  private reachedAfter = 0;
  private reducing = false;
  private recover = -1;
  private repairedAt = Number.NEGATIVE_INFINITY;
  private undo: { window: number; threshold: number; end: number } | null = null;
  private queued = 0;
  private srtt = 0;
  private rttvar = 0;
  private rto = SECOND;
  private timerAt = Number.POSITIVE_INFINITY;
  private timedSequence = -1;
  private timedAt = 0;
  private stopped = false;
  private abandoned = false;
  // Receiver.
  private expected: number;
  private readonly early = new Map<number, number>();
  private ackDue = false;

  constructor(world: World, plan: StreamPlan) {
    this.world = world;
    this.plan = plan;
    this.ends = endsOf(world, plan);
    this.size = plan.segmentBytes ?? (plan.ipv6 === true ? 1328 : 1348);
    this.bytes = plan.bytes ?? Number.POSITIVE_INFINITY;
    // No segment may be too short for its serial number.
    if (this.bytes % this.size < MARK_BYTES) this.bytes += MARK_BYTES;
    const settings = settingsOf(world, plan, TCP);
    this.data = new Flow(settings, this.ends.to.name);
    this.acks = new Flow(
      {
        ...settings,
        source: settings.destination,
        destination: settings.source,
        sourcePort: settings.destinationPort,
        destinationPort: settings.sourcePort,
      },
      this.ends.from.name,
    );
    this.data.onPacket = (entry) => this.onData(entry);
    this.data.onWrite = () => this.acknowledge();
    this.acks.onPacket = (entry, now) => this.onAck(now, entry.tcp!);
    this.data.onTooBig = (mtu) => world.after(0, () => this.onTooBig(mtu));
    // Close below 2^32, so that sequence numbers wrap.
    this.first = 2 ** 32 - 1_000_000;
    this.unacked = this.first;
    this.next = this.first;
    this.highest = this.first;
    this.expected = this.first;
    this.window = 10 * this.size;
    this.slowStart = plan.hystart === true ? new HyStart() : null;
    world.at(plan.startAt ?? world.now, () => this.send());
  }

  /** Nothing new is sent; what was lost still is. */
  stop(): void {
    this.stopped = true;
  }

  /** The sender is gone: nothing leaves any more. */
  abandon(): void {
    this.abandoned = true;
  }

  get done(): boolean {
    return this.receivedBytes >= this.bytes;
  }

  private get limit(): number {
    if (this.stopped) return this.highest;
    return this.first + this.bytes;
  }

  private send(): void {
    const { size } = this;
    const largest = this.plan.segments === false ? size : Math.floor(MAX_TSO / size) * size;
    for (;;) {
      const room = Math.min(this.unacked + Math.min(this.window, MAX_WINDOW), this.limit) - this.next;
      const wanted = Math.min(room, this.limit - this.next, largest);
      const whole = this.next + wanted === this.limit ? wanted : Math.floor(wanted / size) * size;
      if (whole < MARK_BYTES || this.queued > SMALL_QUEUE) break;
      this.emit(this.next, whole);
      this.next += whole;
      this.highest = Math.max(this.highest, this.next);
    }
  }

  private emit(sequence: number, bytes: number): void {
    const { world, size } = this;
    if (this.abandoned) return;
    const sizes: number[] = [];
    for (let left = bytes; left > 0; left -= size) sizes.push(Math.min(left, size));
    if (sequence < this.highest) this.retransmitted += sizes.length;
    else if (this.timedSequence < 0) {
      this.timedSequence = sequence + 1;
      this.timedAt = world.now;
    }
    if (sequence >= this.highest) this.slowStart?.onSent(world.now, sequence + bytes);
    const end = sequence + bytes === this.limit;
    const flags = TcpFlag.ACK | (end || sizes.length > 20 ? TcpFlag.PSH : 0);
    const packet = world.ledger.make(this.data, world.now, sizes, { sequence, acknowledged: 1, flags });
    this.queued += packet.length;
    const taken = (): void => {
      this.queued -= packet.length;
      world.after(0, () => this.send());
    };
    if (!this.ends.from.send(packet, taken)) this.queued -= packet.length;
    if (!Number.isFinite(this.timerAt)) this.arm();
  }

  private arm(): void {
    const { world } = this;
    this.timerAt = world.now + this.rto;
    const at = this.timerAt;
    world.at(at, () => {
      if (this.timerAt === at) this.onTimeout();
    });
  }

  private onTimeout(): void {
    this.timerAt = Number.POSITIVE_INFINITY;
    if (this.unacked >= this.highest || this.abandoned) return;
    this.timeouts++;
    this.undo = { window: this.window, threshold: this.threshold, end: this.unacked + this.size };
    this.remember(this.world.now, this.remainder);
    // Before the first acknowledgement there is no level to remember: a lost SYN would have lowered none either.
    if (this.unacked > this.first) this.threshold = Math.max(this.window * this.remainder, 2 * this.size);
    this.window = this.size;
    this.rto = Math.min(this.rto * 2, 2 * SECOND);
    this.timedSequence = -1;
    this.recover = -1;
    this.next = this.unacked;
    this.send();
    this.arm();
  }

  /** RFC 1191 section 6.4: smaller segments from now on, and what is unacknowledged leaves again at once. */
  private onTooBig(mtu: number): void {
    const size = mtu - (this.data.ipv6 ? 60 : 40) - (this.plan.timestamps === true ? 12 : 0);
    if (size >= this.size) return;
    this.size = size;
    this.next = this.unacked;
    this.timedSequence = -1;
    this.send();
  }

  private onAck(now: number, { acknowledged, missing }: TcpFields): void {
    if (acknowledged > this.highest) throw new Violation("the receiver acknowledges what was never sent");
    if (acknowledged > this.unacked) this.advance(now, acknowledged);
    if (missing !== undefined && acknowledged === this.unacked) {
      if (this.recover < 0 && missing.above >= 3) {
        this.remember(now, this.remainder);
        this.threshold = Math.max(this.window * this.remainder, 2 * this.size);
        this.window = this.threshold;
        this.recover = this.highest;
        this.next = this.highest;
        this.timedSequence = -1;
        this.repairedAt = Number.NEGATIVE_INFINITY;
      }
      if (this.recover >= 0) this.repair(now, missing.holes);
    }
    this.send();
  }

  private advance(now: number, acknowledged: number): void {
    const bytes = acknowledged - this.unacked;
    this.unacked = acknowledged;
    this.next = Math.max(this.next, acknowledged);
    this.sample(now, acknowledged);
    if (this.undo !== null && acknowledged > this.undo.end) {
      // The original arrived: the timer was wrong (RFC 5682, RFC 4015).
      this.window = this.undo.window;
      this.threshold = this.undo.threshold;
      this.next = this.highest;
    }
    this.undo = null;
    if (this.recover >= 0 && acknowledged >= this.recover) this.recover = -1;
    this.leaveSlowStart(now, acknowledged);
    if (this.recover < 0) {
      const growth = this.window < this.threshold ? bytes : this.growth(now, bytes);
      this.window = Math.min(this.window + growth, MAX_WINDOW);
    }
    this.timerAt = Number.POSITIVE_INFINITY;
    if (this.unacked < this.highest) this.arm();
  }

  /** Slow start ends when the delay or the train of acknowledgements says so: `threshold` becomes what the window is. */
  private leaveSlowStart(now: number, acknowledged: number): void {
    if (this.slowStart === null) return;
    if (this.window >= this.threshold) this.slowStart = null;
    else if (this.slowStart.onAck(now, acknowledged, this.highest, this.window / this.size)) {
      this.threshold = this.window;
      this.remember(now, 1);
      this.slowStart = null;
    }
  }

  /** CUBIC: from here on the window grows back to what it is now, of which `remainder` is left. */
  private remember(now: number, remainder: number): void {
    if (remainder < 1) this.reducing = true;
    const most = this.window / this.size;
    this.windowBefore = this.window;
    this.reducedAt = now;
    // Rounded, because machines differ in the last digit of a cube root.
    this.reachedAfter = Math.round(1e6 * Math.cbrt((most * (1 - remainder)) / 0.4)) / 1e6;
  }

  /** What a loss leaves of the window. */
  private get remainder(): number {
    return this.plan.cubic === true ? 0.7 : 0.5;
  }

  /** Growth of the window in congestion avoidance, in bytes, for so many acknowledged. */
  private growth(now: number, bytes: number): number {
    const perWindow = bytes / this.window;
    if (this.plan.cubic !== true) return this.size * perWindow;
    // RFC 9438 section 4.2: W(t) = C (t - K)^3 + W_max, in segments and seconds.
    const most = this.windowBefore / this.size;
    const t = (now + this.srtt - this.reducedAt) / SECOND - this.reachedAfter;
    const target = Math.min((0.4 * t * t * t + most) * this.size, 1.5 * this.window);
    // Section 4.3: never slower than a flow of RFC 5681 with the same reduction. Linux: nor than by 5 % in a round trip,
    // before anything has been lost.
    const least = Math.max(
      0.53 * this.size,
      this.plan.hystart !== true || this.reducing ? 0 : this.window / 20,
    );
    return Math.max(target - this.window, least) * perWindow;
  }

  /** Sends what is missing, all of it once per round trip. */
  private repair(now: number, holes: readonly (readonly [from: number, to: number])[]): void {
    if (now < this.repairedAt + Math.max(this.srtt, 10 * MILLISECOND)) return;
    this.repairedAt = now;
    for (const [from, to] of holes) {
      for (let at = from; at < to; at += this.size) {
        if (to - at >= MARK_BYTES) this.emit(at, Math.min(this.size, to - at));
      }
    }
  }

  private sample(now: number, acknowledged: number): void {
    if (this.timedSequence < 0 || acknowledged < this.timedSequence) return;
    const rtt = now - this.timedAt;
    this.timedSequence = -1;
    this.rttvar = this.srtt === 0 ? rtt / 2 : 0.75 * this.rttvar + 0.25 * Math.abs(this.srtt - rtt);
    this.srtt = this.srtt === 0 ? rtt : 0.875 * this.srtt + 0.125 * rtt;
    this.rto = Math.max(this.srtt + 4 * this.rttvar, MIN_RTO);
  }

  private onData(entry: Entry): void {
    const { sequence } = entry.tcp!;
    const end = sequence + entry.payload;
    const next = sequence <= this.expected && this.early.size === 0;
    if (next) this.expected = Math.max(this.expected, end);
    else if (end > this.expected) this.early.set(sequence, Math.max(this.early.get(sequence) ?? 0, end));
    for (let moved = !next; moved; ) {
      moved = false;
      for (const [from, to] of this.early) {
        if (from > this.expected) continue;
        this.early.delete(from);
        if (to > this.expected) {
          this.expected = to;
          moved = true;
        }
      }
    }
    this.receivedBytes = this.expected - this.first;
    this.ackDue = true;
  }

  private acknowledge(): void {
    if (!this.ackDue) return;
    this.ackDue = false;
    const { world } = this;
    const fields = { sequence: 1, acknowledged: this.expected, flags: TcpFlag.ACK, ...this.missing() };
    this.ends.to.send(world.ledger.make(this.acks, world.now, [0], fields));
  }

  /** The first gaps in what has arrived. */
  private missing(): Pick<TcpFields, "missing"> {
    if (this.early.size === 0) return {};
    const holes: [number, number][] = [];
    let at = this.expected;
    for (const [from, to] of [...this.early].sort((a, b) => a[0] - b[0])) {
      if (from > at) holes.push([at, from]);
      at = Math.max(at, to);
      if (holes.length === MAX_HOLES) break;
    }
    return { missing: { holes, above: this.early.size } };
  }
}

/** Mbit/s of stream bytes over a stretch of the run. */
export function goodput(world: World, stream: Stream, micros: number): number {
  const before = stream.receivedBytes;
  world.runFor(micros);
  return ((stream.receivedBytes - before) * 8) / micros;
}

/** A line of so many Mbit/s and so many milliseconds one way. */
export function line(
  megabits: number,
  delayMs: number,
  more: Partial<LineSettings> = {},
): Partial<LineSettings> {
  return { rateBitsPerSecond: megabits * 1e6, delayMicros: delayMs * MILLISECOND, ...more };
}
