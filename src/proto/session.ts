/**
 * A session: the authenticated relation of one local with one remote. It owns the ring, the paths, the resequencer and
 * the keys, and decides which packet leaves next and on which path. It seals and sends nothing itself (outbound.ts).
 */
import type { Block } from "../share/block.ts";
import type { DropCounters } from "../share/counters.ts";
import { Ring } from "../share/ring.ts";
import type { PathStatus } from "../share/status.ts";
import type { Store } from "../share/store.ts";
import { formatAddress } from "../wire/address.ts";
import { DATA_OVERHEAD_BYTES, expandPacketNumber } from "../wire/datagram.ts";
import { addressBytes, sourceOffset } from "../wire/ip.ts";
import { AckFilter } from "./ackfilter.ts";
import type { Agenda, Planned } from "./agenda.ts";
import type { Company, PathSettings } from "./company.ts";
import { Copies } from "./copies.ts";
import type { Environment } from "./environment.ts";
import { FlowQueues } from "./flowqueues.ts";
import { FlowTable } from "./flows.ts";
import { InnerMtu, isForLarger } from "./innermtu.ts";
import type { Keys } from "./keys.ts";
import {
  PROBE_BACKUP,
  PROBE_IDLE,
  REJECT_AFTER,
  RING_BACKLOG,
  RING_BACKLOG_PACKETS,
  RING_SLOTS,
  SECOND,
  TRIM_EVERY,
} from "./limits.ts";
import { Path } from "./path.ts";
import { PathIds } from "./pathids.ts";
import type { Peer } from "./peer.ts";
import { Resends } from "./resends.ts";
import { type PacketSink, Resequencer } from "./resequencer.ts";
import { Scheduler } from "./scheduler.ts";
import { Waits } from "./waits.ts";

/** What a session stands on. */
export interface Ground {
  readonly environment: Environment;
  readonly store: Store;
  readonly agenda: Agenda<Session>;
  /** Where inner packets go once in order. */
  readonly sink: PacketSink;
}

export class Session implements Company, Planned {
  readonly peer: Peer;
  /** The local's id of this session: the same across new keys. */
  readonly id: Uint8Array;
  readonly ring: Ring;
  readonly flows = new FlowTable();
  /** What waits to enter the ring. */
  readonly queues: FlowQueues;
  readonly resequencer: Resequencer;
  readonly ackFilter: AckFilter;
  readonly drops: DropCounters;
  readonly startedAt: number;
  /** Paths by id. */
  readonly paths: (Path | undefined)[] = [];
  /** The same paths, best first (proto/scheduler.ts). */
  readonly order: Path[] = [];
  readonly scheduler = new Scheduler(this.order);
  readonly ids = new PathIds();
  readonly waits = new Waits();
  /** Keys to seal with, and those before, still accepted. */
  keys: Keys;
  previousKeys: Keys | null = null;
  /** When some path was last up. */
  lastUpAt: number;
  readonly mtu: InnerMtu;
  /** Owned by the agenda. */
  at = 0;
  place = -1;
  closed = false;
  readonly copies: Copies;
  private readonly resends: Resends;
  private readonly environment: Environment;
  private readonly agenda: Agenda<Session>;
  /** When memory that was not used is given back, with the next turn after it; Infinity while there is none. */
  private trimAt = Number.POSITIVE_INFINITY;
  private trimmedPosition = 0;
  private toldOfSource = false;

  constructor(now: number, keys: Keys, ground: Ground, drops: DropCounters) {
    const { environment, store, sink } = ground;
    this.peer = keys.peer;
    this.id = keys.sessionId;
    this.keys = keys;
    this.environment = environment;
    this.agenda = ground.agenda;
    this.drops = drops;
    this.mtu = new InnerMtu(environment, keys.peer.name);
    this.startedAt = now;
    this.lastUpAt = now;
    const control = environment.makeSharedBlock(Ring.bytesFor(RING_SLOTS, store.pageSlots));
    this.ring = new Ring(control, RING_SLOTS, store);
    this.resends = new Resends(this.ring, this.order, drops);
    this.copies = new Copies(this.ring, this.order);
    this.queues = new FlowQueues(store, environment.copy, drops);
    this.ackFilter = new AckFilter(sink, store, environment.copy, drops);
    this.resequencer = new Resequencer(this.ackFilter, store, environment.copy, drops);
    keys.session = this;
  }

  /** When this session must next be looked at; 0 = in this turn. */
  get nextAt(): number {
    return this.at;
  }

