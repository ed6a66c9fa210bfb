/**
 * Every call into libgcrypt that portal makes, with the reason for each. It seals AES-256-GCM with the widest instructions
 * that a processor has, which OpenSSL does since 3.2 only: sys/aead.ts takes the faster of the two. It is present on Debian,
 * Ubuntu and Raspberry Pi OS, whose init system and package manager need it.
 *
 * Null when the machine has no such library, or a processor without instructions for AES-GCM: then the library works with
 * tables, whose timing tells about keys to others on the same processor.
 */
import { CString, dlopen, FFIType } from "bun:ffi";
import { at, cString } from "./memory.ts";

const p = FFIType.ptr;
const i = FFIType.i32;
const u = FFIType.u32;
const n = FFIType.u64_fast;

/** Most return a gcry_error_t: 0 is success. */
const table = {
  // Start: version, settings, and what it found in the processor.
  gcry_check_version: { args: [p], returns: p },
  gcry_control: { args: [i, i], returns: u },
  gcry_get_config: { args: [i, p], returns: p },
  gcry_free: { args: [p], returns: FFIType.void },
  // One handle per key, made with the session.
  gcry_cipher_open: { args: [p, i, i, u], returns: u },
  gcry_cipher_setkey: { args: [p, p, n], returns: u },
  gcry_cipher_close: { args: [p], returns: FFIType.void },
  // Per packet: nonce, associated data, body, tag.
  gcry_cipher_setiv: { args: [p, p, n], returns: u },
  gcry_cipher_authenticate: { args: [p, p, n], returns: u },
  gcry_cipher_encrypt: { args: [p, p, n, p, n], returns: u },
  gcry_cipher_decrypt: { args: [p, p, n, p, n], returns: u },
  gcry_cipher_gettag: { args: [p, p, n], returns: u },
  gcry_cipher_checktag: { args: [p, p, n], returns: u },
} as const;

/** gcrypt.h */
const GCRYCTL_DISABLE_SECMEM = 37;
const GCRYCTL_INITIALIZATION_FINISHED = 38;

/** The oldest that knows gcry_get_config, of 2017. */
const LEAST_VERSION = cString("1.8.0");
const HARDWARE = cString("hwflist");

/** What a processor needs: instructions for AES and for the multiplication of GCM. */
const FEATURES = [
  ["intel-aesni", "intel-pclmul"],
  ["arm-aes", "arm-pmull"],
];

function load() {
  try {
    const { symbols } = dlopen("libgcrypt.so.20", table);
    // Begins the library's start.
    if (symbols.gcry_check_version(at(LEAST_VERSION)) === null) return null;
    // Keys in memory that is never paged out: there are 32 KB of it, too few for a thousand sessions.
    symbols.gcry_control(GCRYCTL_DISABLE_SECMEM, 0);
    symbols.gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
    const found = processorFeatures(symbols);
    return FEATURES.some((needed) => needed.every((feature) => found.includes(feature))) ? symbols : null;
  } catch {
    // Not on this machine.
    return null;
  }
}

/** Of a line "hwflist:intel-cpu:intel-aesni:". */
function processorFeatures(symbols: ReturnType<typeof dlopen<typeof table>>["symbols"]): string[] {
  const line = symbols.gcry_get_config(0, at(HARDWARE));
  if (line === null) return [];
  const features = new CString(line).toString().trim().split(":");
  symbols.gcry_free(line);
  return features;
}

export const libgcrypt = load();

export type Libgcrypt = NonNullable<typeof libgcrypt>;
