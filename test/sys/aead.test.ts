import { heapStats } from "bun:jsc";
import { describe, expect, test } from "bun:test";
import { createCipheriv } from "node:crypto";
import { readFileSync } from "node:fs";
import { blake2s } from "@noble/hashes/blake2.js";
import fc from "fast-check";
import type { Block } from "../../src/share/block.ts";
import type { Aead, CipherSuite } from "../../src/share/io.ts";
import {
  aesGcmLibcrypto,
  aesGcmLibgcrypt,
  aesGcmNode,
  blake2sLibcrypto,
  blake2sNoble,
  chachaLibcrypto,
  chooseSuites,
  rate,
  takenSuites,
} from "../../src/sys/aead.ts";
import { nativeBlock, sharedBlock } from "../../src/sys/memory.ts";
import { sealSlowly } from "./chacha.ts";

const TAG = 16;
const key = Uint8Array.from({ length: 32 }, (_, i) => i * 7 + 1);
const hex = (data: Uint8Array) => Buffer.from(data).toString("hex");

/** This machine's libcrypto is part of the test environment: its absence must not pass silently. */
function present(suite: CipherSuite | null): CipherSuite {
  if (suite === null) throw new Error("libcrypto is missing: install libssl3 (OpenSSL 3) to run these tests");
  return suite;
}

/** Used only where the processor has instructions for AES; there its absence must not pass silently either. */
const byLibgcrypt: CipherSuite[] = aesGcmLibgcrypt === null ? [] : [aesGcmLibgcrypt];

test("libgcrypt is here if the processor can do AES", () => {
  const aes = /^(flags|Features)\s*:.*\baes\b/m.test(readFileSync("/proc/cpuinfo", "utf8"));
  expect(byLibgcrypt.length).toBe(aes ? 1 : 0);
});

const aesSuites: [string, CipherSuite][] = [
  ["aes-256-gcm by libcrypto", present(aesGcmLibcrypto)],
  ["aes-256-gcm by node:crypto", aesGcmNode],
  ...byLibgcrypt.map((suite): [string, CipherSuite] => ["aes-256-gcm by libgcrypt", suite]),
];
const blake2sSuites: [string, CipherSuite][] = [
  ["blake2s by libcrypto", present(blake2sLibcrypto)],
  ["blake2s by noble", blake2sNoble],
];
const suites: [string, CipherSuite][] = [
  ...aesSuites,
  ["chacha20-poly1305 by libcrypto", present(chachaLibcrypto)],
  ...blake2sSuites,
];

/** Implementations of the same wire format. */
const pairs: [string, CipherSuite, CipherSuite][] = [
  ["aes-256-gcm", present(aesGcmLibcrypto), aesGcmNode],
  ...byLibgcrypt.map((suite): [string, CipherSuite, CipherSuite] => ["aes-256-gcm", suite, aesGcmNode]),
  ["blake2s", present(blake2sLibcrypto), blake2sNoble],
];

interface Packet {
  pathId: number;
  packetNumber: number;
  aad: Uint8Array;
  body: Uint8Array;
  offset: number;
}

const sizes = fc.oneof(fc.integer({ min: 0, max: 80 }), fc.integer({ min: 0, max: 1500 }));
const packets: fc.Arbitrary<Packet> = fc.record({
  pathId: fc.oneof(fc.integer({ min: 0, max: 255 }), fc.constant(0xffff_ffff)),
  packetNumber: fc.maxSafeNat(),
  aad: fc.uint8Array({ maxLength: 40 }),
  body: sizes.chain((length) => fc.uint8Array({ minLength: length, maxLength: length })),
  offset: fc.integer({ min: 0, max: 9 }),
});

/** Seals a packet at its offset in a block of just the right size. */
function seal(aead: Aead, packet: Packet): Block {
  const { aad, body, offset } = packet;
  const plain = nativeBlock(body.length + 3);
  plain.bytes.set(body, 3);
  const out = nativeBlock(offset + aad.length + body.length + TAG);
  out.bytes.set(aad, offset);
  aead.seal(packet.pathId, packet.packetNumber, out, offset, aad.length, plain, 3, body.length);
  return out;
}

function open(aead: Aead, packet: Packet, block: Block): boolean {
  const length = packet.aad.length + packet.body.length + TAG;
  return aead.open(packet.pathId, packet.packetNumber, block, packet.offset, length, packet.aad.length);
}

