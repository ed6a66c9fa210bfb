/**
 * Whether the time of day is to be believed. A small computer without a clock chip starts in 1970, or at the time of its
 * last shutdown, and jumps to the right time when the network tells it; a broken one may show any year. So what depends on
 * the date (proto/cap.ts) waits until the clock has gone on steadily for SETTLED, beside the one that never jumps.
 */
import { SECOND } from "./limits.ts";

/** No portal ran before 2025-01-01: milliseconds since 1970. */
const EARLIEST = 1_735_689_600_000;
/** A step of more than this against the steady clock is a jump; less is the slewing of a time service. */
const JUMP = 10 * SECOND;
/** A clock that has not jumped for so long is right. */
export const SETTLED = 300 * SECOND;

export class Clock {
  /** The time of day, milliseconds since 1970. */
  wall = 0;
  /** It may be right: not from before portal was written. */
  plausible = false;
  /** It is right. */
  settled = false;
  /** What the time of day is ahead of the steady clock, microseconds, and since when. */
  private course = Number.NaN;
  private courseSince = 0;

  /** `now`: the steady clock, microseconds. `wall`: the time of day, milliseconds since 1970. */
  read(now: number, wall: number): void {
    const course = wall * 1000 - now;
    this.wall = wall;
    this.plausible = wall >= EARLIEST;
    if (!this.plausible || !(Math.abs(course - this.course) <= JUMP)) this.courseSince = now;
    this.course = course;
    this.settled = this.plausible && now - this.courseSince >= SETTLED;
  }
}
