/**
 * The simple mode: one `secret` on both portals in place of all keys. Both private keys and the pre-shared key come
 * from it by HKDF (RFC 5869) with BLAKE2s, so each portal knows the other's public key, and the handshake is the same.
 * No slow password hash: the secret has to be random, not memorable.
 */
import { blake2s } from "@noble/hashes/blake2.js";
import { hkdf } from "@noble/hashes/hkdf.js";
import { KEY_BYTES } from "./key.ts";

/** Fewest characters of a secret. */
export const SECRET_CHARACTERS = 16;

export interface SecretKeys {
  readonly localPrivateKey: Uint8Array;
  readonly remotePrivateKey: Uint8Array;
  readonly presharedKey: Uint8Array;
}

/** Changing any of these texts separates portals of before and after. */
export function keysFromSecret(secret: string): SecretKeys {
  const input = new TextEncoder().encode(secret);
  const salt = new TextEncoder().encode("portal secret 1");
  const derive = (purpose: string) =>
    hkdf(blake2s, input, salt, new TextEncoder().encode(purpose), KEY_BYTES);
  return {
    localPrivateKey: derive("portal local private key"),
    remotePrivateKey: derive("portal remote private key"),
    presharedKey: derive("portal pre-shared key"),
  };
}
