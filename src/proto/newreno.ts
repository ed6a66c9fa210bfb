/**
 * New Reno (RFC 5681, RFC 6582, in the form of RFC 9002 section 7 and appendix B), the congestion control of the
 * dissertation: one datagram more per round trip, and one halving per round trip of loss.
 */
import { LOSS_REDUCTION } from "./limits.ts";
import { LossBased } from "./lossbased.ts";

export class NewReno extends LossBased {
  readonly name = "newreno";

  protected avoid(_now: number, bytes: number, _rtt: number): void {
    this.window += (this.datagram * bytes) / this.window;
  }

  protected reduce(): number {
    return this.window * LOSS_REDUCTION;
  }
}
