/**
 * The local's side of the handshake: begins it, repeats it until it is answered, makes new keys in time, and begins anew
 * when no path has been up for a while. One initiation leaves on every path at once; the first answer wins.
 */
import type { DatagramSocket } from "../share/io.ts";
import {
  emitInitiationPayload,
  parseResponse,
  parseResponsePayload,
  SESSION_ID_BYTES,
  VERSION,
} from "../wire/handshake.ts";
import { MacChecker, MacStamper } from "./cookie.ts";
import { Keys } from "./keys.ts";
import {
  HANDSHAKE_RETRY,
  HANDSHAKE_RETRY_MAX,
  MILLISECOND,
  REHANDSHAKE_AFTER,
  REJECT_AFTER,
  REKEY_AFTER,
  REKEY_AFTER_PACKETS,
} from "./limits.ts";
import { Initiator } from "./noise.ts";
import type { Peer } from "./peer.ts";
import type { Portal } from "./portal.ts";
import type { Session } from "./session.ts";

/** A local interface towards the remote: a path of every session, and a way for handshakes. */
export interface Carrier {
  readonly pathId: number;
  readonly name: string;
  readonly socket: DatagramSocket;
}

interface Attempt {
  readonly initiator: Initiator;
  readonly index: number;
  readonly sessionId: Uint8Array;
  /** The session to go on with; null for a new one. */
  readonly session: Session | null;
}

/** Least time between an initiation and the one that a cookie makes us send. */
const COOKIE_PAUSE = 100 * MILLISECOND;
/** Least time between an initiation and the one that an interface coming up makes us send. */
const HURRY_PAUSE = 250 * MILLISECOND;
/** Unanswered attempts after which the operator is told, once. */
const ATTEMPTS_BEFORE_ADVICE = 4;

export class Dialer {
  readonly peer: Peer;
  private readonly portal: Portal;
  private readonly carriers: readonly Carrier[];
  private readonly stampers: readonly MacStamper[];
  private readonly checker: MacChecker;
  private readonly onSession: (now: number, session: Session) => void;
  private attempt: Attempt | null = null;
  private retryAt = 0;
  private begunAt = 0;
  private interval = HANDSHAKE_RETRY;
  private unanswered = 0;

  /** `onSession`: a session has begun anew; its paths are to be added. */
  constructor(
    portal: Portal,
    peer: Peer,
    carriers: readonly Carrier[],
    onSession: (now: number, session: Session) => void,
  ) {
    this.portal = portal;
    this.peer = peer;
    this.carriers = carriers;
    this.onSession = onSession;
    const { crypto } = portal.environment;
    this.stampers = carriers.map(() => new MacStamper(crypto, peer.publicKey));
    this.checker = new MacChecker(crypto, portal.statics.publicKey);
  }

  /** When `onTimeout` wants to be called. */
  get nextAt(): number {
    const session = this.peer.session;
    if (this.attempt !== null || session === null) return this.retryAt;
    return Math.max(this.retryAt, Math.min(this.rekeyAt(session), this.silentAt(session)));
  }

  onTimeout(now: number): void {
    const session = this.peer.session;
    if (session?.keysExpired(now)) this.portal.closeSession(session, "its keys are too old");
    if (session?.previousKeys && now >= session.previousKeys.createdAt + REJECT_AFTER) {
      this.portal.retire(session.previousKeys);
      session.previousKeys = null;
    }
    if (now < this.nextAt) return;
    this.begin(now);
  }

  /** Our peer said goodbye: try again a little later. */
  onClosed(now: number): void {
    this.attempt = null;
    this.retryAt = now + HANDSHAKE_RETRY;
  }

  /** A way to the remote has opened: begins what is due, or unanswered, soon. */
  hurry(now: number): void {
    if (this.peer.session?.isUp === true) return;
    this.interval = HANDSHAKE_RETRY;
    this.retryAt = Math.min(this.retryAt, Math.max(now, this.begunAt + HURRY_PAUSE));
  }

