/**
 * The acknowledgement body. It answers on the path it acknowledges.
 *
 *   0   largest packet number received, low 32 bits    4
 *   4   time since it was received, in 16 us           2
 *   6   number of further ranges                       1
 *   7   number of NACKs                                1
 *   8   first range: packets below the largest that were received without a gap     2
 *  10   ranges:  gap (packets missing), length (packets received)      2 + 2 each, downwards
 *   ..  NACKs:   distance below the largest, length: packets the receiver no longer waits for    2 + 2 each
 */
import type { Block } from "../share/block.ts";

export const ACK_HEADER_BYTES = 10;
export const ACK_RANGE_BYTES = 4;
/** Unit of the delay field, in microseconds. */
export const ACK_DELAY_UNIT = 16;
export const MAX_FIELD = 0xffff;

/** Length an acknowledgement of these counts must have. */
export function ackBytes(ranges: number, nacks: number): number {
  return ACK_HEADER_BYTES + (ranges + nacks) * ACK_RANGE_BYTES;
}

/** True when the body's counts and its length agree. */
export function ackIsWhole(body: Block, offset: number, length: number): boolean {
  if (length < ACK_HEADER_BYTES) return false;
  return length === ackBytes(body.bytes[offset + 6]!, body.bytes[offset + 7]!);
}
