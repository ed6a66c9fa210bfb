/**
 * A handshake that is begun to see whether a remote answers, and goes no further: one that is never proved changes nothing
 * at the remote, and whoever has a session with it keeps that (proto/acceptor.ts). By one way: cookies are for an address.
 */
import type { Endpoint } from "../share/endpoint.ts";
import {
  emitInitiationPayload,
  parseResponse,
  parseResponsePayload,
  type ResponsePayload,
  SESSION_ID_BYTES,
  VERSION,
} from "../wire/handshake.ts";
import { MacChecker, MacStamper } from "./cookie.ts";
import { random32 } from "./environment.ts";
import { Initiator, type StaticKeys } from "./noise.ts";
import type { NoiseCrypto } from "./noisecrypto.ts";
import type { Offer } from "./suites.ts";

/** Who knocks. */
export interface Knocker {
  readonly crypto: NoiseCrypto;
  readonly statics: StaticKeys;
  /** The cipher suites that it takes. */
  readonly offer: Offer;
}

/** Whom it is for. */
export interface KnownRemote {
  readonly publicKey: Uint8Array;
  readonly presharedKey: Uint8Array;
}

/**
 * What a message was: the answer; one that takes none of our suites; one by who knows both public keys, but has another pre-shared key; the wish for a cookie, which the next
 * initiation has; or nothing of ours.
 */
export type Reply = "answered" | "refused" | "unreadable" | "cookie" | "foreign";

export class Knock {
  private readonly from: Knocker;
  private readonly to: KnownRemote;
  private readonly stamper: MacStamper;
  private readonly checker: MacChecker;
  private initiator: Initiator | null = null;
  private index = 0;
  /** What the remote said last, answered or refused. */
  said: ResponsePayload | null = null;

  constructor(from: Knocker, to: KnownRemote) {
    this.from = from;
    this.to = to;
    this.stamper = new MacStamper(from.crypto, to.publicKey);
    this.checker = new MacChecker(from.crypto, from.statics.publicKey);
  }

  /** The message to send; each time with keys of its own, and only the last one's answer counts. */
  initiation(now: number): Uint8Array {
    const { crypto, statics, offer } = this.from;
    this.index = random32(this.from);
    this.initiator = new Initiator(crypto, statics, this.to.publicKey, this.to.presharedKey);
    const sessionId = crypto.random(SESSION_ID_BYTES);
    const asked = { sessionId, version: VERSION, ...offer, rekey: false, wantsLease: false };
    const message = this.initiator.initiation(0, this.index, emitInitiationPayload(asked));
    this.stamper.stamp(now, message);
    return message;
  }

  /** `message` may be any bytes. */
  onMessage(now: number, message: Uint8Array, source: Endpoint): Reply {
    const response = parseResponse(message);
    if (response === null) return this.stamper.readCookieReply(now, message) ? "cookie" : "foreign";
    if (this.initiator === null || response.receiverIndex !== this.index) return "foreign";
    if (this.checker.check(now, message, source, false) !== "ok") return "foreign";
    const answer = this.initiator.response(message);
    const said = answer === null ? null : parseResponsePayload(answer.payload);
    if (said === null) return "unreadable";
    this.said = said;
    return said.refused ? "refused" : "answered";
  }
}
