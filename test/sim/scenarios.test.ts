/** Named worlds of a few lines each: what portal promises, and what it must withstand. */
import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  KEEP,
  MAX_QUEUED,
  PENDING_LIFETIME,
  PROBE_IDLE,
  REJECT_AFTER,
  REKEY_AFTER,
} from "../../src/proto/limits.ts";
import { Type } from "../../src/wire/datagram.ts";
import { Attacker } from "./attacker.ts";
import { endpointKey } from "./fakes.ts";
import type { Node } from "./node.ts";
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
import { type LocalPlan, MILLISECOND, SECOND } from "./world.ts";

/** Virtual time passes faster than ours, but not on every machine. */
setDefaultTimeout(240_000);

afterEach(closeWorlds);

describe("several paths", () => {
  test("unequal delays do not hurt: 50 Mbit/s at 10 ms and 20 at 60 ms", () => {
    const world = join(makeWorld([{ line: line(50, 10) }, { line: line(20, 60) }]));
    const stream = new Stream(world, { upwards: false });
    world.runFor(2 * SECOND);
    expect(goodput(world, stream, 3 * SECOND)).toBeGreaterThan(50);
  });

  test("a path that has become longer for good goes after the other", () => {
    const world = join(makeWorld([thin, thin]));
    world.runFor(20 * SECOND);
    world.setLine(world.wires[0]!, { delayMicros: 60 * MILLISECOND });
    world.runFor(35 * SECOND);
    const ping = new Ping(world, 20);
    world.runFor(3 * SECOND);
    // It takes some packets to see.
    const first = ping.times.length;
    expect(first).toBeGreaterThan(50);
    world.runFor(60 * SECOND);
    expect(Math.max(...ping.times.slice(first))).toBeLessThan(30 * MILLISECOND);
  });

  test.each(["up", "down"] as const)("a path that is dead in one direction (%s) is left", (direction) => {
    const world = join(makeWorld([thin, thin]));
    const probes = pings(world);
    world.runFor(SECOND);
    world.setLine(world.wires[0]!, { cut: true }, direction);
    world.runFor(2 * SECOND);
    world.setLine(world.wires[0]!, { cut: false });
    expect(world.runTo(() => allUp(world, world.locals[0]!), 5 * SECOND)).toBe(true);
    expectAll(world, probes);
  });

  test("all paths cut: packets wait, and leave when one is back", () => {
    const world = join(makeWorld([thin, thin]));
    for (const wire of world.wires) world.setLine(wire, { cut: true });
    world.runFor(2 * SECOND);
    const probes = pings(world, 10, { count: 10 });
    world.runFor(2 * SECOND);
    world.setLine(world.wires[1]!, { cut: false });
    world.runFor(5 * SECOND);
    expectAll(world, probes);
  });

  test("down after ten seconds, and back after an hour", () => {
    const world = join(makeWorld([thin, thin]));
    world.setLine(world.wires[0]!, { cut: true });
    world.runFor(20 * SECOND);
    expect(pathOf(world.locals[0]!, 0).status).toBe("down");
    world.runFor(3600 * SECOND);
    world.setLine(world.wires[0]!, { cut: false });
    expect(world.runTo(() => allUp(world, world.locals[0]!), 5 * SECOND)).toBe(true);
  });

  test("a fixed rate is kept to, each way its own", () => {
    const world = join(makeWorld([{ line: line(50, 10), sendRate: 250_000, receiveRate: 1_000_000 }]));
    const up = new Stream(world, { upwards: true });
    world.runFor(SECOND);
    const upRate = goodput(world, up, 3 * SECOND);
    up.stop();
    const down = new Stream(world, { upwards: false });
    world.runFor(2 * SECOND);
    const downRate = goodput(world, down, 3 * SECOND);
    for (const [rate, fixed] of [
      [upRate, 2],
      [downRate, 8],
    ] as const) {
      expect(rate).toBeGreaterThan(0.85 * fixed);
      expect(rate).toBeLessThan(fixed);
    }
    expect(pathOf(world.remote, 0).recovery.congestion.name).toBe("fixed");
  });

  test.each(["newreno", "cubic"] as const)(
    "%s, chosen by the local, fills the path both ways",
    (congestion) => {
      const world = join(makeWorld([{ line: line(20, 10), congestion }]));
      for (const upwards of [true, false]) {
        const stream = new Stream(world, { upwards });
        world.runFor(2 * SECOND);
        expect(goodput(world, stream, 2 * SECOND)).toBeGreaterThan(0.85 * 20);
        stream.stop();
      }
      for (const node of [world.locals[0]!, world.remote])
        expect(pathOf(node, 0).recovery.congestion.name).toBe(congestion);
    },
  );

  test("a satellite path (600 ms) joins and carries packets", () => {
    const world = join(makeWorld([{ line: line(10, 300) }]));
    const probes = pings(world);
    world.runFor(3 * SECOND);
    expectAll(world, probes);
  });

  test("losses of a path are made good: no packet of 2 % loss is missing", () => {
    const world = join(makeWorld([{ line: line(10, 10, { loss: 0.02 }) }, { line: line(10, 15) }]));
    const probes = pings(world, 200);
    world.runFor(10 * SECOND);
    for (const probe of probes) probe.stop();
    world.runFor(SECOND);
    for (const probe of probes) expect(probe.sent - probe.received).toBeLessThanOrEqual(1);
    world.checker.account();
  });

  // Seeds with which some were lost when a packet left at most three times, and the oldest losses had to wait.
  test.each([3, 14, 18, 23, 36])("four flows that start lose no datagram beside them: seed %d", (seed) => {
    const world = join(makeWorld([{ line: line(10, 20, { queueMicros: 50 * MILLISECOND }) }], { seed }));
    world.runUntil(SECOND);
    const streams = [0, 1, 2, 3].map(() => new Stream(world, { upwards: false, cubic: true }));
    const datagrams = new Datagrams(world, { upwards: false, perSecond: 200 });
    world.runFor(SECOND);
    for (const stream of streams) stream.stop();
    expectAll(world, [datagrams]);
  });
});

