/**
 * The success and extended criteria of the dissertation that portal began with, in virtual time: each is one test, both ways.
 * test/netns/criteria.test.ts asks the same of real kernels; what needs a machine (a start from cron) is only there.
 */
import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import type { LineSettings } from "../../src/lab/line.ts";
import { Attacker } from "./attacker.ts";
import { limitOf } from "./profile.ts";
import {
  allUp,
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
import { Datagrams, goodput, line, Ping, Stream } from "./traffic.ts";
import { MILLISECOND, type PathPlan, SECOND, type World } from "./world.ts";

/** Virtual time passes faster than ours, but not on every machine. */
setDefaultTimeout(240_000);

afterEach(closeWorlds);

const directions = [
  ["up", true],
  ["down", false],
] as const;

function path(megabits: number, more: Partial<LineSettings> = {}): PathPlan {
  return { line: line(megabits, 10, more) };
}

/** Paths of these rates, Mbit/s. */
function paths(...rates: readonly number[]): PathPlan[] {
  return rates.map((rate) => path(rate));
}

function equal(count: number, megabits = 4): PathPlan[] {
  return paths(...new Array<number>(count).fill(megabits));
}

function flow(world: World, upwards: boolean): Stream {
  return new Stream(world, { upwards, cubic: true });
}

/** What has been measured: several criteria compare with the same paths. */
const measured = new Map<string, number>();

/** Mbit/s of one flow over the paths, once it has found its rate. */
function rateOver(plan: readonly PathPlan[], upwards: boolean): number {
  const key = JSON.stringify([plan, upwards]);
  const known = measured.get(key);
  if (known !== undefined) return known;
  const world = join(makeWorld(plan));
  const stream = flow(world, upwards);
  world.runFor(3 * SECOND);
  const rate = goodput(world, stream, 4 * SECOND);
  measured.set(key, rate);
  return rate;
}

test.each(directions)(
  "flow maintained: one of two equal paths lost in mid-flow and restored, %s",
  (_, up) => {
    const world = join(makeWorld([thin, thin]));
    const limit = limitOf([thin], up);
    const stream = flow(world, up);
    // The flow finds its rate first: its slow start loses packets of its own for up to three seconds.
    world.runFor(4 * SECOND);
    const probes = pings(world);
    const { timeouts } = stream;
    world.setLine(world.wires[0]!, { cut: true });
    expect(goodput(world, stream, 3 * SECOND)).toBeGreaterThan(0.6 * limit);
    expect(stream.timeouts).toBe(timeouts);
    expect(pathOf(up ? world.locals[0]! : world.remote, 0).status).toBe("suspect");
    world.setLine(world.wires[0]!, { cut: false });
    expect(world.runTo(() => allUp(world, world.locals[0]!), 3 * SECOND)).toBe(true);
    // More than either path can carry: both are used.
    expect(goodput(world, stream, 3 * SECOND)).toBeGreaterThan(1.3 * limit);
    stream.stop();
    expectAll(world, probes);
    expectExact(world);
    for (const probe of probes) expect(probe.longestGap).toBeLessThan(500 * MILLISECOND);
  },
);

test.each(directions)("bidirectional bandwidth: two equal paths carry more than one, %s", (_, up) => {
  expect(rateOver(equal(2), up)).toBeGreaterThan(1.8 * rateOver(equal(1), up));
});

test("IPv4 and IPv6, inside and outside, either over the other, both ways", () => {
  for (const outer of [[false], [true], [false, true]]) {
    const world = join(makeWorld(outer.map((ipv6) => ({ ...thin, ipv6 }))));
    const ways = [true, false].flatMap((upwards) => [false, true].map((ipv6) => ({ upwards, ipv6 })));
    const probes = ways.map((way) => new Datagrams(world, { ...way, perSecond: 50, size: 700, batch: 4 }));
    world.runFor(SECOND);
    expectAll(world, probes);
    // Not beside them: a packet may be lost three times where streams that begin make the lines overflow.
    const streams = ways.map((way) => new Stream(world, { ...way, bytes: 200_000 }));
    expect(world.runTo(() => streams.every(({ done }) => done), 10 * SECOND)).toBe(true);
    world.runFor(3 * SECOND);
    expectExact(world);
  }
});

test("security: only the subject's own portals are served, and nothing of its traffic can be read", () => {
  const world = makeWorld([], { locals: [{ paths: [thin] }, { paths: [thin], wrongKey: true }] });
  const attacker = new Attacker(world);
  const [own, stranger] = [world.locals[0]!, world.locals[1]!];
  const upAtBothEnds = () =>
    [own, world.remote].every(
      (node) => sessionOf(node)?.order.every(({ status }) => status === "up") === true,
    );
  expect(world.runTo(upAtBothEnds, 10 * SECOND)).toBe(true);
  const session = sessionOf(world.remote)!;
  const probes = pings(world);
  const unserved = pings(world, 10, { local: 1 });
  for (let i = 0; i < 50; i++) {
    world.runFor(100 * MILLISECOND);
    attacker.replay(10, i % 2 === 0);
    attacker.forge(10);
    attacker.noise(10);
  }
  for (const each of [...probes, ...unserved]) each.stop();
  world.runFor(3 * SECOND);
  for (const { sent, received } of probes) expect(received).toBe(sent);
  // The stranger asked and was refused; of it and of the attacker came nothing, and the session is the same.
  expect(dropped(world, world.remote, "handshakeRefused")).toBeGreaterThan(0);
  expect(dropped(world, world.remote, "replayed")).toBeGreaterThan(0);
  expect(dropped(world, world.remote, "notAuthentic")).toBeGreaterThan(0);
  expect(sessionOf(stranger)).toBeUndefined();
  for (const { received } of unserved) expect(received).toBe(0);
  expect(world.remote.engine.portal.sessions.length).toBe(1);
  expect(sessionOf(world.remote) === session).toBe(true);
  expect(session.paths[0]!.status).toBe("up");
  // No datagram shows an inner address, as any router of a plain line would see, or an inner payload.
  const readable = attacker.recorded.filter(({ bytes }) => {
    const seen = Buffer.from(bytes);
    return seen.includes(Buffer.from([10, 77, 0, 2])) && seen.includes(Buffer.from([192, 0, 2, 1]));
  });
  expect(attacker.recorded.length).toBeGreaterThan(500);
  expect(readable.length).toBe(0);
});

test.each(directions)("more paths, more bandwidth: four equal paths, three, two, %s", (_, up) => {
  const [two, three, four] = [2, 3, 4].map((count) => rateOver(equal(count), up));
  // Of 1.5 and 1.33.
  expect(three!).toBeGreaterThan(1.35 * two!);
  expect(four!).toBeGreaterThan(1.2 * three!);
});

test.each(directions)("unequal paths: 1 + 2 carry more than 2 x 1, less than 2 x 2, %s", (_, up) => {
  const unequal = rateOver(paths(4, 8), up);
  expect(unequal).toBeGreaterThan(1.35 * rateOver(paths(4, 4), up));
  expect(unequal).toBeGreaterThan(1.35 * rateOver(paths(8), up));
  expect(unequal).toBeLessThan(0.85 * rateOver(paths(8, 8), up));
});

test.each(directions)("adapts: a path's rate goes down and up, and the sum follows, %s", (_, up) => {
  const world = join(makeWorld(paths(4, 4)));
  const stream = flow(world, up);
  world.runFor(3 * SECOND);
  for (const megabits of [1.2, 4, 8]) {
    world.setLine(world.wires[0]!, line(megabits, 10));
    world.runFor(3 * SECOND);
    const share = goodput(world, stream, 3 * SECOND) / limitOf(paths(megabits, 4), up);
    expect(share).toBeGreaterThan(0.85);
    expect(share).toBeLessThanOrEqual(1);
  }
});

test.each(directions)("a path lost and regained: the flow returns to its former level, %s", (_, up) => {
  const world = join(makeWorld(equal(2)));
  const stream = flow(world, up);
  world.runFor(3 * SECOND);
  const former = goodput(world, stream, 3 * SECOND);
  world.setLine(world.wires[1]!, { cut: true });
  world.runFor(3 * SECOND);
  expect(goodput(world, stream, 2 * SECOND)).toBeLessThan(0.6 * former);
  world.setLine(world.wires[1]!, { cut: false });
  world.runFor(2 * SECOND);
  expect(goodput(world, stream, 3 * SECOND)).toBeGreaterThan(0.95 * former);
});

test("metric: a higher one rests while a lower is available, carries without it, and rests again, both ways", () => {
  const world = join(makeWorld([{ ...thin, metric: 10 }, thin]));
  const probes = pings(world);
  // More than the lower one carries.
  const streams = [true, false].map((upwards) => new Stream(world, { upwards }));
  world.runFor(3 * SECOND);
  const data = () => [world.locals[0]!, world.remote].map((node) => pathOf(node, 0).recovery.sentBytes);
  // One probe of its MTU among them.
  for (const bytes of data()) expect(bytes).toBeLessThan(2000 + 1480);
  for (const stream of streams) stream.stop();
  world.setLine(world.wires[1]!, { cut: true });
  world.runFor(2 * SECOND);
  for (const bytes of data()) expect(bytes).toBeGreaterThan(20_000);
  expect(pathOf(world.remote, 0).metric).toBe(10);
  world.setLine(world.wires[1]!, { cut: false });
  world.runFor(2 * SECOND);
  const [up, down] = data();
  world.runFor(SECOND);
  const since = data().map((bytes, i) => bytes - [up!, down!][i]!);
  for (const bytes of since) expect(bytes).toBeLessThan(2000);
  expectAll(world, probes);
});

test.each(directions)("many paths: of one to eight, each more carries more, %s", (_, up) => {
  const rates = [1, 2, 3, 4, 5, 6, 7, 8].map((count) => rateOver(equal(count), up));
  for (let i = 1; i < rates.length; i++) expect(rates[i]!).toBeGreaterThan(0.95 * rates[i - 1]!);
  expect(rates[7]!).toBeGreaterThan(0.85 * limitOf(equal(8), up));
});

test.each([
  ["2 x 100 Mbit/s, up", 100, true],
  ["2 x 100 Mbit/s, down", 100, false],
  ["2 x 300 Mbit/s, up", 300, true],
  ["2 x 300 Mbit/s, down", 300, false],
] as const)("faster paths: two carry more than one can, %s", (_, megabits, up) => {
  const world = join(makeWorld([megabits, megabits].map((rate) => ({ line: line(rate, 5) }))));
  const stream = flow(world, up);
  world.runFor(SECOND);
  const rate = goodput(world, stream, 0.5 * SECOND);
  expect(rate).toBeGreaterThan(1.7 * limitOf(equal(1, megabits), up));
});

test.each([
  ["modems' queues of 50 ms, up", 50, true],
  ["modems' queues of 50 ms, down", 50, false],
  ["modems' queues of 1 s, up", 1000, true],
  ["modems' queues of 1 s, down", 1000, false],
] as const)("latency under load: 95 of 100 pings within base RTT and 20 ms, %s", (_, queueMs, up) => {
  const plan = [
    path(10, { queueMicros: queueMs * MILLISECOND }),
    path(10, { queueMicros: queueMs * MILLISECOND }),
  ];
  const world = join(makeWorld(plan));
  const stream = flow(world, up);
  world.runFor(2 * SECOND);
  const ping = new Ping(world, 50);
  // Full paths, or the test would say nothing.
  expect(goodput(world, stream, 4 * SECOND)).toBeGreaterThan(0.8 * limitOf(plan, up));
  ping.stop();
  world.runFor(2 * SECOND);
  expect(ping.times.length).toBe(ping.sent);
  const sorted = ping.times.toSorted((a, b) => a - b);
  expect(sorted[Math.floor(0.95 * sorted.length)]!).toBeLessThanOrEqual(
    2 * 10 * MILLISECOND + 20 * MILLISECOND,
  );
});
