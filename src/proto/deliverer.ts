/**
 * Writes inner packets to the TUN. Consecutive in-order segments of one TCP flow, and consecutive UDP packets of one flow
 * and size, become one write with a virtio header (gso_size and a partial checksum), as the kernel's own GRO would merge
 * them: 45 packets in one system call, and no payload checksum is computed by anyone before the receiving application's
 * kernel.
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
  DONT_FRAGMENT,
  FIN,
  finishChecksum,
  ipHeaderBytes,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
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
  UDP_BYTES,
  UDP_LENGTH,
  writeIpv4Checksum,
} from "../wire/ip.ts";
import { FLAG_NEEDS_CSUM, GSO_NONE, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, VIRTIO_BYTES } from "../wire/virtio.ts";
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
  private protocol = 0;
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
    if (trusted && this.merges(protocol)) {
      if (this.block !== null && protocol === this.protocol && this.extend(block, offset, length)) return;
      this.flush();
      if (
        protocol === PROTOCOL_TCP ? this.begin(block, offset, length) : this.beginUdp(block, offset, length)
      )
        return;
    } else {
      this.flush();
    }
    this.single(block, offset, length, trusted ? protocol : -1);
  }

  private merges(protocol: number): boolean {
    return protocol === PROTOCOL_TCP ? this.tun.offloads : protocol === PROTOCOL_UDP && this.tun.udpOffloads;
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
      if (this.protocol === PROTOCOL_UDP)
        block.view.setUint16(offset + this.ipHeader + UDP_LENGTH, total - this.ipHeader);
    }
    this.askChecksum(block, offset, total, this.protocol, this.segments > 1 ? this.segment : 0);
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
    this.nextSequence = (block.view.getUint32(tcp + TCP_SEQUENCE) + payload) >>> 0;
    this.run(block, offset, length, PROTOCOL_TCP, ipHeader, header);
    this.closed = (flags & PSH) !== 0;
    return true;
  }

  /** Starts a run with this packet, if it is a plain UDP packet with payload. */
  private beginUdp(block: Block, offset: number, length: number): boolean {
    const ipHeader = ipHeaderBytes(block, offset);
    if (block.bytes[offset]! >> 4 === 4 && ipHeader !== 20) return false;
    if (length <= ipHeader + UDP_BYTES || !udpIsWhole(block, offset, length, ipHeader)) return false;
    this.run(block, offset, length, PROTOCOL_UDP, ipHeader, ipHeader + UDP_BYTES);
    return true;
  }

  private run(
    block: Block,
    offset: number,
    length: number,
    protocol: number,
    ipHeader: number,
    header: number,
  ): void {
    this.block = block;
    this.offset = offset;
    this.protocol = protocol;
    this.header = header;
    this.ipHeader = ipHeader;
    this.segment = length - header;
    this.segments = 1;
    this.closed = false;
    this.gather.clear();
    this.gather.add(this.virtio, 0, VIRTIO_BYTES);
    this.gather.add(block, offset, length);
  }

  /** Adds the packet to the run if it is exactly the next segment. */
  private extend(block: Block, offset: number, length: number): boolean {
    const payload = length - this.header;
    if (this.closed || payload <= 0 || payload > this.segment || this.segments === MAX_SEGMENTS) return false;
    if (this.gather.bytes - VIRTIO_BYTES + payload > MAX_BYTES) return false;
    if (this.protocol === PROTOCOL_UDP) return this.extendUdp(block, offset, length, payload);
    const tcp = offset + this.ipHeader;
    if (block.view.getUint32(tcp + TCP_SEQUENCE) !== this.nextSequence) return false;
    const flags = block.bytes[tcp + TCP_FLAGS]!;
    if ((flags & ~(PSH | FIN)) !== ACK || !this.sameIpHeader(block, offset)) return false;
    if (!this.sameTcpHeader(block, offset)) return false;
    this.gather.add(block, offset + this.header, payload);
    this.nextSequence = (this.nextSequence + payload) >>> 0;
    this.segments++;
    if (payload < this.segment || (flags & (PSH | FIN)) !== 0) {
      this.closed = true;
      this.block!.bytes[this.offset + this.ipHeader + TCP_FLAGS]! |= flags & (PSH | FIN);
    }
    return true;
  }

  private extendUdp(block: Block, offset: number, length: number, payload: number): boolean {
    const { ipHeader } = this;
    const mine = this.block!.view;
    if (mine.getUint32(this.offset + ipHeader) !== block.view.getUint32(offset + ipHeader)) return false;
    if (!this.sameIpHeader(block, offset) || !udpIsWhole(block, offset, length, ipHeader)) return false;
    if (!this.nextIdentification(block, offset)) return false;
    this.gather.add(block, offset + this.header, payload);
    this.segments++;
    if (payload < this.segment) this.closed = true;
    return true;
  }

  /** The kernel numbers the packets of one write one after the other, which matters to those that may be fragmented (RFC 6864). */
  private nextIdentification(block: Block, offset: number): boolean {
    if (block.bytes[offset]! >> 4 !== 4 || (block.bytes[offset + 6]! & DONT_FRAGMENT) !== 0) return true;
    const first = this.block!.view.getUint16(this.offset + 4);
    return block.view.getUint16(offset + 4) === ((first + this.segments) & 0xffff);
  }

  /** Same flow, and nothing differs that one header could not say for all (what Linux tcp_gro_receive asks for). */
  private sameIpHeader(block: Block, offset: number): boolean {
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
    return true;
  }

  /** Ports; acknowledgement; length of header; window, which a sender may be waiting for; options, where timestamps are. */
  private sameTcpHeader(block: Block, offset: number): boolean {
    const mine = this.block!;
    const a = mine.view;
    const b = block.view;
    const from = this.offset;
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
    if (protocol === PROTOCOL_UDP) bytes[1] = GSO_UDP_L4;
    else bytes[1] = block.bytes[offset]! >> 4 === 4 ? GSO_TCPV4 : GSO_TCPV6;
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

/** True when the UDP length is that of the packet. */
function udpIsWhole(block: Block, offset: number, length: number, ipHeader: number): boolean {
  return block.view.getUint16(offset + ipHeader + UDP_LENGTH) === length - ipHeader;
}
