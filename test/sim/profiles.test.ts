/**
 * What one bulk flow gets over every plan of test/sim/plans.ts, as a table: a change of a figure is to be looked at, not to
 * be feared. When some differ, all rows are printed as they are now, to be put in the place of those below.
 *
 * Where lines lose packets at random, or vary in delay, each figure is of the means of three seeds.
 *
 * `share` is the goodput as a share of what the paths can carry, `toBest` as a multiple of what the best of them alone gave
 * in the same run, `reached` the seconds from the last change to 90 % of the new limit (null: not within the run).
 */
import { expect, test } from "bun:test";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { PLANS, type Plan } from "./plans.ts";
import type { Figures } from "./profile.ts";

interface Row {
  readonly share: number;
  readonly toBest: number;
  readonly reached?: number | null;
}

const TABLE: Readonly<Record<string, Row>> = {
  baseline: { share: 0.99, toBest: 2 },
  rtt_40: { share: 0.99, toBest: 2.01 },
  rtt_70: { share: 0.97, toBest: 1.96 },
  rtt_120: { share: 0.99, toBest: 2 },
  rtt_320: { share: 0.49, toBest: 0.99 },
  jit_5: { share: 0.96, toBest: 2.03 },
  jit_20: { share: 0.84, toBest: 2.12 },
  loss_05: { share: 0.97, toBest: 2.05 },
  loss_2: { share: 0.96, toBest: 2 },
  bw_4to1: { share: 0.99, toBest: 1.24 },
  bw_10to1: { share: 0.98, toBest: 1.09 },
  dual_lte: { share: 0.95, toBest: 1.59 },
  fiber_lte: { share: 0.91, toBest: 1.01 },
  lte_starlink: { share: 0.7, toBest: 1.92 },
  lte_geo: { share: 0.65, toBest: 1 },
  congested: { share: 0.84, toBest: 1.77 },
  equal_1: { share: 0.95, toBest: 1 },
  equal_2: { share: 0.99, toBest: 2.09 },
  equal_3: { share: 0.99, toBest: 3.15 },
  equal_4: { share: 0.99, toBest: 4.21 },
  equal_5: { share: 0.99, toBest: 5.25 },
  equal_6: { share: 1, toBest: 6.33 },
  equal_7: { share: 1, toBest: 7.38 },
  equal_8: { share: 1, toBest: 8.42 },
  step_down: { share: 0.96, toBest: 1.08, reached: 0.3 },
  step_up: { share: 0.89, toBest: 1.82, reached: 1.3 },
  cut: { share: 0.93, toBest: 0.95, reached: 0.1 },
  cut_and_return: { share: 0.94, toBest: 1.61, reached: 0.3 },
  flap_2s: { share: 0.8, toBest: 1.13, reached: 0 },
  bufferbloat_1s: { share: 0.99, toBest: 2.02 },
  fading: { share: 0.75, toBest: 1.02, reached: null },
  token_bucket: { share: 0.97, toBest: 1.95 },
  asymmetric_down: { share: 0.96, toBest: 2.92 },
  asymmetric_up: { share: 0.94, toBest: 2.08 },
  ack_loss_10: { share: 0.94, toBest: 2.12 },
  ack_loss_30: { share: 0.84, toBest: 3.76 },
  satellite: { share: 0.42, toBest: 1 },
  satellite_dsl: { share: 0.49, toBest: 1 },
};

const PROGRAM = join(import.meta.dir, "profile.ts");

/** Plans that a process runs one after the other: neighbours have paths in common, which it measures once. */
const CHUNK = 4;

/** As many processes at a time as there are processors. */
async function runAll(): Promise<Record<string, Row>> {
  const rows: Record<string, Row> = {};
  const left = [...PLANS];
  const work = async (): Promise<void> => {
    while (left.length > 0) Object.assign(rows, await runSome(left.splice(0, CHUNK)));
  };
  await Promise.all(Array.from({ length: availableParallelism() }, work));
  return Object.fromEntries(PLANS.map(({ name }) => [name, rows[name]!]));
}

async function runSome(plans: readonly Plan[]): Promise<Record<string, Row>> {
  const names = plans.map(({ name }) => name);
  const argv = [process.execPath, PROGRAM, ...names, "--json"];
  const child = Bun.spawn(argv, { stdio: ["ignore", "pipe", "pipe"] });
  const [text, errors] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  if ((await child.exited) !== 0) throw new Error(`${names.join(", ")}: ${errors}`);
  const found = text
    .trim()
    .split("\n")
    .map((each) => JSON.parse(each) as Figures);
  return Object.fromEntries(plans.map((plan, i) => [plan.name, rowOf(plan, found[i]!)]));
}

function rowOf({ changes }: Plan, { share, toBest, reached }: Figures): Row {
  return {
    share: rounded(share),
    toBest: rounded(toBest),
    ...(changes === undefined ? {} : { reached }),
  };
}

function rounded(value: number): number {
  return Math.round(value * 100) / 100;
}

/** As the table above is written. */
function written(rows: Readonly<Record<string, Row>>): string {
  const lines = Object.entries(rows).map(([name, row]) => {
    const figures = Object.entries(row).map(([key, value]) => `${key}: ${value}`);
    return `  ${name}: { ${figures.join(", ")} },`;
  });
  return lines.join("\n");
}

test("what one flow gets over every plan", async () => {
  const rows = await runAll();
  if (!Bun.deepEquals(rows, TABLE)) console.log(written(rows));
  expect(rows).toEqual(TABLE);
}, 280_000); // Virtual time passes faster than ours, but not on every machine.
