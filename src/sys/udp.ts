/**
 * UDP sockets by FFI: batches of datagrams in one call (UDP_SEGMENT, UDP_GRO; Linux 4.18 and 5.0), bound to an interface
 * (SO_BINDTODEVICE) on the local, answering from the address that was asked (IP_PKTINFO) on the remote.
 *
 * Datagrams have Don't Fragment set, whatever ICMP says (IP_PMTUDISC_PROBE), but for those that the caller lets be
 * fragmented: a path with a small MTU is slow then, not dead.
 */
import type { Block } from "../share/block.ts";
import { Endpoint } from "../share/endpoint.ts";
import type { DatagramSocket, Refreshed, SendResult } from "../share/io.ts";
import { EAGAIN, ECONNREFUSED, EINTR, EINVAL, EIO, EMSGSIZE, ENOBUFS, SysError } from "./errno.ts";
import { knownMtu, setFragments } from "./fragments.ts";
import { errno, libc } from "./libc.ts";
import { at, cString, nativeBlock, writePointer } from "./memory.ts";
import { SOL_IP, SOL_IPV6, SOL_SOCKET, SOL_UDP, setOption } from "./sockopt.ts";
import type { Adopted, UdpOptions } from "./udpoptions.ts";

const AF_UNSPEC = 0;
const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_DGRAM = 2;
const SOCK_FLAGS = 0o4000 | 0o2000000; // SOCK_NONBLOCK | SOCK_CLOEXEC

const SO_SNDBUF = 7;
const SO_RCVBUF = 8;
const SO_REUSEPORT = 15;
const SO_BINDTODEVICE = 25;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
const IP_PKTINFO = 8;
const IPV6_V6ONLY = 26;
const IPV6_RECVPKTINFO = 49;
const IPV6_PKTINFO = 50;
const UDP_SEGMENT = 103;
const UDP_GRO = 104;

const BUFFER_BYTES = 4 << 20;
/** IP and UDP headers around a datagram, which has no IP options. */
const HEADERS_IPV4 = 20 + 8;
const HEADERS_IPV6 = 40 + 8;
/** Empty datagrams that one `receive` passes over. */
const EMPTY_IN_A_ROW = 64;

/** struct msghdr: name 0, namelen 8, iov 16, iovlen 24, control 32, controllen 40, flags 48. */
const MSGHDR_BYTES = 56;
const CONTROL_BYTES = 256;
/** struct cmsghdr: length 8, level 4, type 4. */
const CMSG_BYTES = 16;
const SEGMENT_CMSG_BYTES = 24;

export class UdpSocket implements DatagramSocket {
  readonly fd: number;
  readonly source = new Endpoint(nativeBlock(Endpoint.size));
  segment = 0;
  segmentation: boolean;
  readonly receivesBatches: boolean;
  sentWireBytes = 0;
  receivedWireBytes = 0;
  readonly headerBytes: number;
  private readonly ipv6: boolean;
  /** Name of the interface it is bound to. */
  private readonly device: Block | null;
  private readonly message = nativeBlock(MSGHDR_BYTES);
  private readonly iovec = nativeBlock(16);
  private readonly receiveControl = nativeBlock(CONTROL_BYTES);
  private readonly sendControl = nativeBlock(CONTROL_BYTES);
  /** The connected peer. */
  peer: Endpoint | null = null;
  /** There was a route to it when it was last looked for. */
  routed = false;
  private segmentationRefused = false;
  /** What `send` was last told of fragments. */
  private fragments = 0;

  /** Throws SysError: ENODEV for an unknown interface, EPERM, EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT. */
  constructor(options: UdpOptions | Adopted) {
    this.ipv6 = options.ipv6;
    this.headerBytes = options.ipv6 ? HEADERS_IPV6 : HEADERS_IPV4;
    writePointer(this.message.view, 16, this.iovec.address);
    this.message.view.setUint32(24, 1, true);
    this.prepareSendControl();
    if ("fd" in options) {
      this.device = null;
      this.fd = options.fd;
      this.receivesBatches = options.receivesBatches;
      this.segmentation = options.segmentation;
      return;
    }
    this.device = options.device === undefined ? null : cString(options.device);
    this.fd = libc.socket(options.ipv6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_FLAGS, 0);
    if (this.fd < 0) throw new SysError("socket", errno());
    try {
      this.prepare(options);
    } catch (error) {
      this.close();
      throw error;
    }
    const offloads = options.offloads ?? true;
    this.receivesBatches = offloads && this.set(SOL_UDP, UDP_GRO, 1);
    // A segment size of 0 means none; a kernel that knows the option takes it.
    this.segmentation = offloads && this.set(SOL_UDP, UDP_SEGMENT, 0);
  }

