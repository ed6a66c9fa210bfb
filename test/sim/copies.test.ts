/** Where delays vary, what one path sends leaves by another as well that has nothing to do: the first to arrive counts. */
import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { Calendar } from "../../src/proto/calendar.ts";
import type { CapSettings } from "../../src/proto/cap.ts";
import { closeWorlds, expectAll, join, makeWorld, pathOf } from "./scenario.ts";
import { Datagrams, line, Ping, Stream } from "./traffic.ts";
import { MILLISECOND, type PathPlan, SECOND, type World } from "./world.ts";

/** Virtual time passes faster than ours, but not on every machine. */
setDefaultTimeout(120_000);

afterEach(closeWorlds);

const varying: PathPlan = { line: line(20, 40, { jitterMicros: 20 * MILLISECOND, loss: 0.05 }) };

function copiesOf(world: World): number[] {
  return [world.locals[0]!, world.remote].map((node) => node.engine.portal.sessions[0]!.copies.sent);
}

/** Milliseconds: what 99 of 100 pings take at most. */
function late(world: World, seconds: number): number {
  const ping = new Ping(world, 20);
  world.runFor(seconds * SECOND);
  ping.stop();
  world.runFor(2 * SECOND);
  expect(ping.times.length).toBe(ping.sent);
  const times = ping.times.sort((a, b) => a - b);
  return times[Math.floor(0.99 * times.length)]! / MILLISECOND;
}

test("a lost or late packet holds nothing up", () => {
  const alone = late(join(makeWorld([varying])), 60);
  const world = join(makeWorld([varying, varying]));
  world.runFor(2 * SECOND);
  const beside = late(world, 60);
  // Alone, a lost one comes a round trip and more later.
  expect(alone).toBeGreaterThan(160);
  expect(beside).toBeLessThan(0.75 * alone);
  for (const copies of copiesOf(world)) expect(copies).toBeGreaterThan(1000);
  expectAll(world, []);
});

test("a path that does not carry yet learns its rate by copies, and joins knowing it", () => {
  // With about the same round trip: a flow that doubles faster than the path learns is there before it knows.
  const world = join(makeWorld([{ line: line(100, 20) }, { line: line(40, 25) }]));
  world.runFor(2 * SECOND);
  const stream = new Stream(world, { upwards: false, cubic: true, hystart: true });
  const second = pathOf(world.remote, 1);
  expect(second.recovery.congestion.searching).toBe(true);
  expect(world.runTo(() => second.carries, 5 * SECOND)).toBe(true);
  expect(second.recovery.congestion.searching).toBe(false);
  const megabits = (second.recovery.rateKnown * 8) / 1e6;
  expect(megabits).toBeGreaterThan(30);
  expect(megabits).toBeLessThan(45);
  // What it took: once, and for all that follows.
  const copies = () => copiesOf(world)[1]!;
  const learnt = copies();
  expect(learnt).toBeGreaterThan(100);
  expect(learnt).toBeLessThan(2000);
  world.runFor(10 * SECOND);
  expect(copies()).toBe(learnt);
  expect(stream.timeouts).toBe(0);
});

test.each([
  ["steady", [{ line: line(20, 40) }, { line: line(20, 40) }]],
  ["of another metric", [varying, { ...varying, metric: 10 }]],
] as const)("of a few packets nothing is copied to paths that are %s", (_, paths) => {
  const world = join(makeWorld([...paths]));
  world.runFor(2 * SECOND);
  late(world, 10);
  expect(copiesOf(world)).toEqual([0, 0]);
});

test("how a path varies is learnt while it rests, not while the peer sends", () => {
  const world = join(makeWorld([varying]));
  const flow = new Datagrams(world, { upwards: false, perSecond: 1000, size: 1200, count: 2000 });
  world.runFor(2 * SECOND);
  const { rtt } = pathOf(world.locals[0]!, 0).recovery;
  expect(rtt.deviation).toBe(0);
  flow.stop();
  new Ping(world, 10);
  world.runFor(5 * SECOND);
  expect(rtt.deviation).toBeGreaterThan(5 * MILLISECOND);
});

test.each([
  ["local", true],
  ["remote", false],
])("a path with a data cap takes no copies of what the %s sends", (_, upwards) => {
  const calendar = new Calendar("UTC", 1);
  const cap: CapSettings = { monthBytes: 1e9, dayBytes: null, overBytesPerSecond: 0, calendar };
  const slower: PathPlan = { line: line(20, 80, { jitterMicros: 20 * MILLISECOND }) };
  const sentBySlower = (path: PathPlan) => {
    const world = join(makeWorld([varying, path]));
    world.runFor(2 * SECOND);
    const flow = new Datagrams(world, { upwards, perSecond: 50, size: 1000, count: 500 });
    world.runFor(12 * SECOND);
    expectAll(world, [flow]);
    return pathOf(upwards ? world.locals[0]! : world.remote, 1).recovery.sentBytes;
  };
  expect(sentBySlower(slower)).toBeGreaterThan(400_000);
  expect(sentBySlower({ ...slower, cap })).toBeLessThan(50_000);
});
