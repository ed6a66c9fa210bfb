/** Paths that carry less than others: what they carry is found, flows go on over all of them, and no packet is lost of it. */
import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { DATA_OVERHEAD_BYTES } from "../../src/wire/datagram.ts";
import type { Node } from "./node.ts";
import {
  closeWorlds,
  dropped,
  expectAll,
  expectExact,
  join,
  makeWorld,
  pathOf,
  pings,
  sessionOf,
  thin,
} from "./scenario.ts";
import { goodput, line, Stream } from "./traffic.ts";
import { MILLISECOND, type PathPlan, SECOND, type World } from "./world.ts";

setDefaultTimeout(240_000);

afterEach(closeWorlds);

/** A path of 10 Mbit/s with a smaller MTU somewhere. */
function narrow(mtu: number, more: Partial<PathPlan> = {}): PathPlan {
  return { line: line(10, 10), mtu, ...more };
}

const wide: PathPlan = { line: line(10, 10) };
const OUTER = 28;

function ends(world: World): Node[] {
  return [world.locals[0]!, world.remote];
}

/** Until both ends know what each path carries. */
function settle(world: World): void {
  const known = () =>
    ends(world).every((node) =>
      sessionOf(node)!.order.every(({ recovery }) => recovery.mtu.state === "complete"),
    );
  expect(world.runTo(known, 10 * SECOND)).toBe(true);
}

/** What both ends, or one, have found of a path: to within a few bytes, and never more. */
function expectFound(world: World, id: number, nodes = ends(world)): void {
  for (const node of nodes) {
    const { packet } = pathOf(node, id).recovery.mtu;
    const truth = Math.min(world.wires[id]!.mtu, 1420 + DATA_OVERHEAD_BYTES + OUTER);
    expect(packet).toBeLessThanOrEqual(truth);
    expect(packet).toBeGreaterThan(truth - 8);
  }
}

/** What arrived by each path since. */
function received(world: World, node: Node): number[] {
  return world.wires.map((_, id) => pathOf(node, id).reception.bytes);
}

/** The longest time in which nothing of the stream arrived. */
function longestStall(world: World, stream: Stream, micros: number): number {
  const end = world.now + micros;
  let longest = 0;
  for (let last = world.now; world.now < end; ) {
    const bytes = stream.receivedBytes;
    world.runFor(5 * MILLISECOND);
    if (stream.receivedBytes > bytes) last = world.now;
    longest = Math.max(longest, world.now - last);
  }
  return longest;
}

