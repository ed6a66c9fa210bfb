/** Any bytes at a portal's sockets, and any packet in its TUN: nothing thrown, nothing delivered, each counted under its reason. */
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import type { Drop } from "../../src/share/counters.ts";
import { COOKIE_REPLY_BYTES, INITIATION_BYTES, RESPONSE_BYTES } from "../../src/wire/handshake.ts";
import type { Node } from "./node.ts";
import { Datagrams, line } from "./traffic.ts";
import { MILLISECOND, SECOND, World } from "./world.ts";

setDefaultTimeout(120_000);

const world = new World({ seed: 5, locals: [{ paths: [{ line: line(10, 5) }] }] });
world.runFor(SECOND);
const wire = world.wires[0]!;
const local = world.locals[0]!;
const { remote } = world;
const stranger = world.freshEndpoint();

afterAll(() => world.close());

function indexOf(node: Node): number {
  return node.engine.portal.sessions[0]!.keys.localIndex;
}

/** Lets a portal have one datagram; the drops it counted for it. */
function drops(node: Node, bytes: Uint8Array): Partial<Record<Drop, number>> {
  const before = world.checker.drops(node);
  const { delivered } = world.ledger;
  const strays = world.strays.length;
  const [session] = node.engine.portal.sessions;
  if (node === remote) world.injectRemote(bytes, stranger);
  else world.injectLocal(wire, bytes);
  world.runFor(2 * MILLISECOND);
  expect(world.ledger.delivered).toBe(delivered);
  expect(world.strays.length).toBe(strays);
  expect(node.engine.portal.sessions).toEqual([session!]);
  const after = world.checker.drops(node);
  const counted: Partial<Record<Drop, number>> = {};
  for (const [reason, count] of Object.entries(after.entries()) as [Drop, number][]) {
    if (count !== before.of(reason)) counted[reason] = count - before.of(reason);
  }
  return counted;
}

function datagram(type: number, length: number, index = 0, pathId = 0, packetNumber = 0): Uint8Array {
  const bytes = Uint8Array.from({ length }, (_, i) => i * 37);
  const view = new DataView(bytes.buffer);
  bytes[0] = type;
  if (length > 1) bytes[1] = pathId;
  if (length >= 10) {
    view.setUint32(2, packetNumber);
    view.setUint32(6, index);
  }
  return bytes;
}

const far = 1_000_000;
const nodes: [name: string, node: Node][] = [
  ["remote", remote],
  ["local", local],
];

test.each(nodes)("each reason, at the %s", (name, node) => {
  const index = indexOf(node);
  const is = (bytes: Uint8Array, reason: Drop) =>
    expect([reason, drops(node, bytes)]).toEqual([reason, { [reason]: 1 }]);
  is(datagram(4, 1), "malformed");
  is(datagram(4, 25, index), "malformed");
  is(datagram(4, 26, index, 0, far), "notAuthentic");
  is(datagram(4, 1400, index, 0, far), "notAuthentic");
  is(datagram(4, 1400, index, 200, far), "notAuthentic");
  is(datagram(0x14, 1400, index + 1, 0, far), "unknownIndex");
  is(datagram(4, 1400, index, 0, 0), "replayed");
  for (const type of [0, 12, 15]) is(datagram(type, 100, index), "unknownType");
  for (const type of [4, 5, 6, 7, 8, 9]) is(datagram(type, 60, index, 0, far), "notAuthentic");
  is(datagram(1, INITIATION_BYTES), name === "remote" ? "notAuthentic" : "unknownType");
  is(datagram(1, INITIATION_BYTES - 1), name === "remote" ? "notAuthentic" : "unknownType");
  is(datagram(2, RESPONSE_BYTES), name === "local" ? "unknownIndex" : "unknownType");
  is(datagram(3, COOKIE_REPLY_BYTES), name === "local" ? "notAuthentic" : "unknownType");
});

test.each(nodes)("any bytes, at the %s: one drop each", (_, node) => {
  const any = fc.uint8Array({ minLength: 1, maxLength: 200 });
  const shaped = fc.record({
    type: fc.integer({ min: 0, max: 255 }),
    length: fc.oneof(
      fc.constantFrom(INITIATION_BYTES, RESPONSE_BYTES, COOKIE_REPLY_BYTES),
      fc.integer({ min: 1, max: 1500 }),
    ),
    ours: fc.boolean(),
    pathId: fc.integer({ min: 0, max: 255 }),
    packetNumber: fc.oneof(fc.integer({ min: 0, max: 10 }), fc.integer({ min: 0, max: 2 ** 32 - 1 })),
  });
  fc.assert(
    fc.property(fc.oneof(any, shaped), (from) => {
      const bytes =
        from instanceof Uint8Array
          ? from
          : datagram(from.type, from.length, from.ours ? indexOf(node) : 7, from.pathId, from.packetNumber);
      const counted = drops(node, bytes);
      expect(Object.values(counted)).toEqual([1]);
    }),
    { numRuns: 1500 },
  );
});

test("any bytes from the TUN: nothing but a whole packet crosses, and packets still do", () => {
  const before = world.ledger.entries.length;
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 120 }), fc.boolean(), (bytes, looksWhole) => {
      const packet = new Uint8Array(Math.max(bytes.length, 31));
      packet.set(bytes);
      if (looksWhole) {
        // For nobody the local knows, so that it goes no further: the remote checks sources too.
        packet[10] = 0x45;
        new DataView(packet.buffer).setUint16(12, packet.length - 10);
        packet.set([11, 0, 0, 1], 22);
      }
      const counted = world.checker.drops(local).total + world.checker.drops(remote).total;
      local.tun.push(looksWhole ? packet : bytes);
      local.wake();
      world.runFor(50 * MILLISECOND);
      const now = world.checker.drops(local).total + world.checker.drops(remote).total;
      if (bytes.length > 0 || looksWhole) expect(now).toBeGreaterThan(counted);
    }),
    { numRuns: 300 },
  );
  expect(world.ledger.entries.length).toBe(before);
  const pings = [true, false].map((upwards) => new Datagrams(world, { upwards, perSecond: 50, count: 20 }));
  world.runFor(3 * SECOND);
  for (const ping of pings) expect(ping.received).toBe(20);
});