describe("an interface that fails", () => {
  test("takes no packet with it, though packets of many sizes were about to leave on it", () => {
    const world = join(makeWorld([thin, thin]));
    const probes = [100, 400, 900].flatMap((size) => pings(world, 100, { size, batch: 8 }));
    world.runFor(SECOND);
    world.wires[0]!.socket.answer = "failed";
    world.runFor(SECOND);
    expectAll(world, probes);
  });
});

describe("kernels and packets", () => {
  test.each([
    { name: "no privacy", paths: [thin], more: { privacy: false } },
    { name: "no offloads", paths: [thin], more: { offloads: false } },
    { name: "no offloads at the remote", paths: [thin], more: { remoteOffloads: false } },
    { name: "a large MTU", paths: [thin], more: { mtu: 8900 } },
  ])("carries everything: $name", ({ paths, more }) => {
    const world = join(makeWorld(paths, more));
    const streams = [true, false].map(
      (upwards) => new Stream(world, { upwards, ipv6: upwards, bytes: 200_000, timestamps: upwards }),
    );
    const probes = [false, true].flatMap((ipv6) => pings(world, 50, { ipv6, batch: 4, size: 700 }));
    const plain = (["valid", "untrusted", "none"] as const).flatMap((checksum) =>
      pings(world, 20, { checksum }),
    );
    const echoes = pings(world, 10, { icmp: true });
    expect(world.runTo(() => streams.every((stream) => stream.done), 10 * SECOND)).toBe(true);
    expectAll(world, [...probes, ...plain, ...echoes]);
    expectExact(world);
  });

  test("more batches in one turn than there are buffers", () => {
    const paths = [0, 1, 2].map(() => ({ line: line(30, 5) }));
    const world = join(makeWorld(paths, { batches: false, wakeMicros: 8 * MILLISECOND }));
    const stream = new Stream(world, { upwards: false, bytes: 3_000_000 });
    expect(world.runTo(() => stream.done, 10 * SECOND)).toBe(true);
  });

  test("without privacy the inner bytes can be seen, with it they cannot", () => {
    for (const privacy of [true, false]) {
      const world = join(makeWorld([thin], { privacy }));
      const attacker = new Attacker(world);
      pings(world, 50, { count: 5 });
      world.runFor(SECOND);
      const seen = attacker.recorded.some(({ bytes }) =>
        Buffer.from(bytes).includes(Buffer.from([0xa5, 0x5a, (8 * 7) & 0xff])),
      );
      const inner = attacker.recorded.some(({ bytes }) =>
        Buffer.from(bytes).includes(Buffer.from([10, 77, 0, 2, 192, 0, 2, 1])),
      );
      expect(seen || inner).toBe(!privacy);
    }
  });

  test("portals that differ about privacy do not talk, and the remote says why", () => {
    const world = makeWorld([thin]);
    const other = makeWorld([thin], { privacy: false });
    new Attacker(other).recorded.length = 0;
    const attacker = new Attacker(other);
    other.runFor(100 * MILLISECOND);
    const initiation = attacker.recorded.find(({ bytes }) => bytes[0] === Type.initiation)!;
    world.injectRemote(initiation.bytes, initiation.source);
    world.runFor(100 * MILLISECOND);
    expect(dropped(world, world.remote, "handshakeRefused")).toBe(1);
    expect(world.log.join("\n")).toContain(
      'it takes blake2s, this portal aes-256-gcm: set the same "cipher"',
    );
  });

  test("a packet too big for the tunnel, one without destination and one with a foreign source are counted", () => {
    const world = join(makeWorld([thin]));
    new Datagrams(world, { upwards: true, perSecond: 100, count: 3, size: 1400 });
    const foreign = new Datagrams(world, { upwards: true, perSecond: 100, count: 2 });
    foreign.flow.settings.source[0] = 11;
    const lost = new Datagrams(world, { upwards: false, perSecond: 100, count: 4 });
    lost.flow.settings.destination[0] = 11;
    world.runFor(SECOND);
    expect(dropped(world, world.locals[0]!, "tooBig")).toBe(3);
    expect(dropped(world, world.remote, "badSource")).toBe(2);
    const told = world.log.filter((line) => line.includes("is none of its addresses: add it"));
    expect(told.length).toBe(1);
    expect(told[0]).toMatch(/ warn: dropped: a packet of \S+ from 11\.\S+, which/);
    expect(dropped(world, world.remote, "noRoute")).toBe(4);
    world.checker.account();
  });
});