describe("a path of a smaller MTU", () => {
  test.each([
    { name: "1492, ICMP", mtu: 1492, silent: false },
    { name: "1400, ICMP", mtu: 1400, silent: false },
    { name: "1400, no ICMP", mtu: 1400, silent: true },
    { name: "1280, no ICMP", mtu: 1280, silent: true },
  ])("is found before anything is sent: $name", ({ mtu, silent }) => {
    const world = join(makeWorld([narrow(mtu, { silent })]));
    settle(world);
    expectFound(world, 0);
    expect(world.wires[0]!.fragmented).toBe(0);
    // Chance losses aside, every probe that was lost was a probe of the size.
    for (const node of ends(world)) expect(pathOf(node, 0).recovery.lostPackets).toBe(0);
  });

  test.each([
    { name: "up, ICMP", upwards: true, silent: false },
    { name: "down, no ICMP", upwards: false, silent: true },
  ])("carries its part of a flow: $name", ({ upwards, silent }) => {
    const world = join(makeWorld([wide, narrow(1400, { silent, dropsFragments: true })]));
    const stream = new Stream(world, { upwards });
    world.runFor(3 * SECOND);
    const before = received(world, upwards ? world.remote : world.locals[0]!);
    expect(goodput(world, stream, 4 * SECOND)).toBeGreaterThan(15);
    const after = received(world, upwards ? world.remote : world.locals[0]!);
    for (const id of [0, 1]) expect(((after[id]! - before[id]!) * 8) / 4 / 1e6).toBeGreaterThan(7);
    expectFound(world, 1);
    expect(world.ledger.tooBig).toBeGreaterThan(0);
    // From now on nothing is too big for it.
    const { tooBig, fragmented } = world.wires[1]!;
    world.runFor(2 * SECOND);
    expect(world.wires[1]!.tooBig).toBe(tooBig);
    expect(world.wires[1]!.fragmented).toBe(fragmented);
  });

  test("of two families inside: IPv6 keeps its 1280 bytes, in fragments", () => {
    const world = join(makeWorld([narrow(1290, { silent: true })]));
    settle(world);
    const session = sessionOf(world.locals[0]!)!;
    expect(session.mtu.of(4)).toBeLessThan(1280);
    expect(session.mtu.of(6)).toBe(1280);
    const flows = pings(world, 50, { ipv6: true, size: 1280 - 48 });
    world.runFor(2 * SECOND);
    expectAll(world, flows);
    expect(world.wires[0]!.fragmented).toBeGreaterThan(100);
  });

  test("packets that may be fragmented are not refused, and none is lost", () => {
    const world = join(makeWorld([narrow(1400), wide]));
    settle(world);
    // UDP without Don't Fragment.
    const flows = pings(world, 200, { size: 1390 });
    world.runFor(3 * SECOND);
    expectAll(world, flows);
    expect(world.ledger.tooBig).toBe(0);
    // Those that the narrow path took by its turn left by the other.
    expect(world.wires[0]!.fragmented).toBeLessThan(10);
  });

  test.each([
    ["too small for IPv6", 1290],
    ["too small for anything", 1000],
  ])("a fast path %s does not wait for a slow one that carries more", (_, mtu) => {
    const fast = { line: line(20, 10), mtu, silent: true };
    const world = join(makeWorld([fast, { line: line(2, 10) }]));
    const stream = new Stream(world, { upwards: true, ipv6: true, cubic: true });
    world.runFor(4 * SECOND);
    expect(goodput(world, stream, 4 * SECOND)).toBeGreaterThan(16);
  });

  test("a path that passed packets over takes them once the other can send no more", () => {
    const world = join(makeWorld([narrow(1400), { line: line(10, 11) }]));
    settle(world);
    // One datagram at a time.
    const wider = pathOf(world.locals[0]!, 1).recovery;
    wider.congestion = Object.create(wider.congestion, { window: { value: 1 } });
    const [up] = pings(world, 100, { size: 1390, batch: 4, count: 40 });
    world.runFor(2 * SECOND);
    expect(up.received).toBe(40);
    expect(up.longestDelay).toBeLessThan(20 * MILLISECOND);
  });

  test("the only path, below 1280: packets cross in fragments", () => {
    const world = join(makeWorld([narrow(1000, { silent: true })]));
    const flows = pings(world, 100, { size: 1300 });
    world.runFor(5 * SECOND);
    expect(pathOf(world.locals[0]!, 0).recovery.mtu.state).toBe("error");
    expectAll(world, flows);
  });

  test("comes up in mid-flow, and is used", () => {
    const world = makeWorld([wide, narrow(1400, { silent: true, dropsFragments: true })]);
    world.setLine(world.wires[1]!, { cut: true });
    const stream = new Stream(world, { upwards: true });
    world.runFor(3 * SECOND);
    expect(sessionOf(world.locals[0]!)!.mtu.value).toBe(1420);
    world.setLine(world.wires[1]!, { cut: false });
    world.runFor(4 * SECOND);
    expect(goodput(world, stream, 3 * SECOND)).toBeGreaterThan(17);
    expectFound(world, 1);
    stream.stop();
    world.runFor(3 * SECOND);
    world.checker.account();
  });

  test("gone again: packets may be as large as before, after a while", () => {
    const world = join(makeWorld([wide, narrow(1400)]));
    settle(world);
    const session = sessionOf(world.locals[0]!)!;
    expect(session.mtu.value).toBeLessThan(1400);
    world.setLine(world.wires[1]!, { cut: true });
    world.runFor(8 * SECOND);
    expect(session.mtu.value).toBeLessThan(1400);
    world.runFor(20 * SECOND);
    expect(session.mtu.value).toBe(1420);
  });

  test("a backup path of a smaller MTU counts once it is used", () => {
    const world = join(makeWorld([wide, narrow(1400, { metric: 1 })]));
    settle(world);
    const session = sessionOf(world.locals[0]!)!;
    expect(session.mtu.value).toBe(1420);
    world.setLine(world.wires[0]!, { cut: true });
    world.runFor(2 * SECOND);
    expect(session.mtu.value).toBeLessThan(1400);
  });
});

