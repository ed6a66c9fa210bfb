/**
 * One direction of an access line, as a model: a bounded queue, a transmitter of a given rate, and a wire with delay.
 *
 *     offer ─> queue (drop-tail, bounded) ─> transmitter (rate or trace) ─> wire (delay, jitter, loss) ─> poll
 *
 * Pure: time is an argument in microseconds and must not go backwards, random numbers come from a function. The same
 * model runs in real time (lab/emulator.ts) and on a virtual clock (the simulator). Items are anything; the line
 * never looks at them. Nothing is allocated per packet.
 *
 * A packet lost on the wire has used its share of the rate, as on a radio link. It does not model: shared media,
 * active queue management, or a receiver that is slower than the wire.
 */
import { normal, type Random } from "./random.ts";
import { PacketRing } from "./ring.ts";

export interface LineSettings {
  /** Bits of IP packet per second; Infinity = no limit, 0 = nothing moves. Not used while there is a trace. */
  readonly rateBitsPerSecond: number;
  /** A token bucket: what leaves at once after a pause. It fills at the rate, and begins full. Not used while there is a trace. */
  readonly burstBytes: number;
  /** Propagation delay. */
  readonly delayMicros: number;
  /** Standard deviation of the delay; order is kept. */
  readonly jitterMicros: number;
  /** Share of packets lost on the wire, 0..1. */
  readonly loss: number;
  /** A packet that would wait longer than this for the transmitter, at the present rate, is not taken. */
  readonly queueMicros: number;
  /** Bound of the queue in bytes, beside the one in time. */
  readonly queueBytes: number;
  /** Share of packets, 0..1, that arrive `reorderMicros` later than they should, behind packets sent after them. */
  readonly reorder: number;
  readonly reorderMicros: number;
  /** Share of packets, 0..1, that arrive twice. */
  readonly duplicate: number;
  /** Share of packets, 0..1, that arrive damaged (the receiver of `poll` does the damage). */
  readonly corrupt: number;
  /** True: a dead line. What is inside is lost, and so is what is offered. */
  readonly cut: boolean;
  /** Times (lab/trace.ts) at which 1,500 bytes may leave, repeating from the end; null = a constant rate. */
  readonly trace: Float64Array | null;
}

export const DEFAULT_LINE: LineSettings = {
  rateBitsPerSecond: Number.POSITIVE_INFINITY,
  burstBytes: 0,
  delayMicros: 0,
  jitterMicros: 0,
  loss: 0,
  queueMicros: 50_000,
  queueBytes: Number.POSITIVE_INFINITY,
  reorder: 0,
  reorderMicros: 10_000,
  duplicate: 0,
  corrupt: 0,
  cut: false,
  trace: null,
};

export type Offer = "queued" | "lost" | "overflow" | "cut";

/** What became of packets. offered = delivered - duplicated + lost + overflow + cut + those still inside. */
export interface LineCounts {
  offered: number;
  delivered: number;
  deliveredBytes: number;
  lost: number;
  overflow: number;
  cut: number;
  duplicated: number;
  corrupted: number;
  late: number;
}

/** Bytes that one delivery opportunity of a trace carries. */
export const OPPORTUNITY_BYTES = 1500;

/**
 * For how long a drawn deviation of the delay holds. A radio's delay moves with its scheduling and retransmission
 * rounds (8 to 20 ms in LTE), not per packet: independent draws, with order kept, would hold a fast flow at its
 * highest draw and make delay depend on the packet rate.
 */
const JITTER_HOLD_MICROS = 10_000;

const LOST = 1;
const CORRUPT = 2;
const LATE = 4;
const TWICE = 8;
const DELIVERED = 16;

export class Line<T> {
  readonly counts: LineCounts = {
    offered: 0,
    delivered: 0,
    deliveredBytes: 0,
    lost: 0,
    overflow: 0,
    cut: 0,
    duplicated: 0,
    corrupted: 0,
    late: 0,
  };
  /** Of the item `poll` gave last: when it arrived, exactly. */
  arrivedAt = 0;
  /** Of the item `poll` gave last: its size, as offered. */
  arrivedBytes = 0;
  /** Of the item `poll` gave last: it arrived damaged. Of two copies only the first says so. */
  corrupted = false;
  /** Of the item `poll` gave last: `poll` will give it once more, so its memory must live on. */
  again = false;

  private settings: LineSettings = DEFAULT_LINE;
  private readonly random: Random;
  private readonly discard: (item: T) => void;

  /** Waiting for the transmitter; the head is being transmitted. */
  private readonly queue = new PacketRing<T>();
  /** On the wire, in order of arrival. */
  private readonly flight = new PacketRing<T>();
  /** On the wire and delayed behind later ones; in order of arrival among themselves. */
  private readonly late = new PacketRing<T>();
  private queueBytes = 0;
  /** Of the head of the queue: bytes not yet transmitted at `serviceAt`. */
  private headBytes = 0;
  private serviceAt = 0;
  /** Bytes in the bucket; while nothing waits, at `serviceAt`. */
  private bucket = 0;
  private lastArrival = 0;
  private lastLateArrival = 0;
  private deviation = 0;
  private deviationUntil = 0;
  /** The trace: next opportunity's index and time, start of the present repetition, mean rate. */
  private opportunity = 0;
  private opportunityAt = Number.POSITIVE_INFINITY;
  private lapAt = 0;
  private traceRate = 0;

