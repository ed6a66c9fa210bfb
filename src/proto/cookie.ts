/**
 * mac1, mac2 and the cookie: what keeps strangers from making us spend public-key operations. The construction is
 * that of the WireGuard paper (section 5.4.7), with AES-256-GCM in the place of XChaCha20-Poly1305.
 *
 *   mac1    keyed BLAKE2s-128 over all before it, under BLAKE2s("portal mac1" || receiver's public key). Proves only
 *           that the sender knows whom it talks to; anything else is dropped unanswered.
 *   cookie  keyed BLAKE2s-128 over source port and address, under a secret that changes every 120 s. Whoever sends
 *           it back receives at that address.
 *   mac2    keyed BLAKE2s-128 over all before it, under the cookie. Asked for only under load.
 *
 * The cookie travels sealed by AES-256-GCM with the mac1 it answers as additional data, so that only who saw that
 * message can open it or forge one. The key is BLAKE2s(nonce) keyed by BLAKE2s("portal cookie" || receiver's public
 * key), used once: a nonce of 12 random bytes then needs no counter.
 *
 * Not here: when we are under load (proto/ratelimit.ts).
 */
import { blake2s } from "@noble/hashes/blake2.js";
import type { Endpoint } from "../share/endpoint.ts";
import { sameTag } from "../share/tag.ts";
import {
  COOKIE_BYTES,
  COOKIE_NONCE_BYTES,
  carriesMacs,
  emitCookieReply,
  MAC_BYTES,
  MACS_BYTES,
  parseCookieReply,
  readPathId,
  readSenderIndex,
} from "../wire/handshake.ts";
import type { NoiseCrypto } from "./noisecrypto.ts";

/** How long a cookie is used and a secret is current, microseconds. The secret before is accepted as long again. */
export const COOKIE_LIFETIME = 120_000_000;

const SECRET_BYTES = 32;
const MAC1_LABEL = Uint8Array.from("portal mac1", (character) => character.charCodeAt(0));
const COOKIE_LABEL = Uint8Array.from("portal cookie", (character) => character.charCodeAt(0));

/** ok: go on. bad: drop, answer nothing. needsCookie: answer `cookieReply`, spend nothing else. */
export type MacVerdict = "ok" | "bad" | "needsCookie";

/**
 * Puts the MACs on the handshake messages that leave on one path: a cookie is bound to the address the peer sees, so
 * each path has its own.
 */
export class MacStamper {
  readonly #crypto: NoiseCrypto;
  readonly #mac1: Mac1;
  readonly #cookieKey: Uint8Array;
  readonly #cookie = new Uint8Array(COOKIE_BYTES);
  #cookieAt = Number.NEGATIVE_INFINITY;
  readonly #lastMac1 = new Uint8Array(MAC_BYTES);
  #awaitsReply = false;

  constructor(crypto: NoiseCrypto, receiverPublicKey: Uint8Array) {
    this.#crypto = crypto;
    this.#mac1 = new Mac1(receiverPublicKey);
    this.#cookieKey = labelledKey(COOKIE_LABEL, receiverPublicKey);
  }

