/** What strangers, thieves of datagrams and forgers of addresses send: delivered to nobody, answered by nobody, counted. */
import { expect } from "bun:test";
import { join } from "node:path";
import { ADDRESSES, TUNNEL_PORT } from "../../src/lab/namespaces.ts";
import { seededRandom } from "../../src/lab/random.ts";
import type { TomlTable } from "../../src/lab/toml.ts";
import type { Lab, PathOptions } from "../../src/lab/topology.ts";
import type { Drop } from "../../src/share/counters.ts";
import type { PathReport } from "../../src/share/status.ts";
import { HEADER_BYTES, Type } from "../../src/wire/datagram.ts";
import { INITIATION_BYTES, MAC_BYTES } from "../../src/wire/handshake.ts";
import { BY_RELAY, Relay } from "./relay.ts";
import { scenario } from "./scenario.ts";
import { pings, SOON } from "./traffic.ts";

/** The portals' own way, and one of the same kind for a stranger. */
const OWN = 0;
const STRANGE = 1;
const paths: PathOptions[] = [
  { mbit: 50, delayMs: 5 },
  { mbit: 50, delayMs: 5 },
];

const remoteHost = ADDRESSES.remoteEndpoint[4];

function randomKey(): string {
  return Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("base64");
}

/** Packets that left the remote by a path. */
async function answered(lab: Lab, path: number): Promise<number> {
  return (await lab.lineStats()).paths[path]!.down.offered;
}

/** Leaves IPv4 alone on the remote's paths: a kernel reports its IPv6 listeners now and then. */
async function hush(lab: Lab): Promise<void> {
  for (const { name } of lab.paths) {
    const file = `/proc/sys/net/ipv6/conf/${name}/disable_ipv6`;
    expect((await lab.exec("remote", ["sh", "-c", `echo 1 > ${file}`])).code).toBe(0);
  }
}

async function drops(lab: Lab): Promise<Partial<Record<Drop, number>>> {
  const report = (await lab.status("remote"))!;
  const sum: Partial<Record<Drop, number>> = { ...report.drops };
  for (const session of report.sessions) {
    for (const [reason, count] of Object.entries(session.drops) as [Drop, number][]) {
      sum[reason] = (sum[reason] ?? 0) + count;
    }
  }
  return sum;
}

/** What was counted since `before`, without the packets that the remote's own kernel sends into the tunnel. */
async function droppedSince(
  lab: Lab,
  before: Partial<Record<Drop, number>>,
): Promise<Partial<Record<Drop, number>>> {
  const result: Partial<Record<Drop, number>> = {};
  for (const [reason, count] of Object.entries(await drops(lab)) as [Drop, number][]) {
    const more = count - (before[reason] ?? 0);
    if (more > 0 && reason !== "noRoute") result[reason] = more;
  }
  return result;
}

async function waitForDrops(lab: Lab, before: Partial<Record<Drop, number>>, count: number): Promise<void> {
  await lab.waitFor(`${count} datagrams to be counted`, SOON, async () => {
    const counts = Object.values(await droppedSince(lab, before));
    return counts.reduce((sum, each) => sum + each, 0) >= count;
  });
}

/** Pings that the server's kernel has seen. */
async function pingsDelivered(lab: Lab): Promise<number> {
  const { stdout } = await lab.exec("server", ["nstat", "-asz", "IcmpInEchos"]);
  return Number(/IcmpInEchos\s+(\d+)/.exec(stdout)?.[1]);
}

scenario(import.meta.path, "an unknown key is not answered", { paths }, async (lab) => {
  await hush(lab);
  const local: TomlTable = { keys: { private_key: randomKey() } };
  await lab.startPortals({ paths: [OWN], toml: { local }, wait: false });
  // Before it listens, its kernel answers for it.
  await lab.waitFor("the remote to listen", SOON, async () => (await lab.status("remote")) !== null);
  const before = await answered(lab, OWN);
  await lab.waitFor("initiations to be refused", SOON, async () => {
    return ((await lab.status("remote"))?.drops.handshakeRefused ?? 0) >= 2;
  });
  expect((await lab.status("remote"))!.sessions[0]!.status).toBe("down");
  expect((await lab.status("local"))!.sessions[0]!.status).toBe("connecting");
  expect(await answered(lab, OWN)).toBe(before);
  expect(lab.portals!.remote.errors.length).toBe(1);
});

