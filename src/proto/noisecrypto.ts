/**
 * The primitives a handshake needs, from a trusted library (sys/crypto.ts: node:crypto). Arrays are owned by the caller;
 * results are fresh. Handshakes are rare, so these may allocate.
 */
export interface NoiseCrypto {
  /** `length` unpredictable bytes. The simulator seeds them. */
  random(length: number): Uint8Array;
  /** X25519 public key of a 32-byte private key (RFC 7748). */
  publicKey(privateKey: Uint8Array): Uint8Array;
  /** X25519 shared secret; null when the peer's point is of small order (all-zero result, RFC 7748 section 6.1). */
  sharedSecret(privateKey: Uint8Array, publicKey: Uint8Array): Uint8Array | null;
  /** AES-256-GCM with Noise's nonce (32 zero bits, then `nonce` as 64-bit big-endian). Returns ciphertext and tag. */
  seal(key: Uint8Array, nonce: number, aad: Uint8Array, plaintext: Uint8Array): Uint8Array;
  /** The reverse; null when not authentic. */
  open(key: Uint8Array, nonce: number, aad: Uint8Array, ciphertext: Uint8Array): Uint8Array | null;
}
