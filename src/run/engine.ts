/**
 * The engine: one portal's units on one thread, and the order in which a turn calls them. It knows no kernel and no clock,
 * so the simulator runs the very same one. run/loop.ts turns it on real descriptors.
 */
import { Inbound, type Role } from "../inbound.ts";
import { Outbound } from "../outbound.ts";
import { Acceptor } from "../proto/acceptor.ts";
import { Bbr } from "../proto/bbr.ts";
import { changeCap } from "../proto/budget.ts";
import type { Cap } from "../proto/cap.ts";
import type { Congestion } from "../proto/congestion.ts";
import { Cubic } from "../proto/cubic.ts";
import { Deliverer } from "../proto/deliverer.ts";
import { type Carrier, Dialer, type OnLease } from "../proto/dialer.ts";
import type { Environment } from "../proto/environment.ts";
import { Fixed } from "../proto/fixed.ts";
import { LATE_TURN } from "../proto/limits.ts";
import { NewReno } from "../proto/newreno.ts";
import type { StaticKeys } from "../proto/noise.ts";
import type { Path } from "../proto/path.ts";
import type { Peer } from "../proto/peer.ts";
import { Portal } from "../proto/portal.ts";
import type { Session } from "../proto/session.ts";
import { Endpoint } from "../share/endpoint.ts";
import type { DatagramSocket, InterfaceState, TunDevice } from "../share/io.ts";
import type { CongestionName } from "../wire/control.ts";
import { VIRTIO_BYTES } from "../wire/virtio.ts";

/** How a path is to be used, as the local's operator asked for it. */
export interface PathUse {
  readonly metric: number;
  readonly spill: boolean;
  readonly congestion: CongestionName;
  /** Bytes per second, of a fixed congestion control; otherwise 0. */
  readonly sendRate: number;
  readonly receiveRate: number;
}

/** A path of the local: of every session, until it is removed. */
export interface LocalPath extends Carrier {
  use: PathUse;
  cap: Cap | null;
  /** What its interface can do. */
  state: InterfaceState;
}

export interface EngineSettings {
  readonly environment: Environment;
  readonly statics: StaticKeys;
  readonly role: "local" | "remote";
  readonly peers: readonly Peer[];
  readonly tun: TunDevice;
  /** Takes the addresses that the remote gives a local; null where it has its own. */
  readonly onLease?: OnLease | null;
}

export class Engine {
  readonly portal: Portal;
  readonly deliverer: Deliverer;
  private readonly settings: EngineSettings;
  private readonly outbound: Outbound;
  private readonly inbound: Inbound;
  private readonly dialer: Dialer | null;
  private readonly acceptor: Acceptor | null;
  /** The local's paths, whether there is a session or not. */
  readonly paths: LocalPath[] = [];
  /** The sessions that this turn services. */
  private readonly due: Session[] = [];
  /** When this turn was due, as the last one left it; and whether it left anything unread. */
  private dueAt = Number.POSITIVE_INFINITY;
  private unread = false;

  constructor(settings: EngineSettings) {
    this.settings = settings;
    const { environment, statics, peers, tun } = settings;
    const isLocal = settings.role === "local";
    // The deliverer counts what the TUN refuses with the packets that belong to no session: they have left theirs.
    const portal = new Portal(environment, statics, peers, {
      deliver: (block, offset, length, flags) => this.deliverer.deliver(block, offset, length, flags),
    });
    this.portal = portal;
    this.deliverer = new Deliverer(tun, environment.makeBlock(VIRTIO_BYTES), portal.drops);
    this.outbound = new Outbound(portal, tun);
    const begin = (now: number, session: Session) => {
      for (const path of this.paths) this.join(now, session, path);
    };
    this.dialer = isLocal ? new Dialer(portal, peers[0]!, begin, settings.onLease) : null;
    this.acceptor = isLocal ? null : new Acceptor(portal);
    const role: Role = {
      dialer: this.dialer,
      acceptor: this.acceptor,
      addPath: (now, session, pathId, socket, source) =>
        this.addPeerPath(now, session, pathId, socket, source),
      setCongestion: (path, name, rate) => {
        path.recovery.congestion = adapted(path.recovery.congestion, name, rate, path.datagram);
      },
    };
    this.inbound = new Inbound(portal, this.outbound, this.deliverer, role);
  }

