/** A change of the remote, and what leads to it, between real engines: sessions, paths, caps, names, configurations. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { INITIATION_BYTES, RESPONSE_BYTES } from "../../src/wire/handshake.ts";
import { Network, OTHER_SUITES, SECOND, type Server } from "./remotes.ts";

setDefaultTimeout(60_000);

const PLAIN = [{}, {}];
/** Silence, an answer, the grace, ticks, and the new session. */
const CHANGE = 10;

/** Two remotes or more, of which the first is used. */
async function joined(
  count = 2,
  paths: readonly Readonly<Record<string, unknown>>[] = PLAIN,
): Promise<Network> {
  const network = new Network(count, paths);
  await network.until(() => network.used === 0, 5);
  return network;
}

const sessionsOf = (network: Network) => network.servers.map(({ engine }) => engine.portal.sessions.length);
const lines = (network: Network, words: string) => network.log.filter((line) => line.includes(words)).length;

test("while the first answers nobody is asked", async () => {
  const network = await joined(3);
  await network.runFor(120 * SECOND);
  expect([network.used, network.knocking.length]).toEqual([0, 0]);
  expect(network.standings).toEqual(["in use", "not asked", "not asked"]);
});

test("the second takes over from a first that is dead, and the first is returned to with a goodbye to the second", async () => {
  const network = await joined();
  const [first, second] = network.servers as [Server, Server];
  first.dead = true;
  expect(await network.until(() => network.used === 1, CHANGE)).toBeGreaterThan(5);
  expect(network.engine.portal.sessions.length).toBe(1);
  expect(network.standings).toEqual(["silent", "in use"]);
  expect(lines(network, "it is used from now on")).toBe(1);

  // Asking it disturbs neither its own state nor the session in use, and ends in a return.
  await network.runFor(60 * SECOND);
  const session = network.engine.portal.sessions[0]!;
  first.dead = false;
  await network.until(() => network.standings[0] === "answers", 70);
  const heldBy = first.engine.portal.sessions[0];
  await network.runFor(15 * SECOND);
  expect(network.engine.portal.sessions).toEqual([session]);
  expect(session.isUp).toBe(true);
  expect(first.engine.portal.sessions[0] === heldBy).toBe(true);
  await network.until(() => network.used === 0, 15);
  expect(sessionsOf(network)).toEqual([1, 0]);
  expect(second.log.some((line) => line.includes("the peer closed it"))).toBe(true);
  expect(lines(network, "it is used again")).toBe(1);
  // All that was opened to ask is closed, and asking is over.
  const asked = network.knocking.length;
  await network.runFor(120 * SECOND);
  expect(network.knocking.length).toBe(asked);
  expect(network.knocking.every(({ socket }) => socket.closed)).toBe(true);
});

test("when the line is dead nothing is changed, and the session goes on with the line", async () => {
  const network = await joined(3);
  const session = network.engine.portal.sessions[0];
  network.online = false;
  await network.runFor(100 * SECOND);
  expect(network.standings).toEqual(["in use", "silent", "silent"]);
  network.online = true;
  await network.until(() => network.used === 0, 3);
  await network.runFor(60 * SECOND);
  expect(network.engine.portal.sessions[0] === session).toBe(true);
  expect(lines(network, "from now on")).toBe(0);
});

test("a second that is dead too is passed over", async () => {
  const network = await joined(3);
  network.servers[0]!.dead = true;
  network.servers[1]!.dead = true;
  await network.until(() => network.used === 2, CHANGE);
  await network.until(() => network.standings.join() === "silent,silent,in use", 20);
});

test("a local that is not online yet leaves its first remote for nobody", async () => {
  const network = new Network(2, PLAIN, ([first, second]) => [
    first!.config({ host: "first.example" }),
    second!.config(),
  ]);
  network.online = false;
  await network.runFor(60 * SECOND);
  expect(network.standings).toEqual(["in use", "silent"]);
  network.names.set("first.example", "192.0.2.1");
  await network.until(() => network.paths.sockets.length === 2, 40);
  network.online = true;
  await network.until(() => network.used === 0, 3);
  await network.runFor(30 * SECOND);
  expect(network.used).toBe(0);
});

