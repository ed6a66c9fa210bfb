/**
 * What the kernel has by rtnetlink (rtnetlink(7)): interfaces, their addresses, policy rules, routes, and which way a
 * packet would go. Questions only, blocking; for commands and for the start of a portal.
 */
import { SysError } from "./errno.ts";
import { dump, get, HEADER_BYTES } from "./netlink.ts";

const AF_INET = 2;
const AF_INET6 = 10;
const RTM_GETLINK = 18;
const RTM_GETADDR = 22;
const RTM_GETROUTE = 26;
const RTM_GETRULE = 34;

const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_LINKINFO = 18;
const IFLA_INFO_KIND = 1;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_METRICS = 8;
const RTA_TABLE = 15;
const RTA_VIA = 18;
const RTAX_MTU = 2;
const FRA_PRIORITY = 6;
const FRA_TABLE = 15;
const FRA_PROTOCOL = 21;
const RTM_F_LOOKUP_TABLE = 0x1000;
const RTN_UNICAST = 1;

const IFF_UP = 1;
const IFF_RUNNING = 0x40;

const LINK_BYTES = 16;
const ADDRESS_BYTES = 8;
const ROUTE_BYTES = 12;

export interface InterfaceEntry {
  readonly index: number;
  readonly name: string;
  readonly up: boolean;
  readonly carrier: boolean;
  readonly mtu: number;
  /** `wireguard`, `tun`, `veth` and so on; null for most hardware. */
  readonly kind: string | null;
}

export interface AddressEntry {
  readonly index: number;
  readonly address: Uint8Array;
  readonly prefixLength: number;
}

export interface RouteEntry {
  /** Number of the interface; 0 = several, or none. */
  readonly index: number;
  readonly prefixLength: number;
  readonly table: number;
}

export interface RuleEntry {
  readonly priority: number;
  readonly table: number;
  /** Who made it: the kernel, a routing daemon, portal; 0 = somebody who does not say. */
  readonly protocol: number;
}

/** The way to an address. */
export interface Way {
  readonly index: number;
  /** False: the address is taken to be a neighbour on the interface. */
  readonly gateway: boolean;
  /** 0: no route says so, IPv4 merely tries its luck on the interface that was asked for. */
  readonly table: number;
  /** The route's own MTU; 0 = the interface's. */
  readonly mtu: number;
}

export function listInterfaces(): InterfaceEntry[] {
  return askAll(RTM_GETLINK, new Uint8Array(LINK_BYTES)).flatMap((message) => {
    const { view } = message;
    const name = message.attribute(LINK_BYTES, IFLA_IFNAME);
    if (name === null) return [];
    const flags = view.getUint32(8, true);
    const info = message.attribute(LINK_BYTES, IFLA_LINKINFO);
    const kind = info === null ? null : new Message(info).attribute(0, IFLA_INFO_KIND);
    return {
      index: view.getInt32(4, true),
      name: textOf(name),
      up: (flags & IFF_UP) !== 0,
      carrier: (flags & IFF_RUNNING) !== 0,
      mtu: message.number(LINK_BYTES, IFLA_MTU),
      kind: kind === null ? null : textOf(kind),
    };
  });
}

export function listAddresses(): AddressEntry[] {
  return askAll(RTM_GETADDR, new Uint8Array(ADDRESS_BYTES)).flatMap((message) => {
    const address =
      message.attribute(ADDRESS_BYTES, IFA_LOCAL) ?? message.attribute(ADDRESS_BYTES, IFA_ADDRESS);
    if (address === null) return [];
    return { index: message.view.getInt32(4, true), address, prefixLength: message.view.getUint8(1) };
  });
}

/** Unicast routes of one family, in every table. */
export function listRoutes(ipv6: boolean): RouteEntry[] {
  const question = new Uint8Array(ROUTE_BYTES);
  question[0] = ipv6 ? AF_INET6 : AF_INET;
  const messages = askAll(RTM_GETROUTE, question);
  return messages
    .filter(({ view }) => view.getUint8(7) === RTN_UNICAST)
    .map((message) => ({
      index: message.number(ROUTE_BYTES, RTA_OIF),
      prefixLength: message.view.getUint8(1),
      table: message.number(ROUTE_BYTES, RTA_TABLE),
    }));
}

