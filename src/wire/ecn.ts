/** Explicit Congestion Notification (RFC 3168 section 5): the two low bits of the type of service or traffic class. */
import type { Block } from "../share/block.ts";

const CE = 3;

/** Marks a whole IP packet as having met congestion. False: its flow does not take part, and it should be dropped. */
export function markCongestion(packet: Block, offset: number): boolean {
  const { bytes, view } = packet;
  if (bytes[offset]! >> 4 === 6) {
    // Traffic class: the last four bits of the first byte and the first four of the second.
    const ecn = (bytes[offset + 1]! >> 4) & CE;
    if (ecn === 0) return false;
    bytes[offset + 1]! |= CE << 4;
    return true;
  }
  const ecn = bytes[offset + 1]! & CE;
  if (ecn === 0) return false;
  if (ecn === CE) return true;
  // RFC 1624, equation 3: the header checksum changes by what the word changed.
  const before = view.getUint16(offset);
  bytes[offset + 1]! |= CE;
  let sum = (~view.getUint16(offset + 10) & 0xffff) + (~before & 0xffff) + view.getUint16(offset);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  view.setUint16(offset + 10, ~sum & 0xffff);
  return true;
}
