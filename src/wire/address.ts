/**
 * IPv4 and IPv6 addresses, prefixes and `host:port` endpoints, between text and bytes.
 *
 * Text in: RFC 4291 section 2.2 and dotted quads of four decimal numbers without leading zeros (which other programs
 * read as octal). Text out: RFC 5952. Any string may come in; what is no address gives null, never an exception.
 * No zones (`%eth0`), no resolving of names, no classful or shortened IPv4.
 */

/** An address with a prefix length, as `10.77.0.1/24` or `fd77::1/64`. `bytes` is 4 or 16 long and keeps its host bits. */
export interface Prefix {
  readonly bytes: Uint8Array;
  readonly length: number;
  /** As `formatPrefix` writes it. */
  readonly text: string;
}

/** Where a portal is reached: a name or an address, and a port. */
export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** 4 bytes, or null. */
export function parseIpv4(text: string): Uint8Array | null {
  const parts = text.split(".");
  if (parts.length !== 4) return null;
  const bytes = new Uint8Array(4);
  for (const [i, part] of parts.entries()) {
    const value = parseDecimal(part, 255);
    if (value === null) return null;
    bytes[i] = value;
  }
  return bytes;
}

/** 16 bytes, or null. The last 32 bits may be a dotted quad: `::ffff:192.0.2.1`. */
export function parseIpv6(text: string): Uint8Array | null {
  const halves = text.split("::");
  if (halves.length > 2) return null;
  const compressed = halves.length === 2;
  const front = parseGroups(halves[0]!, !compressed);
  const back = parseGroups(halves[1] ?? "", true);
  if (front === null || back === null) return null;
  const given = front.length + back.length;
  // "::" stands for at least one group (RFC 4291 section 2.2, 2).
  if (compressed ? given > 14 : given !== 16) return null;
  const bytes = new Uint8Array(16);
  bytes.set(front, 0);
  bytes.set(back, 16 - back.length);
  return bytes;
}

/** The bytes of colon-separated groups; a dotted quad may stand last where `quadAllowed`. */
function parseGroups(text: string, quadAllowed: boolean): number[] | null {
  if (text === "") return [];
  const bytes: number[] = [];
  const groups = text.split(":");
  for (const [i, group] of groups.entries()) {
    if (/^[0-9a-f]{1,4}$/i.test(group)) {
      const value = Number.parseInt(group, 16);
      bytes.push(value >> 8, value & 0xff);
    } else {
      const quad = quadAllowed && i === groups.length - 1 ? parseIpv4(group) : null;
      if (quad === null) return null;
      bytes.push(...quad);
    }
  }
  return bytes;
}

/** 4 or 16 bytes, or null. */
export function parseAddress(text: string): Uint8Array | null {
  return text.includes(":") ? parseIpv6(text) : parseIpv4(text);
}

/** RFC 5952, of 4 or 16 bytes. */
export function formatAddress(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join(".");
  // Section 5: the prefix is well known, so the address behind it is written the way it is read.
  if (isIpv4Mapped(bytes)) return `::ffff:${bytes.subarray(12, 16).join(".")}`;
  const groups: string[] = [];
  for (let i = 0; i < 16; i += 2) groups.push(((bytes[i]! << 8) | bytes[i + 1]!).toString(16));
  const run = longestZeroRun(groups);
  if (run.count < 2) return groups.join(":");
  return `${groups.slice(0, run.start).join(":")}::${groups.slice(run.start + run.count).join(":")}`;
}

/** RFC 5952 section 4.2.3: the longest run of zero groups, the first of equals. */
function longestZeroRun(groups: readonly string[]): { start: number; count: number } {
  let best = { start: 0, count: 0 };
  let count = 0;
  for (const [i, group] of groups.entries()) {
    count = group === "0" ? count + 1 : 0;
    if (count > best.count) best = { start: i - count + 1, count };
  }
  return best;
}

/** True for `::ffff:0:0/96` (RFC 4291 section 2.5.5.2): an IPv4 address as IPv6 sockets show it. */
export function isIpv4Mapped(bytes: Uint8Array): boolean {
  if (bytes.length !== 16) return false;
  for (let i = 0; i < 10; i++) if (bytes[i] !== 0) return false;
  return bytes[10] === 0xff && bytes[11] === 0xff;
}

/** The IPv4 address inside an IPv4-mapped one; every other address as it is. */
export function unmapAddress(bytes: Uint8Array): Uint8Array {
  return isIpv4Mapped(bytes) ? bytes.slice(12, 16) : bytes;
}

