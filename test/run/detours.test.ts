/** A remote's address that leads nowhere by some path, and another of its addresses that does not: between real engines. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { INITIATION_BYTES } from "../../src/wire/handshake.ts";
import { Network, SECOND } from "./remotes.ts";

setDefaultTimeout(60_000);

const NAME = "remote.example";

/** One remote that has both families, and IPv6 stands first. */
function network(paths: readonly Readonly<Record<string, unknown>>[]): Network {
  const made = new Network(1, paths, ([server]) => [server!.config({ host: NAME })]);
  made.names.set(NAME, "2001:db8::1 192.0.2.1");
  return made;
}

const families = ({ paths }: Network) => paths.sockets.map(({ peer }) => (peer!.isIpv6 ? 6 : 4)).join();
const statuses = ({ engine }: Network) =>
  engine.paths.map((path) => engine.pathOf(path)?.status ?? "none").join();
const redirected = ({ log }: Network) =>
  log.filter((line) => line.includes("another of its addresses")).length;

test("a start by an address that leads nowhere goes on by the other", async () => {
  const made = network([{}]);
  made.servers[0]!.blocked6.add("eth0");
  expect(await made.until(() => made.used === 0, 8)).toBeGreaterThan(3);
  expect(families(made)).toBe("4");
  await made.runFor(200 * SECOND);
  expect([redirected(made), statuses(made)]).toEqual([1, "up"]);
});

test("so does one path of several, while the others carry and are left alone", async () => {
  const made = network([{}, {}]);
  made.servers[0]!.blocked6.add("eth1");
  await made.until(() => statuses(made) === "up,up", 9);
  expect([families(made), redirected(made)]).toEqual(["6,4", 1]);
  const session = made.engine.portal.sessions[0]!;
  // And when that stops leading there as well, as in another network, back again: the session stays.
  const [eth0] = made.paths.sockets;
  made.servers[0]!.blocked6.clear();
  made.servers[0]!.blocked6.add("eth0");
  await made.until(() => families(made) === "4,4" || families(made) === "4,6", 20);
  await made.until(() => statuses(made) === "up,up", 9);
  expect(made.paths.sockets.includes(eth0!)).toBe(false);
  expect(made.engine.portal.sessions[0]).toBe(session);
});

test("a dead line changes nothing, and asking for the other address costs little", async () => {
  const made = network([{}]);
  await made.until(() => made.used === 0, 5);
  const [socket] = made.paths.sockets;
  made.online = false;
  await made.runFor(3600 * SECOND);
  const asked = made.knocking.reduce((sum, each) => sum + each.socket.sentWireBytes, 0);
  expect(asked / (INITIATION_BYTES + 28)).toBeGreaterThan(50);
  expect(asked / (INITIATION_BYTES + 28)).toBeLessThan(72);
  expect(made.knocking.every(({ socket: each }) => each.closed)).toBe(true);
  made.online = true;
  await made.until(() => made.used === 0, 5);
  await made.runFor(60 * SECOND);
  expect(made.paths.sockets).toEqual([socket!]);
});

test("a path that answers, be it only at rest after failures, is not led elsewhere", async () => {
  const made = network([{}, {}]);
  await made.until(() => statuses(made) === "up,up", 5);
  for (let i = 0; i < 8; i++) {
    made.servers[0]!.blocked.add("eth1");
    await made.until(() => statuses(made).endsWith("suspect"), 10);
    made.servers[0]!.blocked.clear();
    await made.until(() => statuses(made) === "up,up", 60);
  }
  expect([families(made), redirected(made)]).toEqual(["6,6", 0]);
});

test("without another address, or a route there, nobody is asked", async () => {
  const alone = new Network(1, [{}]);
  alone.servers[0]!.blocked.add("eth0");
  await alone.runFor(60 * SECOND);
  expect(alone.knocking.length).toBe(0);
  const routeless = network([{}]);
  routeless.servers[0]!.blocked6.add("eth0");
  await routeless.until(() => routeless.paths.sockets.length === 1, 5);
  for (const socket of routeless.sockets.values()) {
    socket.routed = false;
    socket.others = [];
  }
  await routeless.runFor(60 * SECOND);
  expect([routeless.knocking.length, families(routeless)]).toEqual([0, "6"]);
});

test("a path that rests because of its data cap asks nobody", async () => {
  const made = network([{ cap_month: "1 MB" }]);
  made.servers[0]!.blocked6.add("eth0");
  await made.until(() => made.paths.sockets.length === 1, 5);
  (made.paths.sockets[0] as unknown as { sentWireBytes: number }).sentWireBytes += 1_000_000;
  await made.runFor(60 * SECOND);
  expect(made.knocking.length).toBe(0);
});