test("the names of the others are known before they are needed", async () => {
  const network = new Network(2, PLAIN, ([first, second]) => [
    first!.config(),
    second!.config({ host: "second.example" }),
  ]);
  network.names.set("second.example", "192.0.2.2");
  await network.until(() => network.used === 0, 5);
  await network.runFor(2 * SECOND);
  network.names.clear();
  network.servers[0]!.dead = true;
  // A session in which nothing moves is probed every five seconds.
  await network.until(() => network.used === 1, CHANGE + 5);
});

test.each([
  ["which is asked by interfaces that are no paths yet", PLAIN],
  ["even unasked, where all have data caps", [{ cap_month: "1 GB" }]],
])("a first whose name nobody knows gives way to the next, %s, until its name is known", async (_, paths) => {
  const network = new Network(2, paths, ([first, second]) => [
    first!.config({ host: "first.example" }),
    second!.config(),
  ]);
  await network.until(() => network.used === 1, CHANGE);
  network.names.set("first.example", "192.0.2.1");
  await network.until(() => network.used === 0, 120);
});

describe("asking", () => {
  test.each([
    [
      "a path of the lowest metric, though others have no data cap",
      [{ cap_month: "1 GB" }, { metric: 5 }],
      ["eth0"],
    ],
    ["such a path without a data cap first", [{ cap_month: "1 GB" }, {}, { metric: 9 }], ["eth1", "eth0"]],
  ])("goes by %s", async (_, paths, devices) => {
    const network = await joined(2, paths);
    network.servers[0]!.dead = true;
    await network.until(() => network.used === 1, CHANGE);
    await network.runFor(300 * SECOND);
    network.knocking.length = 0;
    await network.runFor(300 * SECOND);
    expect(new Set(network.knocking.map(({ device }) => device))).toEqual(new Set(devices));
  });

  test("a silent remote costs an initiation a minute or so, charged to the cap where there is no other path", async () => {
    const network = await joined(2, [{ cap_month: "1 GB" }]);
    network.servers[0]!.dead = true;
    await network.until(() => network.used === 1, CHANGE);
    await network.runFor(300 * SECOND);
    network.knocking.length = 0;
    const used = () => network.caps.report()[0]!.usedBytes;
    const socket = network.paths.sockets[0]!;
    const own = () => socket.sentWireBytes + socket.receivedWireBytes;
    const before = used() - own();
    await network.runFor(3600 * SECOND);
    const asked = network.knocking.reduce((sum, each) => sum + each.socket.sentWireBytes, 0);
    expect(used() - own() - before).toBe(asked);
    expect(asked % (INITIATION_BYTES + 28)).toBe(0);
    const times = asked / (INITIATION_BYTES + 28);
    console.log(`a silent remote: ${(24 * asked) / 1000} KB a day`);
    expect(times).toBeGreaterThanOrEqual(55);
    expect(times).toBeLessThanOrEqual(58);
  });

  test("the answers by all paths are charged", async () => {
    const network = await joined(2, [{ cap_month: "1 GB" }, { cap_month: "1 GB" }]);
    const own = () =>
      network.paths.sockets.reduce((sum, each) => sum + each.sentWireBytes + each.receivedWireBytes, 0);
    const used = () => network.caps.report().reduce((sum, { usedBytes }) => sum + usedBytes, 0);
    network.servers[0]!.dead = true;
    await network.until(() => network.standings[1] === "answers", CHANGE);
    const asked = network.knocking.map(({ socket }) => [socket.sentWireBytes, socket.receivedWireBytes]);
    expect(asked).toEqual([0, 1].map(() => [INITIATION_BYTES + 28, RESPONSE_BYTES + 28]));
    expect(used() - own()).toBe(2 * (INITIATION_BYTES + RESPONSE_BYTES + 56));
  });

  test("what an answering remote costs until it is returned to", async () => {
    const network = await joined(2, [{}]);
    network.servers[0]!.dead = true;
    await network.until(() => network.used === 1, CHANGE);
    network.servers[0]!.dead = false;
    network.knocking.length = 0;
    await network.until(() => network.used === 0, 120);
    const bytes = network.knocking.reduce(
      (sum, { socket }) => sum + socket.sentWireBytes + socket.receivedWireBytes,
      0,
    );
    const each = INITIATION_BYTES + RESPONSE_BYTES + 56;
    console.log(`a question with its answer: ${each} bytes; until the return: ${bytes}`);
    // Some that went unanswered, and five or six that were answered.
    expect(bytes).toBeLessThanOrEqual(9 * each);
  });

  test("a path whose cap is reached asks nobody", async () => {
    const network = await joined(2, [{ cap_month: "1 MB" }]);
    network.paths.paths[0]!.cap!.charge(1e6);
    await network.until(() => network.used === -1, 60);
    network.servers[0]!.dead = true;
    await network.runFor(60 * SECOND);
    expect([network.knocking.length, network.standings]).toEqual([0, ["in use", "not asked"]]);
  });
});

