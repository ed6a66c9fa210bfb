/**
 * How long a path that made delivery worse carries nothing (proto/scheduler.ts): longer each time, until it has been of
 * use; long at once when it has little to give. Times in microseconds.
 */
import { SECOND } from "./limits.ts";

const PARK_FIRST = 2 * SECOND;
const PARK_LONGEST = 60 * SECOND;

export class Parking {
  private until = 0;
  private parkedFor = 0;
  /** What doubles. */
  private micros = 0;

  /** `little`: there is so little to be gained that it is not worth trying again soon. */
  begin(now: number, little: boolean): void {
    if (!little) this.micros = Math.min(Math.max(2 * this.micros, PARK_FIRST), PARK_LONGEST);
    this.parkedFor = little ? PARK_LONGEST : this.micros;
    this.until = now + this.parkedFor;
  }

  /** It was of use: the next time is a first time. */
  forget(): void {
    this.micros = 0;
  }

  lasts(now: number): boolean {
    return now < this.until;
  }

  /** Why it carries nothing, for status; null when it may carry. */
  reason(now: number): string | null {
    if (!this.lasts(now)) return null;
    return `parked for ${Math.round(this.parkedFor / SECOND)} s: with it, less arrived than without`;
  }
}
