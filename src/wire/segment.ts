/**
 * Cuts what the TUN gave in one read (up to 64 KB of one flow behind a virtio header) into the packets that cross the
 * paths: TCP segmentation (TSO), UDP segmentation (USO), or one packet as it is. Only header arithmetic: payload
 * checksums are left to the kernel that writes the packet on the other side (FLAG_CHECKSUM_TRUSTED), or finished here
 * for the rare packet whose partial checksum the other side could not describe.
 */
import type { Block, Copy } from "../share/block.ts";
import { FLAG_CHECKSUM_TRUSTED } from "./datagram.ts";
import {
  CWR,
  checksumOffset,
  FIN,
  finishChecksum,
  ipHeaderBytes,
  ipIsWhole,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  PSH,
  TCP_DATA_OFFSET,
  TCP_FLAGS,
  TCP_MIN_BYTES,
  TCP_SEQUENCE,
  transportOf,
  UDP_BYTES,
  UDP_CHECKSUM,
  UDP_LENGTH,
  writeIpv4Checksum,
} from "./ip.ts";
import {
  FLAG_DATA_VALID,
  FLAG_NEEDS_CSUM,
  GSO_ECN,
  GSO_NONE,
  GSO_TCPV4,
  GSO_TCPV6,
  GSO_UDP_L4,
  VIRTIO_BYTES,
} from "./virtio.ts";

export class Segmenter {
  /** Data flags for every packet of this read. */
  flags = 0;
  private readonly packet: Block;
  private readonly copy: Copy;
  private length = 0;
  private header = 0;
  private ipHeader = 0;
  private protocol = 0;
  private segment = 0;
  private at = 0;
  private count = 0;
  private software = false;

  /** `packet` is the block the TUN reads into. */
  constructor(packet: Block, copy: Copy) {
    this.packet = packet;
    this.copy = copy;
  }

  /** Takes a fresh read of `bytes` bytes. False: not a packet portal can carry. */
  load(bytes: number): boolean {
    const { packet } = this;
    this.length = 0;
    this.at = 0;
    this.count = 0;
    const length = bytes - VIRTIO_BYTES;
    if (!ipIsWhole(packet, VIRTIO_BYTES, length)) return false;
    this.ipHeader = ipHeaderBytes(packet, VIRTIO_BYTES);
    this.protocol = transportOf(packet, VIRTIO_BYTES);
    const type = packet.bytes[1]! & ~GSO_ECN;
    if (type === GSO_NONE) {
      this.segment = 0;
      this.header = length;
    } else if (!this.loadSegments(type, length)) {
      return false;
    }
    this.loadChecksum(length);
    this.length = length;
    return true;
  }

  /** Largest packet of this read, in bytes. */
  get largest(): number {
    return this.segment === 0 ? this.length : Math.min(this.header + this.segment, this.length);
  }

  /** Packets this read becomes. */
  get packets(): number {
    return this.segment === 0 ? 1 : Math.ceil((this.length - this.header) / this.segment);
  }

  /** Writes the next packet at `to`, whose room must be `largest`. Its length; 0 when all have been given. */
  next(to: Block, offset: number): number {
    if (this.at >= this.length) return 0;
    if (this.segment === 0) return this.whole(to, offset);
    if (this.at === 0) this.at = this.header;
    const payload = Math.min(this.segment, this.length - this.at);
    this.copy(to, offset, this.packet, VIRTIO_BYTES, this.header);
    this.copy(to, offset + this.header, this.packet, VIRTIO_BYTES + this.at, payload);
    this.fix(to, offset, payload);
    this.at += payload;
    this.count++;
    return this.header + payload;
  }

  private loadSegments(type: number, length: number): boolean {
    const { packet } = this;
    this.segment = packet.view.getUint16(4, true);
    if (this.segment === 0) return false;
    const transport = VIRTIO_BYTES + this.ipHeader;
    if ((type === GSO_TCPV4 || type === GSO_TCPV6) && this.protocol === PROTOCOL_TCP) {
      if (length < this.ipHeader + TCP_MIN_BYTES) return false;
      const tcpHeader = (packet.bytes[transport + TCP_DATA_OFFSET]! >> 4) * 4;
      this.header = this.ipHeader + tcpHeader;
      return tcpHeader >= TCP_MIN_BYTES && this.header < length;
    }
    if (type === GSO_UDP_L4 && this.protocol === PROTOCOL_UDP) {
      this.header = this.ipHeader + UDP_BYTES;
      return this.header < length;
    }
    return false;
  }

  /** Decides who makes the transport checksum. */
  private loadChecksum(length: number): void {
    const { packet } = this;
    const virtioFlags = packet.bytes[0]!;
    const field = checksumOffset(this.protocol);
    this.flags = 0;
    this.software = false;
    if ((virtioFlags & FLAG_NEEDS_CSUM) !== 0) {
      const start = packet.view.getUint16(6, true);
      const offset = packet.view.getUint16(8, true);
      if (field >= 0 && start === this.ipHeader && offset === field) this.flags = FLAG_CHECKSUM_TRUSTED;
      else this.software = this.segment === 0 && start + offset + 2 <= length;
    } else if ((virtioFlags & FLAG_DATA_VALID) !== 0 && field >= 0 && length >= this.ipHeader + field + 2) {
      // A UDP checksum of zero means there is none (RFC 768); making one would change the packet.
      const none =
        this.protocol === PROTOCOL_UDP && packet.view.getUint16(VIRTIO_BYTES + this.ipHeader + field) === 0;
      if (!none) this.flags = FLAG_CHECKSUM_TRUSTED;
    }
  }

  private whole(to: Block, offset: number): number {
    this.copy(to, offset, this.packet, VIRTIO_BYTES, this.length);
    if (this.software) {
      const start = this.packet.view.getUint16(6, true);
      finishChecksum(to, offset, this.length, start, this.packet.view.getUint16(8, true));
    }
    this.at = this.length;
    return this.length;
  }

  /** Makes the copied header that of segment number `count`. */
  private fix(to: Block, offset: number, payload: number): void {
    const { view, bytes } = to;
    const transport = offset + this.ipHeader;
    if (bytes[offset]! >> 4 === 4) {
      view.setUint16(offset + 2, this.header + payload);
      view.setUint16(offset + 4, (view.getUint16(offset + 4) + this.count) & 0xffff);
      writeIpv4Checksum(to, offset);
    } else {
      view.setUint16(offset + 4, this.header + payload - 40);
    }
    if (this.protocol === PROTOCOL_TCP) {
      view.setUint32(
        transport + TCP_SEQUENCE,
        (view.getUint32(transport + TCP_SEQUENCE) + this.at - this.header) >>> 0,
      );
      let flags = bytes[transport + TCP_FLAGS]!;
      if (this.at + payload < this.length) flags &= ~(FIN | PSH);
      if (this.count > 0) flags &= ~CWR;
      bytes[transport + TCP_FLAGS] = flags;
    } else {
      view.setUint16(transport + UDP_LENGTH, UDP_BYTES + payload);
      view.setUint16(transport + UDP_CHECKSUM, 0);
    }
  }
}