describe("portals come and go", () => {
  test.each(["remote", "local"] as const)(
    "the %s restarts: the session begins anew, packets go on",
    (who) => {
      const world = join(makeWorld([thin, thin]));
      const node = who === "remote" ? world.remote : world.locals[0]!;
      const probes = pings(world);
      world.runFor(SECOND);
      node.restart();
      world.runFor(3 * SECOND);
      for (const probe of probes) probe.stop();
      expectAll(world, pings(world, 20, { count: 20 }));
      for (const each of world.nodes) expect(each.engine.portal.sessions.length).toBe(1);
    },
  );

  test("a peer whose sessions replace each other again and again is told of, once in a while", () => {
    const world = join(makeWorld([thin]));
    const told = () => world.log.filter((line) => line.includes("begins session after session")).length;
    const replace = (times: number, pause: number) => {
      for (let i = 0; i < times; i++) {
        world.runFor(pause);
        world.locals[0]!.restart();
        join(world);
      }
    };
    replace(8, 30 * SECOND);
    expect(told()).toBe(0);
    replace(5, 3 * SECOND);
    expect(told()).toBe(1);
    expect(world.log.join("\n")).toContain(
      " warn: local0 begins session after session: two machines have its key",
    );
    replace(20, 3 * SECOND);
    expect(told()).toBe(1);
    world.runFor(600 * SECOND);
    replace(5, 3 * SECOND);
    expect(told()).toBe(2);
  });

  test("a local that stops says goodbye: the remote forgets it at once", () => {
    const world = join(makeWorld([thin]));
    world.locals[0]!.stop();
    world.runFor(100 * MILLISECOND);
    expect(sessionOf(world.remote)).toBeUndefined();
    world.locals[0]!.restart();
    join(world);
  });

  test("a remote that stops says goodbye: the local tries again until it is back", () => {
    const world = join(makeWorld([thin]));
    world.remote.stop();
    world.runFor(30 * SECOND);
    expect(sessionOf(world.locals[0]!)).toBeUndefined();
    world.remote.restart();
    join(world);
  });

  test("a local whose NAT rebinds is followed, after a challenge", () => {
    const world = join(makeWorld([thin]));
    const probes = pings(world);
    world.runFor(SECOND);
    const before = endpointKey(pathOf(world.remote, 0).endpoint);
    world.rebind(world.wires[0]!);
    const now = endpointKey(world.wires[0]!.external);
    const moved = () => endpointKey(pathOf(world.remote, 0).endpoint) === now;
    expect(moved()).toBe(false);
    const attacker = new Attacker(world);
    expect(world.runTo(moved, SECOND)).toBe(true);
    expect(before).not.toBe(now);
    // To the new address went nothing but the challenge, until it was answered.
    const down = attacker.recorded.filter(({ upwards }) => !upwards).map(({ bytes }) => bytes[0]! & 15);
    expect(down[0]).toBe(Type.challenge);
    expect(down.indexOf(Type.data)).not.toBe(0);
    expectAll(world, probes);
  });

  test("rekey under load loses no packet", () => {
    const world = join(makeWorld([thin, { line: line(4, 40) }]));
    world.runFor(REKEY_AFTER - 3 * SECOND);
    const keys = sessionOf(world.remote)!.keys;
    const probes = pings(world, 200);
    world.runFor(6 * SECOND);
    expect(sessionOf(world.remote)!.keys).not.toBe(keys);
    expect(sessionOf(world.locals[0]!)!.previousKeys).not.toBeNull();
    expectAll(world, probes);
    for (const node of world.nodes) {
      // What was under way under the old keys was still opened.
      for (const { recovery } of sessionOf(node)!.order) expect(recovery.lostPackets).toBe(0);
    }
    world.runFor(2 * REJECT_AFTER);
    expect(world.log.filter((entry) => entry.includes("established")).length).toBe(2);
    expectAll(world, pings(world, 20, { count: 20 }));
  });

  test("an idle session proves its new keys at once", () => {
    const world = join(makeWorld([thin]));
    const installed = (node: Node) => sessionOf(node)!.previousKeys !== null;
    expect(world.runTo(() => installed(world.locals[0]!), REKEY_AFTER + SECOND)).toBe(true);
    world.runFor(15 * MILLISECOND);
    expect(installed(world.remote)).toBe(true);
  });

  test("rekey when the handshake's messages are lost again and again", () => {
    const world = join(makeWorld([{ line: line(4, 30, { loss: 0.3 }) }]));
    world.runFor(2 * REKEY_AFTER);
    world.setLine(world.wires[0]!, { loss: 0 });
    world.runFor(10 * SECOND);
    expectAll(world, pings(world, 20, { count: 20 }));
  });

  test("a session begun anew is never taken for the one before, which the remote may still have", () => {
    const world = join(makeWorld([{ line: line(4, 40) }]));
    const wire = world.wires[0]!;
    const before = pings(world, 500);
    world.runFor(2 * SECOND);
    for (const probe of before) probe.stop();
    // As if the remote's machine had stood still for a while: to it, the session is young.
    (sessionOf(world.remote)!.keys as { createdAt: number }).createdAt = 1e9 * SECOND;
    world.remote.engine.portal.keep = 1e9 * SECOND;
    world.runFor(REKEY_AFTER - 5 * SECOND);
    world.setLine(wire, { cut: true });
    // It is noticed with the next probe.
    expect(world.runTo(() => sessionOf(world.locals[0]!) === undefined, KEEP + PROBE_IDLE + SECOND)).toBe(
      true,
    );
    world.setLine(wire, { cut: false });
    const answered = () => sessionOf(world.remote)!.peer.pending.length > 0;
    expect(world.runTo(answered, 10 * SECOND)).toBe(true);
    // The remote's answer arrives, what the local says then does not.
    world.setLine(wire, { cut: true }, "up");
    world.runFor(PENDING_LIFETIME + SECOND);
    expect(sessionOf(world.locals[0]!)).toBeDefined();
    world.setLine(wire, { cut: false });
    expect(world.runTo(() => allUp(world, world.locals[0]!), 10 * SECOND)).toBe(true);
    expectAll(world, pings(world, 20, { count: 20 }));
  });

  test("a session goes on with new keys after more packets than 32 bits count", () => {
    const world = join(makeWorld([thin]));
    for (const node of world.nodes) {
      // As if so many packets had been sent and settled.
      const { log } = pathOf(node, 0).recovery;
      world.runFor(SECOND);
      log.next = 2 ** 32 - 200;
      log.oldest = log.next;
    }
    const probes = pings(world, 20);
    world.runFor(2 * REKEY_AFTER + 10 * SECOND);
    expect(pathOf(world.remote, 0).reception.window.largest).toBeGreaterThan(2 ** 32);
    expect(world.log.filter((entry) => entry.includes("established")).length).toBe(2);
    expectAll(world, probes);
  });

  test("many locals on one remote", () => {
    const plans = Array.from({ length: 12 }, (): LocalPlan => ({ paths: [thin, thin] }));
    const world = join(makeWorld([], { locals: plans }));
    const streams = plans.map(
      (_, local) => new Stream(world, { local, upwards: local % 2 === 0, bytes: 100_000 }),
    );
    const probes = plans.flatMap((_, local) => pings(world, 20, { local }));
    expect(world.runTo(() => streams.every((stream) => stream.done), 5 * SECOND)).toBe(true);
    expectAll(world, probes);
  });

  test("one local's dead paths do not hold up another", () => {
    const world = join(makeWorld([], { locals: [{ paths: [thin] }, { paths: [thin] }] }));
    world.setLine(world.wires[0]!, { cut: true });
    // More than the queues hold.
    const perSecond = MAX_QUEUED / 4;
    new Datagrams(world, { local: 0, upwards: false, perSecond });
    const probes = pings(world, 50, { local: 1 });
    world.runFor(5 * SECOND);
    expect(dropped(world, world.remote, "overflow")).toBeGreaterThan(0);
    for (const probe of probes) {
      probe.stop();
      world.runFor(SECOND);
      expect(probe.received).toBe(probe.sent);
    }
  });
});

