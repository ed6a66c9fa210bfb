/**
 * Inbound: the packet's way from the network to the TUN.
 *
 *   1. `receive` takes a batch of datagrams from a socket: one sender, equal sizes (UDP_GRO).
 *   2. Handshake messages go to the dialer or the acceptor.
 *   3. The receiver index names the keys, and so the session.
 *   4. The path id names the path; its replay window refuses what it has seen.
 *   5. The datagram is opened. Nothing has changed before this.
 *   6. The path notes what came, and from where.
 *   7. By type: data is checked and put in flow order; acknowledgements, challenges and answers go to the path.
 *   8. `flush`: packets in order leave for the TUN, merged where they continue each other.
 */
import type { Outbound } from "./outbound.ts";
import type { Acceptor } from "./proto/acceptor.ts";
import { onAsked, onTold } from "./proto/budget.ts";
import type { Deliverer } from "./proto/deliverer.ts";
import type { Dialer } from "./proto/dialer.ts";
import type { Keys } from "./proto/keys.ts";
import { MAX_PATHS } from "./proto/limits.ts";
import type { Path } from "./proto/path.ts";
import type { Portal } from "./proto/portal.ts";
import { HOLD_OTHER, HOLD_STREAM } from "./proto/resequencer.ts";
import type { Session } from "./proto/session.ts";
import type { Block } from "./share/block.ts";
import type { Endpoint } from "./share/endpoint.ts";
import type { DatagramSocket } from "./share/io.ts";
import {
  ANSWER_BYTES,
  ChallengeMessage,
  type CongestionName,
  PathEndMessage,
  PathStatusMessage,
} from "./wire/control.ts";
import {
  DATA_HEADER_BYTES,
  expandPacketNumber,
  HEADER_BYTES,
  MIN_DATAGRAM_BYTES,
  TAG_BYTES,
  TYPE_MASK,
  Type,
} from "./wire/datagram.ts";
import { isHandshakeLength } from "./wire/handshake.ts";
import { ipIsWhole, slowsByDisorder } from "./wire/ip.ts";

/** Batches taken from one socket in one turn; each has its own buffer, so that all leave for the TUN together. */
const BATCHES_PER_TURN = 8;
const BATCH_BYTES = 65_536;

/** What only one of the two roles does. */
export interface Role {
  readonly dialer: Dialer | null;
  readonly acceptor: Acceptor | null;
  /** Adds a path that an authenticated peer has begun to use (remote); null when it may not. */
  addPath(
    now: number,
    session: Session,
    pathId: number,
    socket: DatagramSocket,
    source: Endpoint,
  ): Path | null;
  /** Makes a path use this congestion control; `bytesPerSecond` is that of a fixed one. */
  setCongestion(path: Path, name: CongestionName, bytesPerSecond: number): void;
}

export class Inbound {
  private readonly portal: Portal;
  private readonly outbound: Outbound;
  private readonly deliverer: Deliverer;
  private readonly role: Role;
  private readonly asks = new ChallengeMessage();
  private readonly message = new PathStatusMessage();
  private readonly end = new PathEndMessage();
  private readonly buffers: Block[] = [];
  private nextBuffer = 0;

  constructor(portal: Portal, outbound: Outbound, deliverer: Deliverer, role: Role) {
    this.portal = portal;
    this.outbound = outbound;
    this.deliverer = deliverer;
    this.role = role;
    for (let i = 0; i < BATCHES_PER_TURN; i++) this.buffers.push(portal.environment.makeBlock(BATCH_BYTES));
  }

  /** Takes what waits at a socket. True when it stopped with more to read. */
  receive(now: number, socket: DatagramSocket): boolean {
    for (let i = 0; i < BATCHES_PER_TURN; i++) {
      if (this.nextBuffer === BATCHES_PER_TURN) this.flush();
      const buffer = this.buffers[this.nextBuffer]!;
      const bytes = socket.receive(buffer);
      if (bytes === 0) return false;
      this.nextBuffer++;
      const segment = Math.max(socket.segment, 1);
      for (let at = 0; at < bytes; at += segment) {
        this.datagram(now, socket, buffer, at, Math.min(segment, bytes - at));
      }
    }
    return true;
  }

