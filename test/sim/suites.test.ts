/** Cipher suites: every two preferences meet, or both ends say why not; whoever changes them on the way gets no session. */
import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { MacStamper } from "../../src/proto/cookie.ts";
import { createNoiseCrypto } from "../../src/sys/crypto.ts";
import { TYPE_MASK, Type } from "../../src/wire/datagram.ts";
import { makeKeys } from "./node.ts";
import { closeWorlds, dropped, expectAll, join, makeWorld, pings, sessionOf, thin } from "./scenario.ts";
import { MILLISECOND, SECOND, type SuitePlan, type World } from "./world.ts";

setDefaultTimeout(120_000);

afterEach(closeWorlds);

const AES = "aes-256-gcm";
const CHACHA = "chacha20-poly1305";

/** Machines and configurations. */
const fast: readonly SuitePlan[] = [
  ["aes", 14],
  ["chacha", 12],
];
const slow: readonly SuitePlan[] = [
  ["aes", 4],
  ["chacha", 7],
];
const onlyAes: readonly SuitePlan[] = [["aes", 1]];
const onlyChacha: readonly SuitePlan[] = [["chacha", 1]];
const readable: readonly SuitePlan[] = [["blake2s", 1]];
/** A portal of before there was a choice. */
const old: readonly SuitePlan[] = [["aes", 0]];

const names = (world: World) => world.nodes.map((node) => sessionOf(node)?.keys.suite.name);

describe("preferences meet", () => {
  test.each([
    ["two fast machines", fast, fast, AES],
    ["two slow ones", slow, slow, CHACHA],
    ["a slow local", slow, fast, CHACHA],
    ["a slow remote", fast, slow, CHACHA],
    ["a local that has only AES", onlyAes, slow, AES],
    ["a remote that has only AES", slow, onlyAes, AES],
    ["a local told ChaCha20", onlyChacha, fast, CHACHA],
    ["a remote told ChaCha20", fast, onlyChacha, CHACHA],
    ["both told ChaCha20", onlyChacha, onlyChacha, CHACHA],
    ["both readable", readable, readable, "blake2s"],
    ["an old local", old, slow, AES],
    ["an old remote", slow, old, AES],
    ["both old", old, old, AES],
  ])("%s", (_, suites, remoteSuites, expected) => {
    const world = join(makeWorld([thin, thin], { suites, remoteSuites }));
    expect(names(world)).toEqual([expected, expected]);
    const first = sessionOf(world.remote)!.keys;
    const flows = pings(world, 20);
    // New keys, and the same suite.
    world.runFor(130 * SECOND);
    expect(sessionOf(world.remote)!.keys).not.toBe(first);
    expect(names(world)).toEqual([expected, expected]);
    expectAll(world, flows);
  });

  test("a remote that was started again with another suite: the session begins anew with it", () => {
    const world = join(makeWorld([thin], { suites: fast, remoteSuites: fast }));
    expect(names(world)).toEqual([AES, AES]);
    world.remote.suites = onlyChacha;
    world.remote.restart();
    expect(world.runTo(() => names(world).every((name) => name === CHACHA), 30 * SECOND)).toBe(true);
    expectAll(world, pings(world, 20, { count: 20 }));
  });
});

describe("preferences that do not meet", () => {
  test.each([
    ["two that are told otherwise", onlyAes, onlyChacha, AES, CHACHA],
    ["the same reversed", onlyChacha, onlyAes, CHACHA, AES],
    ["a readable local", readable, fast, "blake2s", `${AES} or ${CHACHA}`],
    ["a readable remote", fast, readable, `${AES} or ${CHACHA}`, "blake2s"],
  ])("%s: no session, and both say it once", (_, suites, remoteSuites, ofLocal, ofRemote) => {
    const world = makeWorld([thin, thin], { suites, remoteSuites });
    world.runFor(20 * SECOND);
    expect(names(world)).toEqual([undefined, undefined]);
    const advice = 'set the same "cipher" and "privacy" on both sides';
    expect(world.log.map((line) => line.replace(/^[\d.]+ /, "")).toSorted()).toEqual([
      `local0 warn: the remote refuses the session: it takes ${ofRemote}, this portal ${ofLocal}: ${advice}`,
      `remote warn: local0 is refused: it takes ${ofLocal}, this portal ${ofRemote}: ${advice}`,
    ]);
    for (const node of world.nodes) expect(dropped(world, node, "handshakeRefused")).toBeGreaterThan(2);
    // Asked for now and then, not as often as who does not answer at all.
    expect(dropped(world, world.locals[0]!, "handshakeRefused")).toBeLessThan(8);
  });
});

/** Where the payloads stand in the messages, and their fields. */
const INITIATION_PAYLOAD = 88;
const RESPONSE_PAYLOAD = 44;

describe("a man on the way", () => {
  const { publicKeys } = publicKeysOf();
  const crypto = createNoiseCrypto();

  test.each([
    ["the suite asked for", Type.initiation, INITIATION_PAYLOAD + 9, 1 ^ 3],
    ["the speeds, so that AES looks slow", Type.initiation, INITIATION_PAYLOAD + 11, 0xd0],
    ["the speeds, so that ChaCha20 is not taken", Type.initiation, INITIATION_PAYLOAD + 11, 0x0c],
    ["the suite chosen", Type.response, RESPONSE_PAYLOAD + 1, 1 ^ 3],
    ["the answer, to be a refusal", Type.response, RESPONSE_PAYLOAD, 2],
    ["the remote's speeds", Type.response, RESPONSE_PAYLOAD + 2, 0xff],
  ])("changes %s: no session until he leaves", (_, type, at, bits) => {
    const upwards = type === Type.initiation;
    // Anybody who knows the public keys makes a right mac1.
    const stamper = new MacStamper(crypto, upwards ? publicKeys.remote : publicKeys.local);
    const world = makeWorld([thin], { suites: fast, remoteSuites: fast });
    let changed = 0;
    world.tap = (_wire, up, bytes) => {
      if (up !== upwards || (bytes[0]! & TYPE_MASK) !== type) return;
      bytes[at]! ^= bits;
      stamper.stamp(world.now, bytes);
      changed++;
    };
    world.runFor(10 * SECOND + 100 * MILLISECOND);
    expect(changed).toBeGreaterThan(5);
    expect(names(world)).toEqual([undefined, undefined]);
    const [node, reason] = upwards
      ? ([world.remote, "notAuthentic"] as const)
      : ([world.locals[0]!, "handshakeRefused"] as const);
    expect(dropped(world, node, reason)).toBe(changed);
    expect(world.log.filter((line) => line.includes("refuse"))).toEqual([]);
    world.tap = null;
    join(world);
    expect(names(world)).toEqual([AES, AES]);
  });
});

function publicKeysOf() {
  const { remote, locals } = makeKeys(1);
  return { publicKeys: { remote: remote.publicKey, local: locals[0]!.publicKey } };
}