/** What no packet has for its source on the way to another machine (RFC 1122 section 3.2.1.3, RFC 4291 section 2.4). */
export type SpecialAddress = "unspecified" | "loopback" | "multicast" | "broadcast";

/** Null: an address that a machine may have. */
export function specialAddress(bytes: Uint8Array): SpecialAddress | null {
  const first = bytes[0]!;
  if (bytes.length === 4) {
    if (first === 0) return "unspecified";
    if (first === 127) return "loopback";
    if (first >= 224 && first < 240) return "multicast";
    return bytes.every((byte) => byte === 255) ? "broadcast" : null;
  }
  if (first === 0xff) return "multicast";
  if (bytes.subarray(0, 15).some((byte) => byte !== 0)) return null;
  if (bytes[15] === 0) return "unspecified";
  return bytes[15] === 1 ? "loopback" : null;
}

/** An address, a slash and a length of 0..32 or 0..128; null for anything else, a missing length too. */
export function parsePrefix(text: string): Prefix | null {
  const slash = text.indexOf("/");
  if (slash < 0) return null;
  const bytes = parseAddress(text.slice(0, slash));
  if (bytes === null) return null;
  const length = parseDecimal(text.slice(slash + 1), bytes.length * 8);
  return length === null ? null : makePrefix(bytes, length);
}

/** The prefix of these bytes and this many bits. */
export function makePrefix(bytes: Uint8Array, length: number): Prefix {
  return { bytes, length, text: formatPrefix(bytes, length) };
}

export function formatPrefix(bytes: Uint8Array, length: number): string {
  return `${formatAddress(bytes)}/${length}`;
}

/** True when the first `prefix.length` bits agree; an IPv4 prefix contains no IPv6 address and the reverse. */
export function prefixContains(prefix: Prefix, bytes: Uint8Array): boolean {
  return prefix.bytes.length === bytes.length && sameBits(prefix.bytes, bytes, prefix.length);
}

/** True when some address lies in both. */
export function prefixesOverlap(a: Prefix, b: Prefix): boolean {
  return a.bytes.length === b.bytes.length && sameBits(a.bytes, b.bytes, Math.min(a.length, b.length));
}

function sameBits(a: Uint8Array, b: Uint8Array, bits: number): boolean {
  const whole = bits >> 3;
  for (let i = 0; i < whole; i++) if (a[i] !== b[i]) return false;
  const rest = bits & 7;
  return rest === 0 || (a[whole]! ^ b[whole]!) >> (8 - rest) === 0;
}

/** The prefix with its host bits cleared: the network `10.77.0.0/24` of `10.77.0.1/24`. */
export function networkOf(prefix: Prefix): Prefix {
  const bytes = prefix.bytes.map((byte, i) => {
    const bits = Math.min(8, Math.max(0, prefix.length - i * 8));
    return byte & (0xff00 >> bits);
  });
  return makePrefix(bytes, prefix.length);
}

/** `host:port`, `192.0.2.1:port` or `[2001:db8::1]:port`, port 1..65535; null for anything else. The host loses its brackets. */
export function parseEndpoint(text: string): HostPort | null {
  const colon = text.lastIndexOf(":");
  if (colon < 0) return null;
  const port = parseDecimal(text.slice(colon + 1), 65535);
  if (port === null || port === 0) return null;
  const left = text.slice(0, colon);
  if (left.startsWith("[") && left.endsWith("]")) {
    const address = parseIpv6(left.slice(1, -1));
    return address === null ? null : { host: formatAddress(address), port };
  }
  return parseIpv4(left) !== null || isHostName(left) ? { host: left, port } : null;
}

/** The reverse of `parseEndpoint`. */
export function formatEndpoint(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/**
 * RFC 1123 section 2.1, with the underscore that many networks use, and RFC 1035's lengths. The last label has a
 * letter, so that a mistyped IPv4 address is never looked up as a name.
 */
export function isHostName(text: string): boolean {
  const name = text.endsWith(".") ? text.slice(0, -1) : text;
  if (name.length === 0 || name.length > 253) return false;
  const labels = name.split(".");
  const valid = labels.every((label) => /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/i.test(label));
  return valid && /[a-z]/i.test(labels.at(-1)!);
}

/** A decimal number without sign or leading zeros, at most `limit`. */
function parseDecimal(text: string, limit: number): number | null {
  if (!/^(0|[1-9][0-9]{0,4})$/.test(text)) return null;
  const value = Number(text);
  return value <= limit ? value : null;
}
