/**
 * Watching interfaces by rtnetlink (rtnetlink(7)): the kernel tells at once when one appears, goes down, loses its carrier,
 * is renamed or deleted, and when its addresses and routes change. What its messages mean is in sys/links.ts.
 */
import type { InterfaceWatch } from "../share/io.ts";
import { EINTR, ENOBUFS, SysError } from "./errno.ts";
import { errno, libc } from "./libc.ts";
import { Links, type Tell } from "./links.ts";
import { at, nativeBlock } from "./memory.ts";
import { Poller } from "./poll.ts";

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_FLAGS = 0o4000 | 0o2000000; // SOCK_NONBLOCK | SOCK_CLOEXEC
/** RTMGRP_LINK, and the addresses and routes of IPv4 and IPv6. */
const GROUPS = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;
const RTM_GETLINK = 18;
const NLM_F_REQUEST = 1;
const NLM_F_DUMP = 0x300;

const REQUEST_BYTES = 16 + 16;
const BUFFER_BYTES = 65_536;

/** Longest wait for the kernel's list of interfaces, in microseconds; it takes some hundred. */
const LIST_WAIT = 1_000_000;

export class Interfaces implements InterfaceWatch {
  readonly fd: number;
  private readonly buffer = nativeBlock(BUFFER_BYTES);
  private readonly links = new Links(this.buffer);

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
    this.links.ask(this.request);
  }

  /** Waits for the list of all interfaces, and tells it. */
  readFirst(tell: Tell): void {
    const poller = new Poller(1);
    poller.add(this.fd);
    while (this.links.unsure && poller.wait(LIST_WAIT) > 0) this.read(tell);
  }

  read(tell: Tell): void {
    for (;;) {
      const length = Number(libc.read(this.fd, at(this.buffer), BUFFER_BYTES));
      if (length > 0) {
        this.links.take(length, tell);
        continue;
      }
      const error = length < 0 ? errno() : 0;
      if (error === EINTR) continue;
      if (error !== ENOBUFS) break;
      // More happened than the socket could keep: look how things stand.
      this.links.onLost();
    }
    this.links.ask(this.request);
    this.links.flush(tell);
  }

  /** Now and then: the kernel may have refused to say how things stand. */
  onTick(tell: Tell): void {
    if (!this.links.unsure) return;
    this.links.onTick();
    this.read(tell);
  }

  close(): void {
    libc.close(this.fd);
  }

  /** Asks for all interfaces; the answer comes as if each had just changed. */
  private readonly request = (sequence: number): boolean => {
    const request = nativeBlock(REQUEST_BYTES);
    request.view.setUint32(0, REQUEST_BYTES, true);
    request.view.setUint16(4, RTM_GETLINK, true);
    request.view.setUint16(6, NLM_F_REQUEST | NLM_F_DUMP, true);
    request.view.setUint32(8, sequence, true);
    return Number(libc.write(this.fd, at(request), REQUEST_BYTES)) === REQUEST_BYTES;
  };
}
