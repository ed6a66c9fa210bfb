/** Addresses of a remote's pool: which peer gets which, and every fault. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { PeerConfig } from "../../src/config/config.ts";
import { addressFor, alone } from "../../src/config/pool.ts";
import { networkOf, type Prefix, parsePrefix, prefixContains } from "../../src/wire/address.ts";
import { but, configOf, expectFaults, type FaultRow, faultsOf, keyText, LOCAL, REMOTE } from "./source.ts";

const head = REMOTE.slice(0, REMOTE.indexOf("[[peer]]")).replace(
  '"10.77.0.1/24"',
  '"10.77.0.1/24", "fd77::1/64"',
);

function remote(pool: string, peers: readonly string[]): string {
  const sections = peers.map((lines, i) => `[[peer]]\nname = "peer${i}"\n${lines}\n`);
  return `${head}[listen]\npool = ${pool}\n${sections.join("")}`;
}

const key = (n: number) => `public_key = "${keyText(n)}"`;
const POOL = '["10.77.0.0/24", "fd77::/64"]';

function peersOf(text: string): readonly PeerConfig[] {
  const config = configOf(text);
  if (config.role !== "remote") throw new Error("not remote");
  return config.peers;
}

const leases = (peers: readonly PeerConfig[]) => peers.map(({ lease }) => lease.map(({ text }) => text));

describe("a peer without addresses", () => {
  test("gets one of each family, which is its alone, with the network's length", () => {
    const [peer] = peersOf(remote(POOL, [key(9)]));
    const [v4, v6] = peer!.lease as [Prefix, Prefix];
    expect(networkOf(v4).text).toBe("10.77.0.0/24");
    expect(networkOf(v6).text).toBe("fd77::/64");
    expect(peer!.addresses.map(({ text }) => text)).toEqual([alone(v4).text, alone(v6).text]);
  });

  test("keeps it whoever is added behind it, and whoever goes, but for those whose places collide", () => {
    const all = leases(peersOf(remote(POOL, [9, 10, 11, 12, 13].map(key))));
    expect(leases(peersOf(remote(POOL, [9, 10, 11].map(key))))).toEqual(all.slice(0, 3));
    expect(leases(peersOf(remote(POOL, [13].map(key))))).toEqual(all.slice(4));
  });

  test("gets none that another has, nor the portal's own", () => {
    const others = ['addresses = ["10.77.0.2"]', 'addresses = ["10.77.0.4/30", "fd77::2"]'];
    const peers = peersOf(
      remote('["10.77.0.0/29"]', [`${key(9)}\n${others[0]}`, `${key(10)}\n${others[1]}`, key(11)]),
    );
    expect(leases(peers)).toEqual([["10.77.0.2/24"], ["fd77::2/64"], ["10.77.0.3/29"]]);
  });

  test("of a pool of IPv4 only gets no IPv6", () => {
    expect(leases(peersOf(remote('["10.77.0.0/24"]', [key(9)])))[0]!.length).toBe(1);
  });
});

test("a local may be without addresses, a remote not", () => {
  const config = configOf(but(LOCAL, 'addresses = ["10.77.0.2/24"]\n', ""));
  expect(config.tunnel.addresses).toEqual([]);
  expect(faultsOf(but(REMOTE, 'addresses = ["10.77.0.1/24"]\n', ""))[0]).toStartWith(
    '2:1+8 missing key "addresses" in [tunnel]',
  );
});

describe("addresses from keys", () => {
  const networks = [
    "10.77.0.0/24",
    "10.0.0.0/8",
    "192.168.7.64/26",
    "fd77::/64",
    "fd77:1::/112",
    "10.9.8.4/30",
  ];
  const keys = fc.uint8Array({ minLength: 32, maxLength: 32 });

  test("lie in the network, are hosts, and nobody has two of them", () => {
    fc.assert(
      fc.property(fc.constantFrom(...networks), fc.array(keys, { maxLength: 12 }), (text, all) => {
        const network = parsePrefix(text)!;
        const taken: Prefix[] = [];
        for (const one of all) {
          const prefix = addressFor(one, network, taken);
          if (prefix === null) {
            expect(text === "10.9.8.4/30" && taken.length === 2).toBe(true);
            continue;
          }
          expect(prefixContains(network, prefix.bytes)).toBe(true);
          expect(prefix.text).not.toBe(network.text);
          expect(taken.some((other) => prefixContains(other, prefix.bytes))).toBe(false);
          if (prefix.bytes.length === 4 && network.length === 24) expect(prefix.bytes[3]).not.toBe(255);
          taken.push(alone(prefix));
        }
      }),
    );
  });

  test("all of a small network are found", () => {
    const network = parsePrefix("10.77.0.0/28")!;
    const taken: Prefix[] = [];
    for (let i = 0; i < 14; i++) taken.push(alone(addressFor(new Uint8Array(32).fill(i), network, taken)!));
    expect(new Set(taken.map(({ text }) => text)).size).toBe(14);
    expect(addressFor(new Uint8Array(32).fill(99), network, taken)).toBeNull();
  });
});

const row = (name: string, pool: string, fault: string): FaultRow => [
  name,
  () => remote(pool, [key(9)]),
  fault,
];

describe("faults", () => {
  test.each([
    row(
      "no network",
      '["10.77.0.0"]',
      '7:9+11 "10.77.0.0" is no network | write for example "10.77.0.0/24" or "fd77::/64"',
    ),
    row(
      "an address",
      '["10.77.0.1/24"]',
      '7:9+14 10.77.0.1/24 is an address in a network | write the network: "10.77.0.0/24"',
    ),
    row(
      "too small",
      '["10.77.0.4/31"]',
      "7:9+14 10.77.0.4/31 is no size for a pool | write a length from /8 to /30",
    ),
    row(
      "too large",
      '["fd00::/16"]',
      "7:9+11 fd00::/16 is no size for a pool | write a length from /32 to /120",
    ),
    row(
      "two of a family",
      '["10.77.0.0/25", "10.77.0.128/25"]',
      "7:25+16 a second IPv4 network in pool | leave one of each family",
    ),
    row(
      "elsewhere",
      '["10.78.0.0/24"]',
      "7:9+14 no address in [tunnel] has 10.78.0.0/24 in its network | " +
        'write "10.77.0.0/24", or add an address to addresses in [tunnel]',
    ),
    [
      "full",
      () => remote('["10.77.0.0/30"]', [9, 10].map(key)),
      "11:1+8 the pool 10.77.0.0/30 has no address left for this peer | write a larger network there",
    ] satisfies FaultRow,
    [
      "no pool",
      () => `${head}[[peer]]\nname = "home"\n${key(9)}\n`,
      '6:1+8 missing key "addresses" in [[peer]] | add addresses = ["10.77.0.2/32"]',
    ] satisfies FaultRow,
  ] as FaultRow[])("%s", (_, text, fault) => expectFaults(["", text, fault]));
});
