/** Data caps over simulated paths: a path rests at its cap, the flow goes on over the others, and both ends know. */
import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { Calendar } from "../../src/proto/calendar.ts";
import type { CapSettings } from "../../src/proto/cap.ts";
import { TYPE_MASK, Type } from "../../src/wire/datagram.ts";
import { closeWorlds, expectAll, join, makeWorld, pathOf, pings, sessionOf } from "./scenario.ts";
import { Datagrams, goodput, line, Stream } from "./traffic.ts";
import { type PathPlan, SECOND, type World } from "./world.ts";

setDefaultTimeout(120_000);

afterEach(closeWorlds);

const CAP = 3_000_000;
/** A full-sized datagram, as an IP packet. */
const DATAGRAM = 1480;

function capped(change: Partial<CapSettings> = {}): CapSettings {
  const calendar = new Calendar("UTC", 1);
  return { monthBytes: CAP, dayBytes: null, overBytesPerSecond: 0, calendar, ...change };
}

const first: PathPlan = { line: line(10, 10) };

/** Bytes of the path's IP packets that its local has sent and received. */
function wireBytes(world: World, path: number): number {
  const { sentWireBytes, receivedWireBytes } = world.locals[0]!.sockets[path]!;
  return sentWireBytes + receivedWireBytes;
}

/** Sees what the local had used whenever a datagram of a path left, and the largest of it. */
function watchSends(world: World, path: number): { most: number; sent: number } {
  const seen = { most: 0, sent: 0 };
  const wire = world.wires[path]!;
  world.tap = (each, upwards) => {
    if (each !== wire || !upwards) return;
    seen.sent++;
    seen.most = Math.max(seen.most, wireBytes(world, path));
  };
  return seen;
}

const statuses = (world: World, path: number) =>
  [world.locals[0]!, world.remote].map((node) => pathOf(node, path).status);

const reaches = (world: World, path: number, status: string, within = 20 * SECOND) =>
  expect(world.runTo(() => statuses(world, path).every((each) => each === status), within)).toBe(true);

describe.each([
  ["up", true],
  ["down", false],
] as const)("a flow %s", (_, upwards) => {
  test("leaves a path at its cap, never beyond it, and goes on over the other", () => {
    const world = join(makeWorld([{ ...first, cap: capped() }, first]));
    const seen = watchSends(world, 0);
    const probes = pings(world);
    const stream = new Stream(world, { upwards, cubic: true });
    reaches(world, 0, "capped");
    world.runFor(SECOND);
    const used = wireBytes(world, 0);
    expect(used).toBeLessThanOrEqual(CAP);
    expect(seen.most).toBeLessThanOrEqual(CAP);
    expect(used).toBeGreaterThan(CAP - DATAGRAM);
    // From there on, nothing: no probes, and nothing from the remote.
    world.runFor(20 * SECOND);
    expect(wireBytes(world, 0)).toBe(used);
    expect(goodput(world, stream, 4 * SECOND)).toBeGreaterThan(8);
    expect(pathOf(world.locals[0]!, 0).reason).toMatch(/^its data cap of a month is reached: rests until/);
    expect(pathOf(world.remote, 0).reason).toBe("the peer says: its data cap is reached");
    stream.stop();
    expectAll(world, probes);
  });

  test("goes on at the rate over the cap, both ways, and the other path has the rest", () => {
    const world = join(makeWorld([{ ...first, cap: capped({ overBytesPerSecond: 32_000 }) }]));
    const stream = new Stream(world, { upwards, cubic: true });
    expect(world.runTo(() => wireBytes(world, 0) >= CAP, 20 * SECOND)).toBe(true);
    world.runFor(2 * SECOND);
    for (const node of [world.locals[0]!, world.remote])
      expect(pathOf(node, 0).recovery.congestion.name).toBe("fixed");
    const socket = world.locals[0]!.sockets[0]!;
    const carried = () => [socket.sentWireBytes, socket.receivedWireBytes];
    const before = carried();
    world.runFor(10 * SECOND);
    const [sent, received] = carried().map((bytes, i) => (bytes - before[i]!) / 10);
    const [there, back] = upwards ? [sent!, received!] : [received!, sent!];
    // Each way has the rate, the headers around its datagrams aside; back come only acknowledgements.
    expect(there).toBeLessThan(1.05 * 32_000);
    expect(there).toBeGreaterThan(0.8 * 32_000);
    expect(back).toBeLessThan(0.15 * 32_000);
    stream.stop();
  });
});

