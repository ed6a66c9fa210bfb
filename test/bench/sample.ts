/** Medians, spread and percentiles of repeated measurements. Pure. */

export interface Summary {
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

export function summarize(values: readonly number[]): Summary {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const median =
    sorted.length % 2 === 1 ? sorted[Math.floor(middle)]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
  return { median, least: sorted[0]!, most: sorted.at(-1)! };
}

/** `1,234 (1,100-1,300)`; `1,234` when all are shown alike. */
export function showSummary(summary: Summary, digits = 0): string {
  const show = (value: number): string =>
    value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  const [median, least, most] = [show(summary.median), show(summary.least), show(summary.most)];
  return least === most ? median : `${median} (${least}-${most})`;
}

/** The least value that `share` (0..1) of all do not exceed; null of none. */
export function percentile(values: readonly number[], share: number): number | null {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? null;
}

/** Each repeat's figures by name, as summaries by name. */
export function summarizeEach<Name extends string>(
  repeats: readonly Readonly<Record<Name, number>>[],
): Record<Name, Summary> {
  const names = Object.keys(repeats[0] ?? {}) as Name[];
  const pairs = names.map((name) => [name, summarize(repeats.map((figures) => figures[name]))] as const);
  return Object.fromEntries(pairs) as Record<Name, Summary>;
}
