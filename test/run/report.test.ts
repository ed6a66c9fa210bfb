/** What a report says of paths: of real portals on a virtual clock. */
import { afterEach, expect, test } from "bun:test";
import { type PortalFacts, Reporter } from "../../src/run/report.ts";
import type { PathReport } from "../../src/share/status.ts";
import { closeWorlds, join, makeWorld, pathOf, pings, thin } from "../sim/scenario.ts";
import { line } from "../sim/traffic.ts";
import { SECOND, type World } from "../sim/world.ts";

afterEach(closeWorlds);

const facts: PortalFacts = {
  version: "0.1.0",
  role: "local",
  interface: "portal0",
  mtu: 1420,
  publicKey: "",
  addresses: [],
  offloads: { tun: true, udpSegmentation: true, udpReceive: true },
  threads: 1,
  cipher: "AES-128-GCM",
  caps: [],
  remotes: [],
};

function pathsOf(world: World): PathReport[] {
  const { engine } = world.locals[0]!;
  return new Reporter(engine, facts, world.now).report(world.now).sessions[0]!.paths;
}

/** Two paths that are up, the first of them the faster, with little to carry. */
function quiet(): World {
  const world = join(makeWorld([thin, { line: line(4, 30), metric: 10, spill: true }]));
  pings(world);
  world.runFor(SECOND);
  return world;
}

test("the path that carries does, the other may when there is more", () => {
  const [first, second] = pathsOf(quiet());
  expect(first).toMatchObject({ status: "up", carries: true, parked: false, metric: 0, spill: false });
  expect(second).toMatchObject({ status: "up", carries: false, parked: false, metric: 10, spill: true });
  expect(second!.reason).toBe("answered");
});

test("why a path is parked stands in place of why it is up, for as long as it is", () => {
  const world = quiet();
  const { parking } = pathOf(world.locals[0]!, 1);
  parking.begin(world.now, false);
  expect(pathsOf(world)[1]).toMatchObject({ status: "up", carries: false, parked: true });
  expect(pathsOf(world)[1]!.reason).toBe("parked for 2 s: with it, less arrived than without");
  world.runFor(2 * SECOND);
  expect(pathsOf(world)[1]).toMatchObject({ carries: false, parked: false, reason: "answered" });
});

test("a parked path that must carry is not called parked, and one that failed says how", () => {
  const world = quiet();
  pathOf(world.locals[0]!, 0).parking.begin(world.now, false);
  pathOf(world.locals[0]!, 1).parking.begin(world.now, false);
  world.setLine(world.wires[0]!, { cut: true });
  world.runFor(SECOND);
  const [first, second] = pathsOf(world);
  expect(first).toMatchObject({ status: "suspect", carries: false, parked: false });
  expect(first!.reason).toMatch(/^silent for/);
  expect(second).toMatchObject({ status: "up", carries: true, parked: false, reason: "answered" });
});
