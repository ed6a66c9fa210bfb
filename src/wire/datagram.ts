/**
 * What stands on the wire: the outer layout of every datagram.
 *
 *   session datagrams (data, ack, challenge, answer, probe, close, path status, path end):
 *     0   type in the low four bits, flags in the high four          1
 *     1   path id                                                    1
 *     2   packet number, low 32 bits                                 4
 *     6   receiver index                                             4    = 10 bytes, clear, authenticated
 *    10   body, sealed                                               n
 *    10+n tag                                                       16
 *   data body:
 *     0   data sequence                                              4
 *     4   flow predecessor distance (0 = none)                       2
 *     6   the inner packet
 *
 * Network byte order. Handshake messages share only the first byte; see wire/handshake.ts.
 */
import type { Block } from "../share/block.ts";

/** Datagram types, the low four bits of the first byte. */
export const Type = {
  initiation: 1,
  response: 2,
  cookie: 3,
  data: 4,
  ack: 5,
  challenge: 6,
  answer: 7,
  probe: 8,
  close: 9,
  pathStatus: 10,
  pathEnd: 11,
} as const;

export const TYPE_MASK = 0x0f;

/** Data flag: the sender's kernel vouched for the transport checksum (complete or partial); the receiver may have it made anew. */
export const FLAG_CHECKSUM_TRUSTED = 0x10;

export const HEADER_BYTES = 10;
export const DATA_HEADER_BYTES = 6;
export const TAG_BYTES = 16;

/** Bytes around an inner packet, without IP and UDP: 32, as WireGuard has. */
export const DATA_OVERHEAD_BYTES = HEADER_BYTES + DATA_HEADER_BYTES + TAG_BYTES;

/** Smallest session datagram: header and tag around nothing. */
export const MIN_DATAGRAM_BYTES = HEADER_BYTES + TAG_BYTES;

/** Writes the ten clear bytes. `packetNumber` is a safe integer of which 32 bits travel. */
export function writeHeader(
  out: Block,
  offset: number,
  typeAndFlags: number,
  pathId: number,
  packetNumber: number,
  receiverIndex: number,
): void {
  const bytes = out.bytes;
  bytes[offset] = typeAndFlags;
  bytes[offset + 1] = pathId;
  out.view.setUint32(offset + 2, packetNumber >>> 0);
  out.view.setUint32(offset + 6, receiverIndex);
}

/**
 * The full packet number nearest to `expected` whose low 32 bits are `truncated` (RFC 9000, appendix A.3, with a
 * fixed 32-bit width). Never negative.
 */
export function expandPacketNumber(truncated: number, expected: number): number {
  const span = 0x1_0000_0000;
  const half = 0x8000_0000;
  const candidate = Math.floor(expected / span) * span + truncated;
  if (candidate <= expected - half) return candidate + span;
  if (candidate > expected + half && candidate >= span) return candidate - span;
  return candidate;
}
