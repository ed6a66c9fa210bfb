/**
 * Watching interfaces by rtnetlink (rtnetlink(7)): the kernel tells at once when one goes down, loses its carrier, is
 * deleted or made anew, and when its addresses and routes change. Each interface is watched by its name.
 */
import type { InterfaceState, InterfaceWatch } from "../share/io.ts";
import { EINTR, ENOBUFS, SysError } from "./errno.ts";
import { errno, libc } from "./libc.ts";
import { at, nativeBlock } from "./memory.ts";

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_FLAGS = 0o4000 | 0o2000000; // SOCK_NONBLOCK | SOCK_CLOEXEC
/** RTMGRP_LINK, and the addresses and routes of IPv4 and IPv6. */
const GROUPS = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;

const NLMSG_DONE = 3;
const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;
const RTM_GETLINK = 18;
const RTM_NEWADDR = 20;
const RTM_DELADDR = 21;
const RTM_NEWROUTE = 24;
const RTM_DELROUTE = 25;
const NLM_F_REQUEST = 1;
const NLM_F_DUMP = 0x300;
const IFF_UP = 1;
const IFF_RUNNING = 0x40;
const IFLA_IFNAME = 3;
const RTA_OIF = 4;

const HEADER_BYTES = 16;
const LINK_BYTES = 16;
const ROUTE_BYTES = 12;
const BUFFER_BYTES = 65_536;

interface Watched {
  readonly name: string;
  /** The kernel's number; 0 = none has this name. */
  number: number;
  state: InterfaceState;
  /** Seen in the list of interfaces that is being read. */
  listed: boolean;
}

type Tell = (index: number, state: InterfaceState) => void;

export class Interfaces implements InterfaceWatch {
  readonly fd: number;
  private readonly watched: Watched[];
  private readonly buffer = nativeBlock(BUFFER_BYTES);

  /** Throws SysError. */
  constructor(names: readonly string[]) {
    this.watched = names.map((name) => ({ name, number: 0, state: "up", listed: false }));
    this.fd = libc.socket(AF_NETLINK, SOCK_RAW | SOCK_FLAGS, 0);
    if (this.fd < 0) throw new SysError("netlink socket", errno());
    const address = nativeBlock(12);
    address.view.setUint16(0, AF_NETLINK, true);
    address.view.setUint32(8, GROUPS, true);
    if (libc.bind(this.fd, at(address), 12) !== 0) {
      const error = new SysError("bind netlink socket", errno());
      this.close();
      throw error;
    }
    this.list();
  }

  read(tell: Tell): void {
    for (;;) {
      const length = Number(libc.read(this.fd, at(this.buffer), BUFFER_BYTES));
      if (length > 0) {
        this.messages(length, tell);
        continue;
      }
      const error = length < 0 ? errno() : 0;
      if (error === EINTR) continue;
      if (error !== ENOBUFS) return;
      // More happened than the socket could keep: look how things stand.
      this.list();
    }
  }

  close(): void {
    libc.close(this.fd);
  }

  /** Asks for all interfaces; the answer comes as if each had just changed. */
  private list(): void {
    for (const each of this.watched) each.listed = false;
    const request = nativeBlock(HEADER_BYTES + LINK_BYTES);
    request.view.setUint32(0, HEADER_BYTES + LINK_BYTES, true);
    request.view.setUint16(4, RTM_GETLINK, true);
    request.view.setUint16(6, NLM_F_REQUEST | NLM_F_DUMP, true);
    libc.write(this.fd, at(request), HEADER_BYTES + LINK_BYTES);
  }

  private messages(length: number, tell: Tell): void {
    const { view } = this.buffer;
    for (let start = 0; start + HEADER_BYTES <= length; ) {
      const size = view.getUint32(start, true);
      if (size < HEADER_BYTES || start + size > length) return;
      this.message(view.getUint16(start + 4, true), start + HEADER_BYTES, start + size, tell);
      start += (size + 3) & ~3;
    }
  }

  private message(type: number, body: number, end: number, tell: Tell): void {
    const { view } = this.buffer;
    if (type === NLMSG_DONE) this.onListed(tell);
    else if (type === RTM_NEWLINK || type === RTM_DELLINK) {
      if (body + LINK_BYTES <= end) this.link(type === RTM_NEWLINK, body, end, tell);
    } else if (type === RTM_NEWADDR || type === RTM_DELADDR) {
      if (body + 8 <= end) this.touch(view.getUint32(body + 4, true), tell);
    } else if (type === RTM_NEWROUTE || type === RTM_DELROUTE) {
      const device = this.attribute(RTA_OIF, body + ROUTE_BYTES, end);
      if (device >= 0) this.touch(view.getUint32(device, true), tell);
    }
  }

  private link(exists: boolean, body: number, end: number, tell: Tell): void {
    const { bytes, view } = this.buffer;
    // Other families tell of a bridge's ports, which come and go while the interface stays.
    if (bytes[body] !== 0) return;
    const number = view.getInt32(body + 4, true);
    const flags = view.getUint32(body + 8, true);
    const name = this.nameAt(this.attribute(IFLA_IFNAME, body + LINK_BYTES, end), end);
    for (const [index, each] of this.watched.entries()) {
      if (each.name === name && exists) {
        // Made anew, its end being still unread or lost: not the one that was.
        if (each.number !== 0 && each.number !== number) this.become(index, "missing", tell);
        each.number = number;
        each.listed = true;
        this.become(index, stateOf(flags), tell);
      } else if (each.number === number) {
        // Deleted, or renamed.
        each.number = 0;
        this.become(index, "missing", tell);
      }
    }
  }

  private onListed(tell: Tell): void {
    for (const [index, each] of this.watched.entries()) {
      if (each.listed) continue;
      each.number = 0;
      this.become(index, "missing", tell);
    }
  }

  private become(index: number, state: InterfaceState, tell: Tell): void {
    const each = this.watched[index]!;
    if (each.state === state) return;
    each.state = state;
    tell(index, state);
  }

  /** Something about an interface that may open a way again. */
  private touch(number: number, tell: Tell): void {
    for (const [index, each] of this.watched.entries()) {
      if (each.number === number && each.state === "up") tell(index, "up");
    }
  }

  /** Where the value of an attribute begins; -1 when there is none. */
  private attribute(wanted: number, from: number, end: number): number {
    const { view } = this.buffer;
    for (let start = from; start + 4 <= end; ) {
      const size = view.getUint16(start, true);
      if (size < 4 || start + size > end) return -1;
      if (view.getUint16(start + 2, true) === wanted) return size >= 8 ? start + 4 : -1;
      start += (size + 3) & ~3;
    }
    return -1;
  }

  private nameAt(start: number, end: number): string {
    if (start < 0) return "";
    const { bytes } = this.buffer;
    let stop = start;
    while (stop < end && bytes[stop] !== 0) stop++;
    return new TextDecoder().decode(bytes.subarray(start, stop));
  }
}

function stateOf(flags: number): InterfaceState {
  if ((flags & IFF_UP) === 0) return "down";
  return (flags & IFF_RUNNING) === 0 ? "no carrier" : "up";
}
