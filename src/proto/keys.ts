/**
 * The keys of one handshake: an AEAD each way and the two indices that name them on the wire. A session has up to three
 * of them at a time while it changes keys; packet numbers go on across them, so that a nonce never repeats.
 */
import type { Aead, CipherSuite } from "../share/io.ts";
import type { SessionKeys } from "./noise.ts";
import type { Peer } from "./peer.ts";
import type { Session } from "./session.ts";

export class Keys {
  readonly peer: Peer;
  readonly suite: CipherSuite;
  /** The receiver index of datagrams to us, and of datagrams we send. */
  readonly localIndex: number;
  readonly remoteIndex: number;
  readonly send: Aead;
  readonly receive: Aead;
  readonly createdAt: number;
  /** The session these belong to; null until the peer has proved them. */
  session: Session | null = null;
  /** Until then: the session they are to go on with, and so its packet numbers. */
  readonly continues: Session | null;
  sealed = 0;
  /** They are of no use any more. */
  closed = false;

  /** What the responder remembers of the initiation, until proved: the local's session id and its answer. */
  readonly sessionId: Uint8Array;
  readonly resumes: boolean;
  readonly ephemeral: Uint8Array | null;
  readonly answer: Uint8Array | null;

  constructor(fields: {
    peer: Peer;
    suite: CipherSuite;
    localIndex: number;
    remoteIndex: number;
    keys: SessionKeys;
    createdAt: number;
    sessionId: Uint8Array;
    resumes: boolean;
    continues?: Session | null;
    ephemeral?: Uint8Array;
    answer?: Uint8Array;
  }) {
    this.peer = fields.peer;
    this.suite = fields.suite;
    this.localIndex = fields.localIndex;
    this.remoteIndex = fields.remoteIndex;
    this.send = fields.suite.aead(fields.keys.sendKey);
    this.receive = fields.suite.aead(fields.keys.receiveKey);
    fields.keys.sendKey.fill(0);
    fields.keys.receiveKey.fill(0);
    this.createdAt = fields.createdAt;
    this.sessionId = fields.sessionId;
    this.resumes = fields.resumes;
    this.continues = fields.continues ?? null;
    this.ephemeral = fields.ephemeral ?? null;
    this.answer = fields.answer ?? null;
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.send.close();
    this.receive.close();
  }
}
