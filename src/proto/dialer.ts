/**
 * The local's side of the handshake: begins it, repeats it until it is answered, makes new keys in time, and begins anew
 * when no path has been up for a while. One initiation leaves on every path at once; the first answer wins.
 */
import type { DatagramSocket } from "../share/io.ts";
import {
  emitInitiationPayload,
  INITIATION_BYTES,
  LEASE_RESPONSE_BYTES,
  parseResponse,
  parseResponsePayload,
  SESSION_ID_BYTES,
  VERSION,
} from "../wire/handshake.ts";
import type { Cap } from "./cap.ts";
import { MacChecker, MacStamper } from "./cookie.ts";
import { Keys } from "./keys.ts";
import {
  HANDSHAKE_RETRY,
  HANDSHAKE_RETRY_LONG,
  LONG_UNANSWERED,
  MAX_ATTEMPTS,
  MILLISECOND,
  REHANDSHAKE_AFTER,
  REKEY_AFTER,
  REKEY_AFTER_PACKETS,
  SETTLE_AFTER,
} from "./limits.ts";
import { Initiator } from "./noise.ts";
import { type InnerPrefix, ONLY_REMOTE, type Peer } from "./peer.ts";
import type { Portal } from "./portal.ts";
import type { Session } from "./session.ts";
import { namesIn, type Offer, offerOf, SAME_SUITES } from "./suites.ts";

/** A local interface towards the remote: a path of every session, and a way for handshakes. */
export interface Carrier {
  readonly name: string;
  readonly socket: DatagramSocket;
  /** Its data caps; null for none. */
  readonly cap: Cap | null;
}

interface Way {
  readonly carrier: Carrier;
  /** The path id that its handshake messages bear; the remote gives it back, and looks no further. */
  readonly mark: number;
  /** For the present remote. */
  stamper: MacStamper;
}

/** Takes the addresses that the remote gives this portal; none where it has none to give. */
export type OnLease = (lease: readonly InnerPrefix[]) => void;

interface Attempt {
  readonly initiator: Initiator;
  readonly index: number;
  readonly sessionId: Uint8Array;
  /** The session to go on with; null for a new one. */
  readonly session: Session | null;
  readonly begunAt: number;
}

/** Least time between an initiation and the one that a cookie makes us send. */
const COOKIE_PAUSE = 100 * MILLISECOND;
/** Least time between an initiation and the one that an interface coming up makes us send. */
const HURRY_PAUSE = 100 * MILLISECOND;
/** An answer, and the headers around it. */
const ANSWERED_BYTES = LEASE_RESPONSE_BYTES + 48;
/** Unanswered attempts after which the operator is told, once. */
const ATTEMPTS_BEFORE_ADVICE = 15;

export class Dialer {
  peer: Peer;
  private readonly portal: Portal;
  private readonly ways: Way[] = [];
  private readonly checker: MacChecker;
  private readonly onSession: (now: number, session: Session) => void;
  private readonly onLease: OnLease | null;
  /** Those whose answer may still come, the newest last. */
  private readonly attempts: Attempt[] = [];
  private retryAt = 0;
  private begunAt = Number.NEGATIVE_INFINITY;
  private unanswered = 0;
  private unansweredSince = 0;
  /** When the ways with data caps were last used. */
  private cappedAt = Number.NEGATIVE_INFINITY;
  private marks = 0;
  /** Why the remote refuses was said. */
  private explained = false;

  /** `onSession`: a session has begun anew; its paths are to be added. `onLease`: null where none is wanted. */
  constructor(
    portal: Portal,
    peer: Peer,
    onSession: (now: number, session: Session) => void,
    onLease: OnLease | null = null,
  ) {
    this.portal = portal;
    this.peer = peer;
    this.onSession = onSession;
    this.onLease = onLease;
    this.checker = new MacChecker(portal.environment.crypto, portal.statics.publicKey);
  }

  /** There is another way to the remote. */
  add(now: number, carrier: Carrier): void {
    const stamper = new MacStamper(this.portal.environment.crypto, this.peer.publicKey);
    this.ways.push({ carrier, mark: this.marks++ & 0xff, stamper });
    this.hurry(now);
  }

  remove(carrier: Carrier): void {
    const at = this.ways.findIndex((way) => way.carrier === carrier);
    if (at >= 0) this.ways.splice(at, 1);
  }

  /** The remote is another one from now on; nothing that was begun with the one before counts any more. */
  change(now: number, peer: Peer): void {
    this.peer = peer;
    this.attempts.length = 0;
    this.unanswered = 0;
    this.explained = false;
    for (const way of this.ways) way.stamper = new MacStamper(this.portal.environment.crypto, peer.publicKey);
    this.hurry(now);
  }

  /** When `onTimeout` wants to be called. */
  get nextAt(): number {
    const session = this.peer.session;
    return session === null ? this.beginsAt : Math.min(this.beginsAt, this.portal.expiresAt(session));
  }

  /** When a handshake is to begin. Without a way to the remote there is nothing to begin. */
  private get beginsAt(): number {
    const session = this.peer.session;
    if (this.ways.length === 0) return Number.POSITIVE_INFINITY;
    if (this.attempts.length > 0 || session === null) return this.retryAt;
    return Math.max(this.retryAt, Math.min(this.rekeyAt(session), this.silentAt(session)));
  }

  onTimeout(now: number): void {
    if (this.peer.session !== null) this.portal.expire(now, this.peer.session);
    if (now >= this.beginsAt) this.begin(now);
  }