/** The policy rules of one family. */
export function listRules(ipv6: boolean): RuleEntry[] {
  const question = new Uint8Array(ROUTE_BYTES);
  question[0] = ipv6 ? AF_INET6 : AF_INET;
  return askAll(RTM_GETRULE, question).map((message) => ({
    priority: message.number(ROUTE_BYTES, FRA_PRIORITY),
    table: message.number(ROUTE_BYTES, FRA_TABLE),
    protocol: message.attribute(ROUTE_BYTES, FRA_PROTOCOL)?.[0] ?? 0,
  }));
}

/** The way to `address` out of interface number `index`, as a socket bound to it would go; 0 = any. Null: none. */
export function wayTo(address: Uint8Array, index: number): Way | null {
  const question = new Uint8Array(ROUTE_BYTES + 4 + address.length + 8);
  const view = new DataView(question.buffer);
  question[0] = address.length === 16 ? AF_INET6 : AF_INET;
  question[1] = address.length * 8;
  view.setUint32(8, RTM_F_LOOKUP_TABLE, true);
  view.setUint16(ROUTE_BYTES, 4 + address.length, true);
  view.setUint16(ROUTE_BYTES + 2, RTA_DST, true);
  question.set(address, ROUTE_BYTES + 4);
  const device = ROUTE_BYTES + 4 + address.length;
  view.setUint16(device, 8, true);
  view.setUint16(device + 2, RTA_OIF, true);
  view.setUint32(device + 4, index, true);
  let message: Message | null;
  try {
    // RTA_OIF comes last: without an interface it is left out.
    message = ask(RTM_GETROUTE, index === 0 ? question.subarray(0, device) : question);
  } catch (error) {
    // ENETUNREACH, EHOSTUNREACH, and what the type of a route says (EACCES for "prohibit", EINVAL for "blackhole").
    if (error instanceof SysError) return null;
    throw error;
  }
  if (message === null) return null;
  const metrics = message.attribute(ROUTE_BYTES, RTA_METRICS);
  const has = (type: number) => message.attribute(ROUTE_BYTES, type) !== null;
  return {
    index: message.number(ROUTE_BYTES, RTA_OIF),
    gateway: has(RTA_GATEWAY) || has(RTA_VIA),
    table: has(RTA_TABLE) ? message.number(ROUTE_BYTES, RTA_TABLE) : message.view.getUint8(4),
    mtu: metrics === null ? 0 : new Message(metrics).number(0, RTAX_MTU),
  };
}

/** What follows the header of a netlink message: a structure, then attributes. */
class Message {
  readonly view: DataView;
  private readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** The value of an attribute, of those that begin at `from`. */
  attribute(from: number, wanted: number): Uint8Array | null {
    for (let start = from; start + 4 <= this.bytes.length; ) {
      const size = this.view.getUint16(start, true);
      if (size < 4 || start + size > this.bytes.length) return null;
      // The upper two bits are flags.
      if ((this.view.getUint16(start + 2, true) & 0x3fff) === wanted)
        return this.bytes.subarray(start + 4, start + size);
      start += (size + 3) & ~3;
    }
    return null;
  }

  /** A 32-bit attribute; 0 when there is none. */
  number(from: number, wanted: number): number {
    const value = this.attribute(from, wanted);
    return value === null || value.length < 4 ? 0 : new Message(value).view.getUint32(0, true);
  }
}

function textOf(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}

/** Asks for everything of a kind. Throws SysError with what the kernel says. */
function askAll(type: number, body: Uint8Array): Message[] {
  const messages: Message[] = [];
  dump(questionOf(body), type, "netlink", (...found) => messages.push(messageOf(...found)));
  return messages;
}

/** Asks for one thing; null when there is no answer. Throws SysError with what the kernel says. */
function ask(type: number, body: Uint8Array): Message | null {
  let message: Message | null = null;
  get(questionOf(body), type, "netlink", (...found) => {
    message = messageOf(...found);
  });
  return message;
}

function questionOf(body: Uint8Array): Uint8Array {
  const question = new Uint8Array(HEADER_BYTES + body.length);
  question.set(body, HEADER_BYTES);
  return question;
}

function messageOf(view: DataView, body: number, end: number): Message {
  return new Message(new Uint8Array(view.buffer, view.byteOffset + body, end - body).slice());
}
