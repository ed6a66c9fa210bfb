/**
 * From the configuration and what the machine is like to the list of changes, in the order in which they are made.
 *
 * Routes. What goes into the tunnel is decided by policy rules and a routing table of portal's own; the machine's routes
 * stay as they are. In the order in which the kernel looks at them, after its own addresses:
 *
 *     31000  oif PATH      main                       a path's own socket, and whoever binds to that interface
 *     31050  to/from ADDRESS  52000                   an address handed over: to its owner, and into the tunnel
 *     31100  to NETWORK    main, longer prefixes only the networks the machine itself has a closer route to: its LANs
 *     31101                51900                      NETWORK dev portal0
 *
 * Two half routes in the main table would need no rules, but could not be followed by "unreachable" (which the kernel
 * applies to a path's socket too) to keep traffic from going past the tunnel when portal is killed, or for the family
 * that the tunnel lacks; and programs that manage the main table would see them. Several portals on a machine differ in
 * their `slot`, which is added to these numbers; the rules for all of their paths come before any of their tables.
 */
import type { Config } from "../config/config.ts";
import { type Family, MAIN_TABLE, type Route, type Rule } from "../sys/routing.ts";
import { makePrefix, type Prefix } from "../wire/address.ts";
import type { Change, FirewallChange, RouteChange, SysctlChange } from "./change.ts";
import { HostFailure } from "./failure.ts";
import { type Firewall, firewallOf, firewallWords, iptablesChains, nftScript } from "./firewall.ts";
import type { Machine } from "./machine.ts";

const PATH_PRIORITY = 31_000;
const TABLE_PRIORITY = 31_100;
const TABLE = 51_900;
const HANDOVER_PRIORITY = 31_050;
const HANDOVER_TABLE = 52_000;
const SLOTS = 50;

/** Of routes in our own table: the tunnel's, and what holds while that is not there. */
const TUNNEL_METRIC = 1024;
const REFUSAL_METRIC = 65_535;

/** Whether packets that do not fit into what the kernel knows of their flow are still taken for the flow's. */
export const LIBERAL = "netfilter/nf_conntrack_tcp_be_liberal";

/** Whether the machine passes IPv6 packets on. */
export const FORWARDING = "ipv6/conf/all/forwarding";

export interface Plan {
  readonly slot: number;
  readonly changes: readonly Change[];
  /** Made only while a path is up, and taken back while none is. */
  readonly whileUp: readonly RouteChange[];
}

/** What a portal knows that runs already. */
export interface Standing {
  /** Null looks for one. */
  readonly slot: number | null;
  /** It has made the machine forward IPv6. */
  readonly forwards: boolean;
  /** The addresses in the tunnel that the remote has given it. */
  readonly leased: readonly Uint8Array[];
}

const NOT_YET: Standing = { slot: null, forwards: false, leased: [] };

/** `paths`: the interfaces of the local's paths. Throws HostFailure. */
export function planOf(
  config: Config,
  paths: readonly string[],
  machine: Machine,
  { slot, forwards, leased } = NOT_YET,
): Plan {
  const firewall = firewallOf(config, paths, leased);
  const { routes: wanted, refused, handovers } = config.host;
  const routed = wanted.length + refused.length + handovers.length > 0;
  const chosen = slot ?? (routed || firewall !== null ? freeSlot(machine, firewall !== null) : 0);
  const routes = planRoutes(config, machine, chosen);
  return {
    slot: chosen,
    changes: [
      ...planSysctls(config, paths, machine, forwards),
      ...(firewall === null ? [] : planFirewall(firewall, machine, chosen)),
      ...planPaths(config, paths, machine, chosen),
      ...planHandovers(config, chosen),
      ...routes.changes,
    ],
    whileUp: routes.whileUp,
  };
}

function freeSlot(machine: Machine, firewall: boolean): number {
  const { priorities, tables } = machine.taken();
  const asks = firewall && machine.firewall !== null;
  const names = asks ? machine.firewallNames() : new Set<string>();
  const own = asks ? machine.ownTable() : null;
  const slots = Array.from({ length: SLOTS }, (_, slot) => slot);
  // What it left is replaced at once, not made beside it.
  slots.sort((one, other) => Number(nameOf(other) === own) - Number(nameOf(one) === own));
  for (const slot of slots) {
    const table = TABLE_PRIORITY + 2 * slot;
    const numbers = [PATH_PRIORITY + slot, HANDOVER_PRIORITY + slot, table, table + 1];
    const free =
      !tables.has(TABLE + slot) &&
      !tables.has(HANDOVER_TABLE + slot) &&
      !numbers.some((number) => priorities.has(number));
    const name = nameOf(slot);
    if (free && (name === own || !names.has(name))) return slot;
  }
  throw new HostFailure(`all policy rules from ${PATH_PRIORITY} on are taken: "ip rule" lists them`);
}

function nameOf(slot: number): string {
  return slot === 0 ? "portal" : `portal_${slot + 1}`;
}

// --- Kernel settings ---