  set nextAt(at: number) {
    this.agenda.move(this, at);
  }

  // --- Memory ---

  /** Inner packets came or left: memory is in use. */
  onUse(now: number): void {
    if (this.trimAt === Number.POSITIVE_INFINITY) this.trimAt = now + TRIM_EVERY;
  }

  /** Gives back the memory that was not needed lately. */
  onTimeout(now: number): void {
    if (now < this.trimAt) return;
    let bare = this.queues.trim();
    bare = this.resequencer.trim() && bare;
    bare = this.ackFilter.trim(now) && bare;
    for (let i = 0; i < this.order.length; i++) bare = this.order[i]!.recovery.log.trim() && bare;
    this.resends.trim();
    // What has arrived or expired is of no use to anybody.
    if (this.ring.kept === 0) {
      this.ring.clear();
      if (this.ring.nextPosition === this.trimmedPosition) this.flows.forget();
    }
    this.trimmedPosition = this.ring.nextPosition;
    bare &&= this.ring.pages === 0 && this.flows.empty;
    this.trimAt = bare ? Number.POSITIVE_INFINITY : now + TRIM_EVERY;
  }

  /** The session has ended, and nothing of it is under way any more. */
  giveBack(): void {
    this.ring.clear();
    this.queues.clear();
    this.resequencer.clear();
    this.ackFilter.clear();
  }

  // --- Paths ---

  /** Bytes of a full-sized datagram. */
  get datagram(): number {
    return this.environment.mtu + DATA_OVERHEAD_BYTES;
  }

  addPath(now: number, settings: PathSettings): Path {
    const { send, receive } = this.ids.numbersOf(settings.id);
    const path: Path = new Path(
      now,
      { ...settings, sendsFrom: send, receivesFrom: receive },
      {
        onDelivered: (position) => this.resends.onDelivered(position),
        onLost: (position) => this.resends.onLost(position, path),
      },
      this,
    );
    this.paths[path.id] = path;
    this.order.push(path);
    return path;
  }

  /** The path is no more. What it had not brought over leaves on the others; its peer is to be told by the local. */
  removePath(now: number, path: Path): void {
    this.order.splice(this.order.indexOf(path), 1);
    this.paths[path.id] = undefined;
    path.recovery.abandon(now);
    path.cap?.credit.end(now);
    this.ids.end(path.id, path.recovery.log.next, path.reception.window.largest + 1);
    this.setIdleIntervals();
    this.nextAt = 0;
  }

  /** The peer says that a path of its has ended. `ended`: low 32 bits of where its packet numbers stopped. Where ours go on. */
  onPathEnded(now: number, id: number, ended: number): number {
    const path = this.paths[id];
    const { send, receive } = this.ids.numbersOf(id);
    const next = path === undefined ? receive : path.reception.window.largest + 1;
    const first = expandPacketNumber(ended, next);
    if (path === undefined) {
      if (first > receive) this.ids.end(id, send, first);
      return send;
    }
    // Said of the path that had this id before.
    if (first <= path.receivesFrom) return path.sendsFrom;
    this.forget(now, path, "the peer has ended it");
    this.ids.end(id, path.recovery.log.next, Math.max(first, next));
    return path.recovery.log.next;
  }

  /**
   * Lets the path that has been dead for longest give way to a new one, or if none is dead, the one that has rested for longest:
   * a peer that has as many paths itself does not begin another. False: all are up.
   */
  makeRoom(now: number): boolean {
    const dead = this.longestSilent((status) => status !== "up" && status !== "capped");
    const path = dead ?? this.longestSilent((status) => status === "capped");
    if (path !== null) this.forget(now, path, "it gives way to a new one");
    return path !== null;
  }

  private longestSilent(isMeant: (status: PathStatus) => boolean): Path | null {
    let found: Path | null = null;
    for (const path of this.order) {
      if (!isMeant(path.status)) continue;
      if (found === null || path.silence.heardAt < found.silence.heardAt) found = path;
    }
    return found;
  }

  /** A packet from an address that is not the peer's is dropped; of the first it is told, as it may well be a mistake. */
  onBadSource(packet: Block, offset: number): void {
    this.drops.count("badSource");
    if (this.toldOfSource) return;
    this.toldOfSource = true;
    const version = packet.bytes[offset]! >> 4 === 4 ? 4 : 6;
    const at = offset + sourceOffset(version);
    const source = formatAddress(packet.bytes.slice(at, at + addressBytes(version)));
    const { name } = this.peer;
    this.environment.log(
      "warn",
      `dropped: a packet of ${name} from ${source}, which is none of its addresses: add it to those of its [[peer]], or set nat = true there`,
    );
  }

