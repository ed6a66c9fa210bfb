/**
 * Bodies of the small session datagrams.
 *
 *   challenge:  token (8)  metric (2)  congestion (1)  zero (1)  rate (4)
 *               for the way back, from local to remote: the path's metric, the congestion control to use, and for a
 *               fixed one the rate in units of 1,000 bytes per second
 *   answer:     token (8)
 *   probe:      empty; acknowledged at once
 *   close:      empty
 */
import type { Block } from "../share/block.ts";

export const CHALLENGE_BYTES = 16;
export const ANSWER_BYTES = 8;
/** Codes of the congestion field. What is not known is as `bbr`. */
export const CONGESTION = { bbr: 0, newreno: 1, fixed: 2, cubic: 3 } as const;
export type CongestionName = keyof typeof CONGESTION;

/** Unit of the rate field, bytes per second. */
export const RATE_UNIT = 1000;

export function writeChallenge(
  out: Block,
  offset: number,
  high: number,
  low: number,
  metric: number,
  congestion: CongestionName,
  bytesPerSecond: number,
): number {
  out.view.setUint32(offset, high);
  out.view.setUint32(offset + 4, low);
  out.view.setUint16(offset + 8, metric);
  out.view.setUint16(offset + 10, CONGESTION[congestion] << 8);
  out.view.setUint32(offset + 12, Math.round(bytesPerSecond / RATE_UNIT));
  return CHALLENGE_BYTES;
}

export function writeAnswer(out: Block, offset: number, high: number, low: number): number {
  out.view.setUint32(offset, high);
  out.view.setUint32(offset + 4, low);
  return ANSWER_BYTES;
}

/** The congestion control that a challenge's code names. */
export function congestionOf(code: number): CongestionName {
  if (code === CONGESTION.newreno) return "newreno";
  if (code === CONGESTION.cubic) return "cubic";
  return code === CONGESTION.fixed ? "fixed" : "bbr";
}
