/** When the portal gives back what it has mapped of its own program: half a millisecond each time. */
import { SECOND } from "../proto/limits.ts";
import { ProgramMemory } from "../sys/program.ts";

/** The start is over then. */
const AFTER = 2 * SECOND;
/** A burst of work has the runtime compile what became hot, with code that is of no use afterwards. */
const EVERY = 10 * SECOND;

export class Footprint {
  private readonly program = new ProgramMemory();
  private releaseAt: number;

  constructor(now: number) {
    this.releaseAt = now + AFTER;
  }

  /** To be called every second or so. */
  onTick(now: number): void {
    if (now < this.releaseAt) return;
    this.releaseAt = now + EVERY;
    this.program.release();
  }
}