describe("strangers", () => {
  test.each([
    { name: "key", wrong: { wrongKey: true }, node: "remote", reason: "handshakeRefused" },
    { name: "pre-shared key", wrong: { wrongPresharedKey: true }, node: "local", reason: "handshakeRefused" },
  ] as const)("a wrong $name: no session, nothing delivered, counted", ({ wrong, node, reason }) => {
    const world = makeWorld([thin], wrong);
    const probes = pings(world, 10);
    world.runFor(20 * SECOND);
    const counting = node === "remote" ? world.remote : world.locals[0]!;
    expect(dropped(world, counting, reason)).toBeGreaterThan(2);
    for (const each of world.nodes) expect(each.engine.portal.sessions.length).toBe(0);
    for (const probe of probes) expect(probe.received).toBe(0);
    expect(world.log.join("\n")).toContain("the remote does not answer: check");
  });

  test("replayed datagrams are counted and nothing comes of them", () => {
    const world = join(makeWorld([thin, thin]));
    const attacker = new Attacker(world);
    const probes = pings(world);
    world.runFor(2 * SECOND);
    world.tap = null;
    world.runFor(SECOND);
    for (const pretend of [true, false]) attacker.replay(300, pretend);
    world.runFor(SECOND);
    const replayed = world.nodes.map((node) => dropped(world, node, "replayed"));
    expect(replayed[0]! + replayed[1]!).toBe(600);
    expect(world.strays).toEqual([]);
    expectAll(world, probes);
  });

  test("a replayed handshake is answered and forgotten: the session lives on", () => {
    const world = makeWorld([thin]);
    const attacker = new Attacker(world);
    join(world);
    const session = sessionOf(world.remote);
    const probes = pings(world);
    attacker.recorded.splice(20);
    for (let i = 0; i < 30; i++) {
      world.runFor(SECOND);
      attacker.replay(20, i % 2 === 0);
    }
    expect(sessionOf(world.remote)).toBe(session!);
    for (const { bytes } of world.strays) expect([Type.response, Type.cookie]).toContain(bytes[0]! as 2 | 3);
    expectAll(world, probes);
  });

  test("a captured datagram from a third party's address brings it a challenge or two, no packet, and no more", () => {
    const world = join(makeWorld([thin]));
    const probes = pings(world, 20);
    const attacker = new Attacker(world);
    world.runFor(SECOND);
    // The line to the remote is slow to deliver: the attacker's copies of the newest datagrams come first.
    world.setLine(world.wires[0]!, { delayMicros: 200 * MILLISECOND }, "up");
    for (let i = 0; i < 20; i++) {
      world.runFor(50 * MILLISECOND);
      const newest = attacker.recorded.findLast(({ upwards }) => upwards)!;
      world.injectRemote(newest.bytes, attacker.address);
    }
    world.runFor(SECOND);
    const challenges = world.strays.length;
    expect(challenges).toBeGreaterThan(0);
    for (const { bytes } of world.strays) expect(bytes[0]).toBe(Type.challenge);
    world.runFor(10 * SECOND);
    expect(world.strays.length).toBe(challenges);
    expect(endpointKey(pathOf(world.remote, 0).endpoint)).toBe(endpointKey(world.wires[0]!.external));
    expectAll(world, probes);
  });

  test("a copy from an address the kernel cannot send to does the path no harm", () => {
    const world = join(makeWorld([thin]));
    const probes = pings(world, 20);
    const attacker = new Attacker(world);
    for (const socket of world.remote.sockets) socket.refused = attacker.address;
    world.runFor(SECOND);
    world.setLine(world.wires[0]!, { delayMicros: 100 * MILLISECOND }, "up");
    for (let i = 0; i < 10; i++) {
      world.runFor(50 * MILLISECOND);
      const newest = attacker.recorded.findLast(({ upwards }) => upwards)!;
      world.injectRemote(newest.bytes, attacker.address);
    }
    world.runFor(SECOND);
    expect(world.log.join("\n")).not.toContain("cannot send");
    expectAll(world, probes);
  });

  test("noise and forged headers change nothing and are not answered", () => {
    const world = join(makeWorld([thin, { ...thin, ipv6: true }]));
    const attacker = new Attacker(world);
    const probes = pings(world);
    for (let i = 0; i < 50; i++) {
      world.runFor(50 * MILLISECOND);
      attacker.noise(20);
      attacker.forge(20);
    }
    expect(world.strays).toEqual([]);
    const all = world.nodes.reduce((sum, node) => sum + world.checker.drops(node).total, 0);
    // A short cut can leave a datagram as it was, and a forged type may fall on the real one.
    expect(all).toBeGreaterThan(0.95 * attacker.injected);
    expectAll(world, probes);
  });

  test("under a flood of initiations a local still gets in, by a cookie", () => {
    const world = makeWorld([thin]);
    world.locals[0]!.stop();
    const other = makeWorld([thin]);
    const attacker = new Attacker(other);
    other.wires[0]!.up.set(0, { cut: true });
    other.runFor(2400 * SECOND);
    const initiations = attacker.recorded.filter(({ bytes }) => bytes[0] === Type.initiation);
    expect(initiations.length).toBeGreaterThan(500);
    let sent = 0;
    const flood = () => {
      const next = initiations[sent++ % initiations.length]!;
      world.injectRemote(next.bytes, attacker.address);
      if (sent < 4000) world.after(SECOND / 400, flood);
    };
    flood();
    world.runFor(SECOND);
    world.locals[0]!.restart();
    join(world);
    expect(world.now).toBeLessThan(9 * SECOND);
    expect(dropped(world, world.remote, "overloaded")).toBeGreaterThan(100);
    expect(world.strays.some(({ bytes }) => bytes[0] === Type.cookie)).toBe(true);
    expectAll(world, pings(world, 20, { count: 20 }));
  });

  test("a local's old initiations, sent again and again, do not push aside the one it is waiting for", () => {
    const other = makeWorld([thin]);
    const attacker = new Attacker(other);
    other.wires[0]!.up.set(0, { cut: true });
    other.runFor(600 * SECOND);
    const initiations = attacker.recorded.filter(({ bytes }) => bytes[0] === Type.initiation);
    // Other random numbers than those: the real initiation is none of them.
    const world = join(makeWorld([{ line: line(4, 100) }], { seed: 8 }));
    let sent = 0;
    const repeat = () => {
      const next = initiations[sent++ % initiations.length]!;
      world.injectRemote(next.bytes, attacker.address);
      world.after(SECOND / 90, repeat);
    };
    world.runFor(REKEY_AFTER - 5 * SECOND);
    repeat();
    const probes = pings(world, 50);
    world.runFor(10 * SECOND);
    expect(sessionOf(world.remote)!.previousKeys).not.toBeNull();
    expectAll(world, probes);
    expect(world.log.join("\n")).not.toContain("suspect");
  });

  test("a session whose peer is gone ends, and its keys with it", () => {
    const world = join(makeWorld([thin]));
    world.locals[0]!.kill();
    world.runFor(REJECT_AFTER + 2 * SECOND);
    // The session is kept for a while, the keys are not.
    const session = sessionOf(world.remote)!;
    expect(session.keys.closed).toBe(true);
    expect(world.remote.engine.portal.keysOf(session.keys.localIndex)).toBeUndefined();
    world.runFor(KEEP - REJECT_AFTER + 10 * SECOND);
    expect(sessionOf(world.remote)).toBeUndefined();
  });
});
