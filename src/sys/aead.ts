/**
 * The cipher suites of session datagrams, each by OpenSSL's libcrypto (nothing allocated per packet) and by a fallback
 * of the same wire format.
 *
 *   id  name         body      by                            us per packet
 *    1  aes-256-gcm  sealed    libcrypto, or node:crypto     1.1, or 1.9
 *    2  blake2s      readable  libcrypto, or @noble/hashes   5.8, or 15 to 24
 *
 * (Seal and open of 1,460 random bytes together; x64 with AES instructions, Bun 1.4.5, OpenSSL 3.0. BLAKE2s in
 * JavaScript hangs on the engine's guesses: after many bodies of zeros it took 80 and more.)
 *
 * That a nonce (path id and packet number) never repeats under a key is the caller's part. An Aead belongs to one
 * thread.
 */
import type { CipherSuite } from "../share/io.ts";
import { TAG_BYTES } from "../wire/datagram.ts";
import { AesGcmLibcrypto, AesGcmNode } from "./aead/aesgcm.ts";
import { Blake2sLibcrypto, Blake2sNoble, MacAead } from "./aead/blake2s.ts";
import { libcrypto, libcryptoMac } from "./libcrypto.ts";
import { nativeBlock } from "./memory.ts";

const AES = { id: 1, name: "aes-256-gcm", encrypts: true } as const;
const BLAKE2S = { id: 2, name: "blake2s", encrypts: false } as const;

/** Null where the machine has no libcrypto. */
export const aesGcmLibcrypto: CipherSuite | null =
  libcrypto === null ? null : { ...AES, aead: (key) => new AesGcmLibcrypto(libcrypto!, key) };

export const aesGcmNode: CipherSuite = { ...AES, aead: (key) => new AesGcmNode(key) };

/** Null where the machine has no libcrypto, or one before 3.0. */
export const blake2sLibcrypto: CipherSuite | null =
  libcryptoMac === null
    ? null
    : { ...BLAKE2S, aead: (key) => new MacAead(new Blake2sLibcrypto(libcryptoMac!, key)) };

export const blake2sNoble: CipherSuite = {
  ...BLAKE2S,
  aead: (key) => new MacAead(new Blake2sNoble(key)),
};

export interface Suites {
  readonly aes: CipherSuite;
  readonly blake2s: CipherSuite;
}

/** The fastest implementations that work on this machine: libcrypto's if they seal and open as expected here. */
export function chooseSuites(forceFallback = false): Suites {
  const aes = forceFallback ? null : aesGcmLibcrypto;
  const blake2s = forceFallback ? null : blake2sLibcrypto;
  return {
    aes: aes !== null && passesSelfTest(aes, AES_ZERO) ? aes : aesGcmNode,
    blake2s: blake2s !== null && passesSelfTest(blake2s, BLAKE2S_ZERO) ? blake2s : blake2sNoble,
  };
}

/** 16 zero bytes under a zero key and nonce. AES: test case 14 of the GCM specification. */
const AES_ZERO = "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919";
const BLAKE2S_ZERO = "000000000000000000000000000000002dd3f46eff44b32407977ab2362d7f54";

function passesSelfTest(suite: CipherSuite, expected: string): boolean {
  const length = TAG_BYTES + TAG_BYTES;
  const plain = nativeBlock(TAG_BYTES);
  const out = nativeBlock(length);
  try {
    const aead = suite.aead(new Uint8Array(32));
    // Another packet first: a context must begin anew for each.
    aead.seal(1, 1, out, 0, 0, plain, 0, TAG_BYTES);
    aead.seal(0, 0, out, 0, 0, plain, 0, TAG_BYTES);
    const sealed = Buffer.from(out.bytes).toString("hex");
    const opened = aead.open(0, 0, out, 0, length, 0);
    out.bytes[0]! ^= 1;
    const forged = aead.open(0, 0, out, 0, length, 0);
    aead.close();
    return sealed === expected && opened && !forged;
  } catch {
    return false;
  }
}
