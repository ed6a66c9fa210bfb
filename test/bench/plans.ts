/** The sets of paths that the benchmark `profiles` runs: the sixteen published ones, and those that portal aims at. */
import type { LineSettings } from "../../src/lab/line.ts";
import { PROFILES } from "../profiles.ts";
import type { Rated } from "./limit.ts";

export interface Plan {
  readonly name: string;
  /** Both directions of each path alike. */
  readonly paths: readonly Required<Rated>[];
  /** Mbit/s; null where nobody published any. */
  readonly published: { readonly single: number; readonly both: number } | null;
}

function path(mbit: number, rttMs: number, loss = 0): Required<Rated> {
  return { mbit, delayMs: rttMs / 2, jitterMs: 0, loss };
}

function alike(count: number, each: Required<Rated>): Required<Rated>[] {
  return new Array(count).fill(each);
}

function own(name: string, paths: readonly Required<Rated>[]): Plan {
  return { name, paths, published: null };
}

function rated(line: Partial<LineSettings>): Required<Rated> {
  const { rateBitsPerSecond = 0, delayMicros = 0, jitterMicros = 0, loss = 0 } = line;
  return { mbit: rateBitsPerSecond / 1e6, delayMs: delayMicros / 1000, jitterMs: jitterMicros / 1000, loss };
}

export const PLANS: readonly Plan[] = [
  ...PROFILES.map(({ name, lines, published }) => ({ name, paths: lines.map(rated), published })),
  own("2x25", alike(2, path(25, 20))),
  own("3x25", alike(3, path(25, 20))),
  own("4x25", alike(4, path(25, 20))),
  own("8x25", alike(8, path(25, 20))),
  own("2x50", alike(2, path(50, 20))),
  own("rtt_10_60", [path(50, 10), path(50, 60)]),
  own("100+10", [path(100, 20), path(10, 20)]),
  own("2x50_loss_1", alike(2, path(50, 20, 0.01))),
];
