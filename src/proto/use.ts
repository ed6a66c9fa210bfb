/**
 * How a path may be used: the congestion control at either end that the operator asked for, or, while it is over its data
 * cap, a fixed rate.
 */
import type { CongestionName } from "../wire/control.ts";
import type { PathSettings } from "./company.ts";
import type { Congestion } from "./congestion.ts";
import { Fixed } from "./fixed.ts";

/** What the operator asks for. */
export type AskedUse = Pick<PathSettings, "congestion" | "peerCongestion" | "peerRate">;

export class Use {
  congestion: Congestion;
  peerCongestion: CongestionName;
  /** Bytes per second of a fixed one. */
  peerRate: number;
  /** What the path may send, and receive, a second at most; 0 = any. */
  rate = 0;
  asked: AskedUse;

  constructor(asked: AskedUse) {
    this.asked = asked;
    this.congestion = asked.congestion;
    this.peerCongestion = asked.peerCongestion;
    this.peerRate = asked.peerRate;
  }

  /** From now on this is asked for. */
  ask(asked: AskedUse): void {
    this.asked = asked;
    this.limit(this.rate);
  }

  /** Lets it have so many bytes per second; 0 = what was asked for. */
  limit(rate: number): void {
    const { congestion, peerCongestion, peerRate } = this.asked;
    const fixed = congestion instanceof Fixed ? congestion.pacingRate() : 0;
    this.rate = rate;
    this.congestion = rate === 0 ? congestion : new Fixed(lower(fixed, rate));
    this.peerCongestion = rate === 0 ? peerCongestion : "fixed";
    this.peerRate = rate === 0 ? peerRate : lower(peerRate, rate);
  }
}

/** The lower rate; a `fixed` of 0 is none. */
function lower(fixed: number, rate: number): number {
  return fixed > 0 ? Math.min(fixed, rate) : rate;
}
