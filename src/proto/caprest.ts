/**
 * The rest of a path whose data cap is reached. The local decides it, by its cap; the remote is told, and must notice when
 * the local uses the path again. Neither's word is sure to arrive.
 */
import { MILLISECOND, REPORTS, SECOND } from "./limits.ts";

/** The peer hears of a reached data cap again when it still sends, this often. */
const REPEAT = 100 * MILLISECOND;
/** It hears of it so much later once more anyway. */
const AGAIN = 250 * MILLISECOND;
/** What comes so long after the peer's word that its cap is reached was sent since: no queue on the way is longer. */
const STALE = 5 * SECOND;

export class CapRest {
  /** When the peer was last told, or told us, that the data cap is reached. */
  private toldAt = 0;

  /** When the word is to leave again, and how often still. */
  againAt = Number.POSITIVE_INFINITY;
  private times = 0;

  /** It rests, or is said to rest again. `ours`: by a cap of ours, of which the peer is to hear. */
  begin(now: number, ours: boolean): void {
    this.toldAt = now;
    this.againAt = ours ? now + AGAIN : Number.POSITIVE_INFINITY;
    this.times = REPORTS - 1;
  }

  /** True when the word should leave again. */
  isAgain(now: number): boolean {
    if (now < this.againAt) return false;
    this.times--;
    this.againAt = this.times > 0 ? now + AGAIN : Number.POSITIVE_INFINITY;
    return true;
  }

  /** Something came in on a path whose own cap lets it rest. True when the peer is to hear of it again. */
  isUnheard(now: number): boolean {
    if (now < this.toldAt + REPEAT) return false;
    this.toldAt = now;
    return true;
  }

  /** Something came in on a path that the peer lets rest. True when it uses the path again, which a challenge says at once. */
  isOver(now: number, challenge: boolean): boolean {
    return challenge || now >= this.toldAt + STALE;
  }
}
