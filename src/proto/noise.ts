/**
 * The handshake: Noise_IKpsk2_25519_AESGCM_BLAKE2s (The Noise Protocol Framework, revision 34).
 *
 *     <- s
 *     ...
 *     -> e, es, s, ss      initiation
 *     <- e, ee, se, psk    response
 *
 * The initiator knows the responder's public key beforehand; the responder learns the initiator's from the first
 * message and then looks up the pre-shared key of the two, 32 zero bytes where none is configured.
 *
 * Both payloads, and so the choice of the cipher suite, are sealed with all that was said before as associated data: a
 * single bit of them changed on the way ends the handshake.
 *
 * Not here: MACs and cookies (proto/cookie.ts), protection against a replayed initiation (a session takes the new
 * keys into use only once the initiator has proved to hold them), when to shake hands again.
 */
import { blake2s } from "@noble/hashes/blake2.js";
import { hkdf } from "@noble/hashes/hkdf.js";
import { emitInitiation, emitResponse, parseInitiation, parseResponse } from "../wire/handshake.ts";
import type { NoiseCrypto } from "./noisecrypto.ts";

const HASH_BYTES = 32;
const EMPTY = new Uint8Array(0);
const PROTOCOL_NAME = asciiBytes("Noise_IKpsk2_25519_AESGCM_BLAKE2s");
const UNUSABLE_KEY = "the remote's public key is not a usable X25519 key";
const PROLOGUE = asciiBytes("portal v1");

export interface StaticKeys {
  readonly privateKey: Uint8Array;
  readonly publicKey: Uint8Array;
}

/** The keys of one session, 32 bytes each: what one side sends under, the other receives under. */
export interface SessionKeys {
  readonly sendKey: Uint8Array;
  readonly receiveKey: Uint8Array;
}

/** The side that begins. One object makes one initiation and takes one response. */
export class Initiator {
  readonly #crypto: NoiseCrypto;
  readonly #statics: StaticKeys;
  readonly #presharedKey: Uint8Array;
  readonly #remotePublicKey: Uint8Array;
  readonly #ephemeralPrivate: Uint8Array;
  #state: SymmetricState | null = null;

  constructor(
    crypto: NoiseCrypto,
    statics: StaticKeys,
    remotePublicKey: Uint8Array,
    presharedKey: Uint8Array,
  ) {
    this.#crypto = crypto;
    this.#statics = statics;
    this.#remotePublicKey = remotePublicKey;
    this.#presharedKey = presharedKey;
    this.#ephemeralPrivate = crypto.random(32);
  }