  /** Writes mac1, and mac2 while a cookie is held (else zeros), into an initiation or response. */
  stamp(now: number, message: Uint8Array): void {
    const mac1At = message.length - MACS_BYTES;
    const mac1 = this.#mac1.of(message);
    message.set(mac1, mac1At);
    this.#lastMac1.set(mac1);
    this.#awaitsReply = true;
    const mac2At = mac1At + MAC_BYTES;
    if (now - this.#cookieAt < COOKIE_LIFETIME) {
      message.set(keyedMac(this.#cookie, message.subarray(0, mac2At)), mac2At);
    } else {
      message.fill(0, mac2At);
    }
  }

  /** Takes the cookie out of a reply to the message stamped last. False: not authentic, or not awaited. */
  readCookieReply(now: number, message: Uint8Array): boolean {
    const fields = parseCookieReply(message);
    if (fields === null || !this.#awaitsReply) return false;
    const key = keyedHash(this.#cookieKey, fields.nonce);
    const cookie = this.#crypto.open(key, 0, this.#lastMac1, fields.sealedCookie);
    if (cookie === null) return false;
    this.#cookie.set(cookie);
    this.#cookieAt = now;
    this.#awaitsReply = false;
    return true;
  }
}

/** Checks the MACs of handshake messages sent to us, and makes the cookies. */
export class MacChecker {
  readonly #crypto: NoiseCrypto;
  readonly #mac1: Mac1;
  readonly #cookieKey: Uint8Array;
  #secret: Uint8Array;
  #previousSecret: Uint8Array;
  #secretAt = Number.NEGATIVE_INFINITY;
  readonly #source = new Uint8Array(18);

  constructor(crypto: NoiseCrypto, ownPublicKey: Uint8Array) {
    this.#crypto = crypto;
    this.#mac1 = new Mac1(ownPublicKey);
    this.#cookieKey = labelledKey(COOKIE_LABEL, ownPublicKey);
    this.#secret = crypto.random(SECRET_BYTES);
    this.#previousSecret = this.#secret;
  }

  check(now: number, message: Uint8Array, source: Endpoint, underLoad: boolean): MacVerdict {
    if (!carriesMacs(message)) return "bad";
    const mac1At = message.length - MACS_BYTES;
    if (!sameTag(this.#mac1.of(message), 0, message, mac1At)) return "bad";
    if (!underLoad) return "ok";
    this.#rotate(now);
    const mac2At = mac1At + MAC_BYTES;
    const covered = message.subarray(0, mac2At);
    for (const secret of [this.#secret, this.#previousSecret]) {
      const mac2 = keyedMac(this.#cookie(secret, source), covered);
      if (sameTag(mac2, 0, message, mac2At)) return "ok";
    }
    return "needsCookie";
  }

  /** The answer to a message for which `check` said "needsCookie". Smaller than that message. */
  cookieReply(now: number, message: Uint8Array, source: Endpoint): Uint8Array {
    this.#rotate(now);
    const mac1At = message.length - MACS_BYTES;
    const mac1 = message.subarray(mac1At, mac1At + MAC_BYTES);
    const nonce = this.#crypto.random(COOKIE_NONCE_BYTES);
    const key = keyedHash(this.#cookieKey, nonce);
    const sealedCookie = this.#crypto.seal(key, 0, mac1, this.#cookie(this.#secret, source));
    const pathId = readPathId(message);
    return emitCookieReply({ pathId, receiverIndex: readSenderIndex(message), nonce, sealedCookie });
  }

  /** A secret left alone for two lifetimes has no cookies in use any more. */
  #rotate(now: number): void {
    const age = now - this.#secretAt;
    if (age < COOKIE_LIFETIME) return;
    const next = this.#crypto.random(SECRET_BYTES);
    this.#previousSecret = age < 2 * COOKIE_LIFETIME ? this.#secret : next;
    this.#secret = next;
    this.#secretAt = now;
  }

  #cookie(secret: Uint8Array, source: Endpoint): Uint8Array {
    const address = source.block.bytes;
    const [from, to] = source.isIpv6 ? [8, 24] : [4, 8];
    const length = 2 + to - from;
    for (let i = 0; i < 2; i++) this.#source[i] = address[2 + i]!;
    for (let i = from; i < to; i++) this.#source[2 + i - from] = address[i]!;
    return keyedMac(secret, this.#source.subarray(0, length));
  }
}

/** mac1 is computed for whatever a stranger sends: two hash objects are made once and used again and again. */
class Mac1 {
  readonly #keyed: ReturnType<typeof blake2s.create>;
  readonly #working: ReturnType<typeof blake2s.create>;
  readonly #mac = new Uint8Array(MAC_BYTES);

  constructor(publicKey: Uint8Array) {
    this.#keyed = blake2s.create({ key: labelledKey(MAC1_LABEL, publicKey), dkLen: MAC_BYTES });
    this.#working = this.#keyed.clone();
  }

  /** mac1 of a message; the array is overwritten by the next call. */
  of(message: Uint8Array): Uint8Array {
    this.#keyed._cloneInto(this.#working);
    this.#working.update(message.subarray(0, message.length - MACS_BYTES)).digestInto(this.#mac);
    return this.#mac;
  }
}

function labelledKey(label: Uint8Array, publicKey: Uint8Array): Uint8Array {
  return blake2s.create().update(label).update(publicKey).digest();
}

function keyedMac(key: Uint8Array, data: Uint8Array): Uint8Array {
  return blake2s(data, { key, dkLen: MAC_BYTES });
}

function keyedHash(key: Uint8Array, data: Uint8Array): Uint8Array {
  return blake2s(data, { key });
}
