/** What scenarios are made of: a world that is closed after its test, paths that have joined, packets all accounted for. */
import { expect } from "bun:test";
import type { Path } from "../../src/proto/path.ts";
import type { Session } from "../../src/proto/session.ts";
import type { Drop } from "../../src/share/counters.ts";
import type { Node } from "./node.ts";
import { Datagrams, line } from "./traffic.ts";
import { type LocalPlan, type PathPlan, SECOND, World, type WorldPlan } from "./world.ts";

export const thin: PathPlan = { line: line(4, 10) };

let worlds: World[] = [];

/** Frees what is native: for `afterEach`. */
export function closeWorlds(): void {
  for (const world of worlds) world.close();
  worlds = [];
}

export function makeWorld(paths: readonly PathPlan[], more: Partial<WorldPlan & LocalPlan> = {}): World {
  const { wrongKey = false, wrongPresharedKey = false, asks = false, lease = [], suites, ...rest } = more;
  const taken = suites === undefined ? {} : { suites };
  const local = { paths, wrongKey, wrongPresharedKey, asks, lease, ...taken };
  const world = new World({ seed: 7, locals: [local], ...rest });
  worlds.push(world);
  return world;
}

/** Runs until every path of every local is up at both ends. */
export function join(world: World): World {
  expect(world.runTo(() => world.locals.every((local) => allUp(world, local)), 10 * SECOND)).toBe(true);
  return world;
}

export function allUp(world: World, local: Node): boolean {
  const mine = sessionOf(local);
  const theirs = world.remote.engine.portal.sessions.filter((session) => session.order.length > 0);
  const up = (path: Path) => path.status === "up";
  return (
    mine?.order.every(up) === true &&
    theirs.length === world.locals.length &&
    theirs.every((session) => session.order.every(up))
  );
}

export function sessionOf(node: Node): Session | undefined {
  return node.engine.portal.sessions[0];
}

export function pathOf(node: Node, id: number): Path {
  return sessionOf(node)!.paths[id]!;
}

export function dropped(world: World, node: Node, reason: Drop): number {
  return world.checker.drops(node).of(reason);
}

/** Packets at a steady rate both ways over the run. */
export function pings(world: World, perSecond = 100, more = {}): [up: Datagrams, down: Datagrams] {
  return [
    new Datagrams(world, { upwards: true, perSecond, ...more }),
    new Datagrams(world, { upwards: false, perSecond, ...more }),
  ];
}

/** Stops the packets, waits for what is under way, and expects that all of them came out. */
export function expectAll(world: World, flows: readonly Datagrams[]): void {
  for (const flow of flows) flow.stop();
  world.runFor(3 * SECOND);
  for (const flow of flows) expect(flow.received).toBe(flow.sent);
  world.checker.account();
}

/**
 * With nothing under way any more: what did not come out was dropped by a queue, and counted there, packet by packet: by a
 * portal's, or, hardly ever, four times by a line's that overflows; or was an acknowledgement whose successor came out.
 */
export function expectExact(world: World): void {
  const { ledger, nodes } = world;
  const dropped = nodes.map((node) => world.checker.drops(node));
  const queued = dropped.reduce((sum, drops) => sum + drops.of("queueDelay") + drops.of("overflow"), 0);
  const expired = dropped.reduce((sum, drops) => sum + drops.of("expired"), 0);
  const superseded = dropped.reduce((sum, drops) => sum + drops.of("superseded"), 0);
  expect(ledger.delivered + queued + expired + superseded).toBe(ledger.entries.length);
  expect(expired).toBeLessThan(0.005 * ledger.entries.length);
}
