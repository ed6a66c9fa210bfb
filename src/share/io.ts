import type { Block } from "./block.ts";
import type { Endpoint } from "./endpoint.ts";

/**
 * What outbound and inbound need of the outside world. `sys` implements these on a kernel, `test/sim` on a virtual clock.
 * Nothing here allocates per call; every method is non-blocking.
 */

/** A list of pieces that leave as one packet (writev's iovec). The caller owns it and the blocks it names. */
export class Gather {
  readonly blocks: (Block | undefined)[];
  readonly offsets: Int32Array;
  readonly lengths: Int32Array;
  count = 0;
  /** Sum of the lengths. */
  bytes = 0;

  constructor(capacity: number) {
    this.blocks = new Array<Block | undefined>(capacity).fill(undefined);
    this.offsets = new Int32Array(capacity);
    this.lengths = new Int32Array(capacity);
  }

  get capacity(): number {
    return this.offsets.length;
  }

  clear(): void {
    this.count = 0;
    this.bytes = 0;
  }

  add(block: Block, offset: number, length: number): void {
    this.blocks[this.count] = block;
    this.offsets[this.count] = offset;
    this.lengths[this.count] = length;
    this.count++;
    this.bytes += length;
  }
}

/** The TUN device. Every packet, both ways, begins with the 10-byte header of wire/virtio.ts. */
export interface TunDevice {
  /** Where `read` puts the next packet: header at 0, IP packet at 10. Valid until the next `read`. */
  readonly buffer: Block;
  /** True when the kernel takes and gives segments of up to 64 KB (TSO) and partial checksums. */
  readonly offloads: boolean;
  /** True when it also takes and gives several UDP packets of one flow and size as one (USO). */
  readonly udpOffloads: boolean;
  /** Reads one packet into `buffer`. Bytes read, header included; 0 = nothing waits. */
  read(): number;
  /** Writes one packet, the 10-byte header being its first bytes. False: the kernel did not take it. */
  write(packet: Gather): boolean;
}

/**
 * What became of a send: all taken; try again when writable; larger than this machine sends whole there; or refused. The
 * packets are gone but for the first, and of the last the path may be too.
 */
export type SendResult = "sent" | "full" | "tooBig" | "failed";

/** A UDP socket, non-blocking. */
export interface DatagramSocket {
  /** True when `send` may be given several datagrams at once (UDP_SEGMENT). May turn false if the kernel refuses later. */
  readonly segmentation: boolean;
  /** True: it has room for what is being made for it, and for no more. Absent where that is not known before. */
  readonly full?: boolean;
  /** True: another thread has yet to read something that came, or to send something. Absent where there is none. */
  readonly behind?: boolean;
  /** The connected peer; null for a socket that serves many. */
  readonly peer: Endpoint | null;
  /** The sender of the last `receive`, overwritten by the next. */
  readonly source: Endpoint;
  /** Bytes of IP packets sent and received since it was made, as a provider counts them, and their headers around each datagram. */
  readonly sentWireBytes: number;
  readonly receivedWireBytes: number;
  readonly headerBytes: number;
  /** Size of each datagram of the last `receive` but the last, which may be shorter (UDP_GRO). */
  readonly segment: number;
  /** Receives one datagram, or several of one sender and equal size, into `into`. Bytes; 0 = nothing waits. */
  receive(into: Block): number;
  /**
   * Sends `length` bytes as datagrams of `segment` bytes each (the last may be shorter). `to` null: the connected peer.
   * `fragments` 0, or left out: with Don't Fragment, also where the kernel has heard that they are too big. Otherwise whoever has to may
   * fragment them; of IPv6, which no router fragments, this machine does, to packets of so many bytes.
   */
  send(
    from: Block,
    offset: number,
    length: number,
    segment: number,
    to: Endpoint | null,
    fragments?: number,
  ): SendResult;
  /** The largest IP packet that the way to the peer carries, as far as the kernel has heard; 0 = it does not say. */
  mtu(to: Endpoint | null): number;
  /**
   * Binds and connects anew: its interface may be another of the same name, its address or route changed. `ifMoved`: only
   * when it would have another address of its own now, so that one that works is left alone.
   */
  refresh(ifMoved: boolean): Refreshed;
}

/** What became of a socket's connection: it is as before, it has been made anew, or there is no route now. */
export type Refreshed = "same" | "moved" | "no route";

/** What an interface can do for its path: carry, or why it cannot. */
export type InterfaceState = "up" | "down" | "no carrier" | "missing";

/** Watches this machine's interfaces. */
export interface InterfaceWatch {
  /** Takes what there is to hear and tells it in order: each new state, and "up" again when addresses or routes changed. */
  read(tell: (news: InterfaceNews) => void): void;
}

/** What the kernel tells of an interface. */
export interface InterfaceNews {
  readonly name: string;
  readonly state: InterfaceState;
  /** It leads out of this machine: no loopback, and no TUN device of any program. */
  readonly outward: boolean;
}

/** An AEAD under one key, one direction. 16 bytes of tag. The nonce is made of path id and packet number (wire/datagram.ts). */
export interface Aead {
  /**
   * Authenticates the `aadLength` bytes that stand at `outOffset` already, and writes the sealed plaintext and the
   * 16-byte tag behind them. `plain` may not overlap the output, unless it stands exactly where it is to be sealed.
   */
  seal(
    pathId: number,
    packetNumber: number,
    out: Block,
    outOffset: number,
    aadLength: number,
    plain: Block,
    plainOffset: number,
    plainLength: number,
  ): void;
  /**
   * Opens a datagram of `length` bytes (tag included) in place. False: not authentic, and the bytes are then undefined.
   */
  open(
    pathId: number,
    packetNumber: number,
    datagram: Block,
    offset: number,
    length: number,
    aadLength: number,
  ): boolean;
  /** Frees native memory and wipes the key. The object must not be used again. */
  close(): void;
}

/** A way to protect datagrams, negotiated in the handshake by `id`. */
export interface CipherSuite {
  readonly id: number;
  readonly name: string;
  /** False: authenticates only, the inner packets cross readable. */
  readonly encrypts: boolean;
  /** An AEAD under a 32-byte key. */
  aead(key: Uint8Array): Aead;
}

/** A suite with its speed class on this machine, 1 to 15 (proto/suites.ts). */
export interface RatedSuite extends CipherSuite {
  readonly speed: number;
}
