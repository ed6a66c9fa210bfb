import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Peer } from "../../src/proto/peer.ts";
import { plainBlock } from "../../src/share/block.ts";
import { parsePrefix, prefixContains } from "../../src/wire/address.ts";

const key = new Uint8Array(32);

function peer(name: string, ...prefixes: string[]): Peer {
  return new Peer(
    name,
    key,
    key,
    prefixes.map((text) => parsePrefix(text)!),
  );
}

/** An IP header with these addresses, at an offset, as blocks hold them. */
function packet(source: string, destination: string, offset = 3) {
  const from = parsePrefix(source)!;
  const to = parsePrefix(destination)!;
  const block = plainBlock(64);
  block.bytes[offset] = from.bytes.length === 4 ? 0x45 : 0x60;
  const at = offset + (from.bytes.length === 4 ? 12 : 8);
  block.bytes.set(from.bytes, at);
  block.bytes.set(to.bytes, at + from.bytes.length);
  return { block, offset };
}

describe("who may use which source", () => {
  test.each([
    ["10.77.0.2/32", "10.77.0.0/24", true],
    ["10.77.1.2/32", "10.77.0.0/24", false],
    ["10.77.0.2/32", "10.77.0.2/32", true],
    ["10.77.0.3/32", "10.77.0.2/32", false],
    ["1.2.3.4/32", "0.0.0.0/0", true],
    ["10.77.127.1/32", "10.77.0.0/17", true],
    ["10.77.128.1/32", "10.77.0.0/17", false],
    ["fd77::5/128", "fd77::/64", true],
    ["fd77:0:0:1::5/128", "fd77::/64", false],
    ["fd77::5/128", "0.0.0.0/0", false],
    ["10.0.0.1/32", "::/0", false],
  ])("%s with %s: %p", (source, prefix, allowed) => {
    const { block, offset } = packet(source, source.includes(":") ? "::1/128" : "9.9.9.9/32");
    expect(peer("a", prefix).allowsSource(block, offset)).toBe(allowed);
  });

  test("as the prefix rule of the configuration says, for any addresses", () => {
    const bytes = fc.uint8Array({ minLength: 4, maxLength: 4 });
    fc.assert(
      fc.property(bytes, bytes, fc.integer({ min: 0, max: 32 }), fc.boolean(), (a, b, length, near) => {
        const source = near ? Uint8Array.from(a, (byte, i) => (i < length >> 3 ? b[i]! : byte)) : a;
        const block = plainBlock(40);
        block.bytes[0] = 0x45;
        block.bytes.set(source, 12);
        const prefix = { bytes: b, length, text: "" };
        expect(new Peer("a", key, key, [prefix]).allowsSource(block, 0)).toBe(prefixContains(prefix, source));
      }),
    );
  });
});