  /** Our peer said goodbye: try again a little later. */
  onClosed(now: number): void {
    this.attempts.length = 0;
    this.retryAt = now + HANDSHAKE_RETRY;
  }

  /** A way to the remote has opened: begins what is due, or unanswered, soon. */
  hurry(now: number): void {
    if (this.peer.session?.isUp === true) return;
    this.unansweredSince = now;
    this.retryAt = Math.min(this.retryAt, Math.max(now, this.begunAt + HURRY_PAUSE));
  }

  /** A response or cookie reply. `message` may be any bytes. */
  onMessage(now: number, message: Uint8Array, socket: DatagramSocket): void {
    const { drops } = this.portal;
    const stamper = this.ways.find(({ carrier }) => carrier.socket === socket)?.stamper;
    const response = parseResponse(message);
    if (response === null) {
      if (stamper === undefined || !stamper.readCookieReply(now, message)) drops.count("notAuthentic");
      // Not at once: whoever sees our initiations could make us begin one per round trip with cookies of their own.
      else this.retryAt = Math.min(this.retryAt, this.begunAt + COOKIE_PAUSE);
      return;
    }
    const attempt = this.attempts.find(({ index }) => index === response.receiverIndex);
    if (attempt === undefined) {
      // Also the answers to the copies of an initiation that left on the other paths.
      drops.count("unknownIndex");
      return;
    }
    if (this.checker.check(now, message, socket.source, false) !== "ok") {
      drops.count("notAuthentic");
      return;
    }
    const answer = attempt.initiator.response(message);
    const payload = answer === null ? null : parseResponsePayload(answer.payload);
    const suite = this.portal.environment.suites.find(({ id }) => id === payload?.suiteId);
    if (answer === null || payload === null || (suite === undefined && !payload.refused)) {
      drops.count("handshakeRefused");
      return;
    }
    this.attempts.length = 0;
    this.unanswered = 0;
    if (payload.refused || suite === undefined) {
      this.onRefused(now, payload);
      return;
    }
    this.explained = false;
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
    this.onLease?.(payload.lease);
    this.finish(now, keys);
    // On a slow path the session needs time to come up.
    this.retryAt = now + Math.max(SETTLE_AFTER, 3 * (now - attempt.begunAt));
  }

  /** The remote takes none of our suites. Its configuration, or ours, may change. */
  private onRefused(now: number, theirs: Offer): void {
    const { drops, environment } = this.portal;
    drops.count("handshakeRefused");
    this.retryAt = now + HANDSHAKE_RETRY_LONG;
    if (this.explained) return;
    this.explained = true;
    const own = namesIn(offerOf(environment.suites));
    environment.log(
      "warn",
      `${this.whom} refuses the session: it takes ${namesIn(theirs)}, this portal ${own}: ${SAME_SUITES}`,
    );
  }

  /** In the log. */
  private get whom(): string {
    const { name } = this.peer;
    return name === ONLY_REMOTE ? "the remote" : `remote ${name}`;
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
  }

  /** Begins a handshake, or begins the unanswered one again with a fresh ephemeral key. */
  private begin(now: number): void {
    this.begunAt = now;
    // Credit was given in a session that is no more.
    if (this.peer.session === null) for (const { carrier } of this.ways) carrier.cap?.credit.end(now);
    const able = this.ways.filter(mayDial);
    if (able.length === 0) {
      // Every path rests: until one may be used again (`hurry`), there is nobody to ask.
      this.attempts.length = 0;
      this.retryAt = now + HANDSHAKE_RETRY_LONG;
      return;
    }
    const { environment, statics } = this.portal;
    const session = this.peer.session;
    if (this.attempts.length > 0) this.unanswered++;
    else this.unansweredSince = now;
    if (this.unanswered === ATTEMPTS_BEFORE_ADVICE) {
      this.unanswered++;
      environment.log(
        "warn",
        `${this.whom} does not answer: check that it runs, its endpoint, its firewall, and the keys`,
      );
    }
    const initiator = new Initiator(environment.crypto, statics, this.peer.publicKey, this.peer.presharedKey);
    const index = this.portal.freeIndex();
    const sessionId = session?.id ?? environment.crypto.random(SESSION_ID_BYTES);
    const payload = emitInitiationPayload({
      sessionId,
      version: VERSION,
      ...offerOf(environment.suites),
      rekey: session !== null,
      wantsLease: this.onLease !== null,
    });
    this.attempts.push({ initiator, index, sessionId, session, begunAt: now });
    if (this.attempts.length > MAX_ATTEMPTS) this.attempts.shift();
    const long = now >= this.unansweredSince + LONG_UNANSWERED;
    this.retryAt = now + (long && able.every(isCapped) ? HANDSHAKE_RETRY_LONG : HANDSHAKE_RETRY);
    // Bytes that count are not spent so often on a remote that has been away for long.
    const spares = long && now < this.cappedAt + HANDSHAKE_RETRY_LONG;
    if (!spares) this.cappedAt = now;
    const message = initiator.initiation(0, index, payload);
    for (const way of able) {
      if (spares && isCapped(way)) continue;
      const { carrier, mark, stamper } = way;
      const copy = message.slice();
      copy[1] = mark;
      stamper.stamp(now, copy);
      this.portal.send(carrier.socket, copy, null);
      carrier.cap?.expect(now, LEASE_RESPONSE_BYTES);
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

function mayDial({ carrier: { cap } }: Way): boolean {
  return cap === null || cap.affords(INITIATION_BYTES + ANSWERED_BYTES);
}

function isCapped({ carrier: { cap } }: Way): boolean {
  return cap !== null;
}