function planSysctls(
  config: Config,
  paths: readonly string[],
  machine: Machine,
  forwards: boolean,
): SysctlChange[] {
  const { host, tunnel } = config;
  const changes: SysctlChange[] = [];
  const set = (
    file: string,
    value: string,
    words: string,
    needed: boolean,
    isWrong: (now: string) => boolean,
  ): void => {
    const now = machine.sysctl(file);
    if (now === null) return;
    if (isWrong(now)) {
      changes.push({
        kind: "sysctl",
        file,
        former: now,
        value,
        also: alsoChanged(file, machine),
        needed,
        words,
      });
      return;
    }
    // Another portal may have changed it already: whoever ends last puts back what was there first.
    const other = now === value ? machine.changedByAnother(file) : null;
    if (other?.value === value) changes.push({ ...other, needed, words });
  };
  if (translates(config)) {
    // While no portal runs, the kernel does not follow the flows it translates addresses for, and afterwards takes their
    // packets for none of them. Where the file is missing nobody has such flows yet.
    const words = "flows of others outlive a restart of portal";
    set(LIBERAL, "1", words, false, (now) => now === "0");
  }
  if (config.role === "local" && host.looseRpFilter) {
    for (const path of paths) {
      // The kernel takes the larger one of this and the interface's own.
      const all = machine.sysctl("ipv4/conf/all/rp_filter");
      const words = `answers may come in by ${path}, though it is not the best way back`;
      const isStrict = (now: string) => Math.max(Number(now), Number(all)) === 1;
      set(`ipv4/conf/${path}/rp_filter`, "2", words, false, isStrict);
    }
  }
  if (!host.forwarding) return changes;
  const networks = [...tunnel.addresses, ...host.routes, ...host.nat];
  if (networks.some(({ bytes }) => bytes.length === 16) && machine.sysctl(FORWARDING) !== null) {
    // Where a portal made it forward, what has come since learns no more unless told so.
    const byPortal = forwards || machine.changedByAnother(FORWARDING)?.value === "1";
    const forwarded = machine.sysctl(FORWARDING) === "1" && !byPortal;
    const learning = new Set([...machine.advertised(), ...paths]);
    for (const name of machine.scopes("ipv6").filter((scope) => learning.has(scope))) {
      // Before forwarding is on, which would end it (RFC 4861 section 6.2.1, as the kernel reads it).
      const words = `${name} goes on learning its IPv6 routes from its router`;
      set(`ipv6/conf/${name}/accept_ra`, "2", words, true, (now) => now === "1" && !forwarded);
    }
    const words = "IPv6 packets are passed on between interfaces";
    set(FORWARDING, "1", words, true, (now) => now === "0");
  }
  if (networks.some(({ bytes }) => bytes.length === 4)) {
    set("ipv4/ip_forward", "1", "IPv4 packets are passed on between interfaces", true, (now) => now === "0");
  }
  return changes;
}

/** The kernel is to translate addresses. */
export function translates({ host }: Config): boolean {
  return host.nat.length + host.forwards.length + host.handovers.length > 0;
}

/** The kernel changes these along with the switch for all interfaces, and forgets what they were. */
function alsoChanged(file: string, machine: Machine): Record<string, string> {
  const family = file === "ipv4/ip_forward" ? "ipv4" : file === "ipv6/conf/all/forwarding" ? "ipv6" : null;
  if (family === null) return {};
  const scopes = machine.scopes(family).filter((scope) => scope !== "all");
  const files = scopes.map((scope) => `${family}/conf/${scope}/forwarding`);
  if (family === "ipv4") files.push("ipv4/conf/all/accept_redirects");
  return Object.fromEntries(
    files.flatMap((each) => {
      const value = machine.sysctl(each);
      return value === null ? [] : [[each, value]];
    }),
  );
}

// --- NAT, port forwards, segment size ---

function planFirewall(firewall: Firewall, machine: Machine, slot: number): FirewallChange[] {
  const name = nameOf(slot);
  const words = firewallWords(firewall);
  const odd = [firewall.tunnel, ...firewall.direct].find((each) => !/^[\w.@-]+$/.test(each));
  if (odd !== undefined) {
    throw new HostFailure(
      `interface ${JSON.stringify(odd)} cannot stand in firewall rules: give it a plainer name`,
    );
  }
  if (machine.firewall === null) {
    const advice =
      'install nftables ("apt-get install nftables"), or take nat, clamp_mss and [[forward]] out';
    throw new HostFailure(`neither nft nor iptables on this machine: ${advice}`);
  }
  if (machine.firewall === "nft")
    return [{ kind: "nft", table: name, script: nftScript(name, firewall), words }];
  const families: Family[] = machine.ipv6 ? [4, 6] : [4];
  return families.flatMap((family) => {
    const chains = iptablesChains(name, firewall, family);
    return chains.length === 0
      ? []
      : [{ kind: "iptables" as const, family, chains, words: `IPv${family}: ${words}` }];
  });
}

// --- Rules and routes ---