  /** A response or cookie reply. `message` may be any bytes. */
  onMessage(now: number, message: Uint8Array, carrier: number, source: DatagramSocket["source"]): void {
    const { drops } = this.portal;
    const stamper = this.stampers[carrier];
    const response = parseResponse(message);
    if (response === null) {
      if (stamper === undefined || !stamper.readCookieReply(now, message)) drops.count("notAuthentic");
      // Not at once: whoever sees our initiations could make us begin one per round trip with cookies of their own.
      else this.retryAt = Math.min(this.retryAt, this.begunAt + COOKIE_PAUSE);
      return;
    }
    const { attempt } = this;
    if (attempt === null || response.receiverIndex !== attempt.index) {
      // Also the answers to the copies of an initiation that left on the other paths.
      drops.count("unknownIndex");
      return;
    }
    if (this.checker.check(now, message, source, false) !== "ok") {
      drops.count("notAuthentic");
      return;
    }
    const answer = attempt.initiator.response(message);
    const payload = answer === null ? null : parseResponsePayload(answer.payload);
    const suite = this.portal.environment.suites[0]!;
    if (answer === null || payload === null || payload.suiteId !== suite.id) {
      drops.count("handshakeRefused");
      return;
    }
    this.attempt = null;
    this.unanswered = 0;
    this.interval = HANDSHAKE_RETRY;
    if (attempt.session !== null && (attempt.session.closed || !payload.resumed)) {
      // One of us has lost the session since: a new one is due, under an id of its own, so that none is taken for another.
      this.portal.closeSession(attempt.session, "the remote has forgotten it");
      this.retryAt = now;
      return;
    }
    const keys = new Keys({
      peer: this.peer,
      suite,
      localIndex: attempt.index,
      remoteIndex: response.senderIndex,
      keys: answer.keys,
      createdAt: now,
      sessionId: attempt.sessionId,
      resumes: attempt.session !== null,
    });
    this.finish(now, keys);
  }

  private finish(now: number, keys: Keys): void {
    this.portal.register(keys);
    const session = this.peer.session;
    if (session !== null && keys.resumes) {
      this.portal.retire(session.install(keys));
      // The remote goes on with the old keys until it hears the new ones.
      for (const path of session.order) path.wantProbe(now);
      session.nextAt = 0;
    } else {
      this.onSession(now, this.portal.openSession(now, keys));
    }
    this.retryAt = now + REHANDSHAKE_AFTER;
  }

  /** Begins a handshake, or begins the unanswered one again with a fresh ephemeral key. */
  private begin(now: number): void {
    this.begunAt = now;
    const { environment, statics } = this.portal;
    const session = this.peer.session;
    if (this.attempt !== null) this.unanswered++;
    if (this.unanswered === ATTEMPTS_BEFORE_ADVICE) {
      this.unanswered++;
      environment.log(
        "warn",
        "the remote portal does not answer: check that it runs, its endpoint, its firewall, and the keys",
      );
    }
    const initiator = new Initiator(environment.crypto, statics, this.peer.publicKey, this.peer.presharedKey);
    const index = this.portal.freeIndex();
    const sessionId = session?.id ?? environment.crypto.random(SESSION_ID_BYTES);
    const payload = emitInitiationPayload({
      sessionId,
      version: VERSION,
      suiteId: environment.suites[0]!.id,
      rekey: session !== null,
    });
    this.attempt = { initiator, index, sessionId, session };
    this.retryAt = now + this.interval;
    this.interval = Math.min(this.interval * 2, HANDSHAKE_RETRY_MAX);
    const message = initiator.initiation(0, index, payload);
    for (let i = 0; i < this.carriers.length; i++) {
      const copy = message.slice();
      copy[1] = this.carriers[i]!.pathId;
      this.stampers[i]!.stamp(now, copy);
      this.portal.send(this.carriers[i]!.socket, copy, null);
    }
  }

  private rekeyAt(session: Session): number {
    if (session.keys.sealed >= REKEY_AFTER_PACKETS) return 0;
    return session.keys.createdAt + REKEY_AFTER;
  }

  private silentAt(session: Session): number {
    return session.isUp ? Number.POSITIVE_INFINITY : session.lastUpAt + REHANDSHAKE_AFTER;
  }
}
