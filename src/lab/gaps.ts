/** The longest time in which nothing arrived: the stall a user would notice. Pure; times in milliseconds. */
export class Gaps {
  private last: number;
  private longest = 0;

  constructor(now: number) {
    this.last = now;
  }

  arrived(now: number): void {
    this.longest = Math.max(this.longest, now - this.last);
    this.last = now;
  }

  /** The longest gap since the last call, the one that has not ended yet included. */
  take(now: number): number {
    const longest = Math.max(this.longest, now - this.last);
    this.longest = 0;
    return longest;
  }
}