describe("a first that is back", () => {
  /** The second is used, and the first is dead. */
  async function replaced(paths = PLAIN): Promise<[network: Network, first: Server]> {
    const network = await joined(2, paths);
    const first = network.servers[0]!;
    first.dead = true;
    await network.until(() => network.used === 1, CHANGE);
    return [network, first];
  }

  test.each([
    ["another path's network lets through only", (_: Network, first: Server) => first.blocked.add("eth0")],
    ["only another path has a route to", (network: Network) => network.routeless.add("eth0")],
  ])("that %s is returned to, and asked by the path that it answers by", async (_, spoil) => {
    const [network, first] = await replaced();
    spoil(network, first);
    first.dead = false;
    await network.until(() => network.standings[0] === "answers", 150);
    network.knocking.length = 0;
    await network.until(() => network.used === 0, 30);
    expect(new Set(network.knocking.map(({ device }) => device))).toEqual(new Set(["eth1"]));
  });

  test.each([
    ["a path with a data cap beside one without", [{ cap_month: "1 GB" }, {}], "eth1"],
    ["a path with a data cap, not the backup path", [{ cap_month: "1 GB" }, { metric: 5 }], "eth1"],
  ])("that only %s reaches is returned to", async (_, paths, blocked) => {
    const [network, first] = await replaced(paths);
    first.blocked.add(blocked);
    first.dead = false;
    await network.until(() => network.used === 0, 250);
  });

  test("that only a backup path reaches is not, while another is up", async () => {
    const [network, first] = await replaced([{}, { metric: 5 }]);
    first.blocked.add("eth0");
    first.dead = false;
    await network.runFor(600 * SECOND);
    expect([network.used, network.standings[0]]).toEqual([1, "silent"]);
  });

  test("is timed on while a message cannot be sent", async () => {
    const [network, first] = await replaced([{}]);
    first.dead = false;
    await network.until(() => network.standings[0] === "answers", 70);
    network.failing = true;
    const waited = await network.until(() => network.used === 0 || network.standings[0] === "silent", 40);
    expect([network.used, network.failing]).toEqual([0, false]);
    expect(waited).toBeLessThan(30);
  });
});