test("without any other path nothing more is sent, handshakes neither, until the next month", () => {
  // The cap is reached within the first half minute, and the month ends after ten minutes.
  const world = join(makeWorld([{ ...first, cap: capped() }], { wall: Date.UTC(2026, 10, 30, 23, 50) }));
  const seen = watchSends(world, 0);
  const stream = new Stream(world, { upwards: true });
  reaches(world, 0, "capped");
  stream.stop();
  world.runFor(SECOND);
  const { sent } = seen;
  world.runUntil(599 * SECOND);
  expect(seen.sent).toBe(sent);
  expect(wireBytes(world, 0)).toBeLessThanOrEqual(CAP);
  world.runUntil(600 * SECOND);
  join(world);
  const probes = pings(world);
  world.runFor(SECOND);
  expectAll(world, probes);
});

test("a path is used again with the next day, by both ends, and slow no more", () => {
  const day = { monthBytes: null, dayBytes: CAP };
  const world = join(
    makeWorld(
      [
        { ...first, cap: capped(day) },
        { ...first, cap: capped({ ...day, overBytesPerSecond: 32_000 }) },
        { line: line(1, 10) },
      ],
      { wall: Date.UTC(2026, 10, 15, 23, 54) },
    ),
  );
  const stream = new Stream(world, { upwards: false });
  reaches(world, 0, "capped");
  expect(world.runTo(() => pathOf(world.remote, 1).recovery.congestion.name === "fixed", 20 * SECOND)).toBe(
    true,
  );
  stream.stop();
  const probes = pings(world, 10);
  world.runUntil(361 * SECOND);
  reaches(world, 0, "up", SECOND);
  for (const node of [world.locals[0]!, world.remote])
    expect(pathOf(node, 1).recovery.congestion.name).toBe("bbr");
  const again = new Stream(world, { upwards: false });
  expect(goodput(world, again, 2 * SECOND)).toBeGreaterThan(12);
  again.stop();
  expectAll(world, probes);
});

test("the remote hears of it although the first word is lost", () => {
  const world = join(makeWorld([{ ...first, cap: capped() }, first]));
  let words = 0;
  world.tap = (wire, upwards, bytes) => {
    if (!upwards || (bytes[0]! & TYPE_MASK) !== Type.pathStatus) return;
    expect(wire).toBe(world.wires[1]!);
    if (words++ > 0) return;
    world.setLine(wire, { cut: true }, "up");
    world.after(1, () => world.setLine(wire, { cut: false }, "up"));
  };
  const stream = new Stream(world, { upwards: false });
  reaches(world, 0, "capped");
  expect(words).toBeGreaterThan(1);
  stream.stop();
});

test("a session that begins while a path rests does not use it", () => {
  const world = join(makeWorld([{ ...first, cap: capped() }, first]));
  const stream = new Stream(world, { upwards: true });
  reaches(world, 0, "capped");
  stream.stop();
  world.runFor(SECOND);
  const used = wireBytes(world, 0);
  world.remote.restart();
  expect(world.runTo(() => sessionOf(world.remote)?.paths[1]?.status === "up", 30 * SECOND)).toBe(true);
  world.locals[0]!.restart();
  expect(world.runTo(() => sessionOf(world.locals[0]!)?.paths[1]?.status === "up", 30 * SECOND)).toBe(true);
  world.runFor(10 * SECOND);
  expect(wireBytes(world, 0)).toBe(used);
  expect(pathOf(world.locals[0]!, 0).status).toBe("capped");
  expect(sessionOf(world.remote)!.drops.total).toBe(0);
});

test("a path so fast that a cap ends in the middle of one turn sends the last datagram that fits", () => {
  const fast = { line: line(1000, 1), congestion: "fixed", sendRate: 125e6, receiveRate: 125e6 } as const;
  const world = join(makeWorld([{ ...fast, cap: capped() }, first]));
  const seen = watchSends(world, 0);
  const flood = new Datagrams(world, { upwards: true, perSecond: 80_000, size: 1300, count: 4000 });
  reaches(world, 0, "capped");
  expect(seen.most).toBeLessThanOrEqual(CAP);
  expect(seen.most).toBeGreaterThan(CAP - 100_000);
  flood.stop();
});

