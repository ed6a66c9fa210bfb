/** Finds out about a local's paths, and about what else on this machine has routes for all the world. */
import type { PathConfig, RemoteConfig } from "../config/config.ts";
import { interfacesOf, isGlob, means } from "../config/glob.ts";
import type { Endpoint } from "../share/endpoint.ts";
import { SysError } from "../sys/errno.ts";
import {
  type InterfaceEntry,
  listAddresses,
  listInterfaces,
  listRoutes,
  listRules,
  type Way,
  wayTo,
} from "../sys/inventory.ts";
import { resolveName } from "../sys/names.ts";
import { PROTOCOL } from "../sys/routing.ts";
import { endpointOf } from "../sys/udp.ts";
import { formatAddress, parseAddress } from "../wire/address.ts";
import { type Asker, exchangeBy, pingBy } from "./exchange.ts";
import type { Facts, OtherFacts, PathFacts, RemoteFacts } from "./judge/facts.ts";
import { readNumber } from "./machine.ts";

/** Milliseconds for name servers: longer than those in reach of a path are asked. */
const LOOKUP_PATIENCE = 7_000;

/** Half of the Internet: what VPNs put over a default route they leave alone. */
const HALF = 1;

/** Tables of the policy rules that every machine has: local, main, default. */
const USUAL_TABLES = [255, 254, 253];

interface Found {
  readonly remote: RemoteFacts;
  readonly addresses: readonly Uint8Array[];
}

/** As the portal that runs finds it. */
export async function findRemote({ host, port }: RemoteConfig, paths: readonly PathConfig[]): Promise<Found> {
  const literal = parseAddress(host);
  if (literal !== null) return foundAt(host, port, [literal]);
  const present = listInterfaces().map(({ name }) => name);
  const late = new Promise<never>((_, reject) => {
    setTimeout(() => reject(new Error("no name server answers")), LOOKUP_PATIENCE).unref();
  });
  try {
    const found = await Promise.race([resolveName(host, interfacesOf(paths, present)), late]);
    return foundAt(
      host,
      port,
      found.map(parseAddress).filter((address) => address !== null),
    );
  } catch (error) {
    const { message, code = message } = error as Error & { code?: string };
    const problem = code === "ENOTFOUND" || code === "DNS_ENOTFOUND" ? "no name server knows it" : code;
    return { remote: { host, port, addresses: null, problem, ipv6: false }, addresses: [] };
  }
}

function foundAt(host: string, port: number, addresses: readonly Uint8Array[]): Found {
  const texts = [...new Set(addresses.map(formatAddress))];
  return { remote: { host, port, addresses: texts, problem: null, ipv6: false }, addresses };
}

/** What is known of the paths, and of the remote by them. `upPaths`: those by which the portal that runs is answered already. */
export function pathFacts(
  found: Found,
  asker: Asker,
  upPaths: readonly string[],
): Pick<Facts, "paths" | "absent" | "remote"> {
  const { config } = asker;
  const interfaces = listInterfaces();
  const names = interfacesOf(
    config.paths,
    interfaces.map(({ name }) => name),
  );
  const patterns = config.paths.filter((entry) => isGlob(entry.interface));
  const absent = patterns
    .filter((entry) => !names.some((name) => means(entry, name)))
    .map((entry) => entry.interface);
  const devices = names.map((wanted) => interfaces.find(({ name }) => name === wanted) ?? null);
  const target = targetOf(found.addresses, devices);
  const remote = { ...found.remote, ipv6: target?.length === 16 };
  const preferred = target === null ? null : wayTo(target, 0);
  const owned = listAddresses();
  const bare = names.map((name, i): PathFacts => {
    const device = devices[i]!;
    const way = device === null || target === null ? null : wayTo(target, device.index);
    return {
      interface: name,
      device,
      addresses: device === null ? [] : addressesOf(owned, device.index, remote.ipv6),
      way,
      preferred: device !== null && preferred?.index === device.index,
      rpFilter: remote.ipv6 ? null : rpFilterOf(name),
      exchange: null,
      ping: null,
    };
  });
  if (target === null) return { paths: bare, absent, remote };
  return { paths: tryPaths(bare, endpointOf(target, remote.port), asker, upPaths), absent, remote };
}

