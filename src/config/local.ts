/** What only a local portal has: `[remote]`, or every `[[remote]]`, and every `[[path]]`. Pure. */
import { formatEndpoint, parseAddress, parseEndpoint, specialAddress } from "../wire/address.ts";
import { CONGESTION, type CongestionName } from "../wire/control.ts";
import { readCap } from "./cap.ts";
import type { PathConfig, RemoteConfig } from "./config.ts";
import { isGlob, matchesGlob } from "./glob.ts";
import { type Identity, readPeerKeys } from "./identity.ts";
import { readRate } from "./rate.ts";
import type { Source } from "./source.ts";
import { quote, type Table } from "./table.ts";
import { readInterface } from "./tunnel.ts";

/** Paths one session may have. */
export const PATHS_MOST = 32;

const METRIC_MOST = 65535;

/** Remotes one local may have. */
const REMOTES_MOST = 8;

const RETURN_SECONDS = 60;
const RETURN_SECONDS_LEAST = 5;
const RETURN_SECONDS_MOST = 604_800;

/** Every remote that has no fault; null when one has. */
export function readRemotes(
  tables: readonly Table[],
  identity: Identity,
  source: Source,
): readonly RemoteConfig[] | null {
  if (tables.length > REMOTES_MOST) {
    const { document, header } = tables[REMOTES_MOST]!;
    document.fault(header, `more than ${REMOTES_MOST} remotes`, `leave at most ${REMOTES_MOST}`);
  }
  const remotes: RemoteConfig[] = [];
  for (const table of tables) {
    const remote = readRemote(table, identity, source);
    if (tables.length === 1 && table.has("return_seconds")) {
      const message = "return_seconds is for several remotes, and this is the only one";
      table.faultAtKey("return_seconds", message, "remove it, or add another [[remote]]");
    }
    if (remote === null) continue;
    if (remotes.some((other) => sameEndpoint(other, remote))) {
      const text = formatEndpoint(remote.host, remote.port);
      table.fault("endpoint", `${quote(text)} is a remote already`, "remove one of the two [[remote]]");
    }
    remotes.push(remote);
  }
  return tables.length > 0 && remotes.length === tables.length ? remotes : null;
}

function sameEndpoint(a: RemoteConfig, b: RemoteConfig): boolean {
  return a.host.toLowerCase() === b.host.toLowerCase() && a.port === b.port;
}

function readRemote(table: Table, identity: Identity, source: Source): RemoteConfig | null {
  const keys = readPeerKeys(table, identity, source);
  table.require("endpoint");
  const returnSeconds =
    table.integer("return_seconds", RETURN_SECONDS_LEAST, RETURN_SECONDS_MOST) ?? RETURN_SECONDS;
  const text = table.text("endpoint");
  if (text === null) return null;
  const endpoint = parseEndpoint(text);
  if (endpoint === null) {
    table.fault("endpoint", `endpoint ${quote(text)} is no host:port`, endpointAdvice(text));
    return null;
  }
  const address = parseAddress(endpoint.host);
  const special = address === null ? null : specialAddress(address);
  if (special !== null && special !== "loopback") {
    const message = `${endpoint.host} is no machine's address: ${special}`;
    table.fault("endpoint", message, "write the address or name of the machine where the remote portal runs");
    return null;
  }
  return keys === null ? null : { ...endpoint, ...keys, returnSeconds };
}

function endpointAdvice(text: string): string {
  const address = parseAddress(text);
  if (address !== null || /^[A-Za-z0-9.-]+$/.test(text)) return `write "${formatEndpoint(text, 51900)}"`;
  return 'write "name:port", "192.0.2.1:port" or "[2001:db8::1]:port", port 1 to 65535';
}