test("the remote hears of the rate over the cap although the first word is lost", () => {
  const world = join(makeWorld([{ ...first, cap: capped({ overBytesPerSecond: 32_000 }) }]));
  const wire = world.wires[0]!;
  let words = 0;
  world.tap = (_, upwards, bytes) => {
    if (!upwards || (bytes[0]! & TYPE_MASK) !== Type.challenge || words++ > 0) return;
    world.setLine(wire, { cut: true }, "up");
    world.after(1, () => world.setLine(wire, { cut: false }, "up"));
  };
  const stream = new Stream(world, { upwards: false });
  const told = () => pathOf(world.remote, 0).recovery.congestion.name === "fixed";
  expect(world.runTo(told, 20 * SECOND)).toBe(true);
  expect(words).toBeGreaterThan(1);
  stream.stop();
});

test("a path whose cap is taken away joins again, and one that has ended begins anew under its cap", () => {
  const world = join(makeWorld([{ ...first, cap: capped() }, first]));
  const local = world.locals[0]!;
  const stream = new Stream(world, { upwards: true, cubic: true });
  reaches(world, 0, "capped");
  // Its id is free again, and another cable of its name is still over the cap.
  local.setInterface(0, "missing");
  expect(world.runTo(() => sessionOf(world.remote)!.order.length === 1, SECOND)).toBe(true);
  const used = wireBytes(world, 0);
  local.setInterface(0, "up");
  world.runFor(2 * SECOND);
  expect(local.engine.pathOf(local.paths[0]!)?.status).toBe("capped");
  expect(wireBytes(world, 0)).toBe(used);
  local.engine.changeCap(world.now, local.paths[0]!, null);
  const both = () => [local, world.remote].map((node) => sessionOf(node)!.order.map((path) => path.status));
  expect(world.runTo(() => both().flat().join() === "up,up,up,up", SECOND)).toBe(true);
  expect(goodput(world, stream, 4 * SECOND)).toBeGreaterThan(15);
  stream.stop();
});

test("how a path is used may change while it is over its cap, and holds when it no longer is", () => {
  const world = join(makeWorld([{ ...first, cap: capped({ overBytesPerSecond: 32_000 }) }]));
  const local = world.locals[0]!;
  const stream = new Stream(world, { upwards: true, cubic: true });
  expect(world.runTo(() => wireBytes(world, 0) >= CAP, 20 * SECOND)).toBe(true);
  const controls = () =>
    [local, world.remote].map(
      (node) => `${pathOf(node, 0).recovery.congestion.name} ${pathOf(node, 0).metric}`,
    );
  expect(world.runTo(() => controls().join() === "fixed 0,fixed 0", 2 * SECOND)).toBe(true);
  const path = local.paths[0]!;
  local.engine.changePath(world.now, path, { ...path.use, metric: 5, congestion: "cubic" });
  expect(world.runTo(() => controls().join() === "fixed 5,fixed 5", 2 * SECOND)).toBe(true);
  local.engine.changeCap(world.now, path, null);
  expect(world.runTo(() => controls().join() === "cubic 5,cubic 5", 2 * SECOND)).toBe(true);
  stream.stop();
});

test("a path whose id another had before is left alone too, though its cap was reached before it heard anything", () => {
  const world = join(makeWorld([{ ...first, cap: capped() }, first]));
  const local = world.locals[0]!;
  world.runFor(SECOND);
  const { ids } = sessionOf(local)!;
  // As if all others had been used.
  while (ids.take() >= 0);
  local.setInterface(0, "missing");
  expect(world.runTo(() => sessionOf(world.remote)!.order.length === 1, SECOND)).toBe(true);
  world.runFor(3 * SECOND);
  // What is left is enough for a few challenges; their answers are lost, and so is all that comes after it.
  const [cap, socket] = [local.caps[0]!, local.sockets[0]!];
  cap.allowances[0]!.used = CAP - 1600;
  cap.attach(socket);
  const wire = world.wires[0]!;
  let down = 0;
  world.tap = (each, upwards) => {
    if (each !== wire) return;
    if (!upwards) down++;
    world.setLine(wire, { cut: !upwards });
  };
  local.setInterface(0, "up");
  expect(world.runTo(() => pathOf(world.remote, 0) !== undefined, SECOND)).toBe(true);
  expect(pathOf(world.remote, 0).sendsFrom).toBeGreaterThan(0);
  reaches(world, 0, "capped", SECOND);
  const before = down;
  world.runFor(30 * SECOND);
  expect(down).toBe(before);
});
