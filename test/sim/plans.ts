/** What runs over which paths, for the table of test/sim/profiles.test.ts and for single runs (test/sim/profile.ts). */
import type { LineSettings } from "../../src/lab/line.ts";
import { PROFILES } from "../profiles.ts";
import { line } from "./traffic.ts";
import { MILLISECOND, type PathPlan, SECOND } from "./world.ts";

/** Something that happens to a path's line in both directions, so many seconds after the flow has found its rate. */
export interface Change {
  readonly at: number;
  readonly path: number;
  readonly set: Partial<LineSettings>;
}

export interface Plan {
  readonly name: string;
  readonly paths: readonly PathPlan[];
  /** From the local to the remote. Default false. */
  readonly upwards?: boolean;
  /** Seconds the flow has to find its rate, and seconds measured after them. */
  readonly settle?: number;
  readonly seconds?: number;
  /** With changes, the time from the last of them to 90 % of the limit is measured too. */
  readonly changes?: readonly Change[];
}

function alike(count: number, ...of: Parameters<typeof line>): PathPlan[] {
  return new Array<PathPlan>(count).fill({ line: line(...of) });
}

const published = PROFILES.map(({ name, lines }): Plan => {
  const slow = lines.some(({ delayMicros = 0 }) => delayMicros > 300 * MILLISECOND);
  return { name, paths: lines.map((each) => ({ line: each })), settle: slow ? 6 : 3 };
});

const many = [1, 2, 3, 4, 5, 6, 7, 8].map(
  (count): Plan => ({ name: `equal_${count}`, paths: alike(count, 12, 20), settle: 2, seconds: 3 }),
);

const changing: readonly Plan[] = [
  {
    name: "step_down",
    paths: alike(2, 20, 20),
    seconds: 6,
    changes: [{ at: 0, path: 0, set: { rateBitsPerSecond: 2e6 } }],
  },
  {
    name: "step_up",
    paths: [{ line: line(2, 20) }, { line: line(20, 20) }],
    seconds: 6,
    changes: [{ at: 0, path: 0, set: { rateBitsPerSecond: 20e6 } }],
  },
  {
    name: "cut",
    paths: alike(2, 20, 20),
    seconds: 6,
    changes: [{ at: 0, path: 0, set: { cut: true } }],
  },
  {
    name: "cut_and_return",
    paths: alike(2, 20, 20),
    seconds: 9,
    changes: [
      { at: 0, path: 0, set: { cut: true } },
      { at: 3, path: 0, set: { cut: false } },
    ],
  },
  {
    name: "flap_2s",
    paths: alike(2, 20, 20),
    seconds: 16,
    changes: [0, 1, 2, 3, 4, 5, 6].map((i) => ({ at: 2 * i, path: 0, set: { cut: i % 2 === 0 } })),
  },
];

/** A radio that has to carry its packets through a hole, in a queue of a second. */
const fading: readonly Change[] = [0.2, 5, 0.2, 20].map((mbit, i) => ({
  at: 2 * i,
  path: 0,
  set: { rateBitsPerSecond: mbit * 1e6 },
}));

const asymmetric: readonly PathPlan[] = [
  { down: line(40, 20), up: line(2, 20) },
  { down: line(40, 20), up: line(2, 20) },
];

function lossyBack(loss: number): PathPlan[] {
  return [0, 1].map(() => ({ down: line(20, 20), up: line(20, 20, { loss }) }));
}

const odd: readonly Plan[] = [
  { name: "bufferbloat_1s", paths: alike(2, 20, 20, { queueMicros: SECOND }) },
  { name: "fading", paths: alike(2, 20, 20, { queueMicros: SECOND }), seconds: 8, changes: fading },
  // A quarter of a second at the rate, as shapers of access lines have.
  { name: "token_bucket", paths: alike(2, 20, 20, { burstBytes: 625_000 }) },
  { name: "asymmetric_down", paths: asymmetric },
  { name: "asymmetric_up", paths: asymmetric, upwards: true },
  { name: "ack_loss_10", paths: lossyBack(0.1) },
  { name: "ack_loss_30", paths: lossyBack(0.3) },
  { name: "satellite", paths: alike(1, 20, 300), settle: 10 },
  { name: "satellite_dsl", paths: [{ line: line(20, 300) }, { line: line(20, 20) }], settle: 10 },
];

export const PLANS: readonly Plan[] = [...published, ...many, ...changing, ...odd];
