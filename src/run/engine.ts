/**
 * The engine: one portal's units on one thread, and the order in which a turn calls them. It knows no kernel and no clock,
 * so the simulator runs the very same one. run/loop.ts turns it on real descriptors.
 */
import { Inbound, type Role } from "../inbound.ts";
import { Outbound } from "../outbound.ts";
import { Acceptor } from "../proto/acceptor.ts";
import type { Congestion } from "../proto/congestion.ts";
import { Deliverer } from "../proto/deliverer.ts";
import { type Carrier, Dialer } from "../proto/dialer.ts";
import type { Environment } from "../proto/environment.ts";
import { Fixed } from "../proto/fixed.ts";
import { NewReno } from "../proto/newreno.ts";
import type { StaticKeys } from "../proto/noise.ts";
import type { Path } from "../proto/path.ts";
import type { Peer } from "../proto/peer.ts";
import { Portal } from "../proto/portal.ts";
import type { Session } from "../proto/session.ts";
import { Endpoint } from "../share/endpoint.ts";
import type { DatagramSocket, TunDevice } from "../share/io.ts";
import { VIRTIO_BYTES } from "../wire/virtio.ts";

/** A path as the local's operator asked for it. */
export interface LocalPath extends Carrier {
  readonly metric: number;
  /** Fixed rates, bytes per second; 0 = find out. */
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
}

export class Engine {
  readonly portal: Portal;
  readonly deliverer: Deliverer;
  private readonly settings: EngineSettings;
  private readonly outbound: Outbound;
  private readonly inbound: Inbound;
  private readonly dialer: Dialer | null;
  private readonly acceptor: Acceptor | null;

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
      setRate: (path, rate) => this.setRate(path, rate),
    };
    this.inbound = new Inbound(portal, this.outbound, this.deliverer, role);
  }

  /** True when the TUN should be read: false while the only session's ring is full. */
  get wantsTun(): boolean {
    return this.outbound.hasRoom;
  }

  /** When the next turn is due if nothing arrives. */
  get nextAt(): number {
    let at = this.dialer === null ? this.acceptor!.nextAt : this.dialer.nextAt;
    const { sessions } = this.portal;
    for (let i = 0; i < sessions.length; i++) at = Math.min(at, sessions[i]!.nextAt);
    return at;
  }

  /** Takes what a socket has. True when there may be more. */
  receive(now: number, socket: number): boolean {
    return this.inbound.receive(now, this.settings.sockets[socket]!, socket);
  }

  /** Takes what the TUN has. True when there may be more. */
  stage(): boolean {
    return this.outbound.stage();
  }

  /** Does what is due, and lets everything leave that may. Ends each turn. */
  service(now: number): void {
    this.dialer?.onTimeout(now);
    this.acceptor?.onTimeout(now);
    const { sessions } = this.portal;
    for (let i = 0; i < sessions.length; i++) {
      if (sessions[i]!.nextAt <= now) this.outbound.service(sessions[i]!, now);
    }
    this.inbound.flush();
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
        socket: path.socket,
        congestion: congestionFor(path.sendRate, session.datagram),
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
      socket,
      congestion: congestionFor(0, session.datagram),
      peerRate: 0,
      datagram: session.datagram,
      endpoint,
      candidate: new Endpoint(makeBlock(Endpoint.size)),
      connected: false,
    });
  }

  private setRate(path: Path, rate: number): void {
    const present = path.recovery.congestion;
    const fixed = present instanceof Fixed ? present.pacingRate() : 0;
    if (fixed !== rate) path.recovery.congestion = congestionFor(rate, path.datagram);
  }
}

function congestionFor(rate: number, datagram: number): Congestion {
  return rate > 0 ? new Fixed(rate) : new NewReno(datagram);
}