const example: Packet = {
  pathId: 2,
  packetNumber: 0x1_0000_0005,
  aad: Uint8Array.from({ length: 10 }, (_, i) => 0x40 + i),
  body: Uint8Array.from({ length: 61 }, (_, i) => i),
  offset: 1,
};

describe("wire format", () => {
  test.each(aesSuites)("%s: nonce is path id and packet number, big-endian", (_, suite) => {
    const nonce = Uint8Array.of(0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 5);
    const cipher = createCipheriv("aes-256-gcm", key, nonce).setAAD(example.aad);
    const body = cipher.update(example.body);
    cipher.final();
    const expected = Buffer.concat([example.aad, body, cipher.getAuthTag()]);
    expect(hex(seal(suite.aead(key), example).bytes.subarray(1))).toBe(expected.toString("hex"));
  });

  test.each(blake2sSuites)("%s: tag over nonce, associated data and readable body", (_, suite) => {
    const nonce = Uint8Array.of(0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 5);
    const covered = Buffer.concat([nonce, example.aad, example.body]);
    const expected = Buffer.concat([example.aad, example.body, blake2s(covered, { key, dkLen: TAG })]);
    expect(hex(seal(suite.aead(key), example).bytes.subarray(1))).toBe(expected.toString("hex"));
  });

  test("chacha20-poly1305, as slowly as RFC 8439 writes it: its example, section 2.8.2", () => {
    const sealed = sealSlowly(
      Uint8Array.from({ length: 32 }, (_, i) => 0x80 + i),
      Uint8Array.fromHex("070000004041424344454647"),
      Uint8Array.fromHex("50515253c0c1c2c3c4c5c6c7"),
      new TextEncoder().encode(
        "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.",
      ),
    );
    expect(hex(sealed.subarray(0, 16))).toBe("d31a8d34648e60db7b86afbc53ef7ec2");
    expect(hex(sealed.subarray(-16))).toBe("1ae10b594f09e26a7e902ecbd0600691");
  });

  test("chacha20-poly1305 by libcrypto: the same bytes, for any packet", () => {
    const aead = present(chachaLibcrypto).aead(key);
    fc.assert(
      fc.property(packets, (packet) => {
        const nonce = Buffer.alloc(12);
        nonce.writeUInt32BE(packet.pathId);
        nonce.writeBigUInt64BE(BigInt(packet.packetNumber), 4);
        const { aad, body, offset } = packet;
        const expected = sealSlowly(key, nonce, aad, body);
        expect(hex(seal(aead, packet).bytes.subarray(offset + aad.length))).toBe(hex(expected));
      }),
    );
  });

  test.each(aesSuites)("%s: test case 14 of the GCM specification", (_, suite) => {
    const zeros = { pathId: 0, packetNumber: 0, aad: new Uint8Array(0), body: new Uint8Array(16), offset: 0 };
    expect(hex(seal(suite.aead(new Uint8Array(32)), zeros).bytes)).toBe(
      "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919",
    );
  });

  test.each(pairs)("%s: both implementations make the same bytes and open them", (_, first, second) => {
    const one = first.aead(key);
    const two = second.aead(key);
    fc.assert(
      fc.property(packets, (packet) => {
        const sealed = seal(one, packet);
        const other = seal(two, packet);
        expect(hex(sealed.bytes)).toBe(hex(other.bytes));
        for (const [aead, block] of [
          [one, other],
          [two, sealed],
        ] as const) {
          expect(open(aead, packet, block)).toBe(true);
          const bodyAt = packet.offset + packet.aad.length;
          expect(hex(block.bytes.subarray(0, packet.offset))).toBe("00".repeat(packet.offset));
          expect(hex(block.bytes.subarray(packet.offset, bodyAt))).toBe(hex(packet.aad));
          expect(hex(block.bytes.subarray(bodyAt, bodyAt + packet.body.length))).toBe(hex(packet.body));
        }
      }),
      { numRuns: 200 },
    );
  });
});