describe("a black hole that appears in mid-flow", () => {
  test.each([
    { name: "both paths are used on, up", upwards: true, silent: true },
    { name: "both paths are used on, down", upwards: false, silent: true },
    { name: "with ICMP", upwards: true, silent: false },
  ])("$name", ({ upwards, silent }) => {
    const world = join(makeWorld([wide, { ...wide, silent, dropsFragments: true }]));
    const stream = new Stream(world, { upwards });
    world.runFor(3 * SECOND);
    world.wires[1]!.mtu = 1350;
    expect(longestStall(world, stream, 4 * SECOND)).toBeLessThan(150 * MILLISECOND);
    expect(goodput(world, stream, 3 * SECOND)).toBeGreaterThan(17);
    // The other end has nothing large to send.
    expectFound(world, 1, [upwards ? world.locals[0]! : world.remote]);
    for (const node of ends(world)) expect(pathOf(node, 1).status).toBe("up");
  });

  test("loses no packet where another path carries them", () => {
    const world = join(makeWorld([wide, { ...wide, silent: true, dropsFragments: true }]));
    settle(world);
    const flows = pings(world, 400, { size: 1390 });
    world.runFor(2 * SECOND);
    world.wires[1]!.mtu = 1300;
    world.runFor(5 * SECOND);
    expectAll(world, flows);
  });

  test("on the only path, from the start: what was lost for its size was no congestion", () => {
    const world = join(makeWorld([narrow(1400, { silent: true, dropsFragments: true })]));
    const stream = new Stream(world, { upwards: true });
    world.runFor(1.5 * SECOND);
    expect(goodput(world, stream, SECOND)).toBeGreaterThan(6);
  });

  test("on the only path: the flow goes on with smaller packets", () => {
    const world = join(makeWorld([{ ...wide, silent: true, dropsFragments: true }]));
    const stream = new Stream(world, { upwards: true, cubic: true });
    world.runFor(2 * SECOND);
    world.wires[0]!.mtu = 1350;
    // All that was under way is lost, and the flow has to begin anew.
    world.runFor(6 * SECOND);
    expect(goodput(world, stream, 6 * SECOND)).toBeGreaterThan(8.5);
    expectFound(world, 0, [world.locals[0]!]);
  });

  test("gone again: the path's whole MTU is found within a minute of use", () => {
    const world = join(makeWorld([narrow(1350)]));
    new Stream(world, { upwards: true });
    world.runFor(3 * SECOND);
    expectFound(world, 0);
    world.wires[0]!.mtu = 1500;
    world.runFor(60 * SECOND);
    expect(pathOf(world.locals[0]!, 0).recovery.mtu.packet).toBe(1480);
    expect(sessionOf(world.locals[0]!)!.mtu.value).toBe(1420);
  });

  test("an interface that takes smaller packets now: the path is not given up", () => {
    const world = join(makeWorld([wide, wide]));
    const stream = new Stream(world, { upwards: true });
    world.runFor(2 * SECOND);
    world.wires[1]!.socket.deviceMtu = 1400;
    world.runFor(2 * SECOND);
    expect(goodput(world, stream, 3 * SECOND)).toBeGreaterThan(17);
    expect(pathOf(world.locals[0]!, 1).recovery.mtu.packet).toBe(1400);
    expect(world.log.filter((text) => text.includes("suspect"))).toEqual([]);
  });
});

test("chance losses are no black hole, and probes no sign of congestion", () => {
  const world = join(makeWorld([{ line: line(10, 20, { loss: 0.05 }) }]));
  const stream = new Stream(world, { upwards: true });
  world.runFor(3 * SECOND);
  expect(goodput(world, stream, 10 * SECOND)).toBeGreaterThan(6.5);
  expect(sessionOf(world.locals[0]!)!.mtu.value).toBe(1420);
  expect(dropped(world, world.locals[0]!, "tooBig")).toBe(0);
});

test("what is larger than the tunnel's MTU is refused, and its sender told", () => {
  const world = join(makeWorld([thin]));
  const flows = pings(world, 100, { size: 1500 });
  world.runFor(SECOND);
  for (const flow of flows) flow.stop();
  world.runFor(SECOND);
  for (const flow of flows) expect(flow.received).toBe(0);
  expect(world.ledger.tooBig).toBeGreaterThan(150);
  for (const node of ends(world)) expect(dropped(world, node, "tooBig")).toBeGreaterThan(90);
  world.checker.account();
});

test("with nothing in the way no packet is refused or fragmented, and what it costs is one probe each way", () => {
  const world = join(makeWorld([thin, thin]));
  settle(world);
  const flows = pings(world, 100, { size: 1390 });
  world.runFor(2 * SECOND);
  expectAll(world, flows);
  expectExact(world);
  for (const node of ends(world)) {
    for (const { recovery } of sessionOf(node)!.order) expect(recovery.mtu.limit).toBe(1452);
  }
  expect(world.ledger.tooBig).toBe(0);
});