/** Before any table of ours counts: what is bound to a path must not meet an "unreachable" there. */
function planPaths(config: Config, paths: readonly string[], machine: Machine, slot: number): Change[] {
  const { routes, refused, handovers } = config.host;
  const lengths = [...routes, ...refused].map(({ bytes }) => bytes.length);
  lengths.push(...handovers.map(({ address }) => address.length));
  const families: Family[] = machine.ipv6 ? [4, 6] : [4];
  const used = families.filter((family) => lengths.includes(family === 4 ? 4 : 16));
  return used.flatMap((family) =>
    paths.map((path): Change => {
      const none = { from: null, to: null, suppress: null, table: MAIN_TABLE };
      const rule = { family, priority: PATH_PRIORITY + slot, ...none, boundTo: path };
      return { kind: "rule", rule, words: `what is bound to ${path} leaves by it` };
    }),
  );
}

/** The local's part of a handover: what is for the address goes to its owner, what comes from it into the tunnel. */
function planHandovers(config: Config, slot: number): Change[] {
  const table = HANDOVER_TABLE + slot;
  return config.host.handovers.flatMap((handover): Change[] => {
    if (handover.interface === null) return [];
    const owner = makePrefix(handover.address, handover.address.length * 8).text;
    const family: Family = handover.address.length === 4 ? 4 : 6;
    const everywhere = family === 4 ? "0.0.0.0/0" : "::/0";
    const route = (words: string, to: string, via: Route["via"], metric: number): Change => {
      return { kind: "route", route: { table, to, via, metric }, words };
    };
    const rule = (words: string, over: Partial<Rule>): Change => {
      const none = { from: null, to: null, boundTo: null, suppress: null, table };
      return { kind: "rule", rule: { family, priority: HANDOVER_PRIORITY + slot, ...none, ...over }, words };
    };
    const past = `what has ${owner} is refused, not sent past the tunnel, when portal is killed`;
    return [
      route(`${owner} is behind ${handover.interface}`, owner, { device: handover.interface }, TUNNEL_METRIC),
      route(
        `what has ${owner} goes into the tunnel`,
        everywhere,
        { device: config.tunnel.interface },
        TUNNEL_METRIC,
      ),
      route(past, everywhere, "unreachable", REFUSAL_METRIC),
      // In this order: the kernel keeps it among rules of one priority.
      rule(`what is for ${owner} goes to it`, { to: owner }),
      rule(`${owner} reaches the networks that this machine has a route of its own to`, {
        ...{ from: owner, table: MAIN_TABLE, suppress: 0 },
      }),
      rule(`the rest of what comes from ${owner} goes into the tunnel`, { from: owner }),
    ];
  });
}

function planRoutes(
  config: Config,
  machine: Machine,
  slot: number,
): { changes: Change[]; whileUp: RouteChange[] } {
  const { host, tunnel, role } = config;
  const changes: Change[] = [];
  const whileUp: RouteChange[] = [];
  const direct = role === "local" && host.onDown === "direct";
  const table = TABLE + slot;
  const route = (to: string, via: Route["via"], metric: number, words: string): RouteChange => {
    return { kind: "route", route: { table, to, via, metric }, words };
  };
  const isOf = (family: Family) => (prefix: Prefix) => prefix.bytes.length === (family === 4 ? 4 : 16);
  const families: Family[] = machine.ipv6 ? [4, 6] : [4];
  for (const family of families) {
    const routes = host.routes.filter(isOf(family));
    const refused = host.refused.filter(isOf(family));
    if (routes.length === 0 && refused.length === 0) continue;
    const switched = direct ? whileUp : changes;
    for (const { text } of routes) {
      switched.push(route(text, { device: tunnel.interface }, TUNNEL_METRIC, `${text} goes into the tunnel`));
      const words = `${text} is refused, not sent past the tunnel, when portal is killed`;
      if (role === "local" && !direct) changes.push(route(text, "unreachable", REFUSAL_METRIC, words));
    }
    for (const { text } of refused) {
      const words = `${text} is refused, as the tunnel has no IPv${family}`;
      switched.push(route(text, "unreachable", REFUSAL_METRIC, words));
    }
    if (family === 4 && routes.some(({ length }) => length === 0)) {
      changes.push(route("224.0.0.0/3", "throw", 0, "multicast and broadcast stay outside of the tunnel"));
    }
    // The rules come last: from then on the table counts.
    for (const rule of rulesOf(family, routes.concat(refused), slot)) changes.push(rule);
  }
  return { changes, whileUp };
}

function rulesOf(family: Family, networks: readonly Prefix[], slot: number): Change[] {
  const rule = (words: string, priority: number, over: Partial<Rule>): Change => {
    const none = { from: null, to: null, boundTo: null, suppress: null, table: MAIN_TABLE };
    return { kind: "rule", rule: { family, priority, ...none, ...over }, words };
  };
  const table = TABLE_PRIORITY + 2 * slot;
  return [
    ...networks.map(({ text, length }) => {
      const words = `networks in ${text} that this machine has a route of its own to stay as they are`;
      return rule(words, table, { to: length === 0 ? null : text, suppress: Math.max(0, length - 1) });
    }),
    rule("the rest is looked up in portal's own table", table + 1, { table: TABLE + slot }),
  ];
}
