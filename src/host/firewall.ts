/**
 * NAT, port forwards and the clamp of TCP's segment size, as one table of nftables (nft(8)) or as chains of iptables.
 * Both match interfaces by name, so that they hold whenever the interface is there. Pure.
 */
import type { Config, Handover, PortForward } from "../config/config.ts";
import type { Family } from "../sys/routing.ts";
import { formatAddress, formatEndpoint, type Prefix } from "../wire/address.ts";
import type { Chain } from "./change.ts";

export interface Firewall {
  readonly role: Config["role"];
  readonly tunnel: string;
  /**
   * Packets from these networks get another source address: of a remote's, those that leave by any interface but the tunnel
   * get that of the interface; of a local's, those that leave by the tunnel get its own there.
   */
  readonly nat: readonly Prefix[];
  /** A local's own addresses in the tunnel, where it has any yet. */
  readonly own: readonly Uint8Array[];
  /** The local's interfaces by which they leave while the tunnel does not carry them, with the address of each. */
  readonly direct: readonly string[];
  readonly clampMss: boolean;
  readonly forwards: readonly PortForward[];
  readonly handovers: readonly Handover[];
}

/**
 * `paths`: the local's interfaces, by which everything leaves while the tunnel does not carry it. `leased`: its addresses in the
 * tunnel that the remote has given it.
 */
export function firewallOf(
  config: Config,
  paths: readonly string[],
  leased: readonly Uint8Array[] = [],
): Firewall | null {
  const { role, host } = config;
  const { nat, clampMss, forwards } = host;
  if (nat.length + forwards.length + host.handovers.length === 0 && !clampMss) return null;
  const tunnel = config.tunnel.interface;
  const direct = host.onDown === "direct" && host.routes.length > 0 ? paths : [];
  const own = role === "remote" ? [] : [...config.tunnel.addresses.map(({ bytes }) => bytes), ...leased];
  // The tunnel itself stays with the remote.
  const stays = role === "remote" ? [{ protocol: "udp" as const, port: config.listen.port }] : [];
  const handovers = host.handovers.map((each) => ({ ...each, keep: [...stays, ...each.keep] }));
  return { role, tunnel, nat, own, direct, clampMss, forwards, handovers };
}

/** In words, for people. */
export function firewallWords(firewall: Firewall): string {
  const { role, tunnel, nat, direct, clampMss, forwards, handovers } = firewall;
  const parts: string[] = [];
  if (nat.length > 0) {
    const whose = nat
      .map(({ text, length, bytes }) => (length > 0 ? text : `all IPv${bytes.length === 4 ? 4 : 6}`))
      .join(", ");
    const where =
      role === "remote" ? "coming out of the tunnel" : `leaving by ${[tunnel, ...direct].join(", ")}`;
    parts.push(`NAT of ${whose} ${where}`);
  }
  for (const { protocol, port, address, toPort } of forwards) {
    parts.push(`${protocol} port ${port} goes to ${formatEndpoint(formatAddress(address), toPort)}`);
  }
  for (const { address, inside, keep } of handovers) {
    const kept = keep.map(({ protocol, port }) => `${port}/${protocol}`).join(", ");
    const but = role === "remote" ? `, but for ${kept}` : "";
    parts.push(`${formatAddress(address)} is ${formatAddress(inside)} inside the tunnel${but}`);
  }
  if (clampMss) parts.push("TCP through the tunnel is told of its smaller packets");
  return parts.join("; ");
}

export function nftScript(table: string, firewall: Firewall): string {
  const { tunnel, nat, forwards, handovers, clampMss } = firewall;
  const lines: string[] = [];
  const chain = (name: string, hook: string, rules: readonly string[]): void => {
    if (rules.length > 0)
      lines.push(`\tchain ${name} {`, `\t\ttype ${hook}`, ...rules.map((rule) => `\t\t${rule}`), "\t}");
  };
  chain("prerouting", "nat hook prerouting priority -100; policy accept;", [
    ...forwards.map((each) => nftForward(tunnel, each)),
    ...handovers.flatMap((each) => nftArriving(firewall, each)),
  ]);
  chain("postrouting", "nat hook postrouting priority 100; policy accept;", [
    ...handovers.map((each) => nftLeaving(firewall, each)),
    ...nat.flatMap((prefix) => nftNat(firewall, prefix)),
  ]);
  // "rt mtu" is the smaller one of both directions, and only ever lowers what the packet says.
  const clamp = ["oifname", "iifname"].map(
    (way) => `${way} "${tunnel}" tcp flags syn tcp option maxseg size set rt mtu`,
  );
  chain("forward", "filter hook forward priority -150; policy accept;", clampMss ? clamp : []);
  // In one transaction: what was there before is replaced at once, if anything was.
  return [
    `table inet ${table}`,
    `delete table inet ${table}`,
    `table inet ${table} {`,
    ...lines,
    "}",
    "",
  ].join("\n");
}

function nftNat(firewall: Firewall, prefix: Prefix): string[] {
  const { role, tunnel, direct } = firewall;
  const ip = prefix.bytes.length === 4 ? "ip" : "ip6";
  const from = prefix.length === 0 ? `meta nfproto ${nfproto(prefix.bytes)}` : `${ip} saddr ${prefix.text}`;
  if (role === "remote") return [`oifname != "${tunnel}" ${from} masquerade`];
  const own = ownOf(firewall, prefix);
  const rules = [`oifname "${tunnel}" ${from} ${own === null ? "masquerade" : `snat ${ip} to ${own}`}`];
  if (direct.length > 0)
    rules.push(`oifname { ${direct.map((name) => `"${name}"`).join(", ")} } ${from} masquerade`);
  return rules;
}

