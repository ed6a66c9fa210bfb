/**
 * Inner packets: the fields of IPv4 (RFC 791), IPv6 (RFC 8200), TCP (RFC 9293) and UDP (RFC 768) headers that portal
 * reads or rewrites, and the pseudo-header sum. Packets are given as block, offset and length. Extension headers of IPv6
 * are not walked: such packets are carried whole.
 */
import type { Block } from "../share/block.ts";

export const PROTOCOL_TCP = 6;
export const PROTOCOL_UDP = 17;

/** In byte 6 of an IPv4 header. */
export const DONT_FRAGMENT = 0x40;

/** Offsets from the start of a TCP header. */
export const TCP_SEQUENCE = 4;
export const TCP_ACK = 8;
export const TCP_DATA_OFFSET = 12;
export const TCP_FLAGS = 13;
export const TCP_WINDOW = 14;
export const TCP_CHECKSUM = 16;
export const TCP_MIN_BYTES = 20;
export const FIN = 0x01;
export const SYN = 0x02;
export const RST = 0x04;
export const PSH = 0x08;
export const ACK = 0x10;
export const CWR = 0x80;
/** Option kind, and the bytes of the option with the two before it that align it (RFC 7323 section 3.2). */
const TIMESTAMPS = 8;
const TIMESTAMPS_BYTES = 12;

export const UDP_LENGTH = 4;
export const UDP_CHECKSUM = 6;
export const UDP_BYTES = 8;

/** 4, 6, or 0 when this is no IP packet. */
export function ipVersion(packet: Block, offset: number, length: number): 0 | 4 | 6 {
  if (length < 20) return 0;
  const version = packet.bytes[offset]! >> 4;
  if (version === 4) return 4;
  return version === 6 && length >= 40 ? 6 : 0;
}

/**
 * True when the IP header is whole and its length field is the packet's length: what a TUN must be given and what
 * every function below relies on.
 */
export function ipIsWhole(packet: Block, offset: number, length: number): boolean {
  const version = ipVersion(packet, offset, length);
  if (version === 4) {
    const header = ipv4HeaderBytes(packet, offset);
    return header >= 20 && header <= length && packet.view.getUint16(offset + 2) === length;
  }
  return version === 6 && packet.view.getUint16(offset + 4) + 40 === length;
}

export function ipv4HeaderBytes(packet: Block, offset: number): number {
  return (packet.bytes[offset]! & 15) * 4;
}

/** Bytes of the IP header of a whole packet. */
export function ipHeaderBytes(packet: Block, offset: number): number {
  return packet.bytes[offset]! >> 4 === 4 ? ipv4HeaderBytes(packet, offset) : 40;
}

/** The transport protocol right behind the IP header; -1 for a fragment, whose bytes there are not a transport header. */
export function transportOf(packet: Block, offset: number): number {
  if (packet.bytes[offset]! >> 4 === 6) return packet.bytes[offset + 6]!;
  const fragment = packet.view.getUint16(offset + 6) & 0x3fff;
  return fragment === 0 ? packet.bytes[offset + 9]! : -1;
}

/** Where the source address stands, from the packet's start, and how long it is; the destination follows it. */
export function sourceOffset(version: 4 | 6): number {
  return version === 4 ? 12 : 8;
}

export function addressBytes(version: 4 | 6): number {
  return version === 4 ? 4 : 16;
}

/**
 * True for a whole packet that no router passes on: to or from an address of link scope, or from none (RFC 4291 sections
 * 2.5.2, 2.5.6 and 2.7; RFC 3927 section 2.7; RFC 5771 section 4). A kernel says such things on every interface.
 */
export function neverForwarded(packet: Block, offset: number): boolean {
  const { view } = packet;
  if (packet.bytes[offset]! >> 4 === 4) {
    // 169.254.0.0/16, 224.0.0.0/24
    if (view.getUint16(offset + 12) === 0xa9fe || view.getUint16(offset + 16) === 0xa9fe) return true;
    return view.getUint32(offset + 16) >>> 8 === 0xe0_0000;
  }
  const source = view.getUint16(offset + 8);
  const destination = view.getUint16(offset + 24);
  // fe80::/10, ff00::/16 to ff02::/16 with any flags
  if ((source & 0xffc0) === 0xfe80 || (destination & 0xffc0) === 0xfe80) return true;
  if ((destination & 0xff0f) >= 0xff00 && (destination & 0xff0f) <= 0xff02) return true;
  for (let at = offset + 8; at < offset + 24; at += 4) if (view.getUint32(at) !== 0) return false;
  return true;
}

/**
 * A number for the packet's flow: addresses, protocol and ports mixed to 32 bits. Fragments and other protocols hash by
 * addresses and protocol alone, so that a datagram's fragments stay together.
 */
