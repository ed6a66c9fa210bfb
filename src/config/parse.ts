/**
 * From the text of a configuration file to a checked `Config`, or to every fault in it at once. TOML 1.1 by smol-toml.
 * Never throws, whatever the text. Pure but for the reading of key files, which `Source` does.
 */
import { parse, TomlError } from "smol-toml";
import type { Config, Role } from "./config.ts";
import type { Fault } from "./fault.ts";
import { readHost } from "./host.ts";
import { type Identity, readIdentity } from "./identity.ts";
import { headerOf, SECTION_NAMES, SECTIONS, type SectionName } from "./keys.ts";
import { readPaths, readRemotes } from "./local.ts";
import { readPool } from "./pool.ts";
import { readListen, readPeers } from "./remote.ts";
import type { Source } from "./source.ts";
import { Document, faultAt, Table, typeName } from "./table.ts";
import { readTunnel } from "./tunnel.ts";

export type ParseResult = { readonly config: Config } | { readonly faults: readonly Fault[] };

/** Deeper nesting is a fault: no key needs more than two levels. */
const DEEPEST = 20;

/** More would wait for the one that decides. */
const THREADS_MOST = 16;

/** Longest path of a UNIX socket: sun_path of sockaddr_un without its final zero. */
const SOCKET_PATH_BYTES = 107;

export function parseConfig(source: Source): ParseResult {
  const root = parseToml(source.text);
  if ("fault" in root) return { faults: [root.fault] };
  const document = new Document(source.text, root.values);
  const config = readDocument(document, source);
  return config === null || document.faults.length > 0 ? { faults: document.faults } : { config };
}

/** The control socket that a configuration names, faults elsewhere in it or not; null when even that cannot be read. */
export function controlSocketOf(text: string): string | null {
  const root = parseToml(text);
  if ("fault" in root) return null;
  const document = new Document(text, root.values);
  const top = new Table(document, "", [], document.root);
  const tunnel = sections(document, "tunnel")[0];
  const name = tunnel === undefined ? null : tunnel.text("interface");
  return top.text("control_socket") ?? defaultSocket(name ?? "portal0");
}

function defaultSocket(tunnelInterface: string): string {
  return `/run/portal/${tunnelInterface}.sock`;
}

function readDocument(document: Document, source: Source): Config | null {
  const top = new Table(document, "", [], document.root);
  top.refuseUnknown();
  top.require("role");
  const written = top.word("role", ["local", "remote"]);
  const role = written ?? guessRole(document);
  if (written !== null) refuseForeign(document, written);
  const logLevel = top.word("log_level", ["error", "warn", "info", "debug"]) ?? "info";
  const tunnelTable = single(document, "tunnel", top);
  const tunnel = tunnelTable && readTunnel(tunnelTable, role);
  const identity = readIdentity(top, single(document, "keys", null), role, source);
  const controlSocket = readControlSocket(top) ?? defaultSocket(tunnel?.interface ?? "portal0");
  const stateDirectory = readStateDirectory(top) ?? "/var/lib/portal";
  const threads = readThreads(top);
  const common = { logLevel, controlSocket, stateDirectory, threads } as const;
  const hostTables = {
    host: single(document, "host", null),
    forwards: role === "remote" ? checkedSections(document, "forward") : [],
    handovers: checkedSections(document, "handover"),
  };
  const own = tunnel?.addresses ?? [];
  if (role === "local") {
    const remotes = readRemotes(several(document, "remote", top), identity, source);
    const paths = readPaths(several(document, "path", top), tunnel?.interface ?? null);
    const host = readHost(hostTables, { role, own, peers: [], listenPort: 0 });
    const keys = ownKeys(identity);
    return tunnel && remotes && keys ? { role, tunnel, host, keys, ...common, remotes, paths } : null;
  }
  if (role === "remote") {
    const listenTable = single(document, "listen", null);
    const listen = readListen(listenTable);
    const pool = readPool(listenTable, own);
    const hasPool = listenTable?.has("pool") === true;
    const peers = readPeers(several(document, "peer", top), identity, own, hasPool ? pool : null, source);
    const host = readHost(hostTables, { role, own, peers, listenPort: listen.port });
    const keys = ownKeys(identity);
    return tunnel && keys ? { role, tunnel, host, keys, ...common, listen, peers } : null;
  }
  return null;
}

function ownKeys(identity: Identity): { privateKey: Uint8Array } | null {
  return identity.privateKey === null ? null : { privateKey: identity.privateKey };
}

/** What the other sections suggest, so that their faults show too when the role itself is one. */
function guessRole(document: Document): Role | null {
  const { root } = document;
  if ("remote" in root || "path" in root) return "local";
  return "peer" in root || "listen" in root ? "remote" : null;
}

function readControlSocket(top: Table): string | null {
  const path = top.text("control_socket");
  if (path === null) return null;
  const bytes = new TextEncoder().encode(path).length;
  if (!path.startsWith("/") || path.includes("\0")) {
    top.fault("control_socket", "control_socket is no absolute path", "write a path that begins with /");
  } else if (bytes > SOCKET_PATH_BYTES) {
    const message = `control_socket has ${bytes} bytes`;
    top.fault("control_socket", message, `write a path of at most ${SOCKET_PATH_BYTES} bytes`);
  }
  return path;
}

function readThreads(top: Table): number | "auto" {
  if (typeof top.raw("threads") === "string") return top.word("threads", ["auto"] as const) ?? 1;
  return top.integer("threads", 1, THREADS_MOST) ?? 1;
}