  /** For another thread: of the same descriptor, which stays this one's to close. Either may send and receive. */
  get adopted(): Adopted {
    const { fd, ipv6, segmentation, receivesBatches } = this;
    return { fd, ipv6, segmentation, receivesBatches };
  }

  /** Fixes the peer; the kernel picks the local address by the route there. Throws SysError, ENETUNREACH without one. */
  connect(peer: Endpoint): void {
    this.peer = peer;
    this.routed = libc.connect(this.fd, at(peer.block), peer.length) === 0;
    if (!this.routed) throw new SysError("connect", errno());
  }

  /** True when a socket of this one's interface would have a route there. */
  reaches(peer: Endpoint): boolean {
    const probe = libc.socket(peer.isIpv6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_FLAGS, 0);
    if (probe < 0) return false;
    const reached = this.bindToDevice(probe) && libc.connect(probe, at(peer.block), peer.length) === 0;
    libc.close(probe);
    return reached;
  }

  refresh(ifMoved: boolean): Refreshed {
    const { peer } = this;
    if (peer === null) return "same";
    if (ifMoved && this.isCurrent(peer)) return "same";
    const port = this.local().port;
    const nobody = nativeBlock(16);
    nobody.view.setUint16(0, AF_UNSPEC, true);
    libc.connect(this.fd, at(nobody), 16);
    // Linux unbinds a socket from its interface and its port when it disconnects it. No interface: no route either.
    this.routed = false;
    if (!this.bindToDevice()) return "no route";
    // The same port again: what is under way comes there, and a NAT on the way knows it.
    this.bind(new Uint8Array(this.ipv6 ? 16 : 4), port);
    this.routed = libc.connect(this.fd, at(peer.block), peer.length) === 0;
    return this.routed ? "moved" : "no route";
  }

  /** True when a socket that is connected now gets the address this one has. */
  private isCurrent(peer: Endpoint): boolean {
    const probe = libc.socket(this.ipv6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_FLAGS, 0);
    if (probe < 0) return true;
    try {
      if (!this.bindToDevice(probe) || libc.connect(probe, at(peer.block), peer.length) !== 0) return false;
      const [a, b] = [this.local(), this.local(probe)].map(({ block, isIpv6 }) =>
        block.bytes.subarray(isIpv6 ? 8 : 4, isIpv6 ? 24 : 8).join(),
      );
      return a === b;
    } finally {
      libc.close(probe);
    }
  }

  receive(into: Block): number {
    // An empty datagram is nobody's; it must not pass for an empty socket, or it would end the caller's turn.
    for (let i = 0; i < EMPTY_IN_A_ROW; i++) {
      const bytes = this.receiveOnce(into);
      if (bytes !== 0) return Math.max(bytes, 0);
    }
    return 0;
  }

  /** Bytes of what was received; 0 for an empty datagram, negative when nothing waits. */
  private receiveOnce(into: Block): number {
    const { view } = this.message;
    writePointer(view, 0, this.source.block.address);
    view.setUint32(8, 28, true);
    this.setIovec(into, 0, into.bytes.length);
    writePointer(view, 32, this.receiveControl.address);
    view.setUint32(40, CONTROL_BYTES, true);
    const bytes = Number(libc.recvmsg(this.fd, at(this.message), 0));
    if (bytes < 0) return bytes;
    this.source.length = view.getUint32(8, true);
    this.segment = bytes;
    if (bytes > 0) this.readControl(view.getUint32(40, true));
    this.receivedWireBytes += wireBytes(bytes, this.segment, this.headerBytes);
    return bytes;
  }