  /** Lets everything in order leave for the TUN; the buffers may then be used again. */
  flush(): void {
    this.deliverer.flush();
    this.nextBuffer = 0;
  }

  private datagram(now: number, socket: DatagramSocket, block: Block, offset: number, length: number): void {
    const { drops } = this.portal;
    if (length < MIN_DATAGRAM_BYTES) {
      drops.count("malformed");
      return;
    }
    const type = block.bytes[offset]! & TYPE_MASK;
    if (type < Type.data) {
      this.handshake(now, socket, block, offset, length, type);
      return;
    }
    if (type > Type.pathEnd) {
      drops.count("unknownType");
      return;
    }
    const keys = this.portal.keysOf(block.view.getUint32(offset + 6));
    if (keys === undefined) {
      drops.count("unknownIndex");
      return;
    }
    this.sealed(now, keys, socket, block, offset, length, type);
  }

  /** Initiations are the acceptor's, responses and cookies the dialer's; a role that expects none counts them. */
  private handshake(
    now: number,
    socket: DatagramSocket,
    block: Block,
    offset: number,
    length: number,
    type: number,
  ): void {
    const { dialer, acceptor } = this.role;
    const accepts = type === Type.initiation && acceptor !== null;
    const dials = (type === Type.response || type === Type.cookie) && dialer !== null;
    if (!accepts && !dials) {
      this.portal.drops.count("unknownType");
      return;
    }
    if (!isHandshakeLength(type, length)) {
      this.portal.drops.count("notAuthentic");
      return;
    }
    const message = block.bytes.subarray(offset, offset + length);
    if (accepts) acceptor.onMessage(now, message, socket, socket.source);
    else dialer?.onMessage(now, message, socket);
  }

  private sealed(
    now: number,
    keys: Keys,
    socket: DatagramSocket,
    block: Block,
    offset: number,
    length: number,
    type: number,
  ): void {
    const pathId = block.bytes[offset + 1]!;
    const truncated = block.view.getUint32(offset + 2);
    const known = keys.session ?? keys.continues;
    let path = known?.paths[pathId];
    const expected =
      path === undefined ? (known?.ids.numbersOf(pathId).receive ?? 0) : path.reception.window.largest + 1;
    const packetNumber = expandPacketNumber(truncated, expected);
    const drops = known?.drops ?? this.portal.drops;
    if (path !== undefined) {
      const freshness = path.reception.window.check(packetNumber);
      if (freshness !== "fresh") {
        drops.count(freshness === "duplicate" ? "replayed" : "tooOld");
        return;
      }
    } else if (packetNumber < expected) {
      // Of a path that has ended.
      drops.count("tooOld");
      return;
    }
    if (!keys.receive.open(pathId, packetNumber, block, offset, length, HEADER_BYTES)) {
      drops.count("notAuthentic");
      return;
    }
    // Authentic from here on.
    if (keys.session === null) this.role.acceptor?.onProved(now, keys);
    const session = keys.session;
    if (session === null || session.closed) {
      this.portal.drops.count("noSession");
      return;
    }
    path = session.paths[pathId] ?? this.newPath(now, session, pathId, socket) ?? undefined;
    if (path === undefined) {
      session.drops.count("unknownPath");
      return;
    }
    this.accepted(now, session, path, socket, packetNumber, length, type);
    this.dispatch(now, session, path, socket, packetNumber, block, offset, length, type);
  }

  private newPath(now: number, session: Session, pathId: number, socket: DatagramSocket): Path | null {
    // A dead path gives way, or one that rests; none for a local, which knows its own.
    const { acceptor } = this.role;
    if (session.order.length >= MAX_PATHS && (acceptor === null || !session.makeRoom(now))) return null;
    return this.role.addPath(now, session, pathId, socket, socket.source);
  }

  /** The path has received an authentic, fresh datagram. */
  private accepted(
    now: number,
    session: Session,
    path: Path,
    socket: DatagramSocket,
    packetNumber: number,
    bytes: number,
    type: number,
  ): void {
    const newest = packetNumber > path.reception.window.largest;
    path.reception.onPacket(now, packetNumber, bytes, type === Type.data || type === Type.probe);
    path.cap?.credit.onPacket(packetNumber, bytes);
    if (type === Type.data) path.recovery.onData(now, bytes);
    path.onSignOfLife(now, type === Type.challenge);
    session.nextAt = 0;
    if (!newest) return;
    if (path.connected || path.endpoint.samePeer(socket.source)) path.onKnownAddress(now);
    else path.onNewAddress(now, socket.source);
  }

