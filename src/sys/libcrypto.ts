/**
 * Every call into libcrypto (OpenSSL) that portal makes, in three tables, with the reason for each. For the datagram
 * path only: it is present on Debian, Ubuntu and Raspberry Pi OS, and node:crypto stands in where it is not.
 *
 * Each table is null when the machine has no such library, or an older one without these calls.
 */
import { dlopen, FFIType } from "bun:ffi";

const p = FFIType.ptr;
const i = FFIType.i32;
const n = FFIType.u64_fast;
const none = FFIType.void;

const cipherTable = {
  // Start without the machine's openssl.cnf (what it says about providers is not meant for us), and without a clean-up
  // at exit, when another thread may still be sealing.
  OPENSSL_init_crypto: { args: [n, p], returns: i },
  // One context per key, made with the session.
  EVP_CIPHER_CTX_new: { args: [], returns: p },
  EVP_CIPHER_CTX_free: { args: [p], returns: none },
  EVP_aes_256_gcm: { args: [], returns: p },
  // Per packet: nonce and direction; associated data, body and end; tag. CipherInit_ex serves both directions. Cipher is
  // what CipherUpdate and CipherFinal_ex are without what they do for ciphers of blocks: 60 of some 400 ns less.
  EVP_CipherInit_ex: { args: [p, p, p, p, p, i], returns: i },
  EVP_Cipher: { args: [p, p, p, FFIType.u32], returns: i },
  EVP_CIPHER_CTX_ctrl: { args: [p, i, i, p], returns: i },
} as const;

const chachaTable = {
  EVP_chacha20_poly1305: { args: [], returns: p },
  // The end of a packet: unlike AES-GCM's, this cipher's EVP_Cipher takes no bytes for nothing to do (OpenSSL 3).
  EVP_CipherFinal_ex: { args: [p, p, p], returns: i },
} as const;

const macTable = {
  // Keyed BLAKE2s; since OpenSSL 3.0. The keyed state is made once and begun again for every packet.
  EVP_MAC_fetch: { args: [p, p, p], returns: p },
  EVP_MAC_free: { args: [p], returns: none },
  EVP_MAC_CTX_new: { args: [p], returns: p },
  EVP_MAC_CTX_free: { args: [p], returns: none },
  EVP_MAC_init: { args: [p, p, n, p], returns: i },
  EVP_MAC_update: { args: [p, p, n], returns: i },
  EVP_MAC_final: { args: [p, p, p, n], returns: i },
} as const;

/** Names of the library, the newest first; the last one exists where the development package is installed. */
const candidates = ["libcrypto.so.3", "libcrypto.so.1.1", "libcrypto.so"];

/** openssl/crypto.h */
const OPENSSL_INIT_NO_LOAD_CONFIG = 0x80;
const OPENSSL_INIT_NO_ATEXIT = 0x80000;

function load() {
  for (const name of candidates) {
    try {
      const cipher = dlopen(name, cipherTable).symbols;
      if (cipher.OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, null) !== 1)
        continue;
      return { cipher, chacha: loadOnly(name, chachaTable), mac: loadOnly(name, macTable) };
    } catch {
      // Not on this machine: the next name.
    }
  }
  return { cipher: null, chacha: null, mac: null };
}

/** What a library may be built without. */
function loadOnly<Table extends typeof chachaTable | typeof macTable>(name: string, table: Table) {
  try {
    return dlopen(name, table).symbols;
  } catch {
    return null;
  }
}

const loaded = load();

export const libcrypto = loaded.cipher;
export const libcryptoChacha = loaded.chacha;
export const libcryptoMac = loaded.mac;

export type Libcrypto = NonNullable<typeof libcrypto>;
export type LibcryptoChacha = NonNullable<typeof libcryptoChacha>;
export type LibcryptoMac = NonNullable<typeof libcryptoMac>;
