/** `[tunnel]`: the TUN interface and its addresses. Pure. */
import {
  formatAddress,
  makePrefix,
  networkOf,
  type Prefix,
  parseAddress,
  parsePrefix,
  specialAddress,
} from "../wire/address.ts";
import { CIPHERS, type CipherName, type Role, type TunnelConfig } from "./config.ts";
import { quote, type Table } from "./table.ts";

/** Smallest and largest MTU: what every IPv4 host takes (RFC 791 section 3.1), and jumbo frames. */
export const MTU_LEAST = 576;
export const MTU_MOST = 9000;
/** RFC 8200 section 5. */
export const MTU_LEAST_IPV6 = 1280;

/** Seconds that a session is kept without a path: long enough to notice a restart, and up to a week. */
const KEEP_LEAST = 5;
const KEEP_MOST = 604_800;
const KEEP = 300;

/** IFNAMSIZ without its final zero. */
const INTERFACE_BYTES = 15;

/** The first loopback; and of the settings of interfaces, those of all and of new ones (/proc/sys/net/ipv4/conf). */
const RESERVED: readonly string[] = ["lo", "all", "default"];

/** A local may be without addresses: its remote gives them. */
export function readTunnel(table: Table, role: Role | null): TunnelConfig | null {
  const name = table.has("interface") ? readInterface(table) : "portal0";
  if (name !== null && RESERVED.includes(name))
    table.fault("interface", `${quote(name)} is a name of the kernel's own`, 'write another: "portal0"');
  if (role !== "local") table.require("addresses");
  const addresses = readAddresses(table);
  const mtuFixed = table.has("mtu");
  const mtu = table.integer("mtu", MTU_LEAST, MTU_MOST) ?? 1420;
  const ipv6 = addresses.some((address) => address.bytes.length === 16);
  if (ipv6 && mtu < MTU_LEAST_IPV6) {
    const message = `mtu is too small for the IPv6 address in [tunnel]`;
    table.fault("mtu", message, `write a number from ${MTU_LEAST_IPV6} to ${MTU_MOST}`);
  }
  const privacy = table.flag("privacy") ?? true;
  const cipher = table.word<CipherName>("cipher", CIPHERS) ?? "auto";
  if (!privacy && cipher !== "auto")
    table.faultAtKey("cipher", "nothing is encrypted with privacy = false", "remove one of the two");
  const offloads = table.flag("offloads") ?? true;
  const keepSeconds = table.integer("keep_seconds", KEEP_LEAST, KEEP_MOST) ?? KEEP;
  if (name === null) return null;
  return { interface: name, addresses, mtu, mtuFixed, privacy, cipher, offloads, keepSeconds };
}

/** A name the kernel takes for a network interface, or null and a fault. */
export function readInterface(table: Table): string | null {
  const name = table.text("interface");
  if (name === null) return null;
  const bytes = new TextEncoder().encode(name).length;
  if (bytes > INTERFACE_BYTES) {
    const message = `interface ${quote(name)} has ${bytes} bytes`;
    table.fault("interface", message, `write a name of at most ${INTERFACE_BYTES} bytes`);
    return null;
  }
  // What the kernel's dev_valid_name refuses, and what no terminal should be shown.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused
  if (name === "" || name === "." || name === ".." || /[/:\s\u0000-\u001f\u007f%]/.test(name)) {
    const message = `${quote(name)} cannot be the name of an interface`;
    table.fault("interface", message, "write a name without spaces, slashes, colons or %");
    return null;
  }
  return name;
}

function readAddresses(table: Table): Prefix[] {
  const prefixes: Prefix[] = [];
  for (const { value, span } of table.texts("addresses") ?? []) {
    const prefix = parsePrefix(value);
    if (prefix === null) {
      table.document.fault(span, `${quote(value)} is no address with a prefix length`, prefixAdvice(value));
    } else if (prefixes.some((other) => formatAddress(other.bytes) === formatAddress(prefix.bytes))) {
      table.document.fault(span, `${prefix.text} is written twice`, "remove one of them");
    } else if (specialAddress(prefix.bytes) !== null) {
      const message = `${formatAddress(prefix.bytes)} is no machine's address: ${specialAddress(prefix.bytes)}`;
      table.document.fault(span, message, 'write a private one, such as "10.77.0.2/24" or "fd77::2/64"');
    } else if (isBroadcast(prefix)) {
      const message = `${formatAddress(prefix.bytes)} is the broadcast address of its network`;
      table.document.fault(span, message, "write another address of that network, with the same length");
    } else if (isNetworkItself(prefix)) {
      const advice = "write the portal's own address in that network, with the same length";
      table.document.fault(span, `${prefix.text} names a network, not an address in it`, advice);
    } else prefixes.push(prefix);
  }
  return prefixes;
}

/** Host bits all zero where there are any to choose: 10.77.0.0/24. */
function isNetworkItself(prefix: Prefix): boolean {
  return prefix.length < prefix.bytes.length * 8 - 1 && networkOf(prefix).text === prefix.text;
}

/** Host bits all one, of IPv4. */
function isBroadcast({ bytes, length }: Prefix): boolean {
  const inverted = bytes.map((byte) => ~byte);
  return bytes.length === 4 && isNetworkItself(makePrefix(inverted, length));
}

function prefixAdvice(text: string): string {
  const address = parseAddress(text);
  if (address === null) return 'write for example "10.77.0.2/24" or "fd77::2/64"';
  return `write "${formatAddress(address)}/${address.length === 4 ? 24 : 64}"`;
}