scenario(import.meta.path, "a wrong pre-shared key makes no session", { paths }, async (lab) => {
  await hush(lab);
  const before = await answered(lab, OWN);
  const local: TomlTable = { remote: { preshared_key: randomKey() } };
  const remote: TomlTable = { peer: [{ preshared_key: randomKey() }] };
  await lab.startPortals({ paths: [OWN], toml: { local, remote }, wait: false });
  await lab.waitFor("answers to be refused", SOON, async () => {
    return ((await lab.status("local"))?.drops.handshakeRefused ?? 0) >= 2;
  });
  expect((await lab.status("remote"))!.sessions[0]!.status).toBe("down");
  expect((await lab.status("local"))!.sessions[0]!.status).toBe("connecting");
  // Only the handshake's second message proves the key: one answer for each initiation, no more.
  const { up, down } = (await lab.lineStats()).paths[OWN]!;
  expect(down.offered - before).toBeLessThanOrEqual(up.delivered);
});

scenario(import.meta.path, "replayed, random and forged datagrams do nothing", { paths }, async (lab) => {
  await hush(lab);
  const unasked = await answered(lab, STRANGE);
  const relay = await Relay.start(lab);
  const script = join(import.meta.dir, "stranger.ts");
  const argv = [process.execPath, script, lab.paths[STRANGE]!.name, remoteHost, `${TUNNEL_PORT}`];
  const stranger = lab.spawn("local", argv, "stranger");
  await stranger.nextLine();
  await lab.startPortals({ paths: [OWN], toml: { local: BY_RELAY } });
  expect(await pings(lab, 4, 20)).toBe(true);
  const seen = await relay.ask({ seen: true });
  // The one that made the session: any before it was not answered in time.
  const initiation = seen.findLast((hex) => isOf(hex, Type.initiation))!;
  const sealed = seen.filter((hex) => isOf(hex, Type.data));
  expect(initiation.length).toBe(2 * INITIATION_BYTES);
  expect(sealed.length).toBeGreaterThanOrEqual(20);
  const logged = lab.portals!.remote.errors.length;
  const own = await pathOf(lab);
  const delivered = await pingsDelivered(lab);

  const expectNothing = async (
    what: string,
    datagrams: readonly string[],
    reasons: Partial<Record<Drop, number>> | null,
  ): Promise<void> => {
    const before = await drops(lab);
    stranger.send(JSON.stringify({ send: datagrams }));
    expect(JSON.parse(await stranger.nextLine())).toEqual({ sent: datagrams.length });
    await waitForDrops(lab, before, datagrams.length);
    const counted = await droppedSince(lab, before);
    if (reasons !== null) expect({ what, counted }).toEqual({ what, counted: reasons });
    expect({ what, answered: await answered(lab, STRANGE) }).toEqual({ what, answered: unasked });
  };

  await expectNothing("replayed data", sealed, { replayed: sealed.length });
  await expectNothing("a replayed initiation", [initiation], { replayed: 1 });
  const forged = sealed.map(forge);
  await expectNothing("a valid index, but forged", forged, { notAuthentic: forged.length });
  const unknown = sealed.map((hex) => withIndex(hex, 0xdeadbeef));
  await expectNothing("an index of nobody", unknown, { unknownIndex: unknown.length });
  await expectNothing("random bytes", randomDatagrams(1000), null);
  const damaged = damagedCopies(initiation);
  await expectNothing("a damaged initiation", damaged, { notAuthentic: damaged.length });

  expect(await pingsDelivered(lab)).toBe(delivered);
  expect(lab.portals!.remote.errors.length).toBe(logged);
  expect(await pings(lab, 4)).toBe(true);
  const after = await pathOf(lab);
  expect([after.status, after.endpoint]).toEqual(["up", own.endpoint]);

  // Authentic and new, but first seen from a stranger's address: asked whether it is the peer's, and not believed.
  await relay.ask({ hold: true, seen: true });
  await lab.exec("client", ["ping", "-c", "3", "-i", "0.1", "-W", "1", ADDRESSES.server[4]]);
  const held = (await relay.ask({ seen: true })).filter((hex) => !isOf(hex, Type.initiation));
  const received = (await pathOf(lab)).receivedPackets;
  stranger.send(JSON.stringify({ send: held }));
  await stranger.nextLine();
  await lab.waitFor("what was held back to arrive", SOON, async () => {
    return (await pathOf(lab)).receivedPackets >= received + held.length;
  });
  expect((await pathOf(lab)).endpoint).toBe(own.endpoint);
  await relay.ask({ hold: false });
  expect(await pings(lab, 4)).toBe(true);
  expect((await pathOf(lab)).endpoint).toBe(own.endpoint);
});

