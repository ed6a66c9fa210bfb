/**
 * Writes inner packets to the TUN. Consecutive in-order segments of one TCP flow become one write with a virtio header
 * (gso_size and a partial checksum), as the kernel's own GRO would merge them: 45 packets in one system call, and no
 * payload checksum is computed by anyone before the receiving application's kernel.
 *
 * Only packets whose transport checksum the sending kernel vouched for are merged or have it made anew; others are
 * written as they came. The caller owns the memory and keeps it until `flush`.
 */
import type { Block } from "../share/block.ts";
import type { DropCounters } from "../share/counters.ts";
import { Gather, type TunDevice } from "../share/io.ts";
import { FLAG_CHECKSUM_TRUSTED } from "../wire/datagram.ts";
import {
  ACK,
  addressBytes,
  checksumOffset,
  FIN,
  finishChecksum,
  ipHeaderBytes,
  PROTOCOL_TCP,
  PSH,
  pseudoHeaderSum,
  sourceOffset,
  TCP_ACK,
  TCP_DATA_OFFSET,
  TCP_FLAGS,
  TCP_MIN_BYTES,
  TCP_SEQUENCE,
  TCP_WINDOW,
  transportOf,
  writeIpv4Checksum,
} from "../wire/ip.ts";
import { FLAG_NEEDS_CSUM, GSO_NONE, GSO_TCPV4, GSO_TCPV6, VIRTIO_BYTES } from "../wire/virtio.ts";
import type { PacketSink } from "./resequencer.ts";

/** Segments in one write: 64 KB of the usual size, and the gather list's bound. */
const MAX_SEGMENTS = 64;
/** Largest IP packet. */
const MAX_BYTES = 65_535;

export class Deliverer implements PacketSink {
  /** Packets and bytes (of inner packets) the TUN took, and writes they took. */
  packets = 0;
  bytes = 0;
  writes = 0;
  private readonly tun: TunDevice;
  private readonly drops: DropCounters;
  private readonly virtio: Block;
  private readonly gather = new Gather(MAX_SEGMENTS + 2);

  // The run being merged: its first packet and what its next segment must look like.
  private block: Block | null = null;
  private offset = 0;
  private header = 0;
  private ipHeader = 0;
  private segment = 0;
  private nextSequence = 0;
  private segments = 0;
  private closed = false;

  /** `virtio`: a block of VIRTIO_BYTES for the header. */
  constructor(tun: TunDevice, virtio: Block, drops: DropCounters) {
    this.tun = tun;
    this.virtio = virtio;
    this.drops = drops;
  }

  /** A whole IP packet (wire/ip.ts, ipIsWhole), the next of its flow. */
  deliver(block: Block, offset: number, length: number, flags: number): void {
    const trusted = (flags & FLAG_CHECKSUM_TRUSTED) !== 0;
    const protocol = transportOf(block, offset);
    if (trusted && protocol === PROTOCOL_TCP && this.tun.offloads) {
      if (this.block !== null && this.extend(block, offset, length)) return;
      this.flush();
      if (this.begin(block, offset, length)) return;
    } else {
      this.flush();
    }
    this.single(block, offset, length, trusted ? protocol : -1);
  }

  /** Writes what is still being merged. */
  flush(): void {
    const block = this.block;
    if (block === null) return;
    this.block = null;
    const { offset, gather } = this;
    const total = gather.bytes - VIRTIO_BYTES;
    if (this.segments > 1) {
      if (block.bytes[offset]! >> 4 === 4) {
        block.view.setUint16(offset + 2, total);
        writeIpv4Checksum(block, offset);
      } else {
        block.view.setUint16(offset + 4, total - 40);
      }
    }
    this.askChecksum(block, offset, total, PROTOCOL_TCP, this.segments > 1 ? this.segment : 0);
    this.write(this.segments);
  }

  /** Starts a run with this packet, if it is a plain TCP segment with payload. */
  private begin(block: Block, offset: number, length: number): boolean {
    const ipHeader = ipHeaderBytes(block, offset);
    if (block.bytes[offset]! >> 4 === 4 && ipHeader !== 20) return false;
    if (length < ipHeader + TCP_MIN_BYTES) return false;
    const tcp = offset + ipHeader;
    const header = ipHeader + (block.bytes[tcp + TCP_DATA_OFFSET]! >> 4) * 4;
    const payload = length - header;
    const flags = block.bytes[tcp + TCP_FLAGS]!;
    if (payload <= 0 || header < ipHeader + TCP_MIN_BYTES || (flags & ~PSH) !== ACK) return false;
    this.block = block;
    this.offset = offset;
    this.header = header;
    this.ipHeader = ipHeader;
    this.segment = payload;
    this.nextSequence = (block.view.getUint32(tcp + TCP_SEQUENCE) + payload) >>> 0;
    this.segments = 1;
    this.closed = (flags & PSH) !== 0;
    this.gather.clear();
    this.gather.add(this.virtio, 0, VIRTIO_BYTES);
    this.gather.add(block, offset, length);
    return true;
  }