  /** When the next turn is due if nothing arrives. */
  get nextAt(): number {
    const { portal } = this;
    const at = this.dialer === null ? this.acceptor!.nextAt : this.dialer.nextAt;
    return Math.min(at, portal.agenda.nextAt);
  }

  /** Takes what a socket has: one that listens, or a path's. True when there may be more. */
  receive(now: number, socket: DatagramSocket): boolean {
    const more = this.inbound.receive(now, socket);
    if (more) this.unread = true;
    return more;
  }

  // --- The remote's peers; after any changes of them `portal.onPeersChanged` is to be called ---

  addPeer(peer: Peer): void {
    this.portal.peers.push(peer);
    this.acceptor?.admit(peer);
  }

  /** Says goodbye to a peer and knows it no more. */
  removePeer(now: number, peer: Peer, reason: string): void {
    const { peers } = this.portal;
    peers.splice(peers.indexOf(peer), 1);
    this.acceptor?.dismiss(peer);
    const { session } = peer;
    if (session === null) return;
    this.outbound.close(session, now);
    this.portal.closeSession(session, reason);
  }

  // --- The local's remote ---

  /** Says goodbye to the remote and goes on with another. The paths' sockets are the caller's to lead there. */
  changeRemote(now: number, peer: Peer, reason: string): void {
    const { peers } = this.portal;
    const { session } = peers[0]!;
    if (session !== null) {
      this.outbound.close(session, now);
      this.portal.closeSession(session, reason);
    }
    peers[0] = peer;
    this.portal.onPeersChanged();
    this.dialer?.change(now, peer);
  }

  // --- The local's paths ---

  /** What there is of a local path in the session, if there is one. */
  pathOf(path: LocalPath): Path | undefined {
    return this.portal.sessions[0]?.order.find(({ socket }) => socket === path.socket);
  }

  /** From now on there is this path, in this session and those to come. */
  addPath(now: number, path: LocalPath): void {
    this.paths.push(path);
    this.dialer?.add(now, path);
    const session = this.portal.sessions[0];
    if (session !== undefined) this.join(now, session, path);
  }

  /** And from now on no more. Its socket is the caller's to close. */
  removePath(now: number, path: LocalPath): void {
    this.paths.splice(this.paths.indexOf(path), 1);
    this.dialer?.remove(path);
    const session = this.portal.sessions[0];
    const joined = this.pathOf(path);
    if (session === undefined || joined === undefined) return;
    session.removePath(now, joined);
    session.ids.tell(now, joined.id);
  }

  /** The path is to be used otherwise, at both ends. */
  changePath(now: number, path: LocalPath, use: PathUse): void {
    path.use = use;
    const joined = this.pathOf(path);
    if (joined === undefined) return;
    joined.metric = use.metric;
    joined.spill = use.spill;
    joined.use.ask({
      congestion: adapted(joined.use.asked.congestion, use.congestion, use.sendRate, joined.datagram),
      peerCongestion: use.congestion,
      peerRate: use.receiveRate,
    });
    joined.retell(now);
    const session = this.portal.sessions[0]!;
    session.setIdleIntervals();
    session.nextAt = 0;
  }

  /** The path has another data cap, or none. */
  changeCap(now: number, path: LocalPath, cap: Cap | null): void {
    path.cap = cap;
    const joined = this.pathOf(path);
    if (joined !== undefined) changeCap(now, joined, cap);
    this.onCapLifted(now);
  }

  /** The state of a path's interface, or "up" again: its addresses or routes have changed. */
  onInterface(now: number, path: LocalPath, state: InterfaceState): void {
    const changed = state !== path.state;
    path.state = state;
    const session = this.portal.sessions[0];
    const joined = this.pathOf(path);
    if (session !== undefined) session.nextAt = 0;
    if (state === "up") {
      // One that carries is left alone while its socket is right as it is.
      const kept = joined?.status === "up" && !changed;
      const outcome = path.socket.refresh(kept);
      if (kept && outcome === "same") return;
      if (kept && outcome === "moved") {
        joined.wantProbe(now);
        joined.recovery.onMoved(now);
        return;
      }
      if (kept) {
        joined.onSendFailed(now);
        return;
      }
      this.dialer?.hurry(now);
    }
    joined?.onInterface(now, state);
  }

  /** Connects the sockets of the paths that are not up anew: what was missing may be there. */
  retryPaths(): void {
    for (const path of this.paths) if (this.pathOf(path)?.status !== "up") path.socket.refresh(false);
  }

