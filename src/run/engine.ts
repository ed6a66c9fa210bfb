/**
 * The engine: one portal's units on one thread, and the order in which a turn calls them. It knows no kernel and no clock,
 * so the simulator runs the very same one. run/loop.ts turns it on real descriptors.
 */
import { Inbound, type Role } from "../inbound.ts";
import { Outbound } from "../outbound.ts";
import { Acceptor } from "../proto/acceptor.ts";
import { Bbr } from "../proto/bbr.ts";
import type { Congestion } from "../proto/congestion.ts";
import { Cubic } from "../proto/cubic.ts";
import { Deliverer } from "../proto/deliverer.ts";
import { type Carrier, Dialer } from "../proto/dialer.ts";
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
import type { DatagramSocket, InterfaceState, InterfaceWatch, TunDevice } from "../share/io.ts";
import type { CongestionName } from "../wire/control.ts";
import { VIRTIO_BYTES } from "../wire/virtio.ts";

/** A path as the local's operator asked for it. */
export interface LocalPath extends Carrier {
  readonly metric: number;
  readonly spill: boolean;
  readonly congestion: CongestionName;
  /** Bytes per second, of a fixed congestion control; otherwise 0. */
  readonly sendRate: number;
  readonly receiveRate: number;
}

export interface EngineSettings {
  readonly environment: Environment;
  readonly statics: StaticKeys;
  readonly peers: readonly Peer[];
  readonly tun: TunDevice;
  /** The remote's listening sockets, or the local's, one per path. */
  readonly sockets: readonly DatagramSocket[];
  /** The local's paths, by the index of their sockets; null on a remote. */
  readonly paths: readonly LocalPath[] | null;
  /** What becomes of the interfaces of these paths; null where nobody watches them. */
  readonly interfaces: InterfaceWatch | null;
}

export class Engine {
  readonly portal: Portal;
  readonly deliverer: Deliverer;
  private readonly settings: EngineSettings;
  private readonly outbound: Outbound;
  private readonly inbound: Inbound;
  private readonly dialer: Dialer | null;
  private readonly acceptor: Acceptor | null;
  /** What is known of the local's interfaces, by path. */
  private readonly interfaceStates: InterfaceState[] = [];
  /** The sessions that this turn services. */
  private readonly due: Session[] = [];
  /** When this turn was due, as the last one left it; and whether it left anything unread. */
  private dueAt = Number.POSITIVE_INFINITY;
  private unread = false;

  constructor(settings: EngineSettings) {
    this.settings = settings;
    const { environment, statics, peers, tun, paths } = settings;
    // The deliverer counts what the TUN refuses with the packets that belong to no session: they have left theirs.
    const portal = new Portal(environment, statics, peers, {
      deliver: (block, offset, length, flags) => this.deliverer.deliver(block, offset, length, flags),
    });
    this.portal = portal;
    this.deliverer = new Deliverer(tun, environment.makeBlock(VIRTIO_BYTES), portal.drops);
    this.outbound = new Outbound(portal, tun);
    this.dialer =
      paths === null
        ? null
        : new Dialer(portal, peers[0]!, paths, (now, session) => this.addLocalPaths(now, session, paths));
    this.acceptor = paths === null ? new Acceptor(portal) : null;
    const role: Role = {
      dialer: this.dialer,
      acceptor: this.acceptor,
      addPath: (now, session, pathId, socket, source) =>
        this.addPeerPath(now, session, pathId, socket, source),
      setCongestion: (path, name, rate) => {
        if (path.recovery.congestion.name !== name || rateOf(path) !== rate) {
          path.recovery.congestion = congestionFor(name, rate, path.datagram);
        }
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

  /** Takes what a socket has. True when there may be more. */
  receive(now: number, socket: number): boolean {
    const more = this.inbound.receive(now, this.settings.sockets[socket]!, socket);
    if (more) this.unread = true;
    return more;
  }

  /** Takes what has become of the local's interfaces. */
  watch(now: number): void {
    this.settings.interfaces?.read((index, state) => this.onInterface(now, index, state));
  }

  private onInterface(now: number, index: number, state: InterfaceState): void {
    const changed = state !== (this.interfaceStates[index] ?? "up");
    this.interfaceStates[index] = state;
    const session = this.portal.sessions[0];
    const path = session?.paths[index];
    // One that is up knows best what it has: an address more or a lease renewed is no reason to touch it.
    if (path?.status === "up" && !changed) return;
    if (state === "up") {
      this.settings.sockets[index]!.reconnect();
      this.dialer?.hurry(now);
    }
    path?.onInterface(now, state);
    if (session !== undefined) session.nextAt = 0;
  }

  /** True when single packets come faster than the paths take them: those in the TUN may be read together. */
  get crowded(): boolean {
    return this.outbound.crowded;
  }

  /** Takes what the TUN has. True when there may be more. */
  stage(now: number): boolean {
    return this.outbound.stage(now);
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

  private addLocalPaths(now: number, session: Session, paths: readonly LocalPath[]): void {
    const { makeBlock } = this.settings.environment;
    for (const path of paths) {
      session.addPath(now, {
        id: path.pathId,
        name: path.name,
        metric: path.metric,
        spill: path.spill,
        socket: path.socket,
        congestion: congestionFor(path.congestion, path.sendRate, session.datagram),
        peerCongestion: path.congestion,
        peerRate: path.receiveRate,
        datagram: session.datagram,
        endpoint: new Endpoint(makeBlock(Endpoint.size)),
        candidate: new Endpoint(makeBlock(Endpoint.size)),
        connected: true,
      });
    }
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
      datagram: session.datagram,
      endpoint,
      candidate: new Endpoint(makeBlock(Endpoint.size)),
      connected: false,
    });
  }
}

/** The rate a path is fixed to; 0 = none. */
function rateOf(path: Path): number {
  const { congestion } = path.recovery;
  return congestion instanceof Fixed ? congestion.pacingRate() : 0;
}

/** A fixed congestion control without a rate finds it out after all. */
function congestionFor(name: CongestionName, rate: number, datagram: number): Congestion {
  if (name === "fixed" && rate > 0) return new Fixed(rate);
  if (name === "newreno") return new NewReno(datagram);
  return name === "cubic" ? new Cubic(datagram) : new Bbr(datagram);
}
