/**
 * The cipher suites of session datagrams, each by OpenSSL's libcrypto (nothing allocated per packet), AES also by libgcrypt,
 * and two by a fallback of the same wire format. Which of them a session has, proto/suites.ts says.
 *
 *   name               body      by                                      us per packet
 *   aes-256-gcm        sealed    libcrypto, libgcrypt, or node:crypto    1.0, .8, or 2.0
 *   chacha20-poly1305  sealed    libcrypto                               2.5
 *   blake2s            readable  libcrypto, or @noble/hashes             6.4, or 16
 *
 * (Seal and open of 1,400 random bytes together; x64 with AES instructions for 64 bytes at once, Bun 1.4.5, OpenSSL 3.0,
 * libgcrypt 1.10. One TCP flow through two portals was 9 % faster with libgcrypt. BLAKE2s in JavaScript hangs on the
 * engine's guesses: after many bodies of zeros it took 80 and more. Bun itself has no ChaCha20-Poly1305, and no processor
 * without AES instructions would be served by one in JavaScript.)
 *
 * That a nonce (path id and packet number) never repeats under a key is the caller's part. An Aead belongs to one
 * thread.
 */
import { AES_256_GCM, BLAKE2S, CHACHA20_POLY1305, speedClass, suiteName } from "../proto/suites.ts";
import type { CipherSuite, RatedSuite } from "../share/io.ts";
import { TAG_BYTES } from "../wire/datagram.ts";
import { AesGcmNode } from "./aead/aesgcm.ts";
import { Blake2sLibcrypto, Blake2sNoble, MacAead } from "./aead/blake2s.ts";
import { LibcryptoAead } from "./aead/evp.ts";
import { LibgcryptAead } from "./aead/gcrypt.ts";
import { libcrypto, libcryptoChacha, libcryptoMac } from "./libcrypto.ts";
import { libgcrypt } from "./libgcrypt.ts";
import { nativeBlock } from "./memory.ts";

const AES = { id: AES_256_GCM, name: suiteName(AES_256_GCM), encrypts: true } as const;
const CHACHA = { id: CHACHA20_POLY1305, name: suiteName(CHACHA20_POLY1305), encrypts: true } as const;
const BLAKE = { id: BLAKE2S, name: suiteName(BLAKE2S), encrypts: false } as const;

/** Null where the machine has no libcrypto. */
export const aesGcmLibcrypto: CipherSuite | null =
  libcrypto === null ? null : { ...AES, aead: (key) => new LibcryptoAead(libcrypto!, null, key) };

/** Null where the machine has no libgcrypt, or no instructions for this cipher. */
export const aesGcmLibgcrypt: CipherSuite | null =
  libgcrypt === null ? null : { ...AES, aead: (key) => new LibgcryptAead(libgcrypt!, key) };

export const aesGcmNode: CipherSuite = { ...AES, aead: (key) => new AesGcmNode(key) };

/** Null where the machine has no libcrypto, or one without this cipher. */
export const chachaLibcrypto: CipherSuite | null =
  libcrypto === null || libcryptoChacha === null
    ? null
    : { ...CHACHA, aead: (key) => new LibcryptoAead(libcrypto!, libcryptoChacha, key) };

/** Null where the machine has no libcrypto, or one before 3.0. */
export const blake2sLibcrypto: CipherSuite | null =
  libcryptoMac === null
    ? null
    : { ...BLAKE, aead: (key) => new MacAead(new Blake2sLibcrypto(libcryptoMac!, key)) };

export const blake2sNoble: CipherSuite = {
  ...BLAKE,
  aead: (key) => new MacAead(new Blake2sNoble(key)),
};

export interface Suites {
  readonly aes: CipherSuite;
  /** Null: this machine cannot. */
  readonly chacha: CipherSuite | null;
  readonly blake2s: CipherSuite;
}

/**
 * The fastest implementations that work on this machine: a library's if it seals and opens as expected here; of two that do
 * the faster, as `nanoseconds` of a clock tell.
 */
export function chooseSuites(forceFallback = false, nanoseconds = Bun.nanoseconds): Suites {
  const tried = (suite: CipherSuite | null, expected: string): CipherSuite | null =>
    suite !== null && !forceFallback && passesSelfTest(suite, expected) ? suite : null;
  const aes = [tried(aesGcmLibcrypto, AES_ZERO), tried(aesGcmLibgcrypt, AES_ZERO)];
  return {
    aes:
      fastest(
        aes.filter((suite) => suite !== null),
        nanoseconds,
      ) ?? aesGcmNode,
    chacha: tried(chachaLibcrypto, CHACHA_ZERO),
    blake2s: tried(blake2sLibcrypto, BLAKE2S_ZERO) ?? blake2sNoble,
  };
}

/** `[tunnel]`, as far as it says which suites. */
interface Taking {
  readonly privacy: boolean;
  readonly cipher: string;
}

/** The suites that a portal takes: AES before others, as portals know it that have no choice. None: this machine cannot. */
export function takenSuites({ privacy, cipher }: Taking): CipherSuite[] {
  const { aes, chacha, blake2s } = chooseSuites();
  if (!privacy) return [blake2s];
  const able = chacha === null ? [aes] : [aes, chacha];
  return able.filter(({ name }) => cipher === "auto" || cipher === name);
}

/** Speed is measured with so much at once, so that what a call costs counts little. */
const RATED_BYTES = 16_384;
/** The best of so many: others may use the processor in between, nobody makes it faster. */
const RATED_TIMES = 8;

/** The suites with their speeds on this machine, as `nanoseconds` of a clock tell: half a millisecond; some ten on a slow one. */
export function rate(suites: readonly CipherSuite[], nanoseconds: () => number): RatedSuite[] {
  // Of one there is nothing to choose.
  if (suites.length === 1) return suites.map((suite) => ({ ...suite, speed: 1 }));
  return suites.map((suite) => ({ ...suite, speed: speedClass(mbitOf(suite, nanoseconds)) }));
}

/** Null of none. */
function fastest(suites: readonly CipherSuite[], nanoseconds: () => number): CipherSuite | null {
  if (suites.length < 2) return suites[0] ?? null;
  const speeds = suites.map((suite) => mbitOf(suite, nanoseconds));
  return suites[speeds.indexOf(Math.max(...speeds))]!;
}

/** How fast one thread seals, Mbit/s. */
function mbitOf(suite: CipherSuite, nanoseconds: () => number): number {
  const plain = nativeBlock(RATED_BYTES);
  const out = nativeBlock(RATED_BYTES + TAG_BYTES);
  const aead = suite.aead(new Uint8Array(32));
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < RATED_TIMES; i++) {
    const before = nanoseconds();
    aead.seal(0, i, out, 0, 0, plain, 0, RATED_BYTES);
    least = Math.min(least, nanoseconds() - before);
  }
  aead.close();
  return (RATED_BYTES * 8 * 1000) / Math.max(least, 1);
}

/** 16 zero bytes under a zero key and nonce. AES: test case 14 of the GCM specification. */
const AES_ZERO = "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919";
const CHACHA_ZERO = "9f07e7be5551387a98ba977c732d080dc34a88047320f52aa2c6683ef8084d2f";
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
