/**
 * Interfaces by rtnetlink (rtnetlink(7), RFC 3549): number, MTU, addresses, up. One request, one answer, blocking; used
 * at start, not on the datagram path.
 */
import { SysError } from "./errno.ts";
import { errno, libc } from "./libc.ts";
import { at, cString, nativeBlock, writePointer } from "./memory.ts";

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const NLMSG_ERROR = 2;
const RTM_NEWLINK = 16;
const RTM_NEWADDR = 20;
const NLM_F_REQUEST = 1;
const NLM_F_ACK = 4;
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

const HEADER_BYTES = 16;
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

/** Gives the interface an address (4 or 16 bytes) with a prefix length. */
export function addAddress(name: string, address: Uint8Array, prefixLength: number): void {
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
  request(bytes, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, `add an address to ${name}`);
}

function writeAttribute32(view: DataView, offset: number, type: number, value: number): void {
  view.setUint16(offset, 8, true);
  view.setUint16(offset + 2, type, true);
  view.setUint32(offset + 4, value, true);
}

/** Sends one request and reads its acknowledgement. Throws SysError named `what`. */
function request(bytes: Uint8Array, type: number, flags: number, what: string): void {
  const fd = libc.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0);
  if (fd < 0) throw new SysError("netlink socket", errno());
  try {
    const message = nativeBlock(bytes.length);
    message.bytes.set(bytes);
    message.view.setUint32(0, bytes.length, true);
    message.view.setUint16(4, type, true);
    message.view.setUint16(6, NLM_F_REQUEST | NLM_F_ACK | flags, true);
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
    const answer = nativeBlock(1024);
    const length = Number(libc.read(fd, at(answer), 1024));
    if (length < HEADER_BYTES + 4) throw new SysError(what, errno());
    const error =
      answer.view.getUint16(4, true) === NLMSG_ERROR ? answer.view.getInt32(HEADER_BYTES, true) : 0;
    if (error !== 0) throw new SysError(what, -error);
  } finally {
    libc.close(fd);
  }
}
