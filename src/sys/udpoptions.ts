/** How a UDP socket (sys/udp.ts) is made, or one that is there already taken up. */

export interface UdpOptions {
  readonly ipv6: boolean;
  /** Interface to bind to; needs CAP_NET_RAW on older kernels. */
  readonly device?: string;
  /** Local address (4 or 16 bytes) and port to bind; 0 = any. */
  readonly address?: Uint8Array;
  readonly port?: number;
  /** Ask for and set local addresses of datagrams: for a socket bound to no single address. */
  readonly packetInfo?: boolean;
  /** False: one datagram per call, as on a kernel without UDP_SEGMENT and UDP_GRO. */
  readonly offloads?: boolean;
  /** Others of this user may have the same address and port: the kernel gives each sender's datagrams to one of them. */
  readonly reusePort?: boolean;
}

/** A socket that another thread has made. */
export interface Adopted {
  readonly fd: number;
  readonly ipv6: boolean;
  readonly segmentation: boolean;
  readonly receivesBatches: boolean;
}
