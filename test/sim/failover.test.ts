/** Paths that fail and return: what is lost, how long nothing comes, when they carry again, and what their probes cost. */
import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { DOWN_AFTER, LONG_DOWN_AFTER, PROBE_LONG_DOWN } from "../../src/proto/limits.ts";
import type { Path } from "../../src/proto/path.ts";
import { Type } from "../../src/wire/datagram.ts";
import type { Node } from "./node.ts";
import { Datagrams, goodput, line, Stream } from "./traffic.ts";
import { MILLISECOND, type PathPlan, SECOND, type Wire, World, type WorldPlan } from "./world.ts";

/** A round trip of 20 ms. */
const dsl: PathPlan = { line: line(10, 10) };
const lte: PathPlan = { line: line(10, 30) };

setDefaultTimeout(240_000);

let worlds: World[] = [];

afterEach(() => {
  for (const world of worlds) world.close();
  worlds = [];
});

function makeWorld(paths: readonly PathPlan[], more: Partial<WorldPlan> = {}): World {
  const world = new World({ seed: 7, locals: [{ paths }], ...more });
  worlds.push(world);
  expect(world.runTo(() => allUp(world), 10 * SECOND)).toBe(true);
  return world;
}

function pathOf(node: Node, id: number): Path {
  return node.engine.portal.sessions[0]!.paths[id]!;
}

function allUp(world: World): boolean {
  return world.nodes.every((node) => {
    const session = node.engine.portal.sessions[0];
    return session !== undefined && session.order.length > 0 && session.order.every(isUp);
  });
}

function isUp(path: Path): boolean {
  return path.status === "up";
}

/** The statuses of a path at the local and at the remote. */
function statuses(world: World, id: number): string {
  return [world.locals[0]!, world.remote].map((node) => pathOf(node, id).status).join(" ");
}

/** 100 packets per second each way. */
function probesOf(world: World): [up: Datagrams, down: Datagrams] {
  return [
    new Datagrams(world, { upwards: true, perSecond: 100 }),
    new Datagrams(world, { upwards: false, perSecond: 100 }),
  ];
}

/** Stops the packets, expects that all of them came out and none waited longer than `longestGap`. */
function expectAll(world: World, probes: readonly Datagrams[], longestGap: number): void {
  for (const probe of probes) probe.stop();
  world.runFor(3 * SECOND);
  for (const probe of probes) {
    expect(probe.received).toBe(probe.sent);
    expect(probe.longestGap).toBeLessThan(longestGap);
  }
  world.checker.account();
}

/** How often a path has been given up, at either end. */
function failures(world: World, reason = ""): number {
  return world.log.filter((entry) => entry.includes("up -> suspect") && entry.includes(reason)).length;
}

