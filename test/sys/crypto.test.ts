import { describe, expect, test } from "bun:test";
import { createNoiseCrypto, generatePrivateKey } from "../../src/sys/crypto.ts";

const crypto = createNoiseCrypto();
const bytes = (hex: string) => new Uint8Array(Buffer.from(hex, "hex"));
const hex = (data: Uint8Array) => Buffer.from(data).toString("hex");

describe("X25519 (RFC 7748)", () => {
  // Section 5.2. The second point has its unused high bit set, which must be ignored.
  test.each([
    {
      scalar: "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
      point: "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
      product: "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
    },
    {
      scalar: "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
      point: "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
      product: "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
    },
  ])("scalar $scalar", ({ scalar, point, product }) => {
    expect(hex(crypto.sharedSecret(bytes(scalar), bytes(point))!)).toBe(product);
  });

  test("Alice and Bob (section 6.1)", () => {
    const alice = bytes("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
    const bob = bytes("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
    const alicePublic = crypto.publicKey(alice);
    const bobPublic = crypto.publicKey(bob);
    expect(hex(alicePublic)).toBe("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
    expect(hex(bobPublic)).toBe("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
    const shared = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742";
    expect(hex(crypto.sharedSecret(alice, bobPublic)!)).toBe(shared);
    expect(hex(crypto.sharedSecret(bob, alicePublic)!)).toBe(shared);
  });

  // Points whose order divides the cofactor: 0, 1, one of order 8, p - 1, p, p + 1.
  test.each([
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  ])("small order, no shared secret: %s", (point) => {
    expect(crypto.sharedSecret(generatePrivateKey(), bytes(point))).toBeNull();
  });

  test("any 32 bytes are a point: never a throw", () => {
    for (let i = 0; i < 50; i++) {
      expect(crypto.sharedSecret(crypto.random(32), crypto.random(32))?.length).toBe(32);
    }
  });

  test("a key of another length is our own bug", () => {
    expect(() => crypto.publicKey(new Uint8Array(31))).toThrow("32 bytes");
    expect(() => crypto.sharedSecret(new Uint8Array(33), new Uint8Array(32))).toThrow("32 bytes");
    expect(() => crypto.sharedSecret(new Uint8Array(32), new Uint8Array(31))).toThrow("32 bytes");
  });
});

test("a generated private key is clamped and new each time", () => {
  const seen = new Set<string>();
  for (let i = 0; i < 64; i++) {
    const key = generatePrivateKey();
    expect(key.length).toBe(32);
    expect(key[0]! & 7).toBe(0);
    expect(key[31]! & 0xc0).toBe(0x40);
    seen.add(hex(key));
  }
  expect(seen.size).toBe(64);
});

describe("AES-256-GCM", () => {
  const empty = new Uint8Array(0);

  test("test case 14 of the GCM specification: nonce 0 is twelve zero bytes", () => {
    const zeros = new Uint8Array(16);
    const sealed = crypto.seal(new Uint8Array(32), 0, empty, zeros);
    expect(hex(sealed)).toBe("cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919");
    expect(crypto.open(new Uint8Array(32), 0, empty, sealed)).toEqual(zeros);
  });

  test("the nonce is 32 zero bits and a 64-bit big-endian counter", async () => {
    const key = crypto.random(32);
    const iv = Uint8Array.of(0, 0, 0, 0, 0, 0, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab);
    const subtle = await globalThis.crypto.subtle.importKey("raw", Uint8Array.from(key), "AES-GCM", false, [
      "encrypt",
    ]);
    const additionalData = Uint8Array.of(1, 2, 3);
    const plaintext = Uint8Array.of(4, 5, 6, 7);
    const expected = await globalThis.crypto.subtle.encrypt(
      { name: "AES-GCM", iv, additionalData },
      subtle,
      plaintext,
    );
    expect(crypto.seal(key, 0x0123456789ab, additionalData, plaintext)).toEqual(new Uint8Array(expected));
  });

  test("not authentic, or too short: null, never a throw", () => {
    const key = crypto.random(32);
    const aad = Uint8Array.of(9);
    const sealed = crypto.seal(key, 3, aad, Uint8Array.of(1, 2, 3));
    expect(crypto.open(key, 3, aad, sealed)).toEqual(Uint8Array.of(1, 2, 3));
    expect(crypto.open(key, 4, aad, sealed)).toBeNull();
    expect(crypto.open(key, 3, empty, sealed)).toBeNull();
    expect(crypto.open(crypto.random(32), 3, aad, sealed)).toBeNull();
    for (let length = 0; length < sealed.length; length++) {
      expect(crypto.open(key, 3, aad, sealed.subarray(0, length))).toBeNull();
    }
    for (let i = 0; i < sealed.length; i++) {
      const forged = sealed.slice();
      forged[i]! ^= 1;
      expect(crypto.open(key, 3, aad, forged)).toBeNull();
    }
  });
});
