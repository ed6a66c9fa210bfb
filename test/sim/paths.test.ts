/** Paths that come and go while a session runs: no packet is lost, the remote follows, ids and packet numbers never mix. */
import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { seededRandom } from "../../src/lab/random.ts";
import { Calendar } from "../../src/proto/calendar.ts";
import { SETTLED } from "../../src/proto/clock.ts";
import { MAX_PATHS } from "../../src/proto/limits.ts";
import type { Path } from "../../src/proto/path.ts";
import { TYPE_MASK, Type } from "../../src/wire/datagram.ts";
import type { Node } from "./node.ts";
import { allUp, closeWorlds, dropped, expectAll, join, makeWorld, pings, sessionOf } from "./scenario.ts";
import { type Datagrams, line } from "./traffic.ts";
import { MILLISECOND, type PathPlan, SECOND, type World } from "./world.ts";

/** A round trip of 20 ms. */
const dsl: PathPlan = { line: line(10, 10) };
const lte: PathPlan = { line: line(10, 30) };

setDefaultTimeout(120_000);
afterEach(closeWorlds);

/** The interface of a path is deleted; the address that its socket had is nobody's any more. */
function remove(world: World, index: number): void {
  world.locals[0]!.setInterface(index, "missing");
  world.rebind(world.wires[index]!);
}

function add(world: World, index: number): void {
  world.locals[0]!.setInterface(index, "up");
}

/** The ids of the paths that a portal has, in order. */
function ids(node: Node): number[] {
  return (sessionOf(node)?.order ?? []).map(({ id }) => id).sort((a, b) => a - b);
}

/** Both ends have the same paths, all of them up, so many. */
function settled(world: World, count: number): boolean {
  const [local, remote] = [world.locals[0]!, world.remote].map(ids);
  return local!.length === count && Bun.deepEquals(local, remote) && allUp(world, world.locals[0]!);
}

function expectSettled(world: World, count: number, within: number): void {
  if (!world.runTo(() => settled(world, count), within)) {
    const ends = [world.locals[0]!, world.remote].map(ids);
    expect({ local: ends[0], remote: ends[1] }).toEqual({ local: ends[1], remote: ends[0] });
    expect(ends[0]!.length).toBe(count);
  }
}

/** What was lost on three paths in a row, or while there was none, is lost for good, and counted. */
function expectNearlyAll(world: World, flows: readonly Datagrams[]): void {
  for (const flow of flows) flow.stop();
  world.runFor(5 * SECOND);
  world.checker.account();
  for (const flow of flows) expect(flow.received).toBeGreaterThan(0.9 * flow.sent);
}

describe("an interface that is deleted", () => {
  test("takes no packet with it, and its path is forgotten at both ends within a round trip", () => {
    const world = join(makeWorld([dsl, lte]));
    const probes = pings(world);
    world.runFor(SECOND);
    remove(world, 0);
    expectSettled(world, 1, 100 * MILLISECOND);
    world.runFor(SECOND);
    add(world, 0);
    expectSettled(world, 2, 150 * MILLISECOND);
    expectAll(world, probes);
    expect(world.log.filter((entry) => entry.includes("established")).length).toBe(2);
  });

  test("and made anew at once: the new path has an id of its own until the end of the old one is noted", () => {
    const world = join(makeWorld([dsl, dsl]));
    const probes = pings(world);
    world.runFor(SECOND);
    remove(world, 0);
    add(world, 0);
    world.runFor(MILLISECOND);
    expect(ids(world.locals[0]!)).toEqual([1, 2]);
    expectSettled(world, 2, 150 * MILLISECOND);
    expectAll(world, probes);
  });

  test("is told until it is noted, though every second message is lost", () => {
    const world = join(makeWorld([dsl, lte]));
    world.runFor(SECOND);
    let messages = 0;
    const other = world.wires[1]!;
    world.tap = (wire, _, bytes) => {
      if (wire === other && (bytes[0]! & 15) === Type.pathEnd) messages++;
      world.setLine(other, { cut: messages < 3 && (bytes[0]! & 15) === Type.pathEnd });
    };
    remove(world, 0);
    expectSettled(world, 1, 2 * SECOND);
    const said = messages;
    expect(said).toBeGreaterThanOrEqual(4);
    world.runFor(60 * SECOND);
    expect(messages).toBe(said);
  });

  test("as the last: the session waits, and goes on when another path comes, whatever its keys", () => {
    for (const away of [SECOND, 200 * SECOND]) {
      const world = join(makeWorld([dsl, lte]));
      const session = sessionOf(world.remote);
      remove(world, 1);
      world.runFor(SECOND);
      remove(world, 0);
      world.runFor(away);
      expect(sessionOf(world.locals[0]!)!.order.length).toBe(0);
      add(world, 1);
      expectSettled(world, 1, 350 * MILLISECOND);
      expect(sessionOf(world.remote)).toBe(session!);
      expectAll(world, pings(world, 20, { count: 20 }));
    }
  });

  test("as the last, for longer than a session is kept: there is a new one", () => {
    const world = join(makeWorld([dsl]));
    const session = sessionOf(world.remote);
    for (const node of world.nodes) node.engine.portal.keep = 20 * SECOND;
    remove(world, 0);
    world.runFor(19 * SECOND);
    expect(sessionOf(world.remote)).toBe(session!);
    // The remote notices later that nobody is there.
    world.runFor(8 * SECOND);
    for (const node of world.nodes) expect(sessionOf(node) === undefined).toBe(true);
    add(world, 0);
    expectSettled(world, 1, 350 * MILLISECOND);
    expectAll(world, pings(world, 20, { count: 20 }));
  });
});