describe("a remote that answers, but is of no use", () => {
  test("for its cipher: status says so, and the log once, until it is silent, or of use", async () => {
    const network = await joined();
    const first = network.servers[0]!;
    first.dead = true;
    await network.until(() => network.standings.join() === "silent,in use", CHANGE);
    const { suites } = first;
    first.suites = OTHER_SUITES;
    first.dead = false;
    await network.until(() => network.standings[0] === "other cipher", 70);
    await network.runFor(150 * SECOND);
    const said = `warn remote 192.0.2.1:51900 refuses this portal's cipher: set the same "cipher" and "privacy" on both sides`;
    expect(network.log.filter((line) => line.includes("cipher"))).toEqual([expect.stringContaining(said)]);
    first.dead = true;
    await network.until(() => network.standings[0] === "silent", 70);
    first.dead = false;
    first.suites = suites;
    await network.until(() => network.used === 0, 150);
  });

  test("for its pre-shared key", async () => {
    const network = new Network(2, PLAIN, ([first, second]) => [
      first!.config({ presharedKey: new Uint8Array(32).fill(9) }),
      second!.config(),
    ]);
    await network.until(() => network.used === 1, CHANGE);
    await network.until(() => network.standings[0] === "other pre-shared key", 10);
    await network.runFor(150 * SECOND);
    expect(lines(network, "remote 192.0.2.1:51900 has another pre-shared key")).toBe(1);
  });

  test("is named by the handshake too, each one", async () => {
    const network = new Network(3, PLAIN);
    for (const server of network.servers) server.suites = OTHER_SUITES;
    await network.runFor(3 * SECOND);
    const [, second, third] = network.servers.map((server) => server.config());
    network.remotes.configure(network.now, [second!, third!]);
    await network.runFor(3 * SECOND);
    const said = network.log.filter((line) => line.includes("refuses the session"));
    expect(said.map((line) => line.replace(/ refuses.*/, ""))).toEqual([
      "warn remote 192.0.2.1:51900",
      "warn remote 192.0.2.2:51900",
    ]);
  });

  test("one that does not answer is named where there are several", async () => {
    const network = new Network(2, PLAIN);
    for (const server of network.servers) server.dead = true;
    await network.runFor(30 * SECOND);
    expect(lines(network, "warn remote 192.0.2.1:51900 does not answer: check")).toBe(1);
  });
});

describe("another configuration", () => {
  test("keeps the session while the one in use stands in it, wherever and at whatever address", async () => {
    const network = await joined(3);
    const [first, second, third] = network.servers.map((server) => server.config());
    const session = network.engine.portal.sessions[0];
    const configure = (...list: (typeof first)[]) => network.remotes.configure(network.now, list as never);
    expect(configure(first, second, third)).toEqual([]);
    expect(configure(second, first)).toEqual(["remote 192.0.2.3:51900 removed", "remotes in another order"]);
    await network.runFor(SECOND);
    expect(network.standings).toEqual(["not asked", "in use"]);
    expect(configure({ ...first!, returnSeconds: 30 })).toEqual([
      "remote 192.0.2.2:51900 removed",
      "[remote] return_seconds 20 -> 30",
    ]);
    expect(network.engine.portal.peers[0]!.name).toBe("remote");
    network.names.set("first.example", "192.0.2.1");
    expect(configure({ ...first!, returnSeconds: 30, host: "first.example" })).toEqual([
      "[remote] endpoint 192.0.2.1:51900 -> first.example:51900",
    ]);
    await network.runFor(5 * SECOND);
    expect(network.engine.portal.sessions[0] === session).toBe(true);
    expect(network.used).toBe(0);
  });

  test("with another key at the same address begins anew over the same sockets", async () => {
    const network = await joined(2);
    const [first, second] = network.servers as [Server, Server];
    first.dead = true;
    second.endpoint.copyFrom(first.endpoint);
    const { sockets } = network.paths;
    network.remotes.configure(network.now, [second.config()]);
    await network.until(() => network.used === 1, 3);
    expect(network.paths.sockets).toEqual(sockets);
  });

  test("without the one in use begins with the first of the others, and says goodbye", async () => {
    const network = await joined(3);
    const [, second, third] = network.servers.map((server) => server.config());
    const said = network.remotes.configure(network.now, [third!, second!]);
    expect(said).toEqual(["remote 192.0.2.1:51900 removed", "remotes in another order"]);
    await network.until(() => network.used === 2, 3);
    expect(sessionsOf(network)).toEqual([0, 0, 1]);
  });

  test("with an earlier one leads to it once it is steady", async () => {
    const network = await joined(2);
    const [first, second] = network.servers.map((server) => server.config());
    network.remotes.configure(network.now, [second!, first!]);
    expect(await network.until(() => network.used === 1, 40)).toBeGreaterThanOrEqual(20);
    expect(sessionsOf(network)).toEqual([0, 1]);
  });
});
