/** ChaCha20-Poly1305 as RFC 8439 writes it, slowly: what the library's is compared with. */

const MASK = 0xffff_ffff;

/** Ciphertext and tag. */
export function sealSlowly(
  key: Uint8Array,
  nonce: Uint8Array,
  aad: Uint8Array,
  plain: Uint8Array,
): Uint8Array {
  const sealed = plain.slice();
  for (let at = 0; at < plain.length; at += 64) {
    const stream = block(key, 1 + at / 64, nonce);
    for (let i = at; i < Math.min(at + 64, plain.length); i++) sealed[i]! ^= stream[i - at]!;
  }
  const lengths = new Uint8Array(16);
  const view = new DataView(lengths.buffer);
  view.setUint32(0, aad.length, true);
  view.setUint32(8, plain.length, true);
  const covered = [aad, padding(aad), sealed, padding(sealed), lengths];
  return Buffer.concat([sealed, poly1305(block(key, 0, nonce).subarray(0, 32), Buffer.concat(covered))]);
}

function padding(bytes: Uint8Array): Uint8Array {
  return new Uint8Array((16 - (bytes.length % 16)) % 16);
}

/** Section 2.3. */
function block(key: Uint8Array, counter: number, nonce: Uint8Array): Uint8Array {
  const input = new Uint8Array(64);
  input.set(new TextEncoder().encode("expand 32-byte k"));
  input.set(key, 16);
  input.set(nonce, 52);
  new DataView(input.buffer).setUint32(48, counter, true);
  const start = new Uint32Array(input.buffer);
  const state = start.slice();
  const quarter = (a: number, b: number, c: number, d: number) => {
    for (const [x, y, z, by] of [
      [a, b, d, 16],
      [c, d, b, 12],
      [a, b, d, 8],
      [c, d, b, 7],
    ] as const) {
      state[x] = state[x]! + state[y]!;
      const mixed = (state[z]! ^ state[x]!) & MASK;
      state[z] = (mixed << by) | (mixed >>> (32 - by));
    }
  };
  for (let round = 0; round < 10; round++) {
    for (let i = 0; i < 4; i++) quarter(i, 4 + i, 8 + i, 12 + i);
    for (let i = 0; i < 4; i++) quarter(i, 4 + ((i + 1) % 4), 8 + ((i + 2) % 4), 12 + ((i + 3) % 4));
  }
  for (let i = 0; i < 16; i++) state[i] = state[i]! + start[i]!;
  return new Uint8Array(state.buffer);
}

/** Section 2.5. */
function poly1305(key: Uint8Array, message: Uint8Array): Uint8Array {
  const prime = (1n << 130n) - 5n;
  const r = number(key.subarray(0, 16)) & 0x0ffffffc0ffffffc0ffffffc0fffffffn;
  let sum = 0n;
  for (let at = 0; at < message.length; at += 16)
    sum = ((sum + number(Uint8Array.of(...message.subarray(at, at + 16), 1))) * r) % prime;
  const tag = (sum + number(key.subarray(16))) & ((1n << 128n) - 1n);
  return Uint8Array.from({ length: 16 }, (_, i) => Number((tag >> BigInt(8 * i)) & 0xffn));
}

/** Little-endian. */
function number(bytes: Uint8Array): bigint {
  return bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
}
