/**
 * Policy rules and routes by rtnetlink (rtnetlink(7), ip-rule(8)): added and deleted. Blocking; used
 * when portal starts, ends, or loses its last path. By netlink because not every `ip` knows all of it (busybox's does not).
 */
import { type Prefix, parsePrefix } from "../wire/address.ts";
import { EEXIST, ENODEV, ENOENT, ESRCH, SysError } from "./errno.ts";
import { HEADER_BYTES, interfaceIndex, request } from "./netlink.ts";

export type Family = 4 | 6;

/** Everything but `family`, `priority` and `table` may be null: not asked for. */
export interface Rule {
  readonly family: Family;
  readonly priority: number;
  /** Source and destination, as `10.0.0.0/8`. */
  readonly from: string | null;
  readonly to: string | null;
  /** Interface that the asking socket is bound to. */
  readonly boundTo: string | null;
  readonly table: number;
  /** Routes of this prefix length or shorter do not count. */
  readonly suppress: number | null;
}

export interface Route {
  readonly table: number;
  readonly to: string;
  /** The interface it leads to; "unreachable" refuses, "throw" goes on with the next rule. */
  readonly via: { readonly device: string } | "unreachable" | "throw";
  readonly metric: number;
}

/** The kernel's own table of that name. */
export const MAIN_TABLE = 254;

/** Marks what portal made in `ip rule` and `ip route`; no routing daemon has this number (rtnetlink.h, RTPROT). */
export const PROTOCOL = 119;

const AF_INET = 2;
const AF_INET6 = 10;
const RTM_NEWROUTE = 24;
const RTM_DELROUTE = 25;
const RTM_NEWRULE = 32;
const RTM_DELRULE = 33;
const NLM_F_EXCL = 0x200;
const NLM_F_CREATE = 0x400;

const FR_ACT_TO_TBL = 1;
const FRA_DST = 1;
const FRA_SRC = 2;
const FRA_PRIORITY = 6;
const FRA_SUPPRESS_PREFIXLEN = 14;
const FRA_TABLE = 15;
const FRA_OIFNAME = 17;
const FRA_PROTOCOL = 21;

const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_PRIORITY = 6;
const RTA_TABLE = 15;
const RTN_UNICAST = 1;
const RTN_UNREACHABLE = 7;
const RTN_THROW = 9;
const RT_SCOPE_UNIVERSE = 0;
const RT_SCOPE_LINK = 253;

/** Throws SysError, EEXIST when there is one like it. */
export function addRule(rule: Rule): void {
  request(ruleMessage(rule), RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, "add a policy rule");
}

/** False: there was none. Throws SysError. */
export function deleteRule(rule: Rule): boolean {
  return unlessMissing(() => request(ruleMessage(rule), RTM_DELRULE, 0, "delete a policy rule"));
}

/** Throws SysError, EEXIST when there is one like it. */
export function addRoute(route: Route): void {
  request(routeMessage(route), RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, "add a route");
}

/** False: there was none, or its interface is gone and took it along. Throws SysError. */
export function deleteRoute(route: Route): boolean {
  return unlessMissing(() => request(routeMessage(route), RTM_DELROUTE, 0, "delete a route"));
}

/** True when a rule or route like it is there already. */
export function isExisting(error: unknown): boolean {
  return error instanceof SysError && error.errno === EEXIST;
}

function unlessMissing(remove: () => void): boolean {
  try {
    remove();
    return true;
  } catch (error) {
    if (error instanceof SysError && [ENOENT, ESRCH, ENODEV].includes(error.errno)) return false;
    throw error;
  }
}

function ruleMessage(rule: Rule): Uint8Array {
  const from = rule.from === null ? null : prefixOf(rule.from);
  const to = rule.to === null ? null : prefixOf(rule.to);
  // family, destination length, source length, TOS, table, two unused, action, flags.
  const lengths = [to?.length ?? 0, from?.length ?? 0];
  const body = [familyNumber(rule.family), ...lengths, 0, 0, 0, 0, FR_ACT_TO_TBL, 0, 0, 0, 0];
  if (to !== null && to.length > 0) body.push(...attribute(FRA_DST, to.bytes));
  if (from !== null && from.length > 0) body.push(...attribute(FRA_SRC, from.bytes));
  if (rule.boundTo !== null) body.push(...attribute(FRA_OIFNAME, zeroTerminated(rule.boundTo)));
  if (rule.suppress !== null) body.push(...attribute32(FRA_SUPPRESS_PREFIXLEN, rule.suppress));
  body.push(...attribute32(FRA_PRIORITY, rule.priority), ...attribute32(FRA_TABLE, rule.table));
  body.push(...attribute(FRA_PROTOCOL, [PROTOCOL]));
  return message(body);
}

function routeMessage(route: Route): Uint8Array {
  const to = prefixOf(route.to);
  const ipv6 = to.bytes.length === 16;
  const device = typeof route.via === "string" ? null : route.via.device;
  const kind = device !== null ? RTN_UNICAST : route.via === "throw" ? RTN_THROW : RTN_UNREACHABLE;
  const scope = device !== null && !ipv6 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
  // family, destination length, source length, TOS, table, protocol, scope, type, flags.
  const family = ipv6 ? AF_INET6 : AF_INET;
  const body = [family, to.length, 0, 0, 0, PROTOCOL, scope, kind, 0, 0, 0, 0];
  if (to.length > 0) body.push(...attribute(RTA_DST, to.bytes));
  if (device !== null) {
    const index = interfaceIndex(device);
    if (index === 0) throw new SysError(`route to ${device}`, ENODEV);
    body.push(...attribute32(RTA_OIF, index));
  }
  body.push(...attribute32(RTA_PRIORITY, route.metric), ...attribute32(RTA_TABLE, route.table));
  return message(body);
}

function prefixOf(text: string): Prefix {
  const prefix = parsePrefix(text);
  if (prefix === null) throw new Error(`no prefix: ${text}`);
  return prefix;
}

function familyNumber(family: Family): number {
  return family === 4 ? AF_INET : AF_INET6;
}

function message(body: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + body.length);
  bytes.set(body, HEADER_BYTES);
  return bytes;
}

function attribute(type: number, value: ArrayLike<number>): number[] {
  const size = 4 + value.length;
  const bytes = [size & 0xff, size >> 8, type & 0xff, type >> 8, ...Array.from(value)];
  while (bytes.length % 4 !== 0) bytes.push(0);
  return bytes;
}

function attribute32(type: number, value: number): number[] {
  return attribute(type, [value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24]);
}

function zeroTerminated(text: string): Uint8Array {
  return Uint8Array.of(...new TextEncoder().encode(text), 0);
}