  /** Adds the packet to the run if it is exactly the next segment. */
  private extend(block: Block, offset: number, length: number): boolean {
    const payload = length - this.header;
    if (this.closed || payload <= 0 || payload > this.segment || this.segments === MAX_SEGMENTS) return false;
    if (this.gather.bytes - VIRTIO_BYTES + payload > MAX_BYTES) return false;
    const tcp = offset + this.ipHeader;
    if (block.view.getUint32(tcp + TCP_SEQUENCE) !== this.nextSequence) return false;
    const flags = block.bytes[tcp + TCP_FLAGS]!;
    if ((flags & ~(PSH | FIN)) !== ACK || !this.sameHeader(block, offset)) return false;
    this.gather.add(block, offset + this.header, payload);
    this.nextSequence = (this.nextSequence + payload) >>> 0;
    this.segments++;
    if (payload < this.segment || (flags & (PSH | FIN)) !== 0) {
      this.closed = true;
      this.block!.bytes[this.offset + this.ipHeader + TCP_FLAGS]! |= flags & (PSH | FIN);
    }
    return true;
  }

  /** Same flow, and nothing differs that one header could not say for all (what Linux tcp_gro_receive asks for). */
  private sameHeader(block: Block, offset: number): boolean {
    const mine = this.block!;
    const a = mine.view;
    const b = block.view;
    const from = this.offset;
    const version = block.bytes[offset]! >> 4;
    if (version === 4) {
      // Version, length of header, type of service; fragment bits; time to live, protocol.
      if (a.getUint16(from) !== b.getUint16(offset)) return false;
      if (a.getUint16(from + 6) !== b.getUint16(offset + 6)) return false;
      if (a.getUint16(from + 8) !== b.getUint16(offset + 8)) return false;
    } else {
      if (a.getUint32(from) !== b.getUint32(offset)) return false;
      if (a.getUint16(from + 6) !== b.getUint16(offset + 6)) return false;
    }
    const addresses = sourceOffset(version === 4 ? 4 : 6);
    const end = addresses + 2 * addressBytes(version === 4 ? 4 : 6);
    for (let at = addresses; at < end; at += 4) {
      if (a.getUint32(from + at) !== b.getUint32(offset + at)) return false;
    }
    // Ports; acknowledgement; length of header; window, which a sender may be waiting for; options, where timestamps are.
    const tcp = this.ipHeader;
    if (a.getUint32(from + tcp) !== b.getUint32(offset + tcp)) return false;
    if (a.getUint32(from + tcp + TCP_ACK) !== b.getUint32(offset + tcp + TCP_ACK)) return false;
    if (mine.bytes[from + tcp + TCP_DATA_OFFSET] !== block.bytes[offset + tcp + TCP_DATA_OFFSET])
      return false;
    if (a.getUint16(from + tcp + TCP_WINDOW) !== b.getUint16(offset + tcp + TCP_WINDOW)) return false;
    for (let at = tcp + TCP_MIN_BYTES; at < this.header; at += 4) {
      if (a.getUint32(from + at) !== b.getUint32(offset + at)) return false;
    }
    return true;
  }

  /** Writes one packet by itself. `protocol`: whose checksum is to be made anew; -1 = leave it. */
  private single(block: Block, offset: number, length: number, protocol: number): void {
    this.gather.clear();
    this.gather.add(this.virtio, 0, VIRTIO_BYTES);
    this.gather.add(block, offset, length);
    const field = checksumOffset(protocol);
    if (field >= 0 && length >= ipHeaderBytes(block, offset) + field + 2) {
      this.askChecksum(block, offset, length, protocol, 0);
    } else {
      this.virtio.bytes.fill(0);
    }
    this.write(1);
  }

  /** Prepares the virtio header so that the kernel makes the transport checksum, or makes it here where it cannot. */
  private askChecksum(block: Block, offset: number, length: number, protocol: number, segment: number): void {
    const { view, bytes } = this.virtio;
    const ipHeader = ipHeaderBytes(block, offset);
    const field = checksumOffset(protocol);
    block.view.setUint16(
      offset + ipHeader + field,
      pseudoHeaderSum(block, offset, protocol, length - ipHeader),
    );
    bytes.fill(0);
    if (!this.tun.offloads) {
      finishChecksum(block, offset, length, ipHeader, field);
      return;
    }
    bytes[0] = FLAG_NEEDS_CSUM;
    view.setUint16(6, ipHeader, true);
    view.setUint16(8, field, true);
    if (segment === 0) {
      bytes[1] = GSO_NONE;
      return;
    }
    bytes[1] = block.bytes[offset]! >> 4 === 4 ? GSO_TCPV4 : GSO_TCPV6;
    view.setUint16(2, this.header, true);
    view.setUint16(4, segment, true);
  }

  private write(packets: number): void {
    this.writes++;
    if (this.tun.write(this.gather)) {
      this.packets += packets;
      this.bytes += this.gather.bytes - VIRTIO_BYTES;
    } else {
      this.drops.count("tunRefused", packets);
    }
  }
}
