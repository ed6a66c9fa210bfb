import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Destinations } from "../../src/proto/destinations.ts";
import { type InnerPrefix, Peer } from "../../src/proto/peer.ts";
import { plainBlock } from "../../src/share/block.ts";
import { parsePrefix, prefixContains } from "../../src/wire/address.ts";

const key = new Uint8Array(32);

function peer(name: string, ...prefixes: string[]): Peer {
  return peerOf(
    name,
    prefixes.map((text) => parsePrefix(text)!),
  );
}

function peerOf(name: string, prefixes: readonly InnerPrefix[]): Peer {
  return new Peer(name, key, key, prefixes);
}

/** Whose this destination is, of a packet at an odd offset, as blocks hold them. */
function ask(destinations: Destinations, address: Uint8Array): string | null {
  const offset = 3;
  const block = plainBlock(64);
  const bytes = address.length;
  block.bytes[offset] = bytes === 4 ? 0x45 : 0x60;
  // The source is not looked at.
  block.bytes.fill(0xa5, offset + (bytes === 4 ? 12 : 8), offset + (bytes === 4 ? 12 : 8) + bytes);
  block.bytes.set(address, offset + (bytes === 4 ? 16 : 24));
  return destinations.peerFor(block, offset)?.name ?? null;
}

describe("whose is a destination", () => {
  const all = peer("all", "0.0.0.0/0", "::/0");
  const net = peer("net", "10.77.0.0/16", "fd77::/32");
  const host = peer("host", "10.77.5.5/32", "10.77.9.0/24");
  const peers = [all, net, host];

  test.each([
    ["8.8.8.8/32", "all"],
    ["10.77.1.1/32", "net"],
    ["10.77.5.5/32", "host"],
    ["10.77.9.200/32", "host"],
    ["fd77::1/128", "net"],
    ["2001:db8::1/128", "all"],
  ])("%s: %s", (destination, name) => {
    for (const order of [peers, [...peers].reverse()]) {
      expect(ask(new Destinations(order), parsePrefix(destination)!.bytes)).toBe(name);
    }
  });

  test("nobody's", () => {
    const address = Uint8Array.of(8, 8, 8, 8);
    expect(ask(new Destinations([net, host]), address)).toBeNull();
    expect(ask(new Destinations([]), address)).toBeNull();
    expect(ask(new Destinations([peer("six", "::/0")]), address)).toBeNull();
  });

  test("of two peers with the same prefix, the first one's", () => {
    const destinations = new Destinations([peer("a", "10.0.0.0/8"), peer("b", "10.0.0.0/8")]);
    expect(ask(destinations, Uint8Array.of(10, 1, 2, 3))).toBe("a");
  });
});

/** The same by looking at every prefix of every peer. */
function slowly(peers: readonly Peer[], address: Uint8Array): string | null {
  let best = -1;
  let name: string | null = null;
  for (const each of peers) {
    for (const prefix of each.addresses) {
      if (prefix.length <= best || !prefixContains({ ...prefix, text: "" }, address)) continue;
      best = prefix.length;
      name = each.name;
    }
  }
  return name;
}

test("beside a slow model: any prefixes, any addresses near them", () => {
  // Few different bytes, so that prefixes and addresses meet.
  const bytes = (length: number) =>
    fc.array(fc.constantFrom(0, 1, 0x80, 0xff), { minLength: length, maxLength: length });
  const prefix = fc.oneof(
    fc.record({ bytes: bytes(4), length: fc.integer({ min: 0, max: 32 }) }),
    fc.record({ bytes: bytes(16), length: fc.integer({ min: 0, max: 128 }) }),
  );
  const asked = fc.oneof(bytes(4), bytes(16));
  fc.assert(
    fc.property(
      fc.array(fc.array(prefix, { maxLength: 4 }), { maxLength: 20 }),
      fc.array(asked, { minLength: 1, maxLength: 40 }),
      fc.nat(),
      (owned, addresses, flip) => {
        const peers = owned.map((prefixes, i) =>
          peerOf(
            `peer${i}`,
            prefixes.map((each) => ({ bytes: Uint8Array.from(each.bytes), length: each.length })),
          ),
        );
        const destinations = new Destinations(peers);
        const known = peers.flatMap((each) => each.addresses.map((each) => each.bytes));
        for (const address of [...addresses.map((each) => Uint8Array.from(each)), ...known]) {
          const near = address.slice();
          near[(flip >> 3) % near.length]! ^= 1 << (flip & 7);
          expect(ask(destinations, address)).toBe(slowly(peers, address));
          expect(ask(destinations, near)).toBe(slowly(peers, near));
        }
      },
    ),
  );
});
