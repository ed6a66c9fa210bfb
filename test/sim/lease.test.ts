/** Addresses that the remote gives a local: when it asks, with every handshake, and in no other way than before when it does not. */
import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { TYPE_MASK, Type } from "../../src/wire/datagram.ts";
import { LEASE_RESPONSE_BYTES, type LeasedAddress, RESPONSE_BYTES } from "../../src/wire/handshake.ts";
import { innerAddress } from "./node.ts";
import { allUp, closeWorlds, expectAll, join, makeWorld, pings, thin } from "./scenario.ts";
import { SECOND, type World } from "./world.ts";

setDefaultTimeout(120_000);

afterEach(closeWorlds);

const LEASE: readonly LeasedAddress[] = [
  { bytes: innerAddress(0, false), length: 24 },
  { bytes: innerAddress(0, true), length: 64 },
];

/** The lengths of the responses on the wire, as they come. */
function responses(world: World): number[] {
  const lengths: number[] = [];
  world.tap = (_, upwards, bytes) => {
    if (!upwards && (bytes[0]! & TYPE_MASK) === Type.response) lengths.push(bytes.length);
  };
  return lengths;
}

const given = (world: World) => world.locals[0]!.given;

test("a local that asks is told with the session, with its new keys, and by whoever was started again", () => {
  const world = makeWorld([thin, thin], { asks: true, lease: LEASE });
  const lengths = responses(world);
  join(world);
  expect(given(world)).toEqual([LEASE]);
  expect(new Set(lengths)).toEqual(new Set([LEASE_RESPONSE_BYTES]));
  const probes = pings(world);
  world.runFor(125 * SECOND);
  expect(given(world)).toEqual([LEASE, LEASE]);
  expectAll(world, probes);
  for (const node of [world.locals[0]!, world.remote]) {
    given(world).length = 0;
    node.restart();
    expect(world.runTo(() => given(world).length > 0 && allUp(world, world.locals[0]!), 30 * SECOND)).toBe(
      true,
    );
    expect(given(world)[0]).toEqual(LEASE);
  }
});

test("one family, and none", () => {
  const one = join(makeWorld([thin], { asks: true, lease: LEASE.slice(1) }));
  expect(given(one)).toEqual([LEASE.slice(1)]);
  const world = makeWorld([thin], { asks: true });
  const lengths = responses(world);
  join(world);
  expect(given(world)).toEqual([[]]);
  expect(lengths).toEqual([RESPONSE_BYTES]);
});

test("a local that does not ask, as an older one, is answered as ever", () => {
  const world = makeWorld([thin], { lease: LEASE });
  const lengths = responses(world);
  join(world);
  expect(given(world)).toEqual([]);
  expect(lengths).toEqual([RESPONSE_BYTES]);
});