  /**
   * The first message, MACs still zero. To be called once.
   * Throws when the configured remote public key is no usable point.
   */
  initiation(pathId: number, senderIndex: number, payload: Uint8Array): Uint8Array {
    if (this.#state !== null) throw new Error("an initiator makes one initiation");
    const state = new SymmetricState(this.#crypto, this.#remotePublicKey);
    const ephemeral = this.#crypto.publicKey(this.#ephemeralPrivate);
    state.mixEphemeral(ephemeral);
    if (!state.mixShared(this.#ephemeralPrivate, this.#remotePublicKey)) throw new Error(UNUSABLE_KEY);
    const sealedStatic = state.seal(this.#statics.publicKey);
    if (!state.mixShared(this.#statics.privateKey, this.#remotePublicKey)) throw new Error(UNUSABLE_KEY);
    const sealedPayload = state.seal(payload);
    this.#state = state;
    return emitInitiation({ pathId, senderIndex, ephemeral, sealedStatic, sealedPayload });
  }

  /**
   * Reads the second message. Null: not an answer to our initiation, and then nothing has changed, so that a
   * forged response cannot end a handshake under way.
   */
  response(message: Uint8Array): { payload: Uint8Array; keys: SessionKeys } | null {
    const fields = parseResponse(message);
    if (fields === null || this.#state === null) return null;
    const state = this.#state.copy();
    state.mixEphemeral(fields.ephemeral);
    if (!state.mixShared(this.#ephemeralPrivate, fields.ephemeral)) return null;
    if (!state.mixShared(this.#statics.privateKey, fields.ephemeral)) return null;
    state.mixPresharedKey(this.#presharedKey);
    const payload = state.open(fields.sealedPayload);
    if (payload === null) return null;
    this.#ephemeralPrivate.fill(0);
    this.#state = null;
    const [sendKey, receiveKey] = state.split();
    return { payload, keys: { sendKey, receiveKey } };
  }
}

/** The side that answers. */
export class Responder {
  /** Who asks: proved to hold the private key of this, but possibly a replay. */
  readonly remotePublicKey: Uint8Array;
  readonly pathId: number;
  /** The initiator's index, to which the response goes. */
  readonly senderIndex: number;
  /** The initiator's ephemeral key: differs in every genuine initiation. */
  readonly ephemeral: Uint8Array;
  readonly payload: Uint8Array;
  readonly #crypto: NoiseCrypto;
  readonly #state: SymmetricState;

  private constructor(
    crypto: NoiseCrypto,
    state: SymmetricState,
    remotePublicKey: Uint8Array,
    ephemeral: Uint8Array,
    payload: Uint8Array,
    pathId: number,
    senderIndex: number,
  ) {
    this.#crypto = crypto;
    this.#state = state;
    this.remotePublicKey = remotePublicKey;
    this.ephemeral = ephemeral;
    this.payload = payload;
    this.pathId = pathId;
    this.senderIndex = senderIndex;
  }

  /** Reads the first message. Null: not for us, or not authentic. */
  static initiation(crypto: NoiseCrypto, statics: StaticKeys, message: Uint8Array): Responder | null {
    const fields = parseInitiation(message);
    if (fields === null) return null;
    const state = new SymmetricState(crypto, statics.publicKey);
    // The datagram's memory is used again for the next one; what is kept is copied.
    const ephemeral = fields.ephemeral.slice();
    state.mixEphemeral(ephemeral);
    if (!state.mixShared(statics.privateKey, ephemeral)) return null;
    const remotePublicKey = state.open(fields.sealedStatic);
    if (remotePublicKey === null) return null;
    if (!state.mixShared(statics.privateKey, remotePublicKey)) return null;
    const payload = state.open(fields.sealedPayload);
    if (payload === null) return null;
    return new Responder(
      crypto,
      state,
      remotePublicKey,
      ephemeral,
      payload,
      fields.pathId,
      fields.senderIndex,
    );
  }

  /** The second message, MACs still zero, and the keys it agrees. To be called once. */
  response(
    presharedKey: Uint8Array,
    pathId: number,
    senderIndex: number,
    payload: Uint8Array,
  ): { message: Uint8Array; keys: SessionKeys } {
    const state = this.#state;
    const ephemeralPrivate = this.#crypto.random(32);
    const ephemeral = this.#crypto.publicKey(ephemeralPrivate);
    state.mixEphemeral(ephemeral);
    const usable =
      state.mixShared(ephemeralPrivate, this.ephemeral) &&
      state.mixShared(ephemeralPrivate, this.remotePublicKey);
    // Points of small order were refused while the initiation was read.
    if (!usable) throw new Error("an accepted initiation has an unusable key");
    ephemeralPrivate.fill(0);
    state.mixPresharedKey(presharedKey);
    const sealedPayload = state.seal(payload);
    const receiverIndex = this.senderIndex;
    const message = emitResponse({ pathId, senderIndex, receiverIndex, ephemeral, sealedPayload });
    const [receiveKey, sendKey] = state.split();
    return { message, keys: { sendKey, receiveKey } };
  }
}

/** SymmetricState and CipherState of the framework (sections 5.1 and 5.2), with the tokens of this one pattern. */
class SymmetricState {
  readonly #crypto: NoiseCrypto;
  #chainingKey: Uint8Array;
  #hash: Uint8Array;
  #key: Uint8Array = EMPTY;
  #nonce = 0;

  constructor(crypto: NoiseCrypto, responderPublicKey: Uint8Array) {
    this.#crypto = crypto;
    // Section 5.2: a protocol name longer than a hash is hashed.
    this.#hash = blake2s(PROTOCOL_NAME);
    this.#chainingKey = this.#hash;
    this.#mixHash(PROLOGUE);
    this.#mixHash(responderPublicKey);
  }

  copy(): SymmetricState {
    const other = new SymmetricState(this.#crypto, EMPTY);
    // No array of a state is ever written in place, so both may name the same ones.
    other.#chainingKey = this.#chainingKey;
    other.#hash = this.#hash;
    other.#key = this.#key;
    other.#nonce = this.#nonce;
    return other;
  }

  /** Token e. Section 9.2: with a pre-shared key the ephemeral key is mixed into the chaining key too. */
  mixEphemeral(publicKey: Uint8Array): void {
    this.#mixHash(publicKey);
    this.#mixKey(publicKey);
  }

  /** Tokens ee, es, se, ss. False: the point is of small order, and the state is unchanged. */
  mixShared(privateKey: Uint8Array, publicKey: Uint8Array): boolean {
    const shared = this.#crypto.sharedSecret(privateKey, publicKey);
    if (shared === null) return false;
    this.#mixKey(shared);
    return true;
  }

  /** Token psk: MixKeyAndHash. */
  mixPresharedKey(presharedKey: Uint8Array): void {
    const [chainingKey, hash, key] = this.#derive(presharedKey, 3);
    this.#chainingKey = chainingKey!;
    this.#mixHash(hash!);
    this.#key = key!;
    this.#nonce = 0;
  }

  /** EncryptAndHash. */
  seal(plaintext: Uint8Array): Uint8Array {
    const ciphertext = this.#crypto.seal(this.#key, this.#nonce++, this.#hash, plaintext);
    this.#mixHash(ciphertext);
    return ciphertext;
  }

  /** DecryptAndHash. Null: not authentic; the state is then of no further use. */
  open(ciphertext: Uint8Array): Uint8Array | null {
    const plaintext = this.#crypto.open(this.#key, this.#nonce++, this.#hash, ciphertext);
    if (plaintext !== null) this.#mixHash(ciphertext);
    return plaintext;
  }

  /** The two session keys: the initiator sends under the first. */
  split(): [Uint8Array, Uint8Array] {
    const [first, second] = this.#derive(EMPTY, 2);
    this.#chainingKey.fill(0);
    this.#key.fill(0);
    return [first!, second!];
  }

  #mixHash(data: Uint8Array): void {
    this.#hash = blake2s.create().update(this.#hash).update(data).digest();
  }

  #mixKey(input: Uint8Array): void {
    const [chainingKey, key] = this.#derive(input, 2);
    this.#chainingKey = chainingKey!;
    this.#key = key!;
    this.#nonce = 0;
  }

  /** HKDF of section 4.3, which is RFC 5869's with the chaining key as salt and no info. */
  #derive(input: Uint8Array, outputs: number): Uint8Array[] {
    const bytes = hkdf(blake2s, input, this.#chainingKey, undefined, outputs * HASH_BYTES);
    return Array.from({ length: outputs }, (_, i) => bytes.slice(i * HASH_BYTES, (i + 1) * HASH_BYTES));
  }
}

function asciiBytes(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}