  send(
    from: Block,
    offset: number,
    length: number,
    segment: number,
    to: Endpoint | null,
    fragments = 0,
  ): SendResult {
    if (fragments !== this.fragments) setFragments(this.fd, this.ipv6, fragments);
    this.fragments = fragments;
    if (length <= segment) return this.sendOnce(from, offset, length, 0, to);
    if (this.segmentation) {
      const result = this.sendOnce(from, offset, length, segment, to);
      if (!this.segmentationRefused) return result;
    }
    for (let sent = 0; sent < length; sent += segment) {
      const result = this.sendOnce(from, offset + sent, Math.min(segment, length - sent), 0, to);
      if (result !== "sent") return result;
    }
    return "sent";
  }

  /** Another thread has sent from this descriptor since, and was told this of fragments last. */
  assume(fragments: number): void {
    this.fragments = fragments;
  }

  mtu(to: Endpoint | null): number {
    if (to === null) return knownMtu(this.fd, this.ipv6);
    // A connected socket is told.
    const probe = libc.socket(this.ipv6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_FLAGS, 0);
    if (probe < 0) return 0;
    try {
      return libc.connect(probe, at(to.block), to.length) === 0 ? knownMtu(probe, this.ipv6) : 0;
    } finally {
      libc.close(probe);
    }
  }

  close(): void {
    libc.close(this.fd);
  }

  private sendOnce(
    from: Block,
    offset: number,
    length: number,
    segment: number,
    to: Endpoint | null,
  ): SendResult {
    const { view } = this.message;
    writePointer(view, 0, to === null ? 0 : to.block.address);
    view.setUint32(8, to === null ? 0 : to.length, true);
    this.setIovec(from, offset, length);
    const start = segment > 0 ? 0 : SEGMENT_CMSG_BYTES;
    let end = SEGMENT_CMSG_BYTES;
    if (segment > 0) this.sendControl.view.setUint16(CMSG_BYTES, segment, true);
    if (to !== null) end += this.writeLocalAddress(to);
    writePointer(view, 32, end > start ? this.sendControl.address + start : 0);
    view.setUint32(40, end - start, true);
    this.segmentationRefused = false;
    for (let attempt = 0; attempt < 3; attempt++) {
      if (Number(libc.sendmsg(this.fd, at(this.message), 0)) >= 0) {
        this.sentWireBytes += wireBytes(length, segment, this.headerBytes);
        return "sent";
      }
      const error = errno();
      if (error === EAGAIN || error === ENOBUFS) return "full";
      // The kernel reports an ICMP error of an earlier datagram, once, instead of sending.
      if (error === ECONNREFUSED || error === EINTR) continue;
      // So it does of "too big"; of what is too big for the interface itself, each time.
      if (error === EMSGSIZE && attempt < 2) continue;
      if (segment > 0 && (error === EIO || error === EINVAL || error === EMSGSIZE)) {
        // EIO: the interface has no checksum offload, for good. The others: this path's MTU, perhaps only now.
        if (error === EIO) this.segmentation = false;
        this.segmentationRefused = true;
      }
      return error === EMSGSIZE ? "tooBig" : "failed";
    }
    return "failed";
  }

  private prepare(options: UdpOptions): void {
    if (!this.bindToDevice()) throw new SysError("SO_BINDTODEVICE", errno());
    if (options.ipv6) this.set(SOL_IPV6, IPV6_V6ONLY, 1);
    setFragments(this.fd, this.ipv6, 0);
    if (options.packetInfo) {
      if (options.ipv6) this.set(SOL_IPV6, IPV6_RECVPKTINFO, 1);
      else this.set(SOL_IP, IP_PKTINFO, 1);
    }
    if (options.reusePort) this.set(SOL_SOCKET, SO_REUSEPORT, 1);
    // Above the sysctl limits where we may; what the limits grant elsewhere.
    if (!this.set(SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)) this.set(SOL_SOCKET, SO_RCVBUF, BUFFER_BYTES);
    if (!this.set(SOL_SOCKET, SO_SNDBUFFORCE, BUFFER_BYTES)) this.set(SOL_SOCKET, SO_SNDBUF, BUFFER_BYTES);
    if (options.port === undefined) return;
    const address = options.address ?? new Uint8Array(options.ipv6 ? 16 : 4);
    if (!this.bind(address, options.port)) throw new SysError("bind", errno());
  }

  private bind(address: Uint8Array, port: number): boolean {
    const local = endpointOf(address, port);
    return libc.bind(this.fd, at(local.block), local.length) === 0;
  }

