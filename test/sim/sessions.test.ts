/** Many locals with one remote: each gets its own packets, and memory follows what is under way, not how many they are. */
import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { closeWorlds, expectAll, join, makeWorld, sessionOf } from "./scenario.ts";
import { Datagrams, line, Stream } from "./traffic.ts";
import { MILLISECOND, type PathPlan, SECOND, type World } from "./world.ts";

setDefaultTimeout(240_000);

afterEach(closeWorlds);

const PATHS: readonly PathPlan[] = [{ line: line(20, 10) }, { line: line(10, 25) }];
/** The longest that what nobody uses is kept: two periods of TRIM_EVERY, each ended by a probe of an idle path. */
const REST = 15 * SECOND;
/** Of blocks; the tables of a session at rest take about as much (npm run bench -- sessions measures all of it). */
const MOST_PER_IDLE_SESSION = 6_000;

function manyLocals(count: number): World {
  return makeWorld([], { locals: Array.from({ length: count }, () => ({ paths: PATHS })) });
}

test("200 sessions: each gets its own packets, and when idle each has next to no memory", () => {
  const world = manyLocals(200);
  const { remote } = world;
  const before = remote.askedBytes;
  join(world);
  expect((remote.askedBytes - before) / 200).toBeLessThan(MOST_PER_IDLE_SESSION);
  const flows = world.locals.flatMap((_, local) => {
    const startAt = world.now + local * MILLISECOND;
    return [true, false].map(
      (upwards) => new Datagrams(world, { local, upwards, perSecond: 10, count: 5, startAt }),
    );
  });
  world.runFor(SECOND);
  // The ledger throws when a packet comes out anywhere else.
  expectAll(world, flows);
  expect(flows.every(({ sent }) => sent === 5)).toBe(true);
  for (const session of remote.engine.portal.sessions) expect(session.drops.total).toBe(0);
  world.runFor(REST);
  expect(remote.engine.portal.store.used).toBe(0);
  expect(world.locals.map((local) => local.engine.portal.store.used)).toEqual(new Array(200).fill(0));
});

test("what a session took under load serves the others, and goes back to the system when nobody needs it", () => {
  const world = join(manyLocals(3));
  const { remote } = world;
  const { store } = remote.engine.portal;
  const load = (local: number): void => {
    const streams = [true, false].map((upwards) => new Stream(world, { local, upwards, cubic: true }));
    world.runFor(3 * SECOND);
    expect(store.used).toBeGreaterThan(2);
    for (const stream of streams) stream.stop();
    world.runFor(REST);
    expect(store.used).toBe(0);
  };
  load(0);
  const asked = remote.askedBytes;
  load(1);
  load(2);
  // They come at different times: pages of the first do for all, within what two flows' chances make of it.
  expect(remote.askedBytes - asked).toBeLessThan(asked / 2);
  world.runFor(REST);
  expect(store.spares).toBe(0);
  expect(remote.releasedBytes).toBeGreaterThanOrEqual(store.pages.length * store.pageBytes);
});

test("memory follows a flow that goes on: what has arrived is not kept, and a lull gives back what the rush took", () => {
  const world = join(manyLocals(1));
  const session = sessionOf(world.remote)!;
  const { store } = world.remote.engine.portal;
  const rush = new Stream(world, { upwards: false, cubic: true });
  world.runFor(3 * SECOND);
  // Some 30 Mbit/s at 50 ms are 150 packets under way; the ring has room for 16,384.
  expect(session.ring.pages).toBeGreaterThan(0);
  expect(session.ring.pages).toBeLessThan(40);
  rush.stop();
  const trickle = [true, false].map((upwards) => new Datagrams(world, { upwards, perSecond: 2 }));
  world.runFor(REST);
  // A packet at a time, and one page for it.
  expect(store.used).toBeLessThanOrEqual(1);
  expectAll(world, trickle);
});

test("a session that ends under load gives its memory back at once, and takes nobody else's", () => {
  const world = join(manyLocals(2));
  const { remote } = world;
  const { store } = remote.engine.portal;
  for (const local of [0, 1]) new Stream(world, { local, upwards: false, cubic: true });
  world.runFor(2 * SECOND);
  const { sessions, peers } = remote.engine.portal;
  const [first, second] = peers.map(({ session }) => session);
  expect(first!.ring.pages).toBeGreaterThan(2);
  const received = world.ledger.delivered;
  world.locals[0]!.stop();
  world.runFor(100 * MILLISECOND);
  expect([sessions.length, sessions[0] === second]).toEqual([1, true]);
  expect(first!.ring.pages).toBe(0);
  expect(first!.queues.trim()).toBe(true);
  expect(store.used).toBeGreaterThanOrEqual(second!.ring.pages);
  world.runFor(2 * SECOND);
  expect(world.ledger.delivered).toBeGreaterThan(received + 1000);
  world.locals[1]!.stop();
  world.runFor(SECOND);
  expect(store.used).toBe(0);
});
