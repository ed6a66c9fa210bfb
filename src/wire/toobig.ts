/**
 * What tells a sender that its packet is too big: ICMP "fragmentation needed" (RFC 792, RFC 1191 section 4) and ICMPv6
 * "packet too big" (RFC 4443 section 3.2). Written in the name of the packet's destination: a kernel takes no packet from
 * an address of its own, and from the tunnel it expects what is behind the tunnel.
 */
import type { Block, Copy } from "../share/block.ts";
import { DONT_FRAGMENT, ipHeaderBytes, pseudoHeaderSum, sum16, writeIpv4Checksum } from "./ip.ts";

const PROTOCOL_ICMP = 1;
const PROTOCOL_ICMPV6 = 58;
const ICMP_BYTES = 8;
const TTL = 64;
/** RFC 1812 section 4.3.2.3: the whole message has at most 576 bytes; RFC 4443 section 2.4: 1280. */
const MOST_IPV4 = 576;
const MOST_IPV6 = 1280;
/** Room for either. */
export const TOO_BIG_BYTES = MOST_IPV6;
/** Errors of ICMP (RFC 1122 section 3.2.2): unreachable, source quench, redirect, time exceeded, parameter problem. */
const ICMP_ERRORS = [3, 4, 5, 11, 12];

/** True for an IPv4 packet that its sender lets anybody fragment. */
export function mayFragment(packet: Block, offset: number): boolean {
  return packet.bytes[offset]! >> 4 === 4 && (packet.bytes[offset + 6]! & DONT_FRAGMENT) === 0;
}

/**
 * Writes the message at `to`; its length, or 0 for a packet that nobody is told of: an error of ICMP, a later fragment, one
 * to many. Of a read that becomes several packets, `largest` is the size of one of them.
 */
export function writeTooBig(
  to: Block,
  at: number,
  packet: Block,
  offset: number,
  length: number,
  largest: number,
  mtu: number,
  copy: Copy,
): number {
  const ipv4 = packet.bytes[offset]! >> 4 === 4;
  if (length < ipHeaderBytes(packet, offset) + ICMP_BYTES || isUntold(packet, offset, ipv4)) return 0;
  const header = ipv4 ? 20 : 40;
  const quoted = Math.min(length, (ipv4 ? MOST_IPV4 : MOST_IPV6) - header - ICMP_BYTES);
  const { view, bytes } = to;
  const icmp = at + header;
  const quote = icmp + ICMP_BYTES;
  copy(to, quote, packet, offset, quoted);
  view.setUint32(icmp, 0);
  view.setUint32(icmp + 4, mtu);
  if (ipv4) {
    view.setUint16(quote + 2, largest);
    writeIpv4Checksum(to, quote);
    view.setUint32(at, 0x4500_0000 | (header + ICMP_BYTES + quoted));
    view.setUint32(at + 4, 0);
    bytes[at + 8] = TTL;
    bytes[at + 9] = PROTOCOL_ICMP;
    view.setUint32(at + 12, view.getUint32(quote + 16));
    view.setUint32(at + 16, view.getUint32(quote + 12));
    writeIpv4Checksum(to, at);
    bytes[icmp] = 3;
    bytes[icmp + 1] = 4;
    view.setUint16(icmp + 2, ~sum16(to, icmp, ICMP_BYTES + quoted) & 0xffff);
  } else {
    view.setUint16(quote + 4, largest - 40);
    view.setUint32(at, 0x6000_0000);
    view.setUint16(at + 4, ICMP_BYTES + quoted);
    bytes[at + 6] = PROTOCOL_ICMPV6;
    bytes[at + 7] = TTL;
    copy(to, at + 8, to, quote + 24, 16);
    copy(to, at + 24, to, quote + 8, 16);
    bytes[icmp] = 2;
    const pseudo = pseudoHeaderSum(to, at, PROTOCOL_ICMPV6, ICMP_BYTES + quoted);
    view.setUint16(icmp + 2, ~sum16(to, icmp, ICMP_BYTES + quoted, pseudo) & 0xffff);
  }
  return header + ICMP_BYTES + quoted;
}

/** RFC 1122 section 3.2.2, RFC 4443 section 2.4 (e), which makes an exception for packets to many. */
function isUntold(packet: Block, offset: number, ipv4: boolean): boolean {
  const { bytes, view } = packet;
  if (!ipv4) return bytes[offset + 6] === PROTOCOL_ICMPV6 && bytes[offset + 40]! < 128;
  if ((view.getUint16(offset + 6) & 0x1fff) !== 0) return true;
  // 224.0.0.0/3: to many, or reserved.
  if (bytes[offset + 16]! >= 224) return true;
  const type = bytes[offset + ipHeaderBytes(packet, offset)]!;
  return bytes[offset + 9] === PROTOCOL_ICMP && ICMP_ERRORS.includes(type);
}
