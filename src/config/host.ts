/** `[host]` and `[[forward]]`: what portal changes on the machine it runs on. All defaults are filled in here. Pure. */
import {
  formatAddress,
  formatEndpoint,
  formatPrefix,
  makePrefix,
  networkOf,
  type Prefix,
  parseAddress,
  parseEndpoint,
  parsePrefix,
  prefixContains,
  prefixesOverlap,
} from "../wire/address.ts";
import type { HostConfig, PeerConfig, PortForward, Role } from "./config.ts";
import { readHandovers } from "./handover.ts";
import { type Located, quote, type Table, typeName } from "./table.ts";

/** Networks that `routes` or `nat` may list. */
const NETWORKS_MOST = 200;

const EVERYTHING = [makePrefix(new Uint8Array(4), 0), makePrefix(new Uint8Array(16), 0)];

/** What the other sections say, as far as they are right. */
export interface Surroundings {
  readonly role: Role | null;
  /** The portal's own addresses in the tunnel. */
  readonly own: readonly Prefix[];
  /** Of a remote. */
  readonly peers: readonly PeerConfig[];
  readonly listenPort: number;
}

/** The sections; null: there is no [host]. */
export interface HostTables {
  readonly host: Table | null;
  readonly forwards: readonly Table[];
  readonly handovers: readonly Table[];
}

export function readHost(tables: HostTables, around: Surroundings): HostConfig {
  const table = tables.host;
  const forwards = readForwards(tables.forwards, around);
  const handovers = readHandovers(tables.handovers, around);
  const { routes, refused } = table === null ? { routes: [], refused: [] } : readRoutes(table, around);
  const nat = table === null ? [] : readNat(table, around);
  const needed = nat.length > 0 || forwards.length > 0 || handovers.length > 0;
  const forwarding = table?.flag("forwarding") ?? needed;
  return {
    routes,
    refused,
    onDown: table === null ? "block" : readOnDown(table, around),
    forwarding,
    nat,
    clampMss: table?.flag("clamp_mss") ?? forwarding,
    looseRpFilter: table?.flag("loose_rp_filter") ?? true,
    forwards,
    handovers,
  };
}

function readRoutes(
  table: Table,
  around: Surroundings,
): { routes: readonly Prefix[]; refused: readonly Prefix[] } {
  const value = table.raw("routes");
  const none = { routes: [], refused: [] };
  if (value === undefined) return none;
  if (around.role === "remote") {
    if (table.word("routes", ["peers"]) === null) return none;
    // What lies in the tunnel's own network has its route with the interface's address.
    const covered = (prefix: Prefix) =>
      around.own.some((own) => own.length <= prefix.length && prefixContains(own, prefix.bytes));
    const addresses = around.peers.flatMap((peer) => peer.addresses);
    return { routes: addresses.filter((prefix) => !covered(prefix)), refused: [] };
  }
  if (typeof value === "string") {
    if (table.word("routes", ["default"]) === null) return none;
    return {
      routes: EVERYTHING.filter((prefix) => hasFamily(around.own, prefix)),
      refused: EVERYTHING.filter((prefix) => !hasFamily(around.own, prefix)),
    };
  }
  return { routes: readNetworks(table, "routes", around), refused: [] };
}

function readOnDown(table: Table, around: Surroundings): HostConfig["onDown"] {
  const word = table.word("on_down", ["block", "direct"]);
  if (table.has("on_down") && around.role === "remote") {
    table.faultAtKey("on_down", "on_down is for a local portal, this one is remote", "remove it");
  } else if (table.has("on_down") && !table.has("routes")) {
    table.faultAtKey(
      "on_down",
      "on_down says what becomes of routes, and there are none",
      "add routes, or remove it",
    );
  }
  return word ?? "block";
}

/** On the local the networks behind it, on the remote those of its peers; with `true` all of them. */
function readNat(table: Table, around: Surroundings): readonly Prefix[] {
  const value = table.raw("nat");
  if (typeof value === "boolean" || value === undefined) {
    if (value !== true) return [];
    if (around.role === "remote") return around.peers.flatMap((peer) => peer.addresses);
    return EVERYTHING.filter((prefix) => hasFamily(around.own, prefix));
  }
  if (!Array.isArray(value)) {
    table.fault(
      "nat",
      `nat is ${typeName(value)}, not true or a list`,
      'write nat = true, or nat = ["10.77.0.0/24"]',
    );
    return [];
  }
  return readNetworks(table, "nat", around);
}