describe("a cut", () => {
  test.each([
    { what: "idle but for the probe", loaded: false },
    { what: "under load", loaded: true },
  ])("loses no packet and stalls for less than 250 ms, $what; the path is back within 2 s", ({ loaded }) => {
    const world = makeWorld([dsl, dsl]);
    const streams = loaded ? [true, false].map((upwards) => new Stream(world, { upwards, cubic: true })) : [];
    world.runFor(2 * SECOND);
    const probes = probesOf(world);
    for (const wire of world.wires) {
      world.runFor(SECOND);
      world.setLine(wire, { cut: true });
      world.runFor(3 * SECOND);
      world.setLine(wire, { cut: false });
      expect(world.runTo(() => allUp(world), 2 * SECOND)).toBe(true);
    }
    for (const stream of streams) {
      expect(goodput(world, stream, 2 * SECOND)).toBeGreaterThan(12);
      stream.stop();
    }
    expectAll(world, probes, 250 * MILLISECOND);
  });

  test.each(["up", "down"] as const)(
    "of one direction (%s) is left by both ends within one way of the first to notice",
    (direction) => {
      const world = makeWorld([dsl, lte]);
      const probes = probesOf(world);
      world.runFor(SECOND);
      world.setLine(world.wires[0]!, { cut: true }, direction);
      const left = () => statuses(world, 0).includes("suspect");
      const gone = () => statuses(world, 0) === "suspect suspect";
      expect(world.runTo(left, SECOND)).toBe(true);
      expect(world.runTo(gone, 50 * MILLISECOND)).toBe(true);
      world.runFor(20 * SECOND);
      expect(failures(world)).toBe(2);
      world.setLine(world.wires[0]!, { cut: false });
      expect(world.runTo(() => allUp(world), 2 * SECOND)).toBe(true);
      expectAll(world, probes, 250 * MILLISECOND);
    },
  );

  test("is told to the end that would not have noticed for seconds", () => {
    const world = makeWorld([dsl, lte]);
    const probe = new Datagrams(world, { upwards: true, perSecond: 100 });
    world.runFor(SECOND);
    // The remote has nothing to send: its own silence would begin with its next probe.
    world.setLine(world.wires[0]!, { cut: true });
    expect(world.runTo(() => statuses(world, 0) === "suspect suspect", 250 * MILLISECOND)).toBe(true);
    expect(pathOf(world.remote, 0).reason).toContain("the peer says: silent");
    expectAll(world, [probe], 250 * MILLISECOND);
  });

  test("is told though two of three messages are lost", () => {
    const world = makeWorld([dsl, lte]);
    new Datagrams(world, { upwards: true, perSecond: 100 });
    world.runFor(SECOND);
    let messages = 0;
    const slow = world.wires[1]!;
    world.tap = (wire, _, bytes) => {
      const isMessage = (bytes[0]! & 15) === Type.pathStatus;
      if (wire === slow && isMessage) messages++;
      world.setLine(slow, { cut: isMessage && messages <= 2 }, "up");
    };
    world.setLine(world.wires[0]!, { cut: true });
    expect(world.runTo(() => statuses(world, 0) === "suspect suspect", 300 * MILLISECOND)).toBe(true);
    world.runFor(SECOND);
    expect(messages).toBe(3);
  });

  test("that ended before the peer's word of it came changes nothing any more", () => {
    const world = makeWorld([dsl, { line: line(10, 400) }]);
    const probe = new Datagrams(world, { upwards: true, perSecond: 100 });
    world.runFor(3 * SECOND);
    world.setLine(world.wires[0]!, { cut: true });
    expect(world.runTo(() => statuses(world, 0).startsWith("suspect"), SECOND)).toBe(true);
    world.setLine(world.wires[0]!, { cut: false });
    expect(world.runTo(() => allUp(world), 200 * MILLISECOND)).toBe(true);
    const down = new Datagrams(world, { upwards: false, perSecond: 100 });
    world.runFor(2 * SECOND);
    expect(failures(world)).toBe(1);
    expectAll(world, [probe, down], 700 * MILLISECOND);
  });

  test("of the only path: it carries as soon as it is back, however often it failed before", () => {
    const world = makeWorld([dsl]);
    const probes = probesOf(world);
    for (let i = 0; i < 8; i++) {
      world.runFor(2 * SECOND);
      world.setLine(world.wires[0]!, { cut: true });
      world.runFor(2 * SECOND);
      world.setLine(world.wires[0]!, { cut: false });
      expect(world.runTo(() => allUp(world), 600 * MILLISECOND)).toBe(true);
    }
    world.runFor(SECOND);
    for (const probe of probes) {
      const { received } = probe;
      world.runFor(SECOND);
      expect(probe.received).toBeGreaterThanOrEqual(received + 99);
    }
  });
});