  /** True when single packets come faster than the paths take them: those in the TUN may be read together. */
  get crowded(): boolean {
    return this.outbound.crowded;
  }

  /** Takes what the TUN has. True when there may be more. */
  stage(now: number): boolean {
    return this.outbound.stage(now);
  }

  /** A data cap that was reached may be so no longer: paths and handshakes that waited for it may go on. */
  onCapLifted(now: number): void {
    for (const session of this.portal.sessions) session.nextAt = 0;
    this.dialer?.hurry(now);
  }

  /** Does what is due, and lets everything leave that may. Ends each turn: what there is to read has been read before. */
  service(now: number): void {
    const late = now - this.dueAt;
    if (late >= LATE_TURN) this.excuse(now, late);
    this.dialer?.onTimeout(now);
    this.acceptor?.onTimeout(now);
    const { due, portal } = this;
    const { agenda } = portal;
    for (let next = agenda.due(now); next !== null; next = agenda.due(now)) due.push(next);
    for (let i = 0; i < due.length; i++) this.outbound.service(due[i]!, now, this.unread);
    this.inbound.flush();
    // Whatever was delivered in this turn was delivered by these: all have something to do then.
    for (let i = 0; i < due.length; i++) {
      due[i]!.resequencer.reclaim();
      due[i]!.ackFilter.reclaim();
      if (!due[i]!.closed) agenda.add(due[i]!);
    }
    due.length = 0;
    portal.endTurn(now);
    this.unread = false;
    this.dueAt = Math.max(this.nextAt, now);
  }

  /** For a while this process did not run: the peer's silence in that time may have been our deafness. */
  private excuse(now: number, late: number): void {
    for (const session of this.portal.sessions) {
      for (const path of session.order) path.onLate(now, late);
    }
  }

  /** Says goodbye to every peer. */
  close(now: number): void {
    for (const session of [...this.portal.sessions]) {
      this.outbound.close(session, now);
      this.portal.closeSession(session, "this portal stops");
    }
  }

  private join(now: number, session: Session, path: LocalPath): void {
    const { makeBlock } = this.settings.environment;
    const id = session.ids.take();
    if (id < 0) {
      // 256 paths have ended without any that could say so: another session counts anew.
      this.portal.closeSession(session, "it has no path id left");
      return;
    }
    const { use } = path;
    const joined = session.addPath(now, {
      id,
      name: path.name,
      metric: use.metric,
      spill: use.spill,
      socket: path.socket,
      congestion: congestionFor(use.congestion, use.sendRate, session.datagram),
      peerCongestion: use.congestion,
      peerRate: use.receiveRate,
      cap: path.cap,
      datagram: session.datagram,
      endpoint: new Endpoint(makeBlock(Endpoint.size)),
      candidate: new Endpoint(makeBlock(Endpoint.size)),
      connected: true,
    });
    if (path.state !== "up") joined.onInterface(now, path.state);
    session.nextAt = 0;
  }

  private addPeerPath(
    now: number,
    session: Session,
    pathId: number,
    socket: DatagramSocket,
    source: Endpoint,
  ): Path | null {
    // A local knows its own paths; only a remote learns of new ones.
    if (this.dialer !== null) return null;
    const { makeBlock } = this.settings.environment;
    const endpoint = new Endpoint(makeBlock(Endpoint.size));
    endpoint.copyFrom(source);
    return session.addPath(now, {
      id: pathId,
      name: String(pathId),
      metric: 0,
      spill: false,
      socket,
      congestion: congestionFor("bbr", 0, session.datagram),
      peerCongestion: "bbr",
      peerRate: 0,
      cap: null,
      datagram: session.datagram,
      endpoint,
      candidate: new Endpoint(makeBlock(Endpoint.size)),
      connected: false,
    });
  }
}

/** The congestion control of this name and rate: the present one, if it is that. */
function adapted(present: Congestion, name: CongestionName, rate: number, datagram: number): Congestion {
  const presentRate = present instanceof Fixed ? present.pacingRate() : 0;
  if (present.name === name && presentRate === rate) return present;
  return congestionFor(name, rate, datagram);
}

/** A fixed congestion control without a rate finds it out after all. */
function congestionFor(name: CongestionName, rate: number, datagram: number): Congestion {
  if (name === "fixed" && rate > 0) return new Fixed(rate);
  if (name === "newreno") return new NewReno(datagram);
  return name === "cubic" ? new Cubic(datagram) : new Bbr(datagram);
}
