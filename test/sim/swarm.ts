/** A world, its traffic and its faults, all drawn from one seed. */
import type { LineSettings } from "../../src/lab/line.ts";
import { type Random, seededRandom } from "../../src/lab/random.ts";
import type { InterfaceState } from "../../src/share/io.ts";
import { Attacker } from "./attacker.ts";
import { type ChecksumMode, Violation } from "./inner.ts";
import { Datagrams, line, Stream } from "./traffic.ts";
import {
  type LocalPlan,
  MILLISECOND,
  type PathPlan,
  SECOND,
  type Wire,
  World,
  type WorldPlan,
} from "./world.ts";

/** Faults happen until then; the lines are whole again from there on. */
const FAULTS_UNTIL = 3 * SECOND;
/** Everybody must be back by then. */
const SETTLED_AT = 16 * SECOND;

class Draw {
  readonly random: Random;

  constructor(seed: number) {
    this.random = seededRandom(seed);
  }

  /** A whole number, both ends included. */
  from(low: number, high: number): number {
    return low + Math.floor(this.random() * (high - low + 1));
  }

  chance(share: number): boolean {
    return this.random() < share;
  }

  one<T>(list: readonly T[]): T {
    return list[this.from(0, list.length - 1)]!;
  }
}

function drawLine(draw: Draw): Partial<LineSettings> {
  return line(draw.one([1, 2, 4, 8]), draw.one([1, 5, 20, 60, 150, 300]), {
    queueMicros: draw.one([20, 50, 200]) * MILLISECOND,
    jitterMicros: draw.chance(0.3) ? draw.from(1, 20) * MILLISECOND : 0,
    loss: draw.chance(0.4) ? draw.random() * 0.05 : 0,
    reorder: draw.chance(0.2) ? draw.random() * 0.05 : 0,
    reorderMicros: draw.from(1, 30) * MILLISECOND,
    duplicate: draw.chance(0.2) ? draw.random() * 0.05 : 0,
    corrupt: draw.chance(0.2) ? draw.random() * 0.02 : 0,
  });
}

function drawPath(draw: Draw): PathPlan {
  const rate = draw.chance(0.15) ? { sendRate: 100_000, receiveRate: draw.one([0, 150_000]) } : {};
  const [up, down] = [drawLine(draw), drawLine(draw)];
  const metric = draw.chance(0.2) ? 10 : 0;
  return {
    up,
    down,
    metric,
    spill: metric > 0 && draw.chance(0.5),
    ipv6: draw.chance(0.25),
    ...rate,
  };
}

function drawPlan(draw: Draw, seed: number): WorldPlan {
  const locals = Array.from({ length: draw.chance(0.15) ? 2 : 1 }, (): LocalPlan => {
    const paths = Array.from({ length: draw.one([1, 2, 2, 3]) }, () => drawPath(draw));
    return { paths };
  });
  return {
    seed,
    locals,
    privacy: !draw.chance(0.1),
    offloads: !draw.chance(0.2),
    remoteOffloads: !draw.chance(0.2),
    wakeMicros: draw.one([50, 500, 3000]),
  };
}

/** Runs the world of a seed. Throws a Violation when something did not hold. */
export function runSeed(seed: number): World {
  const draw = new Draw(seed);
  const world = new World(drawPlan(draw, seed));
  try {
    const { streams, datagrams } = startTraffic(draw, world);
    const attacker = draw.chance(0.3) ? new Attacker(world) : null;
    const faults = draw.from(0, 4);
    for (let i = 0; i < faults; i++) {
      const at = draw.from(100, 2800) * MILLISECOND;
      const fault = drawFault(draw, world, attacker);
      world.at(at, fault);
    }
    world.runUntil(FAULTS_UNTIL);
    for (const wire of world.wires) {
      for (const which of [wire.up, wire.down]) {
        which.set(world.now, {
          rateBitsPerSecond: 8e6,
          loss: 0,
          reorder: 0,
          duplicate: 0,
          corrupt: 0,
          jitterMicros: 0,
          cut: false,
        });
      }
    }
    for (const node of world.nodes) {
      node.tun.refuse = 0;
      if (node.stopped) node.restart();
    }
    for (const each of [...streams, ...datagrams]) each.stop();
    world.runUntil(SETTLED_AT - 4 * SECOND);
    for (const stream of streams) stream.abandon();
    world.runUntil(SETTLED_AT);
    // What a slow and long path has queued may take longer, but it moves.
    if (!world.runTo(() => isQuiet(world), 60 * SECOND)) throw new Violation("packets are still queued");
    checkRecovered(world);
    world.runFor(2 * SECOND);
    world.checker.account();
  } finally {
    world.close();
  }
  return world;
}

