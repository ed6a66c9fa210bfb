/** A line that was cut for long carries again within a second of being whole, whether the session was kept or not. */
import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { Calendar } from "../../src/proto/calendar.ts";
import { TYPE_MASK, Type } from "../../src/wire/datagram.ts";
import { allUp, closeWorlds, join, makeWorld } from "./scenario.ts";
import { line } from "./traffic.ts";
import { MILLISECOND, SECOND, type World } from "./world.ts";

afterEach(closeWorlds);
setDefaultTimeout(120_000);

/** Microseconds from when the lines are whole until some path carries at both ends. */
function comesBack(world: World, cut: number): number {
  for (const wire of world.wires) world.setLine(wire, { cut: true });
  world.runFor(cut);
  for (const wire of world.wires) world.setLine(wire, { cut: false });
  const start = world.now;
  const carries = () =>
    world.nodes.every(
      (node) => node.engine.portal.sessions.length === 1 && node.engine.portal.sessions[0]!.isUp,
    );
  expect(world.runTo(carries, 20 * SECOND)).toBe(true);
  const took = world.now - start;
  expect(world.runTo(() => world.locals.every((local) => allUp(world, local)), 60 * SECOND)).toBe(true);
  return took;
}

/** Below the time in which probes alone would find it, with a session that is kept and with one that has ended meanwhile. */
const CUTS = [0.5, 130, 400, 3700];

test.each([
  ["20 ms", [10, 10]],
  ["20 and 600 ms", [10, 300]],
])("round trips of %s", (_, delays) => {
  const world = join(makeWorld(delays.map((delay) => ({ line: line(10, delay) }))));
  for (const seconds of CUTS) {
    for (let i = 0; i < (seconds > 1000 ? 1 : 2); i++) {
      world.runFor(20 * SECOND + i * 171 * MILLISECOND);
      expect(comesBack(world, seconds * SECOND + i * 183 * MILLISECOND)).toBeLessThan(SECOND);
    }
  }
});

test("after an hour, paths with a data cap ask rarely, the others as often as before", () => {
  const calendar = new Calendar("UTC", 1);
  const cap = { monthBytes: 1e9, dayBytes: null, overBytesPerSecond: 0, calendar };
  const world = join(makeWorld([{ line: line(10, 10), cap }, { line: line(10, 10) }]));
  for (const wire of world.wires) world.setLine(wire, { cut: true });
  world.runFor(3700 * SECOND);
  const handshakes = [0, 0];
  world.tap = (wire, upwards, bytes) => {
    if (upwards && (bytes[0]! & TYPE_MASK) === Type.initiation) handshakes[world.wires.indexOf(wire)]!++;
  };
  world.runFor(60 * SECOND);
  expect(handshakes).toEqual([15, 120]);
});