/** Every path that has no fault. */
export function readPaths(tables: readonly Table[], tunnelInterface: string | null): PathConfig[] {
  if (tables.length > PATHS_MOST) {
    const { document, header } = tables[PATHS_MOST]!;
    document.fault(header, `more than ${PATHS_MOST} paths`, `leave at most ${PATHS_MOST}`);
  }
  const paths: PathConfig[] = [];
  for (const table of tables) {
    const path = readPath(table, tunnelInterface);
    if (path === null) continue;
    if (paths.some((other) => other.interface === path.interface)) {
      const message = isGlob(path.interface)
        ? `${quote(path.interface)} is written twice`
        : `interface ${quote(path.interface)} has a path already`;
      table.fault("interface", message, "remove one of the two [[path]]");
    }
    paths.push(path);
  }
  return paths;
}

function readPath(table: Table, tunnelInterface: string | null): PathConfig | null {
  table.require("interface");
  const name = readInterface(table);
  const exclude = readExclude(table, name);
  if (name !== null && isGlob(name)) refuseSillyGlob(table, name);
  else if (name !== null && name === tunnelInterface) {
    const message = `interface ${quote(name)} is the tunnel itself`;
    table.fault("interface", message, "write the interface that leads to the Internet");
  }
  const metric = table.integer("metric", 0, METRIC_MOST) ?? 0;
  const spill = table.flag("spill") ?? false;
  if (spill && saysZero(table)) {
    table.faultAtKey("spill", "spill goes only with a metric above 0", "remove it, or add metric = 10");
  }
  const congestion = table.has("congestion")
    ? table.word<CongestionName>("congestion", Object.keys(CONGESTION) as CongestionName[])
    : "bbr";
  const upBytesPerSecond = readRate(table, "up");
  const downBytesPerSecond = readRate(table, "down");
  if (congestion === "fixed") {
    table.require("up");
    table.require("down");
  } else if (congestion !== null) {
    for (const key of ["up", "down"]) {
      if (!table.has(key)) continue;
      table.faultAtKey(
        key,
        `${key} goes only with congestion = "fixed"`,
        `remove it, or add congestion = "fixed"`,
      );
    }
  }
  const cap = readCap(table);
  if (name === null || congestion === null) return null;
  return { interface: name, exclude, metric, spill, congestion, upBytesPerSecond, downBytesPerSecond, cap };
}

/** A pattern is to mean some interfaces: those whose names begin alike, say. */
function refuseSillyGlob(table: Table, glob: string): void {
  const advice = `write how their names begin: interface = "wwan*"`;
  if (glob.includes("**")) table.fault("interface", `${quote(glob)} has one * too many`, "write one *");
  else if (/^[*?]+$/.test(glob))
    table.fault("interface", `${quote(glob)} means nearly every interface`, advice);
  else if (/[[\]{}]/.test(glob)) {
    table.fault("interface", `${quote(glob)} has brackets`, "in a pattern only * and ? stand for others");
  }
}

function readExclude(table: Table, glob: string | null): string[] {
  const found = table.texts("exclude") ?? [];
  if (table.has("exclude") && glob !== null && !isGlob(glob)) {
    const advice = `remove it, or write a pattern: interface = "wwan*"`;
    table.faultAtKey("exclude", `exclude goes only with a pattern, and ${quote(glob)} is none`, advice);
    return [];
  }
  for (const { value, span } of found) {
    if (glob === null) break;
    const { document } = table;
    if (matchesGlob(value, glob)) {
      document.fault(span, `${quote(value)} excludes all that ${quote(glob)} means`, "remove it");
    } else if (!mayMeet(value, glob)) {
      document.fault(span, `${quote(value)} is not among ${quote(glob)}`, "remove it");
    }
  }
  return found.map(({ value }) => value);
}

/** True when some name may match both. Of two patterns only what stands before their first sign is compared. */
function mayMeet(exclude: string, glob: string): boolean {
  if (!isGlob(exclude)) return matchesGlob(glob, exclude);
  const [a, b] = [exclude, glob].map((text) => text.slice(0, text.search(/[*?]/)));
  return a!.startsWith(b!) || b!.startsWith(a!);
}

/** True when the path's metric is 0, written or not; a faulty one is another matter. */
function saysZero(table: Table): boolean {
  return table.has("metric") ? table.raw("metric") === 0n : !table.hasMisspelt("metric");
}
