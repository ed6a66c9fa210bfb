/** When the portal gives back what it has mapped of its own program: half a millisecond each time, and as much to have it again. */
import { SECOND } from "../proto/limits.ts";
import { ProgramMemory } from "../sys/program.ts";

/** Soon after the start, of which much is of no use any more, then ever more rarely: each time the next pings take longer. */
const FIRST = 2 * SECOND;
const TIMES = 4;
const LONGEST = 60 * SECOND;
/**
 * More than this is not waited with. A portal that is idle has mapped some 10 MB, one at full rate 22 a tenth of a second later;
 * a burst of work has the runtime compile what became hot, with code that is of no use afterwards, and the next comes soon.
 */
const MOST = 20_000_000;

export class Footprint {
  private readonly program = new ProgramMemory();
  private releaseAt = 0;
  private wait = FIRST;

  /** To be called every second or so. */
  onTick(now: number): void {
    if (now < this.releaseAt && this.program.resident <= MOST) return;
    this.releaseAt = now + this.wait;
    this.wait = Math.min(TIMES * this.wait, LONGEST);
    this.program.release();
  }
}
