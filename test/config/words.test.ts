/** The small parsers: keys, rates, the nearest word, secrets, and how a fault is shown. */
import { describe, expect, test } from "bun:test";
import { blake2s } from "@noble/hashes/blake2.js";
import fc from "fast-check";
import { formatFaults } from "../../src/config/fault.ts";
import { formatKey, parseKey } from "../../src/config/key.ts";
import { EVERY_KEY } from "../../src/config/keys.ts";
import { editDistance, nearest } from "../../src/config/nearest.ts";
import { parseRate } from "../../src/config/rate.ts";
import { keysFromSecret } from "../../src/config/secret.ts";

describe("keys", () => {
  test("what is written is read back, as Buffer reads it too", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (key) => {
        expect(formatKey(key)).toBe(Buffer.from(key).toString("base64"));
        expect(parseKey(` ${formatKey(key)}\n`)).toEqual(key);
      }),
    );
  });

  test("one text for each key", () => {
    const text = formatKey(new Uint8Array(32));
    expect(parseKey(`${text.slice(0, 42)}B=`)).toBeNull();
    expect(parseKey(text.slice(0, 43))).toBeNull();
    expect(parseKey(`${text}=`)).toBeNull();
    expect(parseKey(text.replace("A", "-"))).toBeNull();
    expect(parseKey(`${text.slice(0, 20)} ${text.slice(20)}`)).toBeNull();
  });

  test("any text", () => {
    fc.assert(fc.property(fc.string({ unit: "binary", maxLength: 60 }), (text) => void parseKey(text)));
  });
});

test.each([
  ["50 Mbit", 50e6],
  ["50Mbit/s", 50e6],
  ["2.5 gbit", 2.5e9],
  ["64 kbit", 64e3],
  [" 8 bit/s ", 8],
  ["0.5 Mbit", 500e3],
  ["50", null],
  ["50 M", null],
  ["50 MB", null],
  ["-1 Mbit", null],
  ["1e3 Mbit", null],
  [".5 Mbit", null],
  ["1. Mbit", null],
  ["", null],
])("the rate %j is %p", (text, rate) => {
  expect(parseRate(text)).toBe(rate);
});

describe("the nearest word", () => {
  test.each([
    ["interfce", "interface"],
    ["Interface", "interface"],
    ["publickey", "public_key"],
    ["preshared-key", "preshared_key"],
    ["rloe", "role"],
    ["mut", "mtu"],
    ["colour", null],
    ["", null],
    ["toString", null],
  ])("to %j is %p", (word, expected) => {
    expect(nearest(word, EVERY_KEY)).toBe(expected);
  });

  /** The definition, without a table. */
  function slow(a: string, b: string): number {
    if (a === "" || b === "") return a.length + b.length;
    const same = a.at(-1) === b.at(-1) ? 0 : 1;
    const ways = [
      slow(a.slice(0, -1), b) + 1,
      slow(a, b.slice(0, -1)) + 1,
      slow(a.slice(0, -1), b.slice(0, -1)) + same,
    ];
    const swapped = a.length > 1 && b.length > 1 && a.at(-1) === b.at(-2) && a.at(-2) === b.at(-1);
    if (swapped) ways.push(slow(a.slice(0, -2), b.slice(0, -2)) + 1);
    return Math.min(...ways);
  }

  test("the distance is that of the definition", () => {
    const word = fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 5 });
    fc.assert(fc.property(word, word, (a, b) => expect(editDistance(a, b)).toBe(slow(a, b))));
  });
});

describe("a secret", () => {
  test("gives RFC 5869's output, computed another way", () => {
    // RFC 2104, a key shorter than BLAKE2s's block of 64 bytes.
    const hmac = (key: Uint8Array, data: string) => {
      const pad = (byte: number) =>
        Buffer.from(Uint8Array.from({ length: 64 }, (_, i) => (key[i] ?? 0) ^ byte));
      const inner = blake2s(Buffer.concat([pad(0x36), Buffer.from(data)]));
      return blake2s(Buffer.concat([pad(0x5c), inner]));
    };
    const secret = "a secret of enough length";
    const extracted = hmac(Buffer.from("portal secret 1"), secret);
    const expand = (info: string) => hmac(extracted, `${info}\u0001`);
    expect(keysFromSecret(secret)).toEqual({
      localPrivateKey: expand("portal local private key"),
      remotePrivateKey: expand("portal remote private key"),
      presharedKey: expand("portal pre-shared key"),
    });
  });

  test("gives the same keys in every version", () => {
    const { localPrivateKey, remotePrivateKey, presharedKey } = keysFromSecret("0123456789abcdef");
    expect([localPrivateKey, remotePrivateKey, presharedKey].map(formatKey)).toMatchInlineSnapshot(`
      [
        "ywo+E5BvSNQ+yYNva1zkJfJX+4JfmgcZab4aXjcUSXA=",
        "PlfA5hDn8/JR8xlOL+zvQ1mqInyztCx5rLg49NcjmAE=",
        "YTcImZ8rQp7HoO5tzLRN5kLszBDYBHIWNMGL00zLecc=",
      ]
    `);
  });
});

describe("a shown fault", () => {
  const at = (line: string, column = 1) =>
    formatFaults(line, "f", [{ line: 1, column, length: 1, message: "m", advice: "a" }]).split("\n")[1]!;

  test.each([
    ['private_key = "abc" # x', '    1 | private_key = "***" * *'],
    ["secret = abc", "    1 | secret = ***"],
    ["privat_key = 'a'", "    1 | privat_key = '*'"],
    ['keys = { private_key = "a" }', '    1 | keys = { private_key = "*" *'],
    ['"preshared_key" = "a"', '    1 | "preshared_key" = "*"'],
    ['psk="a"', '    1 | psk="*"'],
    ['public_key = "abc"', '    1 | public_key = "abc"'],
    ['private_key_file = "/a"', '    1 | private_key_file = "/a"'],
    ["mtu = 5", "    1 | mtu = 5"],
  ])("of %j keeps secrets", (line, shown) => {
    expect(at(line)).toBe(shown);
  });

  test("shows no control characters", () => {
    expect(at("a = \u001b[31m\u0000\u009b")).toBe("    1 | a = ·[31m··");
  });

  test("puts the carets under the token, behind tabs and wide characters", () => {
    const fault = { line: 2, column: 4, length: 2, message: "m", advice: "a" };
    expect(formatFaults("x\n\t\u{1F600}=\u{1F601}1", "f", [fault])).toBe(
      "f:2:4: m\n    2 | \t\u{1F600}=\u{1F601}1\n      | \t  ^^ a\n",
    );
  });
});