  /** `discard` is called with each item that was queued and never comes (again), because the line was cut. */
  constructor(random: Random, discard: (item: T) => void = () => {}) {
    this.random = random;
    this.discard = discard;
  }

  get current(): LineSettings {
    return this.settings;
  }

  /** Changes settings; what is left out stays. Packets on the wire keep their arrival. Throws on impossible values. */
  set(now: number, change: Partial<LineSettings>): void {
    const next = { ...this.settings, ...change };
    checkSettings(next);
    this.advance(now);
    this.headBytes -= this.transmitted(now);
    this.fillBucket(now);
    this.serviceAt = now;
    const before = this.settings;
    this.settings = next;
    if (next.burstBytes !== before.burstBytes) this.bucket = next.burstBytes;
    if (next.trace !== before.trace) this.startTrace(now);
    if (next.cut && !before.cut) this.empty();
  }

  /** Gives a packet to the line. Only when it answers "queued" does the line hold the item. */
  offer(now: number, bytes: number, item: T): Offer {
    const { counts, settings } = this;
    counts.offered++;
    if (settings.cut) {
      counts.cut++;
      return "cut";
    }
    this.advance(now);
    if (!this.hasRoom(now, bytes)) {
      counts.overflow++;
      return "overflow";
    }
    let mark = 0;
    if (this.chance(settings.loss)) {
      mark = LOST;
      counts.lost++;
    } else {
      if (this.chance(settings.corrupt)) mark |= CORRUPT;
      if (this.chance(settings.duplicate)) mark |= TWICE;
      if (this.chance(settings.reorder)) mark |= LATE;
    }
    if (this.queue.length === 0) {
      this.fillBucket(now);
      this.headBytes = this.afterBucket(bytes);
      this.serviceAt = now;
    }
    this.queue.push(mark === LOST ? undefined : item, bytes, now, mark);
    this.queueBytes += bytes;
    return mark === LOST ? "lost" : "queued";
  }

  /** The next packet that has arrived by `now`, in order of arrival; undefined when there is none. */
  poll(now: number): T | undefined {
    this.advance(now);
    const ring =
      this.late.length > 0 && !(this.flight.length > 0 && this.flight.time <= this.late.time)
        ? this.late
        : this.flight;
    if (ring.length === 0 || ring.time > now) return undefined;
    const { counts } = this;
    const { item, mark } = ring;
    this.arrivedAt = ring.time;
    this.arrivedBytes = ring.bytes;
    this.corrupted = (mark & CORRUPT) !== 0;
    this.again = (mark & TWICE) !== 0;
    counts.delivered++;
    counts.deliveredBytes += this.arrivedBytes;
    if (this.corrupted) counts.corrupted++;
    if (mark & DELIVERED) counts.duplicated++;
    if (this.again) ring.mark = (mark & ~(TWICE | CORRUPT)) | DELIVERED;
    else ring.drop();
    return item;
  }

  /** When `poll` should be called next; Infinity when nothing is inside. It may then still have nothing to give. */
  nextAt(): number {
    let at = this.late.length > 0 ? this.late.time : Number.POSITIVE_INFINITY;
    if (this.flight.length > 0) return Math.min(at, this.flight.time);
    if (this.queue.length === 0) return at;
    // The head's arrival, or with jitter, which is drawn when it leaves, the moment it leaves.
    const { jitterMicros, delayMicros } = this.settings;
    at = Math.min(at, this.headLeavesAt() + (jitterMicros > 0 ? 0 : delayMicros));
    return at;
  }

  /** Packets waiting, being transmitted or on the wire, lost ones that still use the transmitter included. */
  get inside(): number {
    return this.queue.length + this.flight.length + this.late.length;
  }

  private chance(share: number): boolean {
    return share > 0 && this.random() < share;
  }

  /** Bytes per microsecond; of a trace the mean, for the queue's bound. */
  private get speed(): number {
    return this.settings.trace === null ? this.settings.rateBitsPerSecond / 8e6 : this.traceRate;
  }

  private hasRoom(now: number, bytes: number): boolean {
    // A packet that finds nothing waiting always fits: otherwise a short bound would let nothing through at all.
    if (this.queue.length === 0) return true;
    const { queueMicros, queueBytes } = this.settings;
    if (this.queueBytes + bytes > queueBytes) return false;
    const ahead = this.queueBytes - this.queue.bytes + this.headBytes - this.transmitted(now);
    return ahead / this.speed <= queueMicros;
  }

  /** Bytes of the head that left between `serviceAt` and `now`. A trace transmits at its opportunities only. */
  private transmitted(now: number): number {
    if (this.queue.length === 0 || this.settings.trace !== null) return 0;
    if (now <= this.serviceAt) return 0;
    return Math.min(this.headBytes, (now - this.serviceAt) * this.speed);
  }