/** The remote's view of the portals' own way. */
async function pathOf(lab: Lab): Promise<PathReport> {
  return (await lab.status("remote"))!.sessions[0]!.paths[OWN]!;
}

function isOf(hex: string, type: number): boolean {
  return (Number.parseInt(hex.slice(0, 2), 16) & 15) === type;
}

/** The same head with a packet number that has not been seen, around other bytes. */
function forge(hex: string): string {
  const datagram = Buffer.from(hex, "hex");
  datagram.writeUInt32BE(datagram.readUInt32BE(2) + 1000, 2);
  for (let i = HEADER_BYTES; i < datagram.length; i++) datagram[i]! ^= 0x55;
  return datagram.toString("hex");
}

function withIndex(hex: string, index: number): string {
  const datagram = Buffer.from(hex, "hex");
  datagram.writeUInt32BE(index, 6);
  return datagram.toString("hex");
}

/** Each byte changed once, but the type and the second MAC, which counts only under load. */
function damagedCopies(initiation: string): string[] {
  return Array.from({ length: INITIATION_BYTES - MAC_BYTES - 1 }, (_, i) => {
    const bytes = Buffer.from(initiation, "hex");
    bytes[i + 1]! ^= 1 << (i & 7);
    return bytes.toString("hex");
  });
}

/** Of every length up to a full packet's, of every type. */
function randomDatagrams(count: number): string[] {
  const random = seededRandom(4);
  return Array.from({ length: count }, (_, i) => {
    const bytes = Buffer.from(Uint8Array.from({ length: 1 + ((i * 7) % 1400) }, () => random() * 256));
    bytes[0] = (bytes[0]! & 0xf0) | (i & 15);
    return bytes.toString("hex");
  });
}

scenario(
  import.meta.path,
  "a peer's packets from addresses not its own are dropped",
  { paths },
  async (lab) => {
    await lab.ip("client", ["addr add 10.99.0.1/32 dev eth0", "addr add fd99::1/128 dev eth0 nodad"]);
    await lab.startPortals();
    expect(await pings(lab, 4)).toBe(true);
    expect(await pings(lab, 6)).toBe(true);
    const delivered = await pingsDelivered(lab);
    const before = await drops(lab);
    const forged = ["-c", "5", "-i", "0.02", "-W", "1"];
    await Promise.all([
      lab.exec("client", ["ping", "-I", "10.99.0.1", ...forged, ADDRESSES.server[4]]),
      lab.exec("client", ["ping", "-I", "fd99::1", ...forged, ADDRESSES.server[6]]),
    ]);
    await waitForDrops(lab, before, 10);
    expect(await droppedSince(lab, before)).toEqual({ badSource: 10 });
    expect(await pingsDelivered(lab)).toBe(delivered);
    expect(await pings(lab, 4)).toBe(true);
  },
);
