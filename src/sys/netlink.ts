/**
 * Requests to rtnetlink (rtnetlink(7), RFC 3549), and interfaces by it: number, MTU, addresses, up. One request, one
 * answer, blocking; used at start, not on the datagram path.
 */
import { EINVAL, SysError } from "./errno.ts";
import { errno, libc } from "./libc.ts";
import { at, cString, nativeBlock, writePointer } from "./memory.ts";

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const RTM_NEWLINK = 16;
const RTM_NEWADDR = 20;
const RTM_DELADDR = 21;
const NLM_F_REQUEST = 1;
const NLM_F_ACK = 4;
const NLM_F_DUMP = 0x300;
const NLM_F_REPLACE = 0x100;
const NLM_F_CREATE = 0x400;
const AF_INET = 2;
const AF_INET6 = 10;
const IFLA_MTU = 4;
const IFLA_TXQLEN = 13;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFF_UP = 1;
/** No duplicate address detection: nobody else is on a TUN. */
const IFA_F_NODAD = 2;

export const HEADER_BYTES = 16;
const ANSWER_BYTES = 65_536;
const LINK_BYTES = 16;
const ADDRESS_BYTES = 8;

/** Number of an interface; 0 when there is none of this name in our network namespace. */
export function interfaceIndex(name: string): number {
  return libc.if_nametoindex(at(cString(name)));
}

/** Sets MTU and transmit queue length (packets) and brings the interface up. */
export function bringUp(name: string, mtu: number, queueLength: number): void {
  const message = nativeBlock(HEADER_BYTES + LINK_BYTES + 16);
  const { view } = message;
  view.setInt32(HEADER_BYTES + 4, interfaceIndex(name), true);
  view.setUint32(HEADER_BYTES + 8, IFF_UP, true);
  view.setUint32(HEADER_BYTES + 12, IFF_UP, true);
  writeAttribute32(view, HEADER_BYTES + LINK_BYTES, IFLA_MTU, mtu);
  writeAttribute32(view, HEADER_BYTES + LINK_BYTES + 8, IFLA_TXQLEN, queueLength);
  request(message.bytes, RTM_NEWLINK, 0, `bring up ${name}`);
}

/** Sets the MTU of an interface, which stays up or down. */
export function setMtu(name: string, mtu: number): void {
  const message = nativeBlock(HEADER_BYTES + LINK_BYTES + 8);
  const { view } = message;
  view.setInt32(HEADER_BYTES + 4, interfaceIndex(name), true);
  writeAttribute32(view, HEADER_BYTES + LINK_BYTES, IFLA_MTU, mtu);
  request(message.bytes, RTM_NEWLINK, 0, `set the MTU of ${name}`);
}

/** Gives the interface an address (4 or 16 bytes) with a prefix length. */
export function addAddress(name: string, address: Uint8Array, prefixLength: number): void {
  const message = addressMessage(name, address, prefixLength);
  request(message, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, `add an address to ${name}`);
}

/** Takes it away again. */
export function removeAddress(name: string, address: Uint8Array, prefixLength: number): void {
  const message = addressMessage(name, address, prefixLength);
  request(message, RTM_DELADDR, 0, `remove an address from ${name}`);
}

function addressMessage(name: string, address: Uint8Array, prefixLength: number): Uint8Array {
  const attribute = 4 + address.length;
  const message = nativeBlock(HEADER_BYTES + ADDRESS_BYTES + 2 * attribute);
  const { bytes, view } = message;
  bytes[HEADER_BYTES] = address.length === 4 ? AF_INET : AF_INET6;
  bytes[HEADER_BYTES + 1] = prefixLength;
  bytes[HEADER_BYTES + 2] = address.length === 4 ? 0 : IFA_F_NODAD;
  view.setInt32(HEADER_BYTES + 4, interfaceIndex(name), true);
  let offset = HEADER_BYTES + ADDRESS_BYTES;
  for (const type of [IFA_LOCAL, IFA_ADDRESS]) {
    view.setUint16(offset, attribute, true);
    view.setUint16(offset + 2, type, true);
    bytes.set(address, offset + 4);
    offset += attribute;
  }
  return bytes;
}

function writeAttribute32(view: DataView, offset: number, type: number, value: number): void {
  view.setUint16(offset, 8, true);
  view.setUint16(offset + 2, type, true);
  view.setUint32(offset + 4, value, true);
}

/** Sends one request, whose first HEADER_BYTES are ours to fill, and reads its acknowledgement. Throws SysError named `what`. */
export function request(bytes: Uint8Array, type: number, flags: number, what: string): void {
  exchange(bytes, type, NLM_F_ACK | flags, what, () => {});
}

/** Sends one request and shows each message of the answer from its body on. Throws SysError named `what`. */
export function dump(
  bytes: Uint8Array,
  type: number,
  what: string,
  each: (view: DataView, body: number, end: number) => void,
): void {
  exchange(bytes, type, NLM_F_DUMP, what, each);
}

/** As `dump`, of a question that has one answer. */
export function get(
  bytes: Uint8Array,
  type: number,
  what: string,
  each: (view: DataView, body: number, end: number) => void,
): void {
  exchange(bytes, type, NLM_F_ACK, what, each);
}

function exchange(
  bytes: Uint8Array,
  type: number,
  flags: number,
  what: string,
  each: (view: DataView, body: number, end: number) => void,
): void {
  const fd = libc.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0);
  if (fd < 0) throw new SysError("netlink socket", errno());
  try {
    send(fd, bytes, type, flags, what);
    const answer = nativeBlock(ANSWER_BYTES);
    const { view } = answer;
    for (;;) {
      const length = Number(libc.read(fd, at(answer), ANSWER_BYTES));
      if (length < HEADER_BYTES + 4) throw new SysError(what, errno());
      for (let start = 0; start + HEADER_BYTES <= length; ) {
        const size = view.getUint32(start, true);
        const kind = view.getUint16(start + 4, true);
        const body = start + HEADER_BYTES;
        if (kind === NLMSG_DONE) return;
        if (kind === NLMSG_ERROR) {
          const error = view.getInt32(body, true);
          if (error !== 0) throw new SysError(what, -error);
          return;
        }
        if (size < HEADER_BYTES || start + size > length) throw new SysError(what, EINVAL);
        each(view, body, start + size);
        start += (size + 3) & ~3;
      }
    }
  } finally {
    libc.close(fd);
  }
}

function send(fd: number, bytes: Uint8Array, type: number, flags: number, what: string): void {
  const message = nativeBlock(bytes.length);
  message.bytes.set(bytes);
  message.view.setUint32(0, bytes.length, true);
  message.view.setUint16(4, type, true);
  message.view.setUint16(6, NLM_F_REQUEST | flags, true);
  const kernel = nativeBlock(12);
  kernel.view.setUint16(0, AF_NETLINK, true);
  const iovec = nativeBlock(16);
  writePointer(iovec.view, 0, message.address);
  iovec.view.setUint32(8, bytes.length, true);
  const header = nativeBlock(56);
  writePointer(header.view, 0, kernel.address);
  header.view.setUint32(8, 12, true);
  writePointer(header.view, 16, iovec.address);
  header.view.setUint32(24, 1, true);
  if (Number(libc.sendmsg(fd, at(header), 0)) < 0) throw new SysError(what, errno());
}
