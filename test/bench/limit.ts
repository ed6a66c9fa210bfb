/** What several paths can carry at most, and which of them is the best alone. Pure. */
import { goodputShare } from "../../src/lab/portals.ts";

export interface Rated {
  readonly mbit: number;
  /** One way. */
  readonly delayMs: number;
  readonly jitterMs?: number;
  /** Share of packets, 0..1. */
  readonly loss?: number;
}

/** Mbit/s of payload: the sum of the rates, less all headers of full packets; those of the tunnel over IPv4 or none. */
export function limitMbit(paths: readonly Pick<Rated, "mbit">[], tunnel: 4 | null = 4): number {
  return sum(paths.map(({ mbit }) => mbit)) * goodputShare(tunnel);
}

/** The same, less what the paths lose at random: no sender gets more through, whatever it sends again. */
export function deliverableMbit(paths: readonly Rated[]): number {
  return sum(paths.map(({ mbit, loss = 0 }) => mbit * (1 - loss))) * goodputShare(4);
}

/** Index of the path that should carry most by itself; of equal ones that of the shortest delay, then the first. */
export function bestPath(paths: readonly Rated[]): number {
  const carried = (path: Rated): number => deliverableMbit([path]);
  return paths.reduce((best, path, i) => {
    const than = paths[best]!;
    const more = carried(path) - carried(than);
    return more > 0 || (more === 0 && path.delayMs < than.delayMs) ? i : best;
  }, 0);
}

/** Indices of the paths that no path before them is like. */
export function differentPaths(paths: readonly Rated[]): number[] {
  const written = paths.map((path) => JSON.stringify(path));
  return paths.map((_, i) => i).filter((i) => written.indexOf(written[i]!) === i);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
