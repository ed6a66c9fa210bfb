/**
 * The remote's side of the handshake. It answers an initiation that proves a known key, but changes nothing for it until
 * the initiator has proved the new keys with a first datagram: a replayed initiation is answered and forgotten.
 * Under load it asks for a cookie before it spends a public-key operation.
 */
import type { Endpoint } from "../share/endpoint.ts";
import type { DatagramSocket } from "../share/io.ts";
import {
  emitResponsePayload,
  type InitiationPayload,
  parseInitiation,
  parseInitiationPayload,
  VERSION,
} from "../wire/handshake.ts";
import { MacChecker, MacStamper } from "./cookie.ts";
import { Keys } from "./keys.ts";
import { MAX_PENDING_PER_PEER, PENDING_LIFETIME, SECOND } from "./limits.ts";
import { Responder } from "./noise.ts";
import type { Peer } from "./peer.ts";
import { bytesText, type Portal, sameBytes } from "./portal.ts";
import { HandshakeLimiter } from "./ratelimit.ts";
import { choose, namesIn, offerOf, SAME_SUITES } from "./suites.ts";

export class Acceptor {
  private readonly portal: Portal;
  private readonly checker: MacChecker;
  private readonly limiter: HandshakeLimiter;
  private readonly peersByKey = new Map<string, Peer>();
  private readonly stampers = new Map<Peer, MacStamper>();
  /** Answered, not proved; oldest first. */
  private readonly pending = new Set<Keys>();
  /** The oldest of them lapses, or one before it that was proved would have; Infinity when there is none. */
  private lapsesAt = Number.POSITIVE_INFINITY;
  private tickAt = 0;
  /** Peers whose refusal was logged: once each, since anybody may repeat an initiation. */
  private readonly explained = new Set<Peer>();

  constructor(portal: Portal) {
    this.portal = portal;
    const { crypto } = portal.environment;
    this.checker = new MacChecker(crypto, portal.statics.publicKey);
    this.limiter = new HandshakeLimiter(crypto.random(32));
    for (const peer of portal.peers) this.admit(peer);
  }

  /** From now on this peer's initiations are answered. */
  admit(peer: Peer): void {
    this.peersByKey.set(bytesText(peer.publicKey), peer);
    this.stampers.set(peer, new MacStamper(this.portal.environment.crypto, peer.publicKey));
  }

  /** And from now on no more. */
  dismiss(peer: Peer): void {
    for (const keys of [...peer.pending]) this.forget(keys);
    this.peersByKey.delete(bytesText(peer.publicKey));
    this.stampers.delete(peer);
    this.explained.delete(peer);
  }

  /** When `onTimeout` wants to be called: the oldest unproved answer lapses. */
  get nextAt(): number {
    return Math.min(this.lapsesAt, this.tickAt);
  }

  onTimeout(now: number): void {
    if (now >= this.lapsesAt) {
      for (const oldest of this.pending) {
        this.lapsesAt = oldest.createdAt + PENDING_LIFETIME;
        if (now < this.lapsesAt) break;
        this.forget(oldest);
      }
      if (this.pending.size === 0) this.lapsesAt = Number.POSITIVE_INFINITY;
    }
    if (now >= this.tickAt) this.retireOld(now);
  }

  /** Retires old keys, and sessions that nobody has used for too long. */
  private retireOld(now: number): void {
    const { portal } = this;
    this.tickAt = now + SECOND;
    for (let i = portal.sessions.length - 1; i >= 0; i--) portal.expire(now, portal.sessions[i]!);
  }

  /** An initiation. `message` may be any bytes. */
  onMessage(now: number, message: Uint8Array, socket: DatagramSocket, source: Endpoint): void {
    const { portal } = this;
    const underLoad = this.limiter.underLoad(now);
    const verdict = this.checker.check(now, message, source, underLoad);
    if (verdict === "bad") {
      portal.drops.count("notAuthentic");
      return;
    }
    const known = this.keysFrom(message);
    if (known?.session === null) {
      // The same initiation by another path, or again: the same answer, at no cost.
      this.answer(now, known.peer, known.answer!, message[1]!, socket, source);
      return;
    }
    if (known !== undefined) {
      // Replayed, or the copy of a path slower than the whole handshake: the local needs no answer any more.
      portal.drops.count("replayed");
      return;
    }
    if (verdict === "needsCookie") {
      portal.drops.count("overloaded");
      portal.send(socket, this.checker.cookieReply(now, message, source), source);
      return;
    }
    if (!this.limiter.admit(now, source)) {
      portal.drops.count("overloaded");
      return;
    }
    const responder = Responder.initiation(portal.environment.crypto, portal.statics, message);
    if (responder === null) {
      portal.drops.count("notAuthentic");
      return;
    }
    const peer = this.peersByKey.get(bytesText(responder.remotePublicKey));
    const payload = parseInitiationPayload(responder.payload);
    if (peer === undefined || payload === null || payload.version !== VERSION) {
      portal.drops.count("handshakeRefused");
      if (peer !== undefined)
        this.explain(peer, "it speaks another version of the protocol: run the same version on both sides");
      return;
    }
    const keys = this.accept(now, peer, responder, payload);
    if (keys !== null) this.answer(now, peer, keys.answer!, message[1]!, socket, source);
    else this.refuse(now, peer, responder, payload, socket, source);
  }