/** Of a remote that waits until it is needed: by which paths it answers. A portal that runs is not disturbed. */
export async function otherFacts(asker: Asker): Promise<OtherFacts> {
  const { remote, addresses } = await findRemote(asker.known, asker.config.paths);
  const interfaces = listInterfaces();
  const names = interfacesOf(
    asker.config.paths,
    interfaces.map(({ name }) => name),
  );
  const able = interfaces.filter(({ name, up }) => up && names.includes(name));
  const target = targetOf(addresses, able);
  const { host, port, problem } = remote;
  if (target === null) return { host, port, problem, exchanges: [] };
  const leading = able.filter((device) => leads(target, device)).map(({ name }) => name);
  const exchanges = exchangeBy(leading, endpointOf(target, port), asker);
  return {
    host,
    port,
    problem,
    exchanges: exchanges.map((exchange, i) => ({ interface: leading[i]!, exchange })),
  };
}

/** Tries those that could carry anything. */
function tryPaths(
  paths: readonly PathFacts[],
  remote: Endpoint,
  asker: Asker,
  upPaths: readonly string[],
): PathFacts[] {
  const able = paths.filter(({ device, way }) => device?.up === true && way !== null);
  const asked = able.map((path) => path.interface).filter((name) => !upPaths.includes(name));
  const exchanges = exchangeBy(asked, remote, asker);
  const { buffer } = asker.crypto.random(2);
  const id = new DataView(buffer).getUint16(0);
  const pings = pingBy(
    able.map((path) => ({ name: path.interface, mtu: path.device!.mtu })),
    remote,
    id,
  );
  return paths.map((path) => {
    const i = able.indexOf(path);
    const exchange = exchanges[asked.indexOf(path.interface)] ?? null;
    return i < 0 ? path : { ...path, exchange, ping: pings[i]! };
  });
}

/** The first of the remote's addresses to which some path leads, as a portal would choose it. */
function targetOf(
  addresses: readonly Uint8Array[],
  devices: readonly (InterfaceEntry | null)[],
): Uint8Array | null {
  return (
    addresses.find((address) => devices.some((device) => leads(address, device))) ?? addresses[0] ?? null
  );
}

function leads(address: Uint8Array, device: InterfaceEntry | null): boolean {
  const way: Way | null = device === null ? null : wayTo(address, device.index);
  return way !== null && way.table !== 0;
}

function addressesOf(owned: ReturnType<typeof listAddresses>, index: number, ipv6: boolean): string[] {
  const staysOnCable = (bytes: Uint8Array) =>
    bytes.length === 16 && bytes[0] === 0xfe && (bytes[1]! & 0xc0) === 0x80;
  return owned
    .filter(
      (entry) =>
        entry.index === index && (entry.address.length === 16) === ipv6 && !staysOnCable(entry.address),
    )
    .map((entry) => `${formatAddress(entry.address)}/${entry.prefixLength}`);
}

function rpFilterOf(name: string): PathFacts["rpFilter"] {
  const all = readNumber("/proc/sys/net/ipv4/conf/all/rp_filter");
  const own = readNumber(`/proc/sys/net/ipv4/conf/${name}/rp_filter`);
  return all === null || own === null ? null : { all, own };
}

/** Who else has routes for half of the Internet or more, and policy rules that are neither the kernel's own nor portal's. */
export function takerFacts(): Pick<Facts, "takers" | "rules" | "policyRouting"> {
  const interfaces = listInterfaces();
  const families = [false, true];
  const routes = families.flatMap((ipv6) => orNone(() => listRoutes(ipv6)));
  const rules = families.flatMap((ipv6) => orNone(() => listRules(ipv6)));
  return {
    // Where there is any, there are the kernel's own.
    policyRouting: rules.length > 0,
    takers: routes
      .filter((route) => route.prefixLength <= HALF && route.index > 0)
      .flatMap((route) => {
        const device = interfaces.find(({ index }) => index === route.index);
        return device === undefined ? [] : { interface: device.name, kind: device.kind, table: route.table };
      }),
    rules: rules
      .filter(({ table, protocol }) => protocol !== PROTOCOL && !USUAL_TABLES.includes(table))
      .map(({ priority, table }) => ({ priority, table })),
  };
}

/** A kernel without IPv6, or without policy rules, refuses the question. */
function orNone<T>(list: () => T[]): T[] {
  try {
    return list();
  } catch (error) {
    if (error instanceof SysError) return [];
    throw error;
  }
}