function readNetworks(table: Table, key: "routes" | "nat", around: Surroundings): Prefix[] {
  const networks: Prefix[] = [];
  const elements = table.texts(key) ?? [];
  if (elements.length > NETWORKS_MOST) {
    table.fault(key, `${key} lists ${elements.length} networks`, `write at most ${NETWORKS_MOST}`);
  }
  for (const element of elements) {
    const network = readNetwork(table, element);
    if (network === null) continue;
    const problem = networkProblem(key, network, networks, around);
    if (problem === null) networks.push(network);
    else table.document.fault(element.span, problem[0], problem[1]);
  }
  return networks;
}

function readNetwork(table: Table, { value, span }: Located<string>): Prefix | null {
  const address = parseAddress(value);
  const prefix = address === null ? parsePrefix(value) : makePrefix(address, address.length * 8);
  if (prefix === null) {
    table.document.fault(
      span,
      `${quote(value)} is no network`,
      'write for example "10.0.0.0/8" or "fd77::/64"',
    );
    return null;
  }
  const network = networkOf(prefix);
  if (network.text === prefix.text) return prefix;
  const host = formatPrefix(prefix.bytes, prefix.bytes.length * 8);
  table.document.fault(
    span,
    `${prefix.text} is neither one address nor a network`,
    `write "${host}" or "${network.text}"`,
  );
  return null;
}

function networkProblem(
  key: "routes" | "nat",
  network: Prefix,
  others: readonly Prefix[],
  { role, own, peers }: Surroundings,
): [message: string, advice: string] | null {
  const other = others.find((each) => prefixesOverlap(each, network));
  if (other !== undefined) return [`${network.text} overlaps ${other.text}`, "leave the larger of the two"];
  if (own.length > 0 && !hasFamily(own, network)) {
    const family = network.bytes.length === 4 ? "IPv4" : "IPv6";
    return [
      `${network.text} is ${family}, and [tunnel] has no such address`,
      `add one to addresses in [tunnel]`,
    ];
  }
  const known = peers.flatMap((peer) => peer.addresses);
  if (key === "nat" && role === "remote" && known.length > 0) {
    const met = known.some((prefix) => prefixesOverlap(prefix, network));
    if (!met)
      return [`no [[peer]] has an address in ${network.text}`, "write a network of a peer's addresses"];
  }
  return null;
}

/** A local without addresses of its own may be given one of either family. */
function hasFamily(own: readonly Prefix[], prefix: Prefix): boolean {
  return own.length === 0 || own.some((address) => address.bytes.length === prefix.bytes.length);
}

function readForwards(tables: readonly Table[], around: Surroundings): PortForward[] {
  const forwards: PortForward[] = [];
  for (const table of tables) {
    const forward = readForward(table, around);
    if (forward === null) continue;
    const twin = forwards.some(
      (other) =>
        other.protocol === forward.protocol &&
        other.port === forward.port &&
        other.address.length === forward.address.length,
    );
    if (twin) {
      const message = `${forward.protocol} port ${forward.port} is forwarded already`;
      table.fault("port", message, "remove one of the two [[forward]]");
    }
    forwards.push(forward);
  }
  return forwards;
}

function readForward(table: Table, { peers, listenPort }: Surroundings): PortForward | null {
  for (const key of ["protocol", "port", "to"]) table.require(key);
  const protocol = table.word("protocol", ["tcp", "udp"]);
  const port = table.integer("port", 1, 65535);
  const to = table.text("to");
  if (protocol === "udp" && port === listenPort) {
    table.fault(
      "port",
      `UDP port ${port} is the tunnel's own`,
      "write another port, or change that in [listen]",
    );
  }
  if (to === null) return null;
  const endpoint = parseEndpoint(to);
  const address = endpoint === null ? null : parseAddress(endpoint.host);
  if (endpoint === null || address === null) {
    table.fault("to", `to ${quote(to)} is no address:port`, toAdvice(to, port));
    return null;
  }
  const known = peers.flatMap((peer) => peer.addresses);
  if (known.length > 0 && !known.some((prefix) => prefixContains(prefix, address))) {
    const message = `no [[peer]] has the address ${formatAddress(address)}`;
    table.fault("to", message, "write an address of a peer, or add this one to its addresses");
  }
  if (protocol === null || port === null) return null;
  return { protocol, port, address, toPort: endpoint.port };
}

function toAdvice(text: string, port: number | null): string {
  const address = parseAddress(text);
  if (address !== null) return `write "${formatEndpoint(text, port ?? 80)}"`;
  return 'write "10.77.0.2:80" or "[fd77::2]:80", port 1 to 65535';
}