test("a portal that begins without any path has a session soon after the first comes", () => {
  const world = makeWorld([dsl]);
  remove(world, 0);
  world.runFor(60 * SECOND);
  expect(sessionOf(world.locals[0]!)).toBeUndefined();
  expect(world.log.filter((entry) => entry.includes("does not answer"))).toEqual([]);
  add(world, 0);
  expectSettled(world, 1, 200 * MILLISECOND);
});

test("a handshake on a path of four seconds is answered, though it is begun again long before", () => {
  const world = makeWorld([{ line: line(1, 2000) }]);
  expect(world.runTo(() => settled(world, 1), 20 * SECOND)).toBe(true);
  expect(world.log.filter((entry) => entry.includes("established")).length).toBe(2);
});

test("a remote that was away for long is found within a second", () => {
  const world = join(makeWorld([dsl, lte]));
  pings(world, 10);
  for (const away of [0.1, 3.3, 100]) {
    world.remote.kill();
    world.runFor(away * SECOND);
    world.remote.restart();
    expect(world.runTo(() => sessionOf(world.remote)?.isUp === true, SECOND)).toBe(true);
    world.runFor(SECOND);
  }
});

test("an address that changes is taken up at once, and nothing is lost", () => {
  const world = join(makeWorld([dsl, lte]));
  const probes = pings(world);
  for (let i = 0; i < 20; i++) {
    world.runFor(300 * MILLISECOND);
    world.locals[0]!.renumber(i % 2);
    world.rebind(world.wires[i % 2]!);
  }
  expectSettled(world, 2, SECOND);
  expect(world.log.filter((entry) => entry.includes("-> suspect") && entry.includes("local0"))).toEqual([]);
  expectAll(world, probes);
});

test("a changed metric is told to the remote, however often the word of it is lost", () => {
  const world = join(makeWorld([dsl, lte]));
  const local = world.locals[0]!;
  const metrics = (node: Node) => sessionOf(node)!.paths.map((path) => path!.metric);
  for (const wire of world.wires) world.setLine(wire, { loss: 0.6 });
  const path = local.paths[0]!;
  local.engine.changePath(world.now, path, { ...path.use, metric: 7, congestion: "cubic" });
  expect(metrics(local)).toEqual([7, 0]);
  expect(world.runTo(() => Bun.deepEquals(metrics(world.remote), [7, 0]), 10 * SECOND)).toBe(true);
  const congestions = [local, world.remote].map(
    (node) => sessionOf(node)!.paths[0]!.recovery.congestion.name,
  );
  expect(congestions).toEqual(["cubic", "cubic"]);
});

