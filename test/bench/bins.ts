/** A flow's rate over time, in bins of 100 ms, and how soon it reaches a goal. Pure; times in milliseconds. */

export const BIN_MILLIS = 100;
/** A rate is reached when it is held for so many bins: one alone may be a burst of what was held back. */
export const HELD_BINS = 5;

/** A total at an instant; between two of them bytes come evenly. */
export interface Total {
  readonly at: number;
  readonly bytes: number;
}

/** Mean rate between two instants, Mbit/s. */
export function rateBetween(totals: readonly Total[], from: number, to: number): number {
  return to > from ? ((bytesAt(totals, to) - bytesAt(totals, from)) * 8) / ((to - from) * 1000) : 0;
}

/** Mbit/s of each whole bin between two instants. */
export function binRates(totals: readonly Total[], from: number, to: number): number[] {
  const count = Math.max(0, Math.floor((to - from) / BIN_MILLIS));
  return Array.from({ length: count }, (_, i) => {
    const begin = from + i * BIN_MILLIS;
    return rateBetween(totals, begin, begin + BIN_MILLIS);
  });
}

/**
 * Milliseconds from the first bin's begin to the begin of the first half second whose mean is `goal` or more; Infinity
 * when there is none.
 */
export function timeTo(rates: readonly number[], goal: number): number {
  for (let i = 0; i + HELD_BINS <= rates.length; i++) {
    const held = rates.slice(i, i + HELD_BINS);
    if (held.reduce((sum, rate) => sum + rate, 0) / HELD_BINS >= goal) return i * BIN_MILLIS;
  }
  return Number.POSITIVE_INFINITY;
}

function bytesAt(totals: readonly Total[], at: number): number {
  const after = totals.findIndex((total) => total.at >= at);
  if (after < 0) return totals.at(-1)?.bytes ?? 0;
  const next = totals[after]!;
  const before = totals[after - 1];
  if (before === undefined) return next.bytes;
  return before.bytes + ((next.bytes - before.bytes) * (at - before.at)) / (next.at - before.at);
}