  /** The first datagram under these keys was authentic: they count from now on. */
  onProved(now: number, keys: Keys): void {
    const { portal } = this;
    const session = keys.peer.session;
    this.forget(keys, false);
    if (!keys.resumes) {
      portal.openSession(now, keys);
    } else if (session !== null && sameBytes(session.id, keys.sessionId)) {
      portal.retire(session.install(keys));
    } else {
      // The session these keys were to continue is gone; the local will notice and begin anew.
      portal.retire(keys);
    }
  }

  /** The keys for an initiation, to be proved; null when no suite is taken by both. */
  private accept(now: number, peer: Peer, responder: Responder, payload: InitiationPayload): Keys | null {
    const { portal } = this;
    const own = portal.environment.suites;
    const suite = choose(own, payload);
    if (suite === null) return null;
    const session = peer.session;
    const resumed = payload.rekey && session !== null && sameBytes(session.id, payload.sessionId);
    const index = portal.freeIndex();
    const answer = responder.response(
      peer.presharedKey,
      0,
      index,
      emitResponsePayload({
        resumed,
        refused: false,
        ...offerOf(own),
        suiteId: suite.id,
        lease: payload.wantsLease ? peer.lease : [],
      }),
    );
    const keys = new Keys({
      peer,
      suite,
      localIndex: index,
      remoteIndex: responder.senderIndex,
      keys: answer.keys,
      createdAt: now,
      sessionId: payload.sessionId.slice(),
      resumes: resumed,
      continues: resumed ? session : null,
      ephemeral: responder.ephemeral,
      answer: answer.message,
    });
    if (peer.pending.length === MAX_PENDING_PER_PEER) this.forget(peer.pending[0]!);
    peer.pending.push(keys);
    this.pending.add(keys);
    if (this.lapsesAt === Number.POSITIVE_INFINITY) this.lapsesAt = now + PENDING_LIFETIME;
    portal.register(keys);
    return keys;
  }

  /** A known peer takes other suites: it is told, so that its operator is. Nothing is kept of it. */
  private refuse(
    now: number,
    peer: Peer,
    responder: Responder,
    payload: InitiationPayload,
    socket: DatagramSocket,
    source: Endpoint,
  ): void {
    const { portal } = this;
    portal.drops.count("handshakeRefused");
    const own = offerOf(portal.environment.suites);
    const answer = emitResponsePayload({ resumed: false, refused: true, ...own, lease: [] });
    const { message } = responder.response(peer.presharedKey, 0, portal.freeIndex(), answer);
    this.answer(now, peer, message, responder.pathId, socket, source);
    this.explain(peer, `it takes ${namesIn(payload)}, this portal ${namesIn(own)}: ${SAME_SUITES}`);
  }

  private answer(
    now: number,
    peer: Peer,
    answer: Uint8Array,
    pathId: number,
    socket: DatagramSocket,
    source: Endpoint,
  ): void {
    const message = answer.slice();
    message[1] = pathId;
    this.stampers.get(peer)!.stamp(now, message);
    this.portal.send(socket, message, source);
  }

  /** What was made for this very initiation, if it came before. */
  private keysFrom(message: Uint8Array): Keys | undefined {
    const fields = parseInitiation(message);
    return fields === null ? undefined : this.portal.keysFrom(fields.ephemeral);
  }

  private forget(keys: Keys, retire = true): void {
    this.pending.delete(keys);
    const ofPeer = keys.peer.pending.indexOf(keys);
    if (ofPeer >= 0) keys.peer.pending.splice(ofPeer, 1);
    if (retire) this.portal.retire(keys);
  }

  /** A known peer whom we cannot serve is worth a line; a stranger is not. */
  private explain(peer: Peer, what: string): void {
    if (this.explained.has(peer)) return;
    this.explained.add(peer);
    this.portal.environment.log("warn", `${peer.name} is refused: ${what}`);
  }
}