describe.each(suites)("%s", (_, suite) => {
  test("any flipped bit is refused, and the next genuine packet is taken", () => {
    const aead = suite.aead(key);
    const genuine = seal(aead, example);
    for (let bit = 8 * example.offset; bit < 8 * genuine.bytes.length; bit++) {
      const forged = nativeBlock(genuine.bytes.length);
      forged.bytes.set(genuine.bytes);
      forged.bytes[bit >> 3]! ^= 1 << (bit & 7);
      expect(open(aead, example, forged)).toBe(false);
    }
    expect(open(aead, example, genuine)).toBe(true);
  });

  test("cut short at any length: false, never a throw", () => {
    const aead = suite.aead(key);
    const genuine = seal(aead, example);
    const copy = nativeBlock(genuine.bytes.length);
    const length = genuine.bytes.length - example.offset;
    for (let cut = 0; cut < length; cut++) {
      copy.bytes.set(genuine.bytes);
      expect(aead.open(2, example.packetNumber, copy, example.offset, cut, 10)).toBe(false);
    }
    copy.bytes.set(genuine.bytes);
    expect(aead.open(2, example.packetNumber, copy, example.offset, length, 10)).toBe(true);
  });

  test.each([
    ["path id", { pathId: 3 }],
    ["packet number, low half", { packetNumber: 0x1_0000_0006 }],
    ["packet number, high half", { packetNumber: 0x2_0000_0005 }],
    ["key", {}],
  ])("another %s is refused", (what, change) => {
    const genuine = seal(suite.aead(key), example);
    const reader = suite.aead(what === "key" ? key.slice().fill(9, 31) : key);
    expect(open(reader, { ...example, ...change }, genuine)).toBe(false);
  });

  test("opening with the body counted as associated data, or the reverse", () => {
    const aead = suite.aead(key);
    const genuine = seal(aead, example);
    const moved = { ...example, aad: new Uint8Array(11), body: new Uint8Array(60) };
    // One tag covers the same bytes in the authenticate-only suite: the length of the associated data is fixed on the wire.
    expect(open(aead, moved, genuine)).toBe(!suite.encrypts);
  });

  test("random datagrams are refused", () => {
    const aead = suite.aead(key);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 1500 }), fc.integer({ min: 0, max: 40 }), (bytes, aadLength) => {
        const block = nativeBlock(1500);
        block.bytes.set(bytes);
        expect(aead.open(0, 0, block, 0, bytes.length, aadLength)).toBe(false);
      }),
    );
  });

  test("blocks in shared memory", () => {
    const aead = suite.aead(key);
    const plain = sharedBlock(new SharedArrayBuffer(64));
    plain.bytes.fill(0x77);
    const out = sharedBlock(new SharedArrayBuffer(128));
    aead.seal(1, 2, out, 4, 10, plain, 8, 40);
    expect(hex(out.bytes.subarray(14, 54)) === "77".repeat(40)).toBe(!suite.encrypts);
    expect(aead.open(1, 2, out, 4, 10 + 40 + TAG, 10)).toBe(true);
    expect(hex(out.bytes.subarray(14, 54))).toBe("77".repeat(40));
  });

  test("lengths beyond a block are our own bug and touch nothing", () => {
    const aead = suite.aead(key);
    const plain = nativeBlock(32);
    const out = nativeBlock(10 + 32 + TAG - 1);
    expect(() => aead.seal(0, 0, out, 0, 10, plain, 0, 32)).toThrow("outside its output");
    expect(() => aead.seal(0, 0, out, 0, 10, plain, 1, 32)).toThrow("outside its input");
    expect(() => aead.seal(0, 0, out, -1, 10, plain, 0, 8)).toThrow("outside its output");
    expect(() => aead.seal(0, 0, out, 0, -1, plain, 0, 8)).toThrow("outside");
    expect(() => aead.open(0, 0, out, 8, out.bytes.length - 7, 10)).toThrow("outside its block");
    expect(out.bytes.every((byte) => byte === 0)).toBe(true);
  });

  test("after close it cannot be used; closing twice does no harm", () => {
    const aead = suite.aead(key);
    const sealed = seal(aead, example);
    aead.close();
    aead.close();
    expect(() => seal(aead, example)).toThrow();
    expect(() => open(aead, example, sealed)).toThrow();
  });

  test("a key is copied, and has 32 bytes", () => {
    const mine = key.slice();
    const aead = suite.aead(mine);
    mine.fill(0);
    expect(open(aead, example, seal(suite.aead(key), example))).toBe(true);
    expect(() => suite.aead(new Uint8Array(16))).toThrow("32 bytes, not 16");
  });
});