  /** The address and port of its own; zeros where there are none yet. */
  private local(fd = this.fd): Endpoint {
    const local = new Endpoint(nativeBlock(Endpoint.size));
    local.length = 28;
    libc.getsockname(fd, at(local.block), at(local.block, 28));
    return local;
  }

  private bindToDevice(fd = this.fd): boolean {
    if (this.device === null) return true;
    const { bytes } = this.device;
    return libc.setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, at(this.device), bytes.length) === 0;
  }

  private set(level: number, option: number, value: number): boolean {
    return setOption(this.fd, level, option, value);
  }

  private setIovec(block: Block, offset: number, length: number): void {
    const { view } = this.iovec;
    writePointer(view, 0, block.address + offset);
    view.setUint32(8, length, true);
  }

  /** The segment size, then room for the local address. */
  private prepareSendControl(): void {
    const { view } = this.sendControl;
    view.setUint32(0, CMSG_BYTES + 2, true);
    view.setInt32(8, SOL_UDP, true);
    view.setInt32(12, UDP_SEGMENT, true);
    const info = SEGMENT_CMSG_BYTES;
    view.setUint32(info, CMSG_BYTES + (this.ipv6 ? 20 : 12), true);
    view.setInt32(info + 8, this.ipv6 ? SOL_IPV6 : SOL_IP, true);
    view.setInt32(info + 12, this.ipv6 ? IPV6_PKTINFO : IP_PKTINFO, true);
  }

  /** Fills in the address to send from, if the endpoint knows it. Bytes of control message. */
  private writeLocalAddress(to: Endpoint): number {
    const from = to.block.bytes;
    const out = this.sendControl.bytes;
    const size = this.ipv6 ? 16 : 4;
    let known = 0;
    for (let i = 0; i < size; i++) known |= from[32 + i]!;
    if (known === 0) return 0;
    // in_pktinfo: interface, source (4..7), destination; in6_pktinfo: address (0..15), interface.
    const data = SEGMENT_CMSG_BYTES + CMSG_BYTES + (this.ipv6 ? 0 : 4);
    for (let i = 0; i < size; i++) out[data + i] = from[32 + i]!;
    return this.ipv6 ? 40 : 32;
  }

  /** Reads the segment size and the local address out of the control messages of a receive. */
  private readControl(length: number): void {
    const { view, bytes } = this.receiveControl;
    const local = this.source.block.bytes;
    for (let offset = 0; offset + CMSG_BYTES <= length; ) {
      const size = view.getUint32(offset, true);
      if (size < CMSG_BYTES) return;
      const level = view.getInt32(offset + 8, true);
      const type = view.getInt32(offset + 12, true);
      const data = offset + CMSG_BYTES;
      if (level === SOL_UDP && type === UDP_GRO) this.segment = view.getInt32(data, true);
      else if (level === SOL_IP && type === IP_PKTINFO) copyBytes(local, 32, bytes, data + 8, 4);
      else if (level === SOL_IPV6 && type === IPV6_PKTINFO) copyBytes(local, 32, bytes, data, 16);
      offset += (size + 7) & ~7;
    }
  }
}

/** IP packets of so many bytes in datagrams of this size, the last of which may be shorter; 0 = in one. */
export function wireBytes(bytes: number, segment: number, headerBytes: number): number {
  return bytes + (segment > 0 ? Math.ceil(bytes / segment) : 1) * headerBytes;
}

function copyBytes(
  to: Uint8Array,
  toOffset: number,
  from: Uint8Array,
  fromOffset: number,
  length: number,
): void {
  for (let i = 0; i < length; i++) to[toOffset + i] = from[fromOffset + i]!;
}

/** An endpoint of an address (4 or 16 bytes) and port. */
export function endpointOf(address: Uint8Array, port: number): Endpoint {
  const endpoint = new Endpoint(nativeBlock(Endpoint.size));
  const { view, bytes } = endpoint.block;
  const ipv6 = address.length === 16;
  view.setUint16(0, ipv6 ? AF_INET6 : AF_INET, true);
  view.setUint16(2, port);
  bytes.set(address, ipv6 ? 8 : 4);
  endpoint.length = ipv6 ? 28 : 16;
  return endpoint;
}