describe("an interface", () => {
  test.each(["down", "no carrier"] as const)(
    "that is %s takes no packet with it, and nothing stalls",
    (state) => {
      const world = makeWorld([dsl, dsl]);
      const probes = probesOf(world);
      const local = world.locals[0]!;
      world.runFor(SECOND);
      for (const index of [0, 1]) {
        local.setInterface(index, state);
        world.runFor(15 * MILLISECOND);
        expect(statuses(world, index)).toBe("suspect suspect");
        expect(pathOf(local, index).reason).toStartWith("its interface ");
        expect(pathOf(world.remote, index).reason).toStartWith("the peer says: its interface is down");
        world.runFor(5 * SECOND);
        local.setInterface(index, "up");
        expect(world.runTo(() => allUp(world), 150 * MILLISECOND)).toBe(true);
        world.runFor(2 * SECOND);
      }
      expectAll(world, probes, 60 * MILLISECOND);
    },
  );

  test("that nobody tells of is found dead by its silence, or by the kernel that refuses to send", () => {
    for (const [state, reason] of [
      ["no carrier", "silent for"],
      ["down", "the kernel cannot send on it"],
    ] as const) {
      const world = makeWorld([dsl, dsl]);
      const probes = probesOf(world);
      world.runFor(SECOND);
      const local = world.locals[0]!;
      // Whichever carries the packets.
      const used = pathOf(local, 0).recovery.sentBytes > pathOf(local, 1).recovery.sentBytes ? 0 : 1;
      local.setInterface(used, state, true);
      world.runFor(2 * SECOND);
      // Each end once: by what it sees itself, or by the word of the other, whichever is there first.
      expect(failures(world)).toBe(2);
      expect(failures(world, reason)).toBeGreaterThan(0);
      expect(failures(world, reason) + failures(world, "the peer says")).toBe(2);
      expectAll(world, probes, 250 * MILLISECOND);
    }
  });

  test("that comes up lets a portal in that began without any", () => {
    const world = new World({ seed: 7, locals: [{ paths: [dsl] }] });
    worlds.push(world);
    const local = world.locals[0]!;
    local.setInterface(0, "down");
    world.runFor(60 * SECOND);
    local.setInterface(0, "up");
    expect(world.runTo(() => allUp(world), 200 * MILLISECOND)).toBe(true);
  });
});

describe("flapping", () => {
  function flap(world: World, wire: Wire, times: number): void {
    for (let i = 0; i < times; i++) {
      world.setLine(wire, { cut: true });
      world.runFor(2 * SECOND);
      world.setLine(wire, { cut: false });
      world.runFor(2 * SECOND);
    }
  }

  test("every 2 s: the path rests for longer each time, no packet is lost, and it is back when it stays", () => {
    const world = makeWorld([dsl, lte]);
    const probes = probesOf(world);
    world.runFor(SECOND);
    flap(world, world.wires[0]!, 10);
    for (const end of [" local0 warn", " remote warn"]) {
      const rests = world.log
        .filter((entry) => entry.includes(end) && entry.includes("up -> suspect"))
        .map((entry) => Number(/rests for (\d+) s/.exec(entry)?.[1] ?? 0));
      // The fourth time it does not come up between two cuts.
      expect(rests).toEqual([0, 1, 2]);
    }
    expect(world.runTo(() => allUp(world), 4 * SECOND)).toBe(true);
    expectAll(world, probes, 250 * MILLISECOND);
  });

  test("is forgotten once the path has been up for a minute", () => {
    const world = makeWorld([dsl, lte]);
    probesOf(world);
    flap(world, world.wires[0]!, 3);
    world.runFor(70 * SECOND);
    const before = failures(world, "flapping");
    expect(before).toBeGreaterThan(0);
    flap(world, world.wires[0]!, 1);
    expect(failures(world, "flapping")).toBe(before);
  });

  test("a path that rests carries at once when the last other one fails", () => {
    const world = makeWorld([dsl, lte]);
    const probes = probesOf(world);
    flap(world, world.wires[0]!, 3);
    world.setLine(world.wires[0]!, { cut: true });
    world.runFor(SECOND);
    world.setLine(world.wires[0]!, { cut: false });
    world.runFor(1.5 * SECOND);
    expect(statuses(world, 0)).toBe("suspect suspect");
    world.locals[0]!.setInterface(1, "down");
    world.runFor(100 * MILLISECOND);
    expect(pathOf(world.locals[0]!, 0).reason).toBe("no other path is up");
    expectAll(world, probes, 250 * MILLISECOND);
  });
});