  /** Ends a path of the peer's. Of one that was given up that has been told, and its end is no news. */
  private forget(now: number, path: Path, reason: string): void {
    const { name, status } = path;
    this.removePath(now, path);
    const level = status === "suspect" || status === "down" ? "debug" : "info";
    this.environment.log(level, `path ${name} of ${this.peer.name}: ${status} -> ended (${reason})`);
  }

  /** True when some path can carry packets. */
  get isUp(): boolean {
    for (let i = 0; i < this.order.length; i++) if (this.order[i]!.status === "up") return true;
    return false;
  }

  /** No path is up: one that only rests may carry again. */
  onAllGivenUp(now: number): void {
    for (let i = 0; i < this.order.length; i++) this.order[i]!.onAlone(now);
  }

  /** What has waited for long enough to be delivered goes on. When that is so again; Infinity when nothing waits. */
  onWaited(now: number): number {
    this.ackFilter.onTimeout(now);
    this.resequencer.onTimeout(now);
    return this.waitsUntil;
  }

  /** When the next packet has waited for long enough. */
  get waitsUntil(): number {
    return Math.min(this.resequencer.nextAt, this.ackFilter.nextAt);
  }

  // --- Which packet next ---

  /** Packets that may wait in the ring: a few milliseconds of what the paths carry now. */
  get backlogLimit(): number {
    let rate = 0;
    for (let i = 0; i < this.order.length; i++) {
      const path = this.order[i]!;
      if (path.carries) rate += path.recovery.pacingRate;
    }
    const packets = (rate * RING_BACKLOG) / SECOND / this.datagram;
    return Math.min(Math.max(packets, RING_BACKLOG_PACKETS), RING_SLOTS / 4);
  }

  /** About so many bytes wait to leave. */
  get waiting(): number {
    return this.queues.bytes + (this.ring.backlog + this.resends.length) * this.datagram;
  }

  get hasWork(): boolean {
    return this.resends.length > 0 || this.ring.backlog > 0 || this.queues.packets > 0;
  }

  /** The ring position of the packet to send now: lost ones first. -1 when nothing waits. */
  take(now: number, path: Path): number {
    const lost = this.resends.take(now, path, false);
    if (lost >= 0) return lost;
    const next = this.ring.peek();
    if (next >= 0 && !isForLarger(now, this.ring.lengthOf(next), path, this.order)) return this.ring.claim();
    // Rather than stand idle, a path also takes what is better sent on another.
    return this.resends.take(now, path, true);
  }

  // --- Keys ---

  /** New keys take over; the old ones are still accepted for what is under way. Returns keys nobody needs any more. */
  install(keys: Keys): Keys | null {
    const retired = this.previousKeys;
    this.previousKeys = this.keys.closed ? null : this.keys;
    this.keys = keys;
    keys.session = this;
    return retired;
  }

  /** True when the present keys are too old for anything. */
  keysExpired(now: number): boolean {
    return now >= this.keys.createdAt + REJECT_AFTER;
  }

  /** When we sent the newest packet, on whichever path, that the peer has answered. */
  get peerAliveAt(): number {
    let at = Number.NEGATIVE_INFINITY;
    for (let i = 0; i < this.order.length; i++) at = Math.max(at, this.order[i]!.recovery.largestAckedSentAt);
    return at;
  }

  /** A path does not answer: asks on the others whether the peer lives. What they carry already asks as well as a probe. */
  onDoubt(now: number, path: Path): void {
    for (let i = 0; i < this.order.length; i++) {
      const other = this.order[i]!;
      if (other !== path && other.status === "up" && other.recovery.log.outstanding < 2) other.wantProbe(now);
    }
  }

  onStatus(path: Path, from: PathStatus, to: PathStatus, reason: string): void {
    const level = to === "up" || from === "joining" || from === "capped" ? "info" : "warn";
    this.environment.log(level, `path ${path.name} of ${this.peer.name}: ${from} -> ${to} (${reason})`);
    this.setIdleIntervals();
  }

  /** Backup paths are probed more rarely. */
  setIdleIntervals(): void {
    const up = this.order.filter(({ status }) => status === "up");
    const metric = Math.min(...up.map((each) => each.metric));
    for (const each of this.order) each.idleInterval = each.metric > metric ? PROBE_BACKUP : PROBE_IDLE;
  }
}
