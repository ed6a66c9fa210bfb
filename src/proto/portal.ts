/**
 * One end of portal: its keys, its peers, the live sessions and the table of receiver indices. What dialer and acceptor
 * share. It sends only handshake messages, which are rare; datagrams of sessions leave through outbound.ts.
 */
import type { Block } from "../share/block.ts";
import { DropCounters } from "../share/counters.ts";
import type { Endpoint } from "../share/endpoint.ts";
import type { DatagramSocket } from "../share/io.ts";
import { Store } from "../share/store.ts";
import { DATA_HEADER_BYTES } from "../wire/datagram.ts";
import { Agenda } from "./agenda.ts";
import { Destinations } from "./destinations.ts";
import { type Environment, random32, slotBytesFor } from "./environment.ts";
import type { Keys } from "./keys.ts";
import { KEEP, REJECT_AFTER, SECOND, STORE_TRIM_EVERY } from "./limits.ts";
import type { StaticKeys } from "./noise.ts";
import type { Peer } from "./peer.ts";
import type { PacketSink } from "./resequencer.ts";
import { type Ground, Session } from "./session.ts";

/** Largest handshake message, with room. */
const MESSAGE_BYTES = 512;

export class Portal implements Ground {
  readonly environment: Environment;
  readonly statics: StaticKeys;
  readonly peers: Peer[];
  /** Where inner packets go once in order. */
  readonly sink: PacketSink;
  /** What strangers sent, and inner packets that belong to no session. */
  readonly drops = new DropCounters();
  readonly sessions: Session[] = [];
  /** The live sessions by when they must be looked at. */
  readonly agenda = new Agenda<Session>();
  /** The peers by what they may be sent. */
  destinations: Destinations;
  /** Memory for the packets of all sessions. */
  readonly store: Store;
  private storeTrimAt = Number.POSITIVE_INFINITY;
  /** Ended in this turn: what they have delivered may not have been written yet. */
  private readonly ended: Session[] = [];
  /** How long a session is kept while no path of it is up. */
  keep = KEEP;
  private readonly keysByIndex = new Map<number, Keys>();
  /** Remote: the keys of each initiation that was answered, for as long as they live. */
  private readonly keysByInitiation = new Map<string, Keys>();
  private readonly message: Block;

  constructor(environment: Environment, statics: StaticKeys, peers: readonly Peer[], sink: PacketSink) {
    this.environment = environment;
    this.statics = statics;
    this.peers = [...peers];
    this.sink = sink;
    this.message = environment.makeBlock(MESSAGE_BYTES);
    this.destinations = new Destinations(this.peers);
    const slotBytes = slotBytesFor(environment.mtu, DATA_HEADER_BYTES);
    this.store = new Store(environment.makeSharedBlock, environment.releaseBlock, slotBytes);
  }

  /** The peers, or what they may be sent, have changed. */
  onPeersChanged(): void {
    this.destinations = new Destinations(this.peers);
  }

  /** The keys a receiver index names; undefined when it names none. */
  keysOf(index: number): Keys | undefined {
    return this.keysByIndex.get(index);
  }

  /** An index no keys of ours have. */
  freeIndex(): number {
    for (;;) {
      const index = random32(this.environment);
      if (!this.keysByIndex.has(index)) return index;
    }
  }

  register(keys: Keys): void {
    this.keysByIndex.set(keys.localIndex, keys);
    if (keys.ephemeral !== null) this.keysByInitiation.set(bytesText(keys.ephemeral), keys);
  }

  /** The keys that came of the initiation with this ephemeral key, proved or not; undefined when there are none. */
  keysFrom(ephemeral: Uint8Array): Keys | undefined {
    return this.keysByInitiation.get(bytesText(ephemeral));
  }

  /** Forgets keys for good. */
  retire(keys: Keys | null): void {
    if (keys === null) return;
    this.keysByIndex.delete(keys.localIndex);
    if (keys.ephemeral !== null) this.keysByInitiation.delete(bytesText(keys.ephemeral));
    keys.close();
  }

  /** A handshake that begins anew has been proved: its session replaces what was there. */
  openSession(now: number, keys: Keys): Session {
    const { peer } = keys;
    if (peer.session !== null) {
      this.closeSession(peer.session, "replaced by a new one");
      if (peer.onReplaced(now)) {
        const message = `${peer.name} begins session after session: two machines have its key, or it is started again and again`;
        this.environment.log("warn", message);
      }
    }
    const session = new Session(now, keys, this, new DropCounters());
    peer.session = session;
    this.sessions.push(session);
    this.agenda.add(session);
    this.environment.log("info", `session with ${peer.name} established (${keys.suite.name})`);
    return session;
  }

  /** Ends keys that are too old, and a session that no path has carried for too long. It may outlive its keys by then. */
  expire(now: number, session: Session): void {
    if (session.previousKeys && now >= session.previousKeys.createdAt + REJECT_AFTER) {
      this.retire(session.previousKeys);
      session.previousKeys = null;
    }
    if (session.isUp) {
      if (session.keysExpired(now)) this.closeSession(session, "its keys are too old");
    } else if (now >= session.lastUpAt + this.keep) {
      this.closeSession(session, `no path was up for ${Math.round(this.keep / SECOND)} s`);
    } else if (session.keysExpired(now)) this.retire(session.keys);
  }

  /** When `expire` wants to be called. */
  expiresAt(session: Session): number {
    const keysAt = session.keys.closed ? Number.POSITIVE_INFINITY : session.keys.createdAt + REJECT_AFTER;
    return session.isUp ? keysAt : Math.min(keysAt, session.lastUpAt + this.keep);
  }

  closeSession(session: Session, reason: string): void {
    if (session.closed) return;
    session.closed = true;
    this.retire(session.previousKeys);
    this.retire(session.keys);
    session.previousKeys = null;
    if (session.peer.session === session) session.peer.session = null;
    this.sessions.splice(this.sessions.indexOf(session), 1);
    this.agenda.remove(session);
    this.ended.push(session);
    this.environment.log("info", `session with ${session.peer.name} ended: ${reason}`);
  }

  /**
   * Ends a turn, when everything delivered was written: gives back the memory of sessions that have ended, and what the
   * store does not need. That is not worth a turn of its own: the next one comes soon enough.
   */
  endTurn(now: number): void {
    for (let ended = this.ended.pop(); ended !== undefined; ended = this.ended.pop()) ended.giveBack();
    if (now >= this.storeTrimAt) {
      this.store.trim();
      this.storeTrimAt = Number.POSITIVE_INFINITY;
    }
    if (this.storeTrimAt === Number.POSITIVE_INFINITY && this.store.spares > 0)
      this.storeTrimAt = now + STORE_TRIM_EVERY;
  }

  /** Sends a handshake message. `to` null: the socket's connected peer. */
  send(socket: DatagramSocket, message: Uint8Array, to: Endpoint | null): void {
    this.message.bytes.set(message);
    socket.send(this.message, 0, message.length, message.length, to);
  }
}

/** Bytes as a key of a map. */
export function bytesText(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}

/** Equal bytes; not for secrets. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
