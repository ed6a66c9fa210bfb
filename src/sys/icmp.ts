/**
 * Pings of chosen sizes out of one interface (RFC 792, RFC 4443), which no router on the way may fragment: the largest
 * that is answered shows what the way carries. For commands, not for a running portal. Needs CAP_NET_RAW.
 */
import type { Endpoint } from "../share/endpoint.ts";
import { SysError } from "./errno.ts";
import { errno, libc } from "./libc.ts";
import { at, cString, nativeBlock } from "./memory.ts";

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_RAW = 3;
const SOCK_FLAGS = 0o4000 | 0o2000000; // SOCK_NONBLOCK | SOCK_CLOEXEC
const IPPROTO_ICMP = 1;
const IPPROTO_ICMPV6 = 58;
const SOL_IP = 0;
const SOL_SOCKET = 1;
const SOL_IPV6 = 41;
const SO_BINDTODEVICE = 25;
const IP_MTU_DISCOVER = 10;
const IPV6_MTU_DISCOVER = 23;
const IPV6_DONTFRAG = 62;
/** Don't Fragment, and whatever was learned of the way's MTU before does not count. */
const PMTUDISC_PROBE = 3;

const ECHO_REQUEST = { 4: 8, 6: 128 } as const;
const ECHO_REPLY = { 4: 0, 6: 129 } as const;
const IP_HEADER = { 4: 20, 6: 40 } as const;
const ICMP_HEADER = 8;
const BUFFER_BYTES = 65_536;

export class Pinger {
  readonly fd: number;
  private readonly family: 4 | 6;
  private readonly packet = nativeBlock(BUFFER_BYTES);
  private readonly answer = nativeBlock(BUFFER_BYTES);
  private readonly id: number;

  /** `id` tells its answers from those of others. Throws SysError: EPERM, ENODEV, or what `connect` says of the route. */
  constructor(device: string, peer: Endpoint, id: number) {
    this.family = peer.isIpv6 ? 6 : 4;
    this.id = id & 0xffff;
    const [domain, protocol] = peer.isIpv6 ? [AF_INET6, IPPROTO_ICMPV6] : [AF_INET, IPPROTO_ICMP];
    this.fd = libc.socket(domain, SOCK_RAW | SOCK_FLAGS, protocol);
    if (this.fd < 0) throw new SysError("ICMP socket", errno());
    const name = cString(device);
    const bound = libc.setsockopt(this.fd, SOL_SOCKET, SO_BINDTODEVICE, at(name), name.bytes.length) === 0;
    if (!bound || libc.connect(this.fd, at(peer.block), peer.length) !== 0) {
      const error = new SysError(bound ? "connect" : "SO_BINDTODEVICE", errno());
      this.close();
      throw error;
    }
    if (this.family === 4) this.set(SOL_IP, IP_MTU_DISCOVER, PMTUDISC_PROBE);
    else {
      this.set(SOL_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_PROBE);
      this.set(SOL_IPV6, IPV6_DONTFRAG, 1);
    }
  }

  /** Sends one ping in an IP packet of `bytes`, by which its answer is known again. False: the kernel did not take it. */
  send(bytes: number): boolean {
    const length = bytes - IP_HEADER[this.family];
    const { view } = this.packet;
    view.setUint8(0, ECHO_REQUEST[this.family]);
    view.setUint8(1, 0);
    view.setUint16(2, 0);
    view.setUint16(4, this.id);
    view.setUint16(6, bytes);
    // The payload is zeros. The kernel makes the checksum of ICMPv6.
    if (this.family === 4) view.setUint16(2, checksum(view));
    return Number(libc.write(this.fd, at(this.packet), length)) === length;
  }

  /** The size of an answered ping; 0: no answer waits. */
  receive(): number {
    for (;;) {
      const length = Number(libc.read(this.fd, at(this.answer), BUFFER_BYTES));
      if (length <= 0) return 0;
      const { view } = this.answer;
      // Of IPv4 the socket gives the IP header, too.
      const start = this.family === 4 ? (view.getUint8(0) & 0x0f) * 4 : 0;
      if (length < start + ICMP_HEADER || view.getUint8(start) !== ECHO_REPLY[this.family]) continue;
      if (view.getUint16(start + 4) === this.id) return view.getUint16(start + 6);
    }
  }

  close(): void {
    libc.close(this.fd);
  }

  private set(level: number, option: number, value: number): void {
    const block = nativeBlock(4);
    block.view.setInt32(0, value, true);
    libc.setsockopt(this.fd, level, option, at(block), 4);
  }
}

/** Of a header whose payload is zeros, which add nothing (RFC 1071). */
function checksum(view: DataView): number {
  let sum = 0;
  for (let i = 0; i < ICMP_HEADER; i += 2) sum += view.getUint16(i);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
