/**
 * Watching interfaces by rtnetlink (rtnetlink(7)): the kernel tells at once when one appears, goes down, loses its carrier,
 * is renamed or deleted, and when its addresses and routes change.
 */
import type { InterfaceNews, InterfaceState, InterfaceWatch } from "../share/io.ts";
import { EINTR, ENOBUFS, SysError } from "./errno.ts";
import { errno, libc } from "./libc.ts";
import { at, nativeBlock } from "./memory.ts";
import { Poller } from "./poll.ts";

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
const NLM_F_DUMP_INTR = 0x10;
const NLM_F_DUMP = 0x300;
const IFF_UP = 1;
const IFF_LOOPBACK = 8;
const IFF_RUNNING = 0x40;
const IFLA_IFNAME = 3;
const IFLA_LINKINFO = 18;
const IFLA_INFO_KIND = 1;
/** Attribute types without their flags (NLA_F_NESTED). */
const TYPE_BITS = 0x3fff;
/** What the kernel calls an interface without link layer, as a TUN is and a TAP is not. */
const ARPHRD_NONE = 0xfffe;
const RTA_OIF = 4;

const HEADER_BYTES = 16;
const LINK_BYTES = 16;
const ROUTE_BYTES = 12;
const BUFFER_BYTES = 65_536;

interface Known {
  name: string;
  state: InterfaceState;
  outward: boolean;
  /** Seen in the list of interfaces that is being read. */
  listed: boolean;
}

type Tell = (news: InterfaceNews) => void;

/** Longest wait for the kernel's list of interfaces, in microseconds; it takes some hundred. */
const LIST_WAIT = 1_000_000;

export class Interfaces implements InterfaceWatch {
  readonly fd: number;
  /** By the kernel's number, which no two interfaces share and none gets again. */
  private readonly known = new Map<number, Known>();
  private readonly buffer = nativeBlock(BUFFER_BYTES);
  private listing = false;
  /** Numbers of those whose addresses or routes changed: told once, however many did. */
  private readonly touched = new Set<number>();

  /** Throws SysError. */
  constructor() {
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

  /** Waits for the list of all interfaces, and tells it. */
  readFirst(tell: Tell): void {
    const poller = new Poller(1);
    poller.add(this.fd);
    while (this.listing && poller.wait(LIST_WAIT) > 0) this.read(tell);
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
      if (error !== ENOBUFS) break;
      // More happened than the socket could keep: look how things stand.
      this.list();
    }
    for (const number of this.touched) {
      const known = this.known.get(number);
      // Something that may open a way, or close one.
      if (known?.state === "up") tell({ name: known.name, state: "up", outward: known.outward });
    }
    this.touched.clear();
  }

  close(): void {
    libc.close(this.fd);
  }

  /** Asks for all interfaces; the answer comes as if each had just changed. */
  private list(): void {
    this.listing = true;
    for (const each of this.known.values()) each.listed = false;
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
    if (type === NLMSG_DONE) {
      // Changed while it was made: some may be missing in it.
      if ((view.getUint16(body - HEADER_BYTES + 6, true) & NLM_F_DUMP_INTR) !== 0) this.list();
      else this.onListed(tell);
    } else if (type === RTM_NEWLINK || type === RTM_DELLINK) {
      if (body + LINK_BYTES <= end) this.link(type === RTM_NEWLINK, body, end, tell);
    } else if (type === RTM_NEWADDR || type === RTM_DELADDR) {
      if (body + 8 <= end) this.touched.add(view.getUint32(body + 4, true));
    } else if (type === RTM_NEWROUTE || type === RTM_DELROUTE) {
      const device = this.attribute(RTA_OIF, body + ROUTE_BYTES, end);
      if (device >= 0 && device + 4 <= end) this.touched.add(view.getUint32(device, true));
    }
  }

  private link(exists: boolean, body: number, end: number, tell: Tell): void {
    const { bytes, view } = this.buffer;
    // Other families tell of a bridge's ports, which come and go while the interface stays.
    if (bytes[body] !== 0) return;
    const number = view.getInt32(body + 4, true);
    const flags = view.getUint32(body + 8, true);
    const name = this.nameAt(this.attribute(IFLA_IFNAME, body + LINK_BYTES, end), end);
    if (!exists) {
      this.forget(number, tell);
      return;
    }
    const state = stateOf(flags);
    const before = this.known.get(number);
    if (before !== undefined && before.name === name) {
      before.listed = true;
      if (before.state === state) return;
      before.state = state;
      tell({ name, state, outward: before.outward });
      return;
    }
    // Renamed; or another has this name now, and the end of the one that had it is still unread, or lost.
    this.forget(number, tell);
    for (const [other, each] of this.known) if (each.name === name) this.forget(other, tell);
    const tun = view.getUint16(body + 2, true) === ARPHRD_NONE && this.kindOf(body, end) === "tun";
    const outward = (flags & IFF_LOOPBACK) === 0 && !tun;
    this.known.set(number, { name, state, outward, listed: true });
    tell({ name, state, outward });
  }

  private forget(number: number, tell: Tell): void {
    const known = this.known.get(number);
    if (known === undefined) return;
    this.known.delete(number);
    tell({ name: known.name, state: "missing", outward: known.outward });
  }

  private onListed(tell: Tell): void {
    this.listing = false;
    for (const [number, { listed }] of this.known) if (!listed) this.forget(number, tell);
  }

  /** What made the interface: "tun", "veth", "" for what the kernel does not say. */
  private kindOf(body: number, end: number): string {
    const info = this.attribute(IFLA_LINKINFO, body + LINK_BYTES, end);
    if (info < 0) return "";
    const infoEnd = info - 4 + this.buffer.view.getUint16(info - 4, true);
    return this.nameAt(this.attribute(IFLA_INFO_KIND, info, infoEnd), infoEnd);
  }

  /** Where the value of an attribute begins; -1 when there is none. */
  private attribute(wanted: number, from: number, end: number): number {
    const { view } = this.buffer;
    for (let start = from; start + 4 <= end; ) {
      const size = view.getUint16(start, true);
      if (size < 4 || start + size > end) return -1;
      if ((view.getUint16(start + 2, true) & TYPE_BITS) === wanted) return start + 4;
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