/**
 * The local's own address of the family in the tunnel, or null. Rather than masqueraded: that the kernel forgets with the
 * interface, and after portal's restart it would itself refuse what still comes for the flows of others.
 */
function ownOf({ own }: Firewall, { bytes }: Prefix): string | null {
  const address = own.find(({ length }) => length === bytes.length);
  return address === undefined ? null : formatAddress(address);
}

function nftForward(tunnel: string, { protocol, port, address, toPort }: PortForward): string {
  const ip = address.length === 4 ? "ip" : "ip6";
  const to = formatEndpoint(formatAddress(address), toPort);
  const what = `meta nfproto ${nfproto(address)} ${protocol} dport ${port}`;
  return `iifname != "${tunnel}" fib daddr type local ${what} dnat ${ip} to ${to}`;
}

/** On the remote everything for the public address but what it keeps, on the local what stands for it in the tunnel. */
function nftArriving({ role, tunnel }: Firewall, { address, inside, keep }: Handover): string[] {
  const ip = address.length === 4 ? "ip" : "ip6";
  const [from, to] = [formatAddress(address), formatAddress(inside)];
  if (role === "local") return [`iifname "${tunnel}" ${ip} daddr ${to} dnat ${ip} to ${from}`];
  const arriving = `iifname != "${tunnel}" ${ip} daddr ${from}`;
  const kept = keep.map(({ protocol, port }) => `${arriving} ${protocol} dport ${port} return`);
  return [...kept, `${arriving} dnat ${ip} to ${to}`];
}

function nftLeaving({ role, tunnel }: Firewall, { address, inside }: Handover): string {
  const ip = address.length === 4 ? "ip" : "ip6";
  const [outside, within] = [formatAddress(address), formatAddress(inside)];
  if (role === "local") return `oifname "${tunnel}" ${ip} saddr ${outside} snat ${ip} to ${within}`;
  return `oifname != "${tunnel}" ${ip} saddr ${within} snat ${ip} to ${outside}`;
}

function nfproto(bytes: Uint8Array): string {
  return bytes.length === 4 ? "ipv4" : "ipv6";
}

/** Chains that have a rule. */
export function iptablesChains(name: string, firewall: Firewall, family: Family): Chain[] {
  const { tunnel, nat, forwards, clampMss } = firewall;
  const bytes = family === 4 ? 4 : 16;
  const handovers = firewall.handovers.filter(({ address }) => address.length === bytes);
  const sources = nat
    .filter((prefix) => prefix.bytes.length === bytes)
    .flatMap((prefix) => iptablesNat(firewall, prefix));
  const redirect = forwards
    .filter(({ address }) => address.length === bytes)
    .map(({ protocol, port, address, toPort }) => {
      const to = formatEndpoint(formatAddress(address), toPort);
      const local = ["!", "-i", tunnel, "-m", "addrtype", "--dst-type", "LOCAL"];
      return [...local, "-p", protocol, "--dport", String(port), "-j", "DNAT", "--to-destination", to];
    });
  const clamp = ["-o", "-i"].map((way) => {
    const syn = [way, tunnel, "-p", "tcp", "--tcp-flags", "SYN,RST", "SYN"];
    return [...syn, "-j", "TCPMSS", "--clamp-mss-to-pmtu"];
  });
  const chains: Chain[] = [
    {
      table: "nat",
      name: `${name}-in`,
      from: "PREROUTING",
      rules: [...redirect, ...handovers.flatMap((each) => iptablesArriving(firewall, each))],
    },
    {
      table: "nat",
      name: `${name}-out`,
      from: "POSTROUTING",
      rules: [...handovers.map((each) => iptablesLeaving(firewall, each)), ...sources],
    },
    { table: "mangle", name: `${name}-mss`, from: "FORWARD", rules: clampMss ? clamp : [] },
  ];
  return chains.filter(({ rules }) => rules.length > 0);
}

function iptablesNat(firewall: Firewall, prefix: Prefix): string[][] {
  const { role, tunnel, direct } = firewall;
  const masquerade = (...way: string[]) => ["-s", prefix.text, ...way, "-j", "MASQUERADE"];
  if (role === "remote") return [masquerade("!", "-o", tunnel)];
  const own = ownOf(firewall, prefix);
  const first =
    own === null
      ? masquerade("-o", tunnel)
      : ["-s", prefix.text, "-o", tunnel, "-j", "SNAT", "--to-source", own];
  return [first, ...direct.map((name) => masquerade("-o", name))];
}

function iptablesArriving({ role, tunnel }: Firewall, { address, inside, keep }: Handover): string[][] {
  const [from, to] = [formatAddress(address), formatAddress(inside)];
  if (role === "local") return [["-i", tunnel, "-d", to, "-j", "DNAT", "--to-destination", from]];
  const arriving = ["!", "-i", tunnel, "-d", from];
  const kept = keep.map(({ protocol, port }) => [
    ...arriving,
    "-p",
    protocol,
    "--dport",
    String(port),
    "-j",
    "RETURN",
  ]);
  return [...kept, [...arriving, "-j", "DNAT", "--to-destination", to]];
}

function iptablesLeaving({ role, tunnel }: Firewall, { address, inside }: Handover): string[] {
  const [outside, within] = [formatAddress(address), formatAddress(inside)];
  if (role === "local") return ["-o", tunnel, "-s", outside, "-j", "SNAT", "--to-source", within];
  return ["!", "-o", tunnel, "-s", within, "-j", "SNAT", "--to-source", outside];
}