function readStateDirectory(top: Table): string | null {
  const path = top.text("state_directory");
  if (path !== null && (!path.startsWith("/") || path.includes("\0"))) {
    top.fault("state_directory", "state_directory is no absolute path", "write a path that begins with /");
  }
  return path;
}

/** Sections of the other role. Of several `[[peer]]` only the first is named. */
function refuseForeign(document: Document, role: Role): void {
  for (const name of SECTION_NAMES) {
    if (!(name in document.root) || SECTIONS[name].role === "both" || SECTIONS[name].role === role) continue;
    const [first] = sections(document, name);
    const other = SECTIONS[name].role;
    const span = first?.header ?? document.positions.keyOf([name]);
    const message = `${headerOf(name)} belongs to a ${other} portal, this one is ${role}`;
    document.fault(span, message, `remove it, or write role = "${other}"`);
  }
}

/** The section's table; a fault when `requiredBy` is given and there is none. */
function single(document: Document, name: SectionName, requiredBy: Table | null): Table | null {
  const tables = checkedSections(document, name);
  if (tables.length > 0) return tables[0]!;
  if (requiredBy !== null && !(name in document.root)) refuseMissing(name, requiredBy);
  return null;
}

/** The tables of a section that may stand several times, but must at least once. */
function several(document: Document, name: SectionName, top: Table): Table[] {
  const tables = checkedSections(document, name);
  const value = document.root[name];
  if (value === undefined || (Array.isArray(value) && value.length === 0)) refuseMissing(name, top);
  return tables;
}

function refuseMissing(name: SectionName, top: Table): void {
  if (top.hasMisspelt(name)) return;
  const known = Object.keys(SECTIONS[name].keys).join(", ");
  const message = `missing section ${headerOf(name)}`;
  top.document.fault(top.valueSpan("role"), message, `add ${headerOf(name)} with its keys: ${known}`);
}

/** The tables of a section, with faults for what is no table or stands too often, and for their unknown keys. */
function checkedSections(document: Document, name: SectionName): Table[] {
  const value = document.root[name];
  if (value === undefined) return [];
  const tables = sections(document, name);
  const repeated = Array.isArray(value);
  const span = document.positions.valueOf([name]) ?? document.positions.keyOf([name]);
  const header = headerOf(name);
  if (tables.length === 0 && !(repeated && value.length === 0)) {
    document.fault(
      span,
      `${name} is ${typeName(value)}, not a section`,
      `write ${header} on a line of its own`,
    );
  } else if (SECTIONS[name].repeated !== "either" && repeated !== SECTIONS[name].repeated) {
    const message = repeated
      ? `${header} stands once, not in a list`
      : `${name} is one of a list of sections`;
    document.fault(span, message, `write ${header}`);
  }
  for (const table of tables) table.refuseUnknown();
  return tables;
}

/** The tables under a name, `[name]` or `[[name]]`. */
function sections(document: Document, name: SectionName): Table[] {
  const value = document.root[name];
  if (isTable(value)) return [new Table(document, name, [name], value)];
  if (!Array.isArray(value)) return [];
  return value.flatMap((element, i) =>
    isTable(element) ? [new Table(document, name, [name, i], element)] : [],
  );
}

function isTable(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

function parseToml(text: string): { values: Record<string, unknown> } | { fault: Fault } {
  try {
    return { values: parse(text, { integersAsBigInt: true, maxDepth: DEEPEST }) };
  } catch (error) {
    return { fault: syntaxFault(text, error) };
  }
}

/** Advice for the parser's messages; the first that begins so. */
const syntaxAdvice: readonly (readonly [message: string, advice: string])[] = [
  ["invalid value", "put text in quotes"],
  [
    "trying to redefine",
    "remove one of the two, or merge them; of [[remote]], [[path]] and [[peer]] there may be several",
  ],
  ["unfinished string", "close the string with the quote it began with"],
  ["control characters are not allowed in strings", "close the string on the line it began"],
  ["unfinished array", "close the list with ]"],
  ["unfinished table", "close the table with }"],
  ["expected comma", "put a comma or the closing bracket here"],
  ["incomplete key-value", "write key = value"],
  ["illegal character in key", "write key = value, or [section]"],
  ["unexpected end of key", "write key = value, or [section]"],
  ["each key-value declaration", "begin a new line here; text goes in quotes"],
  ["illegal character in numeric literal", "put text in quotes"],
  ["illegal leading zero", "write the number without the zero, or text in quotes"],
];

function syntaxFault(text: string, error: unknown): Fault {
  // Anything else would be the parser's own fault on a strange text; still the text is what has to change.
  const at = error instanceof TomlError ? error : { line: 1, column: 1 };
  const message = error instanceof Error ? error.message : String(error);
  const first = message.replace(/^Invalid TOML document: /, "").split("\n")[0]!;
  let offset = 0;
  for (let line = 1; line < at.line; line++) offset = text.indexOf("\n", offset) + 1;
  offset += at.column - 1;
  const token = /^[^\s,\]}#]+/.exec(text.slice(offset, offset + 100))?.[0] ?? "";
  const both = first.startsWith("trying to redefine") && /^\[{0,2}remote\]/.test(`${token}]`);
  const known = syntaxAdvice.find(([start]) => first.startsWith(start))?.[1] ?? "see https://toml.io";
  const advice = both ? "write [[remote]] for each of several, or [remote] for the only one" : known;
  return faultAt(text, { offset, length: token.length }, `not TOML: ${first}`, advice);
}
