/** How late packets were, as a distribution with steps of ten microseconds. Pure; nothing is allocated per packet. */

const STEP_MICROS = 10;
const STEPS = 5000;

export class Lateness {
  /** The last step also holds everything above. */
  private readonly counts = new Float64Array(STEPS);
  private total = 0;
  private max = 0;

  add(micros: number): void {
    this.counts[Math.min(STEPS - 1, Math.max(0, Math.floor(micros / STEP_MICROS)))]!++;
    this.total++;
    if (micros > this.max) this.max = micros;
  }

  /** Median, 99th percentile (upper end of the step) and maximum since the last call. */
  take(): { p50: number; p99: number; max: number } {
    const result = { p50: this.percentile(0.5), p99: this.percentile(0.99), max: Math.round(this.max) };
    this.counts.fill(0);
    this.total = 0;
    this.max = 0;
    return result;
  }

  private percentile(share: number): number {
    let seen = 0;
    for (let step = 0; step < STEPS; step++) {
      seen += this.counts[step]!;
      if (seen > 0 && seen >= this.total * share) return (step + 1) * STEP_MICROS;
    }
    return 0;
  }
}