function startTraffic(draw: Draw, world: World): { streams: Stream[]; datagrams: Datagrams[] } {
  const streams: Stream[] = [];
  const datagrams: Datagrams[] = [];
  const plan = () => ({
    local: draw.from(0, world.locals.length - 1),
    upwards: draw.chance(0.5),
    ipv6: draw.chance(0.4),
    checksum: draw.one<ChecksumMode>(["partial", "partial", "valid", "untrusted", "none"]),
    timestamps: draw.chance(0.5),
    startAt: draw.from(0, 1000) * MILLISECOND,
  });
  for (let i = draw.from(0, 2); i > 0; i--) {
    const bytes = draw.one([20_000, 300_000, 600_000]);
    const size = draw.one([1300, 1300, 536, 100]);
    streams.push(new Stream(world, { ...plan(), bytes, segments: draw.chance(0.8), segmentBytes: size }));
  }
  for (let i = draw.from(1, 3); i > 0; i--) {
    datagrams.push(
      new Datagrams(world, {
        ...plan(),
        perSecond: draw.one([10, 50, 200]),
        size: draw.one([8, 100, 555, 1300, 1372]),
        batch: draw.one([1, 1, 8]),
        icmp: draw.chance(0.2),
      }),
    );
  }
  return { streams, datagrams };
}

function drawFault(draw: Draw, world: World, attacker: Attacker | null): () => void {
  const wire = draw.one(world.wires);
  const local = draw.one(world.locals);
  const direction = draw.one(["up", "down", "both"] as const);
  const micros = draw.from(30, 2000) * MILLISECOND;
  const count = draw.from(1, 60);
  const pretend = draw.chance(0.5);
  const rate = draw.one([0.3, 1, 6]) * 1e6;
  const loss = draw.one([0.2, 0.6]);
  const state = draw.one(["down", "no carrier", "missing"] as const);
  const node = draw.one(world.nodes);
  const faults: (() => void)[] = [
    () => during(world, wire, micros, { cut: true }, { cut: false }, direction),
    () => during(world, wire, micros, { cut: true }, { cut: false }, direction),
    () => during(world, wire, micros, { loss }, { loss: 0 }, direction),
    () => world.rebind(wire),
    () => local.restart(),
    () => world.remote.restart(),
    () => world.setLine(wire, { rateBitsPerSecond: rate }, direction),
    () => refuseSends(world, wire, draw.one(["full", "failed"] as const), micros / 4),
    () => {
      local.tun.refuse = count;
    },
    () => interfaceFails(world, wire, state, micros),
    () => node.pause(micros / 8),
  ];
  if (attacker !== null) {
    faults.push(
      () => attacker.replay(count, pretend),
      () => attacker.noise(count),
      () => attacker.forge(count),
    );
  }
  return draw.one(faults);
}

function during(
  world: World,
  wire: Wire,
  micros: number,
  change: Partial<LineSettings>,
  back: Partial<LineSettings>,
  direction: "up" | "down" | "both",
): void {
  world.setLine(wire, change, direction);
  world.after(micros, () => world.setLine(wire, back, direction));
}

function refuseSends(world: World, wire: Wire, answer: "full" | "failed", micros: number): void {
  wire.socket.answer = answer;
  world.after(micros, () => {
    wire.socket.answer = "sent";
  });
}

function interfaceFails(world: World, wire: Wire, state: InterfaceState, micros: number): void {
  const index = wire.local.sockets.indexOf(wire.socket);
  wire.local.setInterface(index, state);
  world.after(micros, () => wire.local.setInterface(index, "up"));
}

/** Nothing waits to be sent anywhere. */
function isQuiet(world: World): boolean {
  return world.nodes.every(
    (node) => node.tun.waiting === 0 && node.engine.portal.sessions.every((session) => !session.hasWork),
  );
}

/** Every path is up at both ends, and what is sent now comes out. */
function checkRecovered(world: World): void {
  for (const node of world.nodes) {
    const { sessions } = node.engine.portal;
    const wanted = node === world.remote ? world.locals.length : 1;
    if (sessions.length !== wanted)
      throw new Violation(`${node.name} has ${sessions.length} sessions, not ${wanted}`);
    for (const session of sessions)
      for (const path of session.order)
        if (path.status !== "up")
          throw new Violation(`${node.name}: path ${path.name} is ${path.status} at the end`);
  }
  for (const [local] of world.locals.entries()) {
    for (const upwards of [true, false]) {
      const ping = new Datagrams(world, { local, upwards, perSecond: 20, count: 10, size: 100 });
      world.after(SECOND, () => {
        if (ping.received !== ping.sent || ping.sent !== 10)
          throw new Violation(`${ping.received} of ${ping.sent} packets came out at the end`);
      });
    }
  }
}