describe("what probes cost", () => {
  interface Cost {
    up: number;
    down: number;
    /** For new keys. */
    handshakes: number;
  }

  /** What is sent on a path in a day, in MB of IP packets, from an hour of it. */
  function dayOf(world: World, wire: Wire): Cost {
    const cost = { up: 0, down: 0, handshakes: 0 };
    world.tap = (on, upwards, datagram) => {
      if (on !== wire) return;
      const what = (datagram[0]! & 15) < Type.data ? "handshakes" : upwards ? "up" : "down";
      cost[what] += (24 * (datagram.length + 28)) / 1e6;
    };
    world.runFor(3600 * SECOND);
    world.tap = null;
    expect(cost.handshakes).toBeLessThan(0.3);
    return cost;
  }

  test("an idle path: 4.2 MB a day; a backup path, which rests while the other is busy: 1.1 MB", () => {
    const world = makeWorld([dsl, { ...lte, metric: 10 }]);
    // Once only: what a path that has come up is probed at first.
    world.runFor(SECOND);
    const both = ({ up, down }: Cost) => up + down;
    const busy = new Datagrams(world, { upwards: true, perSecond: 5 });
    expect(both(dayOf(world, world.wires[1]!))).toBeLessThan(1.11);
    busy.stop();
    expect(both(dayOf(world, world.wires[1]!))).toBeLessThan(1.11);
    const idle = both(dayOf(world, world.wires[0]!));
    expect(idle).toBeLessThan(4.2);
    // It is probed.
    expect(idle).toBeGreaterThan(2);
  });

  test("a path that rests: some ten probes from either end, however long it rests", () => {
    const world = makeWorld([dsl, lte]);
    probesOf(world);
    const wire = world.wires[0]!;
    for (let i = 0; i < 4; i++) {
      world.setLine(wire, { cut: true });
      world.runFor(SECOND);
      world.setLine(wire, { cut: false });
      const probes = { up: 0, down: 0 };
      world.tap = (on, upwards, datagram) => {
        if (on === wire && (datagram[0]! & 15) === Type.probe) probes[upwards ? "up" : "down"]++;
      };
      expect(world.runTo(() => allUp(world), 6 * SECOND)).toBe(true);
      world.tap = null;
      expect(Math.max(probes.up, probes.down)).toBeLessThan(16);
      world.runFor(SECOND);
    }
  });

  test("a dead path: 1.2 MB a day from either end", () => {
    const world = makeWorld([dsl, { ...lte, metric: 10 }]);
    world.setLine(world.wires[1]!, { cut: true });
    world.runFor(LONG_DOWN_AFTER + DOWN_AFTER + 30 * SECOND);
    expect(statuses(world, 1)).toBe("down down");
    const { up, down } = dayOf(world, world.wires[1]!);
    expect(up).toBeLessThan(1.21);
    expect(down).toBeLessThan(1.21);
    world.setLine(world.wires[1]!, { cut: false });
    expect(world.runTo(() => allUp(world), PROBE_LONG_DOWN + SECOND)).toBe(true);
  });
});

describe("a process without a processor", () => {
  test.each(["local", "remote"] as const)(
    "pauses of the %s's of 40 to 150 ms are no silence of its paths, to neither end",
    (who) => {
      const world = makeWorld([dsl, dsl]);
      const probes = probesOf(world);
      const stream = new Stream(world, { upwards: true });
      const node = who === "local" ? world.locals[0]! : world.remote;
      for (let i = 0; i < 20; i++) {
        world.runFor(311 * MILLISECOND);
        node.pause((40 + 10 * (i % 12)) * MILLISECOND);
      }
      expect(failures(world)).toBe(0);
      stream.stop();
      expectAll(world, probes, 250 * MILLISECOND);
    },
  );

  test("a pause longer than any patience, with an answer missing that was lost by chance, is none either", () => {
    const world = makeWorld([dsl, dsl]);
    world.runFor(SECOND);
    for (const wire of world.wires) world.setLine(wire, { cut: true });
    const lone = new Datagrams(world, { upwards: true, perSecond: 100, count: 1 });
    world.runFor(5 * MILLISECOND);
    for (const wire of world.wires) world.setLine(wire, { cut: false });
    world.locals[0]!.pause(400 * MILLISECOND);
    world.runFor(SECOND);
    expect(failures(world)).toBe(0);
    expectAll(world, [lone], 250 * MILLISECOND);
  });

  test("a path that is cut during a pause is left all the same", () => {
    const world = makeWorld([dsl, dsl]);
    const probes = probesOf(world);
    world.runFor(SECOND);
    for (const wire of world.wires) {
      world.setLine(wire, { cut: true });
      world.locals[0]!.pause(100 * MILLISECOND);
      world.runFor(300 * MILLISECOND);
      expect(statuses(world, world.wires.indexOf(wire))).toBe("suspect suspect");
      world.setLine(wire, { cut: false });
      world.runFor(5 * SECOND);
    }
    expectAll(world, probes, 350 * MILLISECOND);
  });
});
