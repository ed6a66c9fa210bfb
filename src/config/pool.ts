/**
 * The pool of a remote: networks in which every peer without `addresses` gets one address of each family. It follows from
 * the peer's public key alone, so it is the same after every restart and there is no file to lose; where two keys would have the
 * same address, the peer that stands first in the configuration keeps it. Pure.
 */
import { blake2s } from "@noble/hashes/blake2.js";
import { makePrefix, networkOf, type Prefix, parsePrefix, prefixContains } from "../wire/address.ts";
import { quote, type Table } from "./table.ts";

/** Room for a few peers, and no more than addresses are wanted for. */
const LENGTHS: Readonly<Record<number, readonly [least: number, most: number]>> = {
  4: [8, 30],
  16: [32, 120],
};

/** Further places that a key has, before the places behind the last of them are tried one by one. */
const PLACES = 64;
const STEPS = 65_536;

/** The networks of the pool, at most one of each family. */
export function readPool(table: Table | null, own: readonly Prefix[]): Prefix[] {
  const pool: Prefix[] = [];
  for (const { value, span } of table?.texts("pool") ?? []) {
    const network = parsePrefix(value);
    const fault = (message: string, advice: string) => table!.document.fault(span, message, advice);
    if (network === null) {
      fault(`${quote(value)} is no network`, 'write for example "10.77.0.0/24" or "fd77::/64"');
      continue;
    }
    const bits = network.bytes.length;
    const [least, most] = LENGTHS[bits]!;
    const family = bits === 4 ? "IPv4" : "IPv6";
    if (networkOf(network).text !== network.text) {
      fault(`${network.text} is an address in a network`, `write the network: "${networkOf(network).text}"`);
    } else if (network.length < least || network.length > most) {
      fault(`${network.text} is no size for a pool`, `write a length from /${least} to /${most}`);
    } else if (pool.some((other) => other.bytes.length === bits)) {
      fault(`a second ${family} network in pool`, "leave one of each family");
    } else if (!own.some((mine) => mine.length <= network.length && prefixContains(mine, network.bytes))) {
      fault(`no address in [tunnel] has ${network.text} in its network`, ownAdvice(own, bits));
    } else pool.push(network);
  }
  return pool;
}

function ownAdvice(own: readonly Prefix[], bytes: number): string {
  const mine = own.find((prefix) => prefix.bytes.length === bytes);
  return mine === undefined
    ? "add an address of that network to addresses in [tunnel]"
    : `write "${networkOf(mine).text}", or add an address to addresses in [tunnel]`;
}

/**
 * An address of this network for the peer, with the network's length; null when none is free. `taken`: what others have.
 */
export function addressFor(publicKey: Uint8Array, network: Prefix, taken: readonly Prefix[]): Prefix | null {
  const bits = BigInt(network.bytes.length * 8 - network.length);
  // Not the network's own address; of IPv4 not the broadcast address either.
  const hosts = (1n << bits) - (network.bytes.length === 4 ? 2n : 1n);
  let host = 0n;
  for (let attempt = 0; attempt < PLACES; attempt++) {
    host = hashOf(publicKey, attempt) % hosts;
    const prefix = addressAt(network, host);
    if (isFree(prefix, taken)) return prefix;
  }
  for (let step = 0n; step < STEPS && step < hosts; step++) {
    const prefix = addressAt(network, (host + step) % hosts);
    if (isFree(prefix, taken)) return prefix;
  }
  return null;
}

function addressAt(network: Prefix, host: bigint): Prefix {
  const bytes = network.bytes.slice();
  let rest = host + 1n;
  for (let i = bytes.length - 1; rest > 0n; i--, rest >>= 8n) bytes[i]! |= Number(rest & 0xffn);
  return makePrefix(bytes, network.length);
}

function isFree(prefix: Prefix, taken: readonly Prefix[]): boolean {
  return !taken.some((other) => prefixContains(other, prefix.bytes));
}

function hashOf(publicKey: Uint8Array, attempt: number): bigint {
  const digest = blake2s(Uint8Array.of(...publicKey, attempt));
  return digest.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
}

/** One address by itself. */
export function alone(prefix: Prefix): Prefix {
  return makePrefix(prefix.bytes, prefix.bytes.length * 8);
}

/** What a peer with addresses of its own is told when it asks: the first single one of each family. */
export function leaseOf(addresses: readonly Prefix[], own: readonly Prefix[]): Prefix[] {
  return [4, 16].flatMap((bytes) => {
    const first = addresses.find((each) => each.bytes.length === bytes && each.length === bytes * 8);
    if (first === undefined) return [];
    const network = own.find((mine) => prefixContains(mine, first.bytes));
    return [makePrefix(first.bytes, network?.length ?? first.length)];
  });
}
