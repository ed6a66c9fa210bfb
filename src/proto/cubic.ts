/**
 * CUBIC (RFC 9438), what the TCP of most systems does: after a loss the window comes back along a cubic curve of time,
 * fast while far below the window that lost, slowly around it, and fast again beyond. So a long path of a high rate is
 * filled in seconds, where New Reno takes minutes; where New Reno would be the faster, it grows as that.
 *
 * It does not end slow start by delay (section 4.10), for the reason in lossbased.ts. It takes a reduction back for losses that
 * turn out to be of packets too large for the path (section 4.9.2, proto/pathmtu.ts), not for packets that come late after all.
 */
import {
  CUBIC_REDUCTION,
  CUBIC_SCALE,
  FAST_CONVERGENCE,
  FRIENDLY_GROWTH,
  MAX_ACK_DELAY,
  SECOND,
} from "./limits.ts";
import { LossBased } from "./lossbased.ts";

export class Cubic extends LossBased {
  readonly name = "cubic";
  /** W_max: where the curve is flat. Bytes, as all windows here; 0 = not known. */
  private plateau = 0;
  /** cwnd_prior: the window that lost. */
  private prior = 0;
  /** W_est: the window New Reno would have with the same mean for the same loss (section 4.3). */
  private friendly = 0;
  /** K and t of the present stage of congestion avoidance: seconds from its begin to the plateau, and until now. */
  private plateauAt = 0;
  private elapsed = 0;
  /** When the stage last grew the window; -1 = it has not begun. */
  private grownAt = -1;
  /** Both windows before losses that may be no sign of congestion. */
  private plateauBefore = 0;
  private priorBefore = 0;

  protected avoid(now: number, bytes: number, rtt: number): void {
    if (this.grownAt < 0) this.begin();
    // Time in which the window was not used is no part of t (section 5.8); acknowledgements of a window that is used
    // are not further apart than this.
    else this.elapsed += Math.min(now - this.grownAt, rtt + MAX_ACK_DELAY) / SECOND;
    this.grownAt = now;

    const growth = this.friendly < this.prior ? FRIENDLY_GROWTH : 1;
    this.friendly += (growth * this.datagram * bytes) / this.window;
    if (this.curve(this.elapsed) < this.friendly) {
      this.window = Math.max(this.window, this.friendly);
      return;
    }
    // Sections 4.4 and 4.5: on the way to where the curve is in a round trip, but to no more than half as much again.
    const target = Math.min(this.curve(this.elapsed + rtt / SECOND), 1.5 * this.window);
    if (target > this.window) this.window += ((target - this.window) * bytes) / this.window;
  }

  /** Section 4.7: a window that lost below the last plateau makes room for others, who grow towards it. */
  protected reduce(): number {
    this.plateau = this.window < this.plateau ? this.window * FAST_CONVERGENCE : this.window;
    this.prior = this.window;
    this.grownAt = -1;
    return this.window * CUBIC_REDUCTION;
  }

  override onDoubtfulLoss(): void {
    super.onDoubtfulLoss();
    this.plateauBefore = this.plateau;
    this.priorBefore = this.prior;
  }

  override onNoCongestion(): void {
    super.onNoCongestion();
    this.plateau = this.plateauBefore;
    this.prior = this.priorBefore;
    this.grownAt = -1;
  }

  /** Section 4.8: after slow start has come back to the level it had, the curve begins at its plateau. */
  override onTimeout(now: number): void {
    super.onTimeout(now);
    this.plateau = this.plateauBefore = 0;
    this.prior = this.priorBefore = 0;
    this.grownAt = -1;
  }

  /** A stage of congestion avoidance begins (section 4.2). */
  private begin(): void {
    this.plateau = Math.max(this.plateau, this.window);
    this.plateauAt = Math.cbrt((this.plateau - this.window) / (CUBIC_SCALE * this.datagram));
    this.friendly = this.window;
    this.elapsed = 0;
  }

  /** W_cubic (section 4.2), `seconds` after the stage began. */
  private curve(seconds: number): number {
    return CUBIC_SCALE * this.datagram * (seconds - this.plateauAt) ** 3 + this.plateau;
  }
}