test.each(suites.filter(([, suite]) => suite !== aesGcmNode && suite !== blake2sNoble))(
  "%s: 100,000 packets leave nothing on the heap",
  (_, suite) => {
    const aead = suite.aead(key);
    const plain = nativeBlock(64);
    const out = nativeBlock(128);
    const run = (count: number) => {
      for (let i = 0; i < count; i++) {
        aead.seal(1, i, out, 0, 10, plain, 0, 64);
        if (!aead.open(1, i, out, 0, 90, 10)) throw new Error("not opened");
      }
    };
    run(20_000);
    Bun.gc(true);
    const before = heapStats();
    run(100_000);
    // No collection asked for in between. A single small object per packet would have made the heap 7 MB larger.
    const after = heapStats();
    expect(after.objectCount - before.objectCount).toBeLessThan(1_000);
    expect(after.heapSize - before.heapSize).toBeLessThan(1_000_000);
    expect(after.heapCapacity - before.heapCapacity).toBeLessThan(1_000_000);
  },
);

describe("choosing", () => {
  const aes = present(aesGcmLibcrypto);
  const chacha = present(chachaLibcrypto);
  const blake2sHere = present(blake2sLibcrypto);

  test("libraries where they are, the fallbacks when asked for", () => {
    expect(chooseSuites(true)).toEqual({ aes: aesGcmNode, chacha: null, blake2s: blake2sNoble });
    expect(chooseSuites(true).aes).toBe(aesGcmNode);
    expect([aes, ...byLibgcrypt]).toContain(chooseSuites().aes);
    expect(chooseSuites().chacha).toBe(chacha);
    expect(chooseSuites().blake2s).toBe(blake2sHere);
  });

  test("of two libraries the faster, by the clock", () => {
    const chosen = (libcryptoMicros: number, libgcryptMicros: number) => {
      let now = 0;
      let looks = 0;
      const clock = () => {
        // Two looks for each of eight times.
        const took = looks < 16 ? libcryptoMicros : libgcryptMicros;
        if (looks++ % 2 === 1) now += took * 1000;
        return now;
      };
      return chooseSuites(false, clock).aes;
    };
    expect(chosen(3, 2)).toBe(byLibgcrypt[0] ?? aes);
    expect(chosen(2, 3)).toBe(aes);
  });

  test("ids and names are the same for either implementation", () => {
    for (const [name, first, second] of pairs) {
      expect(first.name).toBe(name);
      expect([second.id, second.name, second.encrypts]).toEqual([first.id, first.name, first.encrypts]);
    }
    expect(aesGcmNode).toMatchObject({ id: 1, encrypts: true });
    expect(blake2sNoble).toMatchObject({ id: 2, encrypts: false });
    expect(chacha).toMatchObject({ id: 3, name: "chacha20-poly1305", encrypts: true });
  });

  test("a configuration takes both that encrypt, one of them, or the one that does not", () => {
    const names = (privacy: boolean, cipher: string) =>
      takenSuites({ privacy, cipher }).map(({ name }) => name);
    expect(names(true, "auto")).toEqual(["aes-256-gcm", "chacha20-poly1305"]);
    expect(names(true, "aes-256-gcm")).toEqual(["aes-256-gcm"]);
    expect(names(true, "chacha20-poly1305")).toEqual(["chacha20-poly1305"]);
    expect(names(false, "auto")).toEqual(["blake2s"]);
  });

  test("the speed is the best of several times, by the clock", () => {
    let now = 0;
    // Each look at the clock after a seal, which the first suite does in 1 us per KB, the second in 4; one of each is undisturbed.
    const clockOf = (microsPerKilobyte: number[]) => {
      let looks = 0;
      return () => {
        const suite = microsPerKilobyte[Math.floor(looks / 16)]!;
        const disturbed = looks % 16 === 5 ? 1 : 3;
        if (looks++ % 2 === 1) now += suite * 16.384 * 1000 * disturbed;
        return now;
      };
    };
    const [first, second] = rate([aes, chacha], clockOf([1, 4]));
    // 8 Gbit/s and 2 Gbit/s.
    expect([first!.name, first!.speed]).toEqual(["aes-256-gcm", 10]);
    expect([second!.name, second!.speed]).toEqual(["chacha20-poly1305", 7]);
  });
});
