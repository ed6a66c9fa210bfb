/** Where a path stops that has a data cap: within one full-sized datagram of it, whatever the line, and never beyond. */
import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import type { LineSettings } from "../../src/lab/line.ts";
import { Calendar } from "../../src/proto/calendar.ts";
import { Cap } from "../../src/proto/cap.ts";
import { TYPE_MASK, Type } from "../../src/wire/datagram.ts";
import { closeWorlds, join, makeWorld, pathOf } from "./scenario.ts";
import { Datagrams, line } from "./traffic.ts";
import { type PathPlan, SECOND, type World } from "./world.ts";

setDefaultTimeout(120_000);

afterEach(closeWorlds);

const FULL = 1480;
const calendar = new Calendar("UTC", 1);

function capped(bytes: number, change: Partial<PathPlan>): PathPlan {
  const cap = { monthBytes: bytes, dayBytes: 2 * bytes, overBytesPerSecond: 0, calendar };
  return { ...change, cap };
}

function used(world: World): number {
  const { sentWireBytes, receivedWireBytes } = world.locals[0]!.sockets[0]!;
  return sentWireBytes + receivedWireBytes;
}

/** Waits for the path to rest, and then for what the remote may still send. */
function ends(world: World, bytes: number): void {
  expect(world.runTo(() => pathOf(world.locals[0]!, 0).status === "capped", 30 * SECOND)).toBe(true);
  world.runFor(10 * SECOND);
  expect(used(world)).toBeLessThanOrEqual(bytes);
  expect(used(world)).toBeGreaterThan(bytes - FULL);
}

const lines: [name: string, up: Partial<LineSettings>, down: Partial<LineSettings>, bytes: number][] = [
  ["20 Mbit/s at 20 ms", line(20, 10), line(20, 10), 5e6],
  ["200 Mbit/s at 320 ms", line(200, 160), line(200, 160), 30e6],
  ["20 Mbit/s with a second of queue", line(20, 30), line(20, 30, { queueMicros: SECOND }), 10e6],
  ["5 Mbit/s that lose 5 %", line(5, 30, { loss: 0.05 }), line(5, 30, { loss: 0.05 }), 3e6],
  [
    "20 Mbit/s with reordering",
    line(20, 30),
    line(20, 30, { reorder: 0.05, reorderMicros: 200_000, loss: 0.01 }),
    5e6,
  ],
];

for (const [name, up, down, bytes] of lines) {
  for (const way of bytes > 10e6 ? ["down"] : ["up", "down", "both ways"]) {
    test(`${way} over ${name}`, () => {
      const world = join(makeWorld([capped(bytes, { up, down })]));
      const perSecond = ((down.rateBitsPerSecond! / 8) * 1.3) / 1350;
      const flows = [true, false]
        .filter((upwards) => way === "both ways" || upwards === (way === "up"))
        .map((upwards) => new Datagrams(world, { upwards, perSecond, size: 1350 }));
      ends(world, bytes);
      for (const flow of flows) flow.stop();
    });
  }
}

test("down although two of three challenges are lost, and both were restarted", () => {
  const world = join(makeWorld([capped(6e6, { line: line(20, 20) })]));
  const wire = world.wires[0]!;
  let challenges = 0;
  world.tap = (_, upwards, bytes) => {
    if (!upwards || (bytes[0]! & TYPE_MASK) !== Type.challenge || ++challenges % 3 === 0) return;
    world.setLine(wire, { cut: true }, "up");
    world.after(1, () => world.setLine(wire, { cut: false }, "up"));
  };
  const flow = new Datagrams(world, { upwards: false, perSecond: 2000, size: 1350 });
  for (const node of [world.remote, world.locals[0]!]) {
    const before = used(world);
    expect(world.runTo(() => used(world) > before + 1e6, 10 * SECOND)).toBe(true);
    node.restart();
    join(world);
  }
  ends(world, 6e6);
  expect(challenges).toBeGreaterThan(12);
  flow.stop();
});

test("a cap that is given to a path in use counts from then on, and ends it as well", () => {
  const world = join(makeWorld([{ line: line(20, 20) }]));
  const local = world.locals[0]!;
  const flow = new Datagrams(world, { upwards: false, perSecond: 2000, size: 1350 });
  world.runFor(2 * SECOND);
  const before = used(world);
  const cap = new Cap({ monthBytes: 2e6, dayBytes: null, overBytesPerSecond: 0, calendar });
  cap.attach(local.sockets[0]!);
  local.engine.changeCap(world.now, local.paths[0]!, cap);
  ends(world, before + 2e6);
  flow.stop();
});