test("ids are used again, and what was sent under one before is too old for the path that has it now", () => {
  const world = join(makeWorld([dsl, lte]));
  const probes = pings(world, 50);
  const seen: { bytes: Uint8Array; up: boolean }[] = [];
  const used = new Set<number>();
  const began = new Map<number, number>();
  world.tap = (wire, up, bytes) => {
    if (wire === world.wires[0] && (bytes[0]! & 15) >= Type.data) seen.push({ bytes: bytes.slice(), up });
    if ((bytes[0]! & 15) >= Type.data) used.add(bytes[1]!);
  };
  for (let i = 0; i < 300; i++) {
    world.runFor(120 * MILLISECOND);
    remove(world, 0);
    world.runFor(40 * MILLISECOND);
    add(world, 0);
    expectSettled(world, 2, SECOND);
    const path = sessionOf(world.locals[0]!)!.order.find(({ name }) => name === "path0")!;
    // Packet numbers go on.
    expect(path.sendsFrom).toBeGreaterThanOrEqual(began.get(path.id) ?? 0);
    began.set(path.id, path.recovery.log.next);
  }
  expect(used.size).toBe(256);
  expect(ids(world.locals[0]!).length).toBe(2);
  // All that ever crossed the first path is sent again to either end: none of it counts for anything.
  const id = ids(world.locals[0]!).find((each) => each !== 1)!;
  const ofId = seen.filter(({ bytes }) => bytes[1] === id);
  expect(ofId.some(({ up }) => up) && ofId.some(({ up }) => !up)).toBe(true);
  const packets = () =>
    [world.locals[0]!, world.remote].map((node) => sessionOf(node)!.paths[id]!.reception.packets);
  for (const probe of probes) probe.stop();
  world.runFor(SECOND);
  world.tap = null;
  const before = packets();
  for (const { bytes, up } of ofId) {
    if (up) world.injectRemote(bytes, world.wires[0]!.external);
    else world.injectLocal(world.wires[0]!, bytes);
  }
  world.runFor(50 * MILLISECOND);
  expect(packets()).toEqual(before);
  expect(dropped(world, world.remote, "tooOld")).toBeGreaterThan(0);
  expectAll(world, probes);
});

test("what is told late of a path whose id has another one by then changes nothing", () => {
  const world = join(makeWorld([dsl, dsl, { line: line(10, 400) }]));
  const probes = pings(world, 50);
  world.runFor(3 * SECOND);
  const { ids: all } = sessionOf(world.locals[0]!)!;
  // As if all others had been used.
  while (all.take() >= 0);
  const TIMES = 20;
  for (let i = 0; i < TIMES; i++) {
    world.locals[0]!.setInterface(0, "no carrier");
    world.runFor(5 * MILLISECOND);
    remove(world, 0);
    // Told over a fast path, which is noted at once, and over one that takes its time.
    world.runFor(60 * MILLISECOND);
    add(world, 0);
    expectSettled(world, 3, 200 * MILLISECOND);
    expect(ids(world.remote)).toEqual([0, 1, 2]);
    world.runFor(SECOND);
  }
  const said = (words: string) => world.log.filter((entry) => entry.includes(words)).length;
  expect(said("the peer has ended it")).toBe(TIMES);
  expect(said("path 0 of local0: up -> suspect")).toBe(TIMES);
  expect(said("established")).toBe(2);
  expectNearlyAll(world, probes);
});

test("dead paths, whose end the remote never heard of, give way to new ones", () => {
  const world = join(makeWorld([{ ...dsl, metric: 3 }, dsl]));
  let deaf = true;
  world.tap = (wire, _, bytes) =>
    world.setLine(wire, { cut: deaf && (bytes[0]! & TYPE_MASK) === Type.pathEnd });
  for (let i = 0; i < MAX_PATHS + 8; i++) {
    const before = firstPath(world)!.id;
    remove(world, 0);
    add(world, 0);
    const again = () => firstPath(world)?.id !== before && firstPath(world)?.status === "up";
    expect(world.runTo(again, 2 * SECOND)).toBe(true);
    const { id } = firstPath(world)!;
    expect(world.runTo(() => sessionOf(world.remote)!.paths[id]?.status === "up", SECOND)).toBe(true);
    expect(sessionOf(world.remote)!.order.length).toBeLessThanOrEqual(MAX_PATHS);
  }
  expect(sessionOf(world.remote)!.order.length).toBe(MAX_PATHS);
  expect(dropped(world, world.remote, "unknownPath")).toBe(0);
  // The path that stands beside them all has not suffered, and all is forgotten once the remote hears of it.
  expect(world.log.filter((entry) => entry.includes("path1") && entry.includes("suspect"))).toEqual([]);
  deaf = false;
  expectSettled(world, 2, 20 * SECOND);
  expectAll(world, pings(world, 20, { count: 20 }));
});

/** The local's path of the first interface. */
function firstPath(world: World): Path | undefined {
  return sessionOf(world.locals[0]!)!.order.find(({ name }) => name === "path0");
}

