/**
 * The handshake's primitives by node:crypto: X25519 (RFC 7748) and AES-256-GCM. Not for the datagram path: see sys/aead.ts.
 */
import {
  createCipheriv,
  createDecipheriv,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  type KeyObject,
  randomBytes,
} from "node:crypto";
import type { NoiseCrypto } from "../proto/noisecrypto.ts";

const KEY_BYTES = 32;
const TAG_BYTES = 16;

/** What stands before the 32 raw bytes in the DER forms of RFC 8410: PKCS #8 for private, SPKI for public keys. */
const PRIVATE_PREFIX = Uint8Array.from([
  0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x6e, 0x04, 0x22, 0x04, 0x20,
]);
const PUBLIC_PREFIX = Uint8Array.from([
  0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x6e, 0x03, 0x21, 0x00,
]);

export function createNoiseCrypto(): NoiseCrypto {
  return { random, publicKey, sharedSecret, seal, open };
}

/** 32 random bytes, clamped as RFC 7748 section 5 decodes them, so that every tool prints the same key. */
export function generatePrivateKey(): Uint8Array {
  const key = random(KEY_BYTES);
  key[0]! &= 0xf8;
  key[31] = (key[31]! & 0x7f) | 0x40;
  return key;
}

function random(length: number): Uint8Array {
  return new Uint8Array(randomBytes(length));
}

function publicKey(privateKey: Uint8Array): Uint8Array {
  const der = createPublicKey(privateKeyObject(privateKey)).export({ format: "der", type: "spki" });
  return new Uint8Array(der.subarray(PUBLIC_PREFIX.length));
}

function sharedSecret(privateKey: Uint8Array, peerKey: Uint8Array): Uint8Array | null {
  if (peerKey.length !== KEY_BYTES) throw new RangeError(`a public key has ${KEY_BYTES} bytes`);
  const own = privateKeyObject(privateKey);
  const peer = createPublicKey({ key: join(PUBLIC_PREFIX, peerKey), format: "der", type: "spki" });
  try {
    return new Uint8Array(diffieHellman({ privateKey: own, publicKey: peer }));
  } catch {
    // The library refuses an all-zero result. Both keys are of the right form, so nothing else can fail.
    return null;
  }
}

function seal(key: Uint8Array, nonce: number, aad: Uint8Array, plaintext: Uint8Array): Uint8Array {
  const cipher = createCipheriv("aes-256-gcm", key, nonceBytes(nonce));
  cipher.setAAD(aad);
  return join(cipher.update(plaintext), cipher.final(), cipher.getAuthTag());
}

function open(key: Uint8Array, nonce: number, aad: Uint8Array, ciphertext: Uint8Array): Uint8Array | null {
  const length = ciphertext.length - TAG_BYTES;
  if (length < 0) return null;
  const decipher = createDecipheriv("aes-256-gcm", key, nonceBytes(nonce));
  decipher.setAAD(aad);
  decipher.setAuthTag(ciphertext.subarray(length));
  const plaintext = decipher.update(ciphertext.subarray(0, length));
  try {
    return join(plaintext, decipher.final());
  } catch {
    return null;
  }
}

/** Noise, section 12.3: 32 zero bits and the counter, big-endian. */
function nonceBytes(nonce: number): Uint8Array {
  const bytes = new Uint8Array(12);
  const view = new DataView(bytes.buffer);
  view.setUint32(4, Math.floor(nonce / 0x1_0000_0000));
  view.setUint32(8, nonce >>> 0);
  return bytes;
}

function privateKeyObject(privateKey: Uint8Array): KeyObject {
  if (privateKey.length !== KEY_BYTES) throw new RangeError(`a private key has ${KEY_BYTES} bytes`);
  return createPrivateKey({ key: join(PRIVATE_PREFIX, privateKey), format: "der", type: "pkcs8" });
}

function join(...parts: Uint8Array[]): Buffer {
  return Buffer.concat(parts);
}