  private dispatch(
    now: number,
    session: Session,
    path: Path,
    socket: DatagramSocket,
    packetNumber: number,
    block: Block,
    offset: number,
    length: number,
    type: number,
  ): void {
    const body = offset + HEADER_BYTES;
    const bytes = length - HEADER_BYTES - TAG_BYTES;
    const { view } = block;
    switch (type) {
      case Type.data:
        this.data(now, session, block, body, bytes, block.bytes[offset]! & ~TYPE_MASK);
        return;
      case Type.ack:
        if (path.recovery.onAck(now, block, body, bytes)) path.onAckReceived(now);
        else session.drops.count("malformed");
        return;
      case Type.challenge:
        if (!this.asks.read(block, body, bytes)) session.drops.count("malformed");
        else this.challenge(now, session, path, socket, packetNumber);
        return;
      case Type.answer:
        if (bytes !== ANSWER_BYTES) session.drops.count("malformed");
        else path.onAnswer(now, view.getUint32(body), view.getUint32(body + 4));
        return;
      case Type.probe:
        path.reception.hurry(now);
        return;
      case Type.close:
        this.portal.closeSession(session, "the peer closed it");
        this.role.dialer?.onClosed(now);
        return;
      case Type.pathStatus:
        this.pathStatus(now, session, block, body, bytes);
        return;
      case Type.pathEnd:
        this.pathEnd(now, session, path, block, body, bytes);
    }
  }

  private pathStatus(now: number, session: Session, block: Block, body: number, bytes: number): void {
    const { message } = this;
    if (!message.read(block, body, bytes)) session.drops.count("malformed");
    // One that has ended since is of no interest.
    else session.paths[message.pathId]?.onPeerGaveUp(now, message.seen, message.heard);
  }

  /** The local says which of its paths have ended, and only the remote notes it. */
  private pathEnd(
    now: number,
    session: Session,
    path: Path,
    block: Block,
    body: number,
    bytes: number,
  ): void {
    const { end } = this;
    if (!end.read(block, body, bytes) || end.noted !== path.connected || end.pathId === path.id) {
      session.drops.count("malformed");
    } else if (end.noted) {
      session.ids.onNoted(end.pathId, end.ended, end.from);
    } else {
      const from = session.onPathEnded(now, end.pathId, end.ended);
      this.outbound.noteEnd(session, path, now, end.pathId, end.ended, from);
    }
  }

  private challenge(
    now: number,
    session: Session,
    path: Path,
    socket: DatagramSocket,
    packetNumber: number,
  ): void {
    const { asks } = this;
    if (path.connected) {
      onAsked(now, path);
    } else if (onTold(path, packetNumber, asks)) {
      this.role.setCongestion(path, asks.congestion, asks.rate);
    }
    const to = path.connected ? null : socket.source;
    this.outbound.answer(session, path, now, asks.tokenHigh, asks.tokenLow, to);
  }

  private data(
    now: number,
    session: Session,
    block: Block,
    body: number,
    bytes: number,
    flags: number,
  ): void {
    const packet = body + DATA_HEADER_BYTES;
    const length = bytes - DATA_HEADER_BYTES;
    if (length <= 0 || length > session.resequencer.slotBytes || !ipIsWhole(block, packet, length)) {
      session.drops.count(length > session.resequencer.slotBytes ? "tooBig" : "badInner");
      return;
    }
    if (!session.peer.allowsSource(block, packet)) {
      session.onBadSource(block, packet);
      return;
    }
    session.onUse(now);
    session.ackFilter.now = now;
    const sequence = block.view.getUint32(body);
    const distance = block.view.getUint16(body + 4);
    const hold = slowsByDisorder(block, packet, length) ? HOLD_STREAM : HOLD_OTHER;
    if (!session.resequencer.offer(now, sequence, distance, block, packet, length, flags, hold)) {
      session.drops.count("duplicate");
    }
  }
}