  /** The bucket fills while nothing waits; what waits uses the rate itself. */
  private fillBucket(now: number): void {
    const { burstBytes } = this.settings;
    if (burstBytes === 0 || this.queue.length > 0) return;
    const filled = now > this.serviceAt ? (now - this.serviceAt) * this.speed : 0;
    this.bucket = Math.min(burstBytes, this.bucket + filled);
  }

  /** What is left to transmit of a packet that finds nothing waiting; before one that waits, the bucket was emptied. */
  private afterBucket(bytes: number): number {
    if (this.settings.trace !== null) return bytes;
    const given = Math.min(this.bucket, bytes);
    this.bucket -= given;
    return bytes - given;
  }

  private headLeavesAt(): number {
    if (this.settings.trace !== null) return this.opportunityAt;
    return this.headBytes === 0 ? this.serviceAt : this.serviceAt + this.headBytes / this.speed;
  }

  /** Moves onto the wire everything that was transmitted by `now`. */
  private advance(now: number): void {
    if (this.settings.trace !== null) {
      this.advanceTrace(now);
      return;
    }
    while (this.queue.length > 0) {
      const leaves = this.headLeavesAt();
      if (leaves > now) return;
      this.depart(leaves);
    }
  }

  private advanceTrace(now: number): void {
    while (this.opportunityAt <= now) {
      let budget = OPPORTUNITY_BYTES;
      while (budget > 0 && this.queue.length > 0) {
        if (this.headBytes > budget) {
          this.headBytes -= budget;
          budget = 0;
        } else {
          budget -= this.headBytes;
          this.depart(this.opportunityAt);
        }
      }
      this.nextOpportunity();
    }
  }

  private startTrace(now: number): void {
    const { trace } = this.settings;
    this.opportunity = 0;
    this.lapAt = now;
    this.opportunityAt = trace === null ? Number.POSITIVE_INFINITY : now + trace[0]!;
    this.traceRate = trace === null ? 0 : (trace.length * OPPORTUNITY_BYTES) / trace[trace.length - 1]!;
  }

  private nextOpportunity(): void {
    const trace = this.settings.trace!;
    this.opportunity++;
    if (this.opportunity === trace.length) {
      this.opportunity = 0;
      this.lapAt += trace[trace.length - 1]!;
    }
    this.opportunityAt = this.lapAt + trace[this.opportunity]!;
  }

  /** The head of the queue leaves the transmitter. */
  private depart(time: number): void {
    const { queue, counts } = this;
    const { bytes, mark } = queue;
    if (!(mark & LOST)) {
      const arrival = Math.max(this.lastArrival, time + this.propagation(time));
      this.lastArrival = arrival;
      if (mark & LATE) {
        counts.late++;
        this.lastLateArrival = Math.max(this.lastLateArrival, arrival + this.settings.reorderMicros);
        this.late.push(queue.item, bytes, this.lastLateArrival, mark);
      } else {
        this.flight.push(queue.item, bytes, arrival, mark);
      }
    }
    queue.drop();
    this.queueBytes -= bytes;
    this.headBytes = queue.length > 0 ? queue.bytes : 0;
    this.serviceAt = time;
  }

  private propagation(time: number): number {
    const { delayMicros, jitterMicros } = this.settings;
    if (jitterMicros === 0) return delayMicros;
    if (time >= this.deviationUntil) {
      this.deviation = normal(this.random);
      this.deviationUntil = time + JITTER_HOLD_MICROS;
    }
    return Math.max(0, delayMicros + this.deviation * jitterMicros);
  }

  private empty(): void {
    for (const ring of [this.queue, this.flight, this.late]) {
      while (ring.length > 0) {
        const { item, mark } = ring;
        ring.drop();
        if (mark & LOST) continue;
        if (!(mark & DELIVERED)) this.counts.cut++;
        this.discard(item as T);
      }
    }
    this.queueBytes = 0;
    this.headBytes = 0;
  }
}

function checkSettings(settings: LineSettings): void {
  const atLeastZero = [
    "rateBitsPerSecond",
    "burstBytes",
    "delayMicros",
    "jitterMicros",
    "queueMicros",
    "queueBytes",
    "reorderMicros",
  ] as const;
  for (const name of atLeastZero) {
    if (!(settings[name] >= 0))
      throw new RangeError(`line: ${name} must be 0 or more, not ${settings[name]}`);
  }
  for (const name of ["burstBytes", "delayMicros", "jitterMicros", "reorderMicros"] as const) {
    if (settings[name] === Number.POSITIVE_INFINITY) throw new RangeError(`line: ${name} must be finite`);
  }
  for (const name of ["loss", "reorder", "duplicate", "corrupt"] as const) {
    if (!(settings[name] >= 0 && settings[name] <= 1))
      throw new RangeError(`line: ${name} is a share, 0 to 1, not ${settings[name]}`);
  }
  const { trace } = settings;
  if (trace !== null && !(trace.length > 0 && trace[trace.length - 1]! > 0)) {
    throw new RangeError("line: a trace needs at least one opportunity after its start");
  }
}
