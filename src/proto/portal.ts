/**
 * One end of portal: its keys, its peers, the live sessions and the table of receiver indices. What dialer and acceptor
 * share. It sends only handshake messages, which are rare; datagrams of sessions leave through outbound.ts.
 */
import type { Block } from "../share/block.ts";
import { DropCounters } from "../share/counters.ts";
import type { Endpoint } from "../share/endpoint.ts";
import type { DatagramSocket } from "../share/io.ts";
import { type Environment, random32 } from "./environment.ts";
import type { Keys } from "./keys.ts";
import type { StaticKeys } from "./noise.ts";
import type { Peer } from "./peer.ts";
import type { PacketSink } from "./resequencer.ts";
import { Session } from "./session.ts";

/** Largest handshake message, with room. */
const MESSAGE_BYTES = 512;

export class Portal {
  readonly environment: Environment;
  readonly statics: StaticKeys;
  readonly peers: readonly Peer[];
  /** Where inner packets go once in order. */
  readonly sink: PacketSink;
  /** What strangers sent, and inner packets that belong to no session. */
  readonly drops = new DropCounters();
  readonly sessions: Session[] = [];
  private readonly keysByIndex = new Map<number, Keys>();
  private readonly message: Block;

  constructor(environment: Environment, statics: StaticKeys, peers: readonly Peer[], sink: PacketSink) {
    this.environment = environment;
    this.statics = statics;
    this.peers = peers;
    this.sink = sink;
    this.message = environment.makeBlock(MESSAGE_BYTES);
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
  }

  /** Forgets keys for good. */
  retire(keys: Keys | null): void {
    if (keys === null) return;
    this.keysByIndex.delete(keys.localIndex);
    keys.close();
  }

  /** A handshake that begins anew has been proved: its session replaces what was there. */
  openSession(now: number, keys: Keys): Session {
    if (keys.peer.session !== null) this.closeSession(keys.peer.session, "replaced by a new one");
    const session = new Session(now, keys, this.environment, this.sink, new DropCounters());
    keys.peer.session = session;
    this.sessions.push(session);
    this.environment.log("info", `session with ${keys.peer.name} established (${keys.suite.name})`);
    return session;
  }

  closeSession(session: Session, reason: string): void {
    if (session.closed) return;
    session.closed = true;
    this.retire(session.previousKeys);
    this.retire(session.keys);
    session.previousKeys = null;
    if (session.peer.session === session) session.peer.session = null;
    this.sessions.splice(this.sessions.indexOf(session), 1);
    this.environment.log("info", `session with ${session.peer.name} ended: ${reason}`);
  }

  /** Sends a handshake message. `to` null: the socket's connected peer. */
  send(socket: DatagramSocket, message: Uint8Array, to: Endpoint | null): void {
    this.message.bytes.set(message);
    socket.send(this.message, 0, message.length, message.length, to);
  }
}

/** Equal bytes; not for secrets. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