test("a path that gave way and lives after all is used as it was", () => {
  const world = join(makeWorld([{ ...dsl, metric: 3, congestion: "cubic" }, dsl]));
  const there = sessionOf(world.remote)!;
  world.setLine(world.wires[0]!, { cut: true });
  expect(world.runTo(() => there.paths[0]!.status === "down", 60 * SECOND)).toBe(true);
  expect(there.makeRoom(world.now)).toBe(true);
  expect(there.paths[0]).toBeUndefined();
  // Neither does a path that is up.
  expect(there.makeRoom(world.now)).toBe(false);
  world.setLine(world.wires[0]!, { cut: false });
  const isUsed = () => {
    const path = there.paths[0];
    return path?.status === "up" && path.metric === 3 && path.recovery.congestion.name === "cubic";
  };
  expect(world.runTo(() => isUsed() && allUp(world, world.locals[0]!), 20 * SECOND)).toBe(true);
});

test("a path that rests gives way too, if none is dead, and is used again in the next period", () => {
  const cap = {
    monthBytes: null,
    dayBytes: 500_000,
    overBytesPerSecond: 0,
    calendar: new Calendar("UTC", 1),
  };
  const world = join(
    makeWorld([{ ...dsl, metric: 3, cap }, dsl, dsl], { wall: Date.UTC(2026, 10, 15, 23, 50) }),
  );
  const there = sessionOf(world.remote)!;
  // From here on the time of day is believed.
  world.runFor(SETTLED);
  world.locals[0]!.caps[0]!.charge(500_000);
  expect(world.runTo(() => there.paths[0]!.status === "capped", 10 * SECOND)).toBe(true);
  world.setLine(world.wires[1]!, { cut: true });
  expect(world.runTo(() => there.paths[1]!.status === "down", 60 * SECOND)).toBe(true);
  // The dead one first.
  expect(there.makeRoom(world.now)).toBe(true);
  expect(there.order.map(({ id }) => id).sort()).toEqual([0, 2]);
  expect(there.makeRoom(world.now)).toBe(true);
  expect(there.makeRoom(world.now)).toBe(false);
  world.runFor(SECOND);
  expect(there.order.map(({ id }) => id)).toEqual([2]);
  world.setLine(world.wires[1]!, { cut: false });
  const isUsed = () => there.paths[0]?.status === "up" && there.paths[0].metric === 3;
  expect(world.runTo(() => isUsed() && allUp(world, world.locals[0]!), 300 * SECOND)).toBe(true);
  expectAll(world, pings(world, 20, { count: 20 }));
});

test("of a path that ends the log has one line, and none more when its failure was told", () => {
  const world = join(makeWorld([dsl, dsl]));
  const lines = () =>
    world.log
      .filter((entry) => / remote (info|warn): path \d+ of local0/.test(entry))
      .map((entry) => entry.replace(/^\S+ remote /, ""));
  const before = lines().length;
  remove(world, 0);
  expectSettled(world, 1, SECOND);
  expect(lines().slice(before)).toEqual(["info: path 0 of local0: up -> ended (the peer has ended it)"]);
  add(world, 0);
  expectSettled(world, 2, SECOND);
  const since = lines().length;
  world.locals[0]!.setInterface(0, "no carrier");
  world.runFor(SECOND);
  remove(world, 0);
  expectSettled(world, 1, SECOND);
  expect(
    lines()
      .slice(since)
      .map((entry) => entry.replace(/ \(.*/, "")),
  ).toEqual(["warn: path 2 of local0: up -> suspect"]);
});

test.each([1, 2, 3, 4, 5, 6, 7, 8])(
  "interfaces that come, go, fail and change at random: seed %d",
  (seed) => {
    const random = seededRandom(seed);
    const world = join(makeWorld([dsl, lte, dsl], { seed }));
    const probes = pings(world, 50);
    for (let i = 0; i < 100; i++) {
      const index = Math.floor(random() * 3);
      const local = world.locals[0]!;
      const what = random();
      if (what < 0.35) remove(world, index);
      else if (what < 0.7) add(world, index);
      else if (what < 0.8) local.setInterface(index, "no carrier");
      else if (what < 0.9 && local.paths[index] !== undefined) {
        local.renumber(index);
        world.rebind(world.wires[index]!);
      } else world.rebind(world.wires[index]!);
      world.runFor(random() * 400 * MILLISECOND);
    }
    for (const index of [0, 1, 2]) add(world, index);
    expectSettled(world, 3, 35 * SECOND);
    for (const node of world.nodes) {
      const { order, paths } = sessionOf(node)!;
      expect(paths.filter((path) => path !== undefined).length).toBe(order.length);
    }
    expect(sessionOf(world.locals[0]!)!.ids.endings).toEqual([]);
    expectNearlyAll(world, probes);
  },
);