export function flowHash(packet: Block, offset: number, length: number): number {
  const view = packet.view;
  const version = packet.bytes[offset]! >> 4 === 4 ? 4 : 6;
  const addresses = offset + sourceOffset(version);
  const end = addresses + 2 * addressBytes(version);
  let hash = 0x811c9dc5 | 0;
  for (let at = addresses; at < end; at += 4)
    hash = Math.imul(hash ^ view.getInt32(at), 0x01000193) ^ (hash >>> 15);
  const protocol = transportOf(packet, offset);
  hash = Math.imul(hash ^ protocol, 0x01000193);
  const header = ipHeaderBytes(packet, offset);
  if ((protocol === PROTOCOL_TCP || protocol === PROTOCOL_UDP) && length >= header + 4) {
    hash = Math.imul(hash ^ view.getInt32(offset + header), 0x01000193);
  }
  hash ^= hash >>> 16;
  hash = Math.imul(hash, 0x45d9f3b);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** A number for the connection of a TCP or UDP packet whose header is whole: the same in both directions. */
export function connectionHash(packet: Block, offset: number): number {
  const view = packet.view;
  const version = packet.bytes[offset]! >> 4 === 4 ? 4 : 6;
  const addresses = offset + sourceOffset(version);
  const bytes = addressBytes(version);
  const ports = offset + ipHeaderBytes(packet, offset);
  let one = view.getUint16(ports);
  let other = view.getUint16(ports + 2);
  for (let at = addresses; at < addresses + bytes; at += 4) {
    one = Math.imul(one ^ view.getInt32(at), 0x01000193) ^ (one >>> 15);
    other = Math.imul(other ^ view.getInt32(at + bytes), 0x01000193) ^ (other >>> 15);
  }
  const hash = Math.imul(one + other, 0x45d9f3b);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** The port of HTTP/3 (RFC 9114 section 3.1.2). */
const PORT_HTTPS = 443;
/** QUIC's datagrams are padded to this when it begins (RFC 9000 section 14.1), and a bulk transfer's are no smaller. */
const FULL_UDP_BYTES = 1200;

/**
 * True for an acknowledgement without data, flags, or options but timestamps (RFC 7323 section 3.2): it says nothing but that
 * more has arrived, and the next one says it too. What carries data has its place by TCP's own sequence.
 */
export function isPlainAck(packet: Block, offset: number, length: number): boolean {
  if (transportOf(packet, offset) !== PROTOCOL_TCP) return false;
  const header = ipHeaderBytes(packet, offset);
  const tcp = offset + header;
  if (length < header + TCP_MIN_BYTES || packet.bytes[tcp + TCP_FLAGS] !== ACK) return false;
  const tcpBytes = length - header;
  if ((packet.bytes[tcp + TCP_DATA_OFFSET]! >> 4) * 4 !== tcpBytes) return false;
  if (tcpBytes === TCP_MIN_BYTES) return true;
  if (tcpBytes !== TCP_MIN_BYTES + TIMESTAMPS_BYTES) return false;
  const options = tcp + TCP_MIN_BYTES;
  return packet.bytes[options] === TIMESTAMPS || packet.bytes[options + 2] === TIMESTAMPS;
}

/**
 * True for a packet whose ends take disorder for loss and slow down: TCP, and QUIC, which is UDP of port 443 or in datagrams
 * as large as only bulk transfers send them. A call's packets are better late and out of order than later and in order.
 */
export function slowsByDisorder(packet: Block, offset: number, length: number): boolean {
  const protocol = transportOf(packet, offset);
  if (protocol === PROTOCOL_TCP) return true;
  const header = ipHeaderBytes(packet, offset);
  if (protocol !== PROTOCOL_UDP || length < header + UDP_BYTES) return false;
  if (length - header - UDP_BYTES >= FULL_UDP_BYTES) return true;
  const { view } = packet;
  return view.getUint16(offset + header) === PORT_HTTPS || view.getUint16(offset + header + 2) === PORT_HTTPS;
}

/** One's complement sum of 16-bit words (RFC 1071), not yet inverted. `length` may be odd. */
export function sum16(packet: Block, offset: number, length: number, start = 0): number {
  const view = packet.view;
  const even = offset + (length & ~1);
  let sum = start;
  for (let at = offset; at < even; at += 2) sum += view.getUint16(at);
  if (length & 1) sum += packet.bytes[even]! << 8;
  return fold(sum);
}

/** Folds a sum of up to 2^32 words into 16 bits. */
export function fold(sum: number): number {
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return sum;
}

/** The pseudo-header's sum for a transport part of `transportLength` bytes (RFC 9293 section 3.1, RFC 8200 section 8.1). */
export function pseudoHeaderSum(
  packet: Block,
  offset: number,
  protocol: number,
  transportLength: number,
): number {
  const version = packet.bytes[offset]! >> 4 === 4 ? 4 : 6;
  const addresses = offset + sourceOffset(version);
  return sum16(packet, addresses, 2 * addressBytes(version), protocol + transportLength);
}

/** Makes the IPv4 header checksum anew. */
export function writeIpv4Checksum(packet: Block, offset: number): void {
  packet.view.setUint16(offset + 10, 0);
  packet.view.setUint16(offset + 10, ~sum16(packet, offset, ipv4HeaderBytes(packet, offset)) & 0xffff);
}

/** Offset of the checksum in a transport header; -1 when the protocol has none we know. */
export function checksumOffset(protocol: number): number {
  if (protocol === PROTOCOL_TCP) return TCP_CHECKSUM;
  return protocol === PROTOCOL_UDP ? UDP_CHECKSUM : -1;
}

/**
 * Finishes a partial checksum in software, where no kernel will: sums from `start` to the packet's end (the field at
 * `start + field` holds the pseudo-header sum) and stores the result.
 */
export function finishChecksum(
  packet: Block,
  offset: number,
  length: number,
  start: number,
  field: number,
): void {
  const sum = sum16(packet, offset + start, length - start);
  const result = ~sum & 0xffff;
  // RFC 768: a computed zero is sent as all ones.
  packet.view.setUint16(offset + start + field, result === 0 ? 0xffff : result);
}
