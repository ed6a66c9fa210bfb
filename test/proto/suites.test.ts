/** The choice of a suite: the fastest for the slower of two portals, whoever asks. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import {
  AES_256_GCM,
  BLAKE2S,
  CHACHA20_POLY1305,
  choose,
  namesIn,
  type Offer,
  offerOf,
  speedClass,
  speedOfClass,
} from "../../src/proto/suites.ts";
import type { RatedSuite } from "../../src/share/io.ts";

function suite(id: number, speed: number): RatedSuite {
  const aead = () => {
    throw new Error("nothing is sealed here");
  };
  return { id, name: `suite ${id}`, encrypts: true, aead, speed };
}

const both = (aes: number, chacha: number) => [suite(AES_256_GCM, aes), suite(CHACHA20_POLY1305, chacha)];
const chosen = (own: readonly RatedSuite[], offer: Offer) => choose(own, offer)?.id ?? null;

test.each([
  ["two servers", both(14, 12), both(13, 12), AES_256_GCM],
  ["a server and a Raspberry Pi 4", both(14, 12), both(4, 7), CHACHA20_POLY1305],
  ["two of those", both(4, 7), both(4, 7), CHACHA20_POLY1305],
  ["a Raspberry Pi 5 and a slow server", both(11, 8), both(9, 10), AES_256_GCM],
  ["the slower one decides, though the other would rather not", both(15, 8), both(5, 7), CHACHA20_POLY1305],
  ["equal for the slower one: for the other", both(4, 4), both(7, 9), CHACHA20_POLY1305],
  ["equal for both: AES", both(7, 7), both(7, 7), AES_256_GCM],
  ["one is told", [suite(CHACHA20_POLY1305, 1)], both(14, 12), CHACHA20_POLY1305],
  ["the other is told", both(14, 7), [suite(AES_256_GCM, 1)], AES_256_GCM],
  ["both are told the same", [suite(CHACHA20_POLY1305, 1)], [suite(CHACHA20_POLY1305, 9)], CHACHA20_POLY1305],
  ["told otherwise", [suite(CHACHA20_POLY1305, 1)], [suite(AES_256_GCM, 1)], null],
  ["both readable", [suite(BLAKE2S, 1)], [suite(BLAKE2S, 1)], BLAKE2S],
  ["one readable", [suite(BLAKE2S, 1)], both(14, 12), null],
  ["an old peer", both(4, 7), [suite(AES_256_GCM, 0)], AES_256_GCM],
  ["an old peer that is readable", both(4, 7), [suite(BLAKE2S, 0)], null],
] as [string, RatedSuite[], RatedSuite[], number | null][])("%s", (_, one, two, expected) => {
  expect([chosen(one, offerOf(two)), chosen(two, offerOf(one))]).toEqual([expected, expected]);
});

test("no other suite would be faster for the slower one, and both come to the same", () => {
  const speed = fc.integer({ min: 1, max: 15 });
  const portal = fc.tuple(speed, speed).map(([aes, chacha]) => both(aes, chacha));
  fc.assert(
    fc.property(portal, portal, (one, two) => {
      const found = choose(one, offerOf(two))!;
      expect(chosen(two, offerOf(one))).toBe(found.id);
      const slower = (id: number) =>
        Math.min(...[one, two].map((each) => each.find((other) => other.id === id)!.speed));
      for (const { id } of one) expect(slower(found.id)).toBeGreaterThanOrEqual(slower(id));
    }),
  );
});

test("any offer of a peer: one of our own suites or none", () => {
  const byte = fc.integer({ min: 0, max: 255 });
  const half = fc.integer({ min: 0, max: 15 });
  fc.assert(
    fc.property(byte, half, half, (suiteId, aesSpeed, chachaSpeed) => {
      const offer = { suiteId, aesSpeed, chachaSpeed };
      const id = chosen(both(3, 5), offer);
      if (id === AES_256_GCM) expect(aesSpeed > 0 || (suiteId === id && chachaSpeed === 0)).toBe(true);
      else if (id === CHACHA20_POLY1305)
        expect(chachaSpeed > 0 || (suiteId === id && aesSpeed === 0)).toBe(true);
      else expect([aesSpeed, chachaSpeed]).toEqual([0, 0]);
      expect(namesIn(offer)).not.toBe("");
    }),
  );
});

test("speed classes: 1.6 times each, from the slowest machine to the fastest", () => {
  expect([1, 96, 154, 2_000, 10_000, 1_000_000].map(speedClass)).toEqual([1, 1, 2, 7, 11, 15]);
  for (let speed = 1; speed <= 15; speed++) expect(speedClass(speedOfClass(speed))).toBe(speed);
});

test("what an offer holds, in words", () => {
  expect(namesIn(offerOf(both(3, 4)))).toBe("aes-256-gcm or chacha20-poly1305");
  expect(namesIn({ suiteId: BLAKE2S, aesSpeed: 0, chachaSpeed: 0 })).toBe("blake2s");
  expect(namesIn({ suiteId: 9, aesSpeed: 0, chachaSpeed: 0 })).toBe("none that is known here");
});
