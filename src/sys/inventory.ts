/**
 * What the kernel has by rtnetlink (rtnetlink(7)): interfaces, their addresses, policy rules, routes, and which way a
 * packet would go. Questions only, each with a socket of its own, blocking; for commands, not for a running portal.
 */
import { SysError } from "./errno.ts";
import { errno, libc } from "./libc.ts";
import { at, nativeBlock } from "./memory.ts";

const AF_NETLINK = 16;
const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_RAW_CLOEXEC = 3 | 0o2000000;
const NLM_F_REQUEST = 1;
const NLM_F_DUMP = 0x300;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
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
const RTM_F_LOOKUP_TABLE = 0x1000;
const RTN_UNICAST = 1;

const IFF_UP = 1;
const IFF_RUNNING = 0x40;

const HEADER_BYTES = 16;
const LINK_BYTES = 16;
const ADDRESS_BYTES = 8;
const ROUTE_BYTES = 12;
const BUFFER_BYTES = 1 << 17;

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
  return ask(RTM_GETLINK, NLM_F_DUMP, new Uint8Array(LINK_BYTES)).flatMap((message) => {
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
  return ask(RTM_GETADDR, NLM_F_DUMP, new Uint8Array(ADDRESS_BYTES)).flatMap((message) => {
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
  const messages = ask(RTM_GETROUTE, NLM_F_DUMP, question);
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
  return ask(RTM_GETRULE, NLM_F_DUMP, question).map((message) => ({
    priority: message.number(ROUTE_BYTES, FRA_PRIORITY),
    table: message.number(ROUTE_BYTES, FRA_TABLE),
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
  let message: Message | undefined;
  try {
    // RTA_OIF comes last: without an interface it is left out.
    [message] = ask(RTM_GETROUTE, 0, index === 0 ? question.subarray(0, device) : question);
  } catch (error) {
    // ENETUNREACH, EHOSTUNREACH, and what the type of a route says (EACCES for "prohibit", EINVAL for "blackhole").
    if (error instanceof SysError) return null;
    throw error;
  }
  if (message === undefined) return null;
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

/** Sends one question and reads the whole answer. Throws SysError with what the kernel says. */
function ask(type: number, flags: number, body: Uint8Array): Message[] {
  const fd = libc.socket(AF_NETLINK, SOCK_RAW_CLOEXEC, 0);
  if (fd < 0) throw new SysError("netlink socket", errno());
  try {
    const question = nativeBlock(HEADER_BYTES + body.length);
    question.view.setUint32(0, question.bytes.length, true);
    question.view.setUint16(4, type, true);
    question.view.setUint16(6, NLM_F_REQUEST | flags, true);
    question.bytes.set(body, HEADER_BYTES);
    if (Number(libc.write(fd, at(question), question.bytes.length)) < 0)
      throw new SysError("netlink", errno());
    const messages: Message[] = [];
    const buffer = nativeBlock(BUFFER_BYTES);
    for (;;) {
      const length = Number(libc.read(fd, at(buffer), BUFFER_BYTES));
      if (length <= 0) throw new SysError("netlink", length < 0 ? errno() : 0);
      for (let start = 0; start + HEADER_BYTES <= length; ) {
        const size = buffer.view.getUint32(start, true);
        if (size < HEADER_BYTES || start + size > length) break;
        const kind = buffer.view.getUint16(start + 4, true);
        if (kind === NLMSG_DONE) return messages;
        if (kind === NLMSG_ERROR) {
          const error = -buffer.view.getInt32(start + HEADER_BYTES, true);
          if (error === 0) return messages;
          throw new SysError("netlink", error);
        }
        messages.push(new Message(buffer.bytes.slice(start + HEADER_BYTES, start + size)));
        start += (size + 3) & ~3;
      }
      // A question without NLM_F_DUMP has one answer and nothing behind it.
      if (flags === 0) return messages;
    }
  } finally {
    libc.close(fd);
  }
}
