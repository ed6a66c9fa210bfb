import type { Block } from "./block.ts";

/**
 * Where a datagram came from or goes to: a peer's socket address, and the local address it used.
 *
 * Layout of the block (what the kernel reads and writes in place):
 *   0..27   struct sockaddr_in or sockaddr_in6 (family in host order, port and address in network order)
 *   28..31  length of that structure (16 or 28; 0 = no endpoint yet)
 *   32..47  the local address the datagram arrived on (4 or 16 bytes; all zero = unknown)
 */
export class Endpoint {
  static readonly size = 48;
  readonly block: Block;

  constructor(block: Block) {
    this.block = block;
  }

  /** Bytes of the socket address that are in use; 0 = none. */
  get length(): number {
    return this.block.view.getInt32(28, true);
  }

  set length(value: number) {
    this.block.view.setInt32(28, value, true);
  }

  /** Same peer address and port; the local address may differ. */
  samePeer(other: Endpoint): boolean {
    const length = this.length;
    if (length !== other.length) return false;
    const a = this.block.bytes;
    const b = other.block.bytes;
    // Family, port, address; not sin6_flowinfo (4..7), which the kernel may fill in. sockaddr_in has its address at 4..7.
    for (let i = 0; i < 4; i++) if (a[i] !== b[i]) return false;
    const from = length === 28 ? 8 : 4;
    const to = length === 28 ? 28 : 8;
    for (let i = from; i < to; i++) if (a[i] !== b[i]) return false;
    return true;
  }

  copyFrom(other: Endpoint): void {
    const a = this.block.bytes;
    const b = other.block.bytes;
    for (let i = 0; i < Endpoint.size; i++) a[i] = b[i]!;
  }

  /** True when the peer is reached over IPv6. */
  get isIpv6(): boolean {
    return this.length === 28;
  }

  get port(): number {
    return this.block.view.getUint16(2);
  }
}
