/** A path of a higher metric beside one of a lower that is up: with spill it helps while that one is full, else it rests. */
import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { limitOf } from "./profile.ts";
import { closeWorlds, expectAll, join, makeWorld, pathOf, pings } from "./scenario.ts";
import { Datagrams, goodput, line, Stream } from "./traffic.ts";
import { MILLISECOND, type PathPlan, SECOND, type World } from "./world.ts";

/** Virtual time passes faster than ours, but not on every machine. */
setDefaultTimeout(120_000);

afterEach(closeWorlds);

/** Challenges, answers and probes of a path that rests. */
const CONTROL = 1300;
/** The first one of the path's MTU. */
const SIZE_PROBE = 1480;

const directions = [
  ["up", true],
  ["down", false],
] as const;

const first: PathPlan = { line: line(10, 10) };

const others: readonly (readonly [name: string, plan: PathPlan])[] = [
  ["equal", first],
  ["slower", { line: line(10, 40) }],
];

const cases = others.flatMap(([name, plan]) =>
  directions.map(([way, up]) => [`${name}, ${way}`, plan, up] as const),
);

/** What the second path has sent since it was last asked, bytes. */
function sentOf(world: World, upwards: boolean): () => number {
  let before = 0;
  return () => {
    const { sentBytes } = pathOf(upwards ? world.locals[0]! : world.remote, 1).recovery;
    const since = sentBytes - before;
    before = sentBytes;
    return since;
  };
}

test.each(cases)("with spill, %s: rests, joins when the first is full, rests again", (_, plan, up) => {
  const paths = [first, { ...plan, metric: 10, spill: true }];
  const world = join(makeWorld(paths));
  expect([world.locals[0]!, world.remote].map((node) => pathOf(node, 1).spill)).toEqual([true, true]);
  const sent = sentOf(world, up);
  const probes = pings(world);
  world.runFor(3 * SECOND);
  expect(sent()).toBeLessThan(CONTROL + SIZE_PROBE);
  // A page, before it is known what the first path carries.
  const page = new Datagrams(world, { upwards: up, perSecond: 1000, size: 1200, count: 20 });
  world.runFor(SECOND);
  expect(sent()).toBeLessThan(CONTROL);
  const stream = new Stream(world, { upwards: up, cubic: true });
  world.runFor(4 * SECOND);
  expect(goodput(world, stream, 4 * SECOND)).toBeGreaterThan(0.85 * limitOf(paths, up));
  stream.stop();
  world.runFor(2 * SECOND);
  expect(sent()).toBeGreaterThan(1_000_000);
  world.runFor(2 * SECOND);
  expect(sent()).toBeLessThan(CONTROL);
  expect(pathOf(up ? world.locals[0]! : world.remote, 1).carries).toBe(false);
  expectAll(world, [...probes, page]);
});

test.each(cases)("without spill, %s: never carries while the first is up", (_, plan, up) => {
  const world = join(makeWorld([first, { ...plan, metric: 10 }]));
  expect([world.locals[0]!, world.remote].map((node) => pathOf(node, 1).spill)).toEqual([false, false]);
  const sent = sentOf(world, up);
  const stream = new Stream(world, { upwards: up, cubic: true });
  world.runFor(4 * SECOND);
  expect(goodput(world, stream, 4 * SECOND)).toBeGreaterThan(0.7 * limitOf([first], up));
  expect(sent()).toBeLessThan(CONTROL + SIZE_PROBE);
});

test.each(directions)("a path with spill carries alone while the first is cut, %s", (_, up) => {
  const world = join(makeWorld([first, { ...first, metric: 10, spill: true }]));
  const sent = sentOf(world, up);
  const probes = pings(world);
  world.runFor(SECOND);
  sent();
  world.setLine(world.wires[0]!, { cut: true });
  world.runFor(2 * SECOND);
  expect(sent()).toBeGreaterThan(20_000);
  world.setLine(world.wires[0]!, { cut: false });
  world.runFor(2 * SECOND + 500 * MILLISECOND);
  sent();
  world.runFor(SECOND);
  expect(sent()).toBeLessThan(CONTROL);
  expectAll(world, probes);
});
