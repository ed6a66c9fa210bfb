/** What only a remote portal has: `[listen]` and every `[[peer]]`. Pure. */
import {
  formatAddress,
  makePrefix,
  networkOf,
  type Prefix,
  parseAddress,
  parsePrefix,
  prefixesOverlap,
  unmapAddress,
} from "../wire/address.ts";
import type { ListenConfig, PeerConfig } from "./config.ts";
import { type Identity, readPeerKeys, sameKey } from "./identity.ts";
import { addressFor, alone, leaseOf } from "./pool.ts";
import type { Source } from "./source.ts";
import { quote, type Table } from "./table.ts";

const PORT = 51900;

export function readListen(table: Table | null): ListenConfig {
  const everywhere = [parseAddress("0.0.0.0")!, parseAddress("::")!];
  if (table === null) return { addresses: everywhere, port: PORT };
  const port = table.integer("port", 1, 65535) ?? PORT;
  if (!table.has("addresses")) return { addresses: everywhere, port };
  const addresses: Uint8Array[] = [];
  for (const { value, span } of table.texts("addresses") ?? []) {
    const parsed = parseAddress(value);
    if (parsed === null) {
      const advice = 'write an address of this machine without port, or "0.0.0.0" or "::" for all';
      table.document.fault(span, `${quote(value)} is no address`, advice);
      continue;
    }
    const address = unmapAddress(parsed);
    if (addresses.some((other) => formatAddress(other) === formatAddress(address))) {
      table.document.fault(span, `${formatAddress(address)} is written twice`, "remove one of them");
    }
    addresses.push(address);
  }
  return { addresses, port };
}

/** Every peer that has no fault. `pool`: for those without addresses; null where there is none. */
export function readPeers(
  tables: readonly Table[],
  identity: Identity,
  own: readonly Prefix[],
  pool: readonly Prefix[] | null,
  source: Source,
): PeerConfig[] {
  if (identity.fromSecret !== null && tables.length > 1) {
    const advice = "leave one [[peer]], or give every portal its own keys in place of secret";
    tables[1]!.document.fault(tables[1]!.header, "secret joins one peer, and here is a second", advice);
  }
  const peers: Partial<PeerConfig>[] = [];
  for (const table of tables) {
    const keys = readPeerKeys(table, identity, source);
    const name = readName(table, peers);
    if (pool === null) table.require("addresses");
    const addresses = readAddresses(table, own, peers);
    if (keys !== null && identity.fromSecret === null) refuseSharedKey(table, keys.publicKey, peers);
    peers.push({ addresses, ...(name !== null && { name }), ...keys });
  }
  return withLeases(tables, peers, own, pool ?? []);
}

/** The peers that have no fault, and what each is told of its addresses. */
function withLeases(
  tables: readonly Table[],
  peers: readonly Partial<PeerConfig>[],
  own: readonly Prefix[],
  pool: readonly Prefix[],
): PeerConfig[] {
  const taken = [...own.map(alone), ...peers.flatMap((peer) => peer.addresses ?? [])];
  return peers.flatMap(({ name, publicKey, presharedKey, addresses = [] }, i) => {
    if (name === undefined || publicKey === undefined || presharedKey === undefined) return [];
    const peer = { name, publicKey, presharedKey };
    if (tables[i]!.has("addresses")) return [{ ...peer, addresses, lease: leaseOf(addresses, own) }];
    const lease = fromPool(tables[i]!, publicKey, pool, taken);
    return [{ ...peer, addresses: lease.map(alone), lease }];
  });
}

/** One address of each of the pool's networks; they are taken then. */
function fromPool(
  { document, header }: Table,
  publicKey: Uint8Array,
  pool: readonly Prefix[],
  taken: Prefix[],
): Prefix[] {
  return pool.flatMap((network) => {
    const address = addressFor(publicKey, network, taken);
    if (address === null) {
      const message = `the pool ${network.text} has no address left for this peer`;
      document.fault(header, message, "write a larger network there");
      return [];
    }
    taken.push(alone(address));
    return [address];
  });
}

function readName(table: Table, peers: readonly Partial<PeerConfig>[]): string | null {
  table.require("name");
  const name = table.text("name");
  if (name === null) return null;
  if (!/^[\p{L}\p{N}](?:[\p{L}\p{N} ._@-]{0,62}[\p{L}\p{N}])?$/u.test(name)) {
    const advice = "write up to 64 letters, digits, spaces, dots, hyphens and underscores";
    table.fault("name", `${quote(name)} cannot be a name`, advice);
  } else if (peers.some((peer) => peer.name === name)) {
    table.fault("name", `another [[peer]] is named ${quote(name)}`, "write a name of its own");
  }
  return name;
}

function refuseSharedKey(table: Table, publicKey: Uint8Array, peers: readonly Partial<PeerConfig>[]): void {
  const other = peers.find((peer) => peer.publicKey !== undefined && sameKey(peer.publicKey, publicKey));
  if (other === undefined) return;
  const message = `public_key is that of ${other.name === undefined ? "another peer" : quote(other.name)} too`;
  table.fault("public_key", message, "write a key of its own: portals are told apart by their keys");
}

function readAddresses(
  table: Table,
  own: readonly Prefix[],
  peers: readonly Partial<PeerConfig>[],
): Prefix[] {
  const addresses: Prefix[] = [];
  for (const { value, span } of table.texts("addresses") ?? []) {
    const prefix = readPrefix(value);
    if (prefix === null) {
      const advice = 'write for example "10.77.0.2/32" or "fd77::2/128"';
      table.document.fault(span, `${quote(value)} is no address or prefix`, advice);
      continue;
    }
    const problem = addressProblem(prefix, own, peers);
    if (problem !== null) table.document.fault(span, problem.message, problem.advice);
    addresses.push(prefix);
  }
  return addresses;
}

/** An address without length means itself alone. */
function readPrefix(text: string): Prefix | null {
  const address = parseAddress(text);
  return address === null ? parsePrefix(text) : makePrefix(address, address.length * 8);
}

function addressProblem(
  prefix: Prefix,
  own: readonly Prefix[],
  peers: readonly Partial<PeerConfig>[],
): { message: string; advice: string } | null {
  const network = networkOf(prefix);
  const bits = prefix.bytes.length * 8;
  if (network.text !== prefix.text) {
    const host = makePrefix(prefix.bytes, bits);
    const message = `${prefix.text} is neither one address nor a network`;
    return { message, advice: `write "${host.text}" or "${network.text}"` };
  }
  const mine = own.find(
    (address) => prefix.length === bits && formatAddress(address.bytes) === formatAddress(prefix.bytes),
  );
  if (mine !== undefined) {
    return {
      message: `${prefix.text} is this portal's own address in [tunnel]`,
      advice: "write the peer's address",
    };
  }
  for (const peer of peers) {
    const other = peer.addresses?.find((candidate) => prefixesOverlap(candidate, prefix));
    if (other === undefined) continue;
    const whose = peer.name === undefined ? "another peer" : quote(peer.name);
    const message = `${prefix.text} overlaps ${other.text} of ${whose}`;
    return { message, advice: "give every peer addresses of its own" };
  }
  return null;
}
