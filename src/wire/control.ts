/**
 * Bodies of the small session datagrams.
 *
 *   challenge:  token (8)  metric (2)  rate (4)      for the way back, from local to remote: the path's metric, and its
 *               fixed rate in units of 1,000 bytes per second (0 = none, find out)
 *   answer:     token (8)
 *   probe:      empty; acknowledged at once
 *   close:      empty
 */
import type { Block } from "../share/block.ts";

export const CHALLENGE_BYTES = 14;
export const ANSWER_BYTES = 8;
/** Unit of the rate field, bytes per second. */
export const RATE_UNIT = 1000;

export function writeChallenge(
  out: Block,
  offset: number,
  high: number,
  low: number,
  metric: number,
  bytesPerSecond: number,
): number {
  out.view.setUint32(offset, high);
  out.view.setUint32(offset + 4, low);
  out.view.setUint16(offset + 8, metric);
  out.view.setUint32(offset + 10, Math.round(bytesPerSecond / RATE_UNIT));
  return CHALLENGE_BYTES;
}

export function writeAnswer(out: Block, offset: number, high: number, low: number): number {
  out.view.setUint32(offset, high);
  out.view.setUint32(offset + 4, low);
  return ANSWER_BYTES;
}
