/**
 * The sixteen profiles of two paths each that a public report on another multipath tunnel gives figures for (mqvpn, June
 * 2026: one HTTP/3 flow of 20 MiB, the best of its settings per profile). The simulator and the benchmark both run them.
 */
import type { LineSettings } from "../src/lab/line.ts";

export interface Profile {
  readonly name: string;
  /** Both directions of each path alike. */
  readonly lines: readonly Partial<LineSettings>[];
  /** Mbit/s that the report gives for the better path alone, and for both with the best of its settings. */
  readonly published: { readonly single: number; readonly both: number };
}

const MILLISECOND = 1_000;

/** A line of so many milliseconds one way and so many Mbit/s, with jitter in ms (standard deviation) and loss in per cent. */
function line(delayMs: number, megabits: number, jitterMs = 0, lossPercent = 0): Partial<LineSettings> {
  return {
    rateBitsPerSecond: megabits * 1e6,
    delayMicros: delayMs * MILLISECOND,
    jitterMicros: jitterMs * MILLISECOND,
    loss: lossPercent / 100,
  };
}

function profile(
  name: string,
  lines: readonly Partial<LineSettings>[],
  single: number,
  both: number,
): Profile {
  return { name, lines, published: { single, both } };
}

export const PROFILES: readonly Profile[] = [
  profile("baseline", [line(20, 50), line(20, 50)], 40.6, 73.9),
  profile("rtt_40", [line(20, 50), line(40, 50)], 40.5, 45.7),
  profile("rtt_70", [line(20, 50), line(70, 50)], 40.6, 40.2),
  profile("rtt_120", [line(20, 50), line(120, 50)], 40.7, 40.6),
  profile("rtt_320", [line(20, 50), line(320, 50)], 40.3, 40.1),
  profile("jit_5", [line(20, 50, 5), line(20, 50, 5)], 38.8, 55.7),
  profile("jit_20", [line(20, 50, 20), line(20, 50, 20)], 17.4, 37.6),
  profile("loss_05", [line(20, 50, 0, 0.5), line(20, 50, 0, 0.5)], 32.2, 70.7),
  profile("loss_2", [line(20, 50, 0, 2), line(20, 50, 0, 2)], 16.3, 29.0),
  profile("bw_4to1", [line(20, 50), line(20, 12)], 40.6, 39.9),
  profile("bw_10to1", [line(20, 100), line(20, 10)], 74.2, 70.1),
  profile("dual_lte", [line(30, 40, 5, 0.5), line(45, 25, 8, 0.5)], 29.6, 29.6),
  profile("fiber_lte", [line(8, 300), line(40, 30, 8, 0.5)], 212.4, 212.3),
  profile("lte_starlink", [line(35, 40, 8), line(50, 100, 25, 1)], 29.6, 27.2),
  profile("lte_geo", [line(35, 40), line(320, 20, 20, 0.5)], 31.7, 31.5),
  profile("congested", [line(50, 20, 20, 2), line(60, 15, 25, 2)], 6.4, 6.4),
];
