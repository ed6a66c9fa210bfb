/**
 * The arm64 program as the router of a home, on an arm64 kernel of its own in an emulated machine: examined, started, used
 * over both paths, a cable pulled, killed, started again, ended; and the machine is as it was before.
 */
import { expect } from "bun:test";
import { join } from "node:path";
import type { Facts } from "../../src/doctor/judge/facts.ts";
import type { Finding } from "../../src/doctor/judge/finding.ts";
import { renderFindings } from "../../src/doctor/judge/text.ts";
import { ADDRESSES, type Family } from "../../src/lab/namespaces.ts";
import type { Lab, PathOptions } from "../../src/lab/topology.ts";
import type { Drop } from "../../src/share/counters.ts";
import type { PathReport, SessionReport } from "../../src/share/status.ts";
import { TRANSFER_PORT, type Transfer } from "../arm64/transfer.ts";
import { Flow, pings, transfer } from "../netns/traffic.ts";
import type { Kernel } from "./image.ts";
import { Router, SLOWLY } from "./router.ts";
import { onKernel } from "./scenario.ts";

const paths: PathOptions[] = [
  { mbit: 4, delayMs: 10 },
  { mbit: 4, delayMs: 20 },
];

const FAMILIES: readonly Family[] = [4, 6];
const MEGABYTE = 1_000_000;

/** Bytes after which a path has carried transfers, and not only acknowledgements: those of all rounds are 400 kB. */
const CARRIED = MEGABYTE / 2;

/** Transfers, until each path has carried its part; mostly the first is enough. */
const ROUNDS = 5;

/** The cipher suites that a processor with libcrypto has. */
const SUITES = ["aes-256-gcm", "chacha20-poly1305"];

/** Of the TUN where nobody sets it; and with the headers of a datagram over IPv4, which every cable and line here carries. */
const TUNNEL_MTU = 1420;
const PATH_MTU = TUNNEL_MTU + 60;

const LIBERAL = "netfilter/nf_conntrack_tcp_be_liberal";

/** Drops that would tell of bytes computed wrongly. */
const DAMAGE: readonly Drop[] = ["malformed", "unknownType", "notAuthentic", "badInner", "tunRefused"];

const TRANSFER = join(import.meta.dir, "../arm64/transfer.ts");
const SERVER = `http://${ADDRESSES.server[4]}:${TRANSFER_PORT}`;

export function routesHome(file: string, kernel: Kernel): void {
  onKernel(file, "routes a home", kernel, { paths }, (lab) => live(lab, kernel));
}

async function live(lab: Lab, kernel: Kernel): Promise<void> {
  const router = await Router.boot(lab, kernel);
  await expectKernel(router, kernel);
  const before = await changeable(router);
  await expectExamined(router);
  await router.start();
  await expectOffloads(router);
  await expectOnline(lab, router);
  await expectWholeDatagrams(lab, router);
  await carriesThroughPulledCable(lab, router);

  // Killed, it lets nothing past the tunnel; started again, it undoes what it had done, and does it again.
  expect(await router.end("KILL")).toBe(128 + 9);
  expect((await router.machine.exec(`ping -c 1 -W 5 ${ADDRESSES.server[4]}`)).code).not.toBe(0);
  await router.start();
  for (const family of FAMILIES) expect(await pings(lab, family)).toBe(true);

  expect(await router.end("TERM")).toBe(0);
  expect(await changeable(router)).toEqual(before);
  // But for paths, which suffer where other work keeps the processors busy.
  const troubles = (await router.log()).filter((line) => / (?:warn|error) (?!path )/.test(line));
  expect(troubles).toEqual([]);
}

/** The machine is the one that is meant. */
async function expectKernel({ machine }: Router, kernel: Kernel): Promise<void> {
  const said = await machine.must("uname -m; grep -m 1 KernelPageSize /proc/self/smaps");
  expect(said.split(/\s+/).slice(0, 3)).toEqual(["aarch64", "KernelPageSize:", kernel.replace("k", "")]);
}

/** Before it runs: what it would change, and no fault found. An emulated processor is slow, of which the doctor may warn. */
async function expectExamined(router: Router): Promise<void> {
  const check = await router.run("check");
  expect([check.code, check.stderr]).toEqual([0, ""]);
  const commands = [
    "ip tuntap add portal0",
    "nft 'table inet portal",
    `snat ip to ${ADDRESSES.tunnelLocal[4]}`,
    "net.ipv4.ip_forward=1",
    `net.${LIBERAL.replace("/", ".")}=1`,
  ];
  for (const command of commands) expect(check.stdout).toContain(command);
  const { code, stdout, stderr } = await router.run("doctor --json");
  expect([code, stderr]).toEqual([0, ""]);
  const { findings, facts } = JSON.parse(stdout) as { findings: Finding[]; facts: Facts };
  console.log(renderFindings(findings));
  const wrong = findings.filter(({ level, subject }) => level !== "ok" && subject !== "speed");
  expect(wrong).toEqual([]);
  expect(facts.speed.missing).toBe(null);
  expect(facts.speed.suites).toMatchObject(SUITES.map((name) => ({ name, correct: true })));
  for (const { library } of facts.speed.suites) expect(library).not.toBe("fallback");
  for (const { exchange } of facts.paths) {
    if (exchange?.outcome !== "answered") throw new Error(`the remote: ${exchange?.outcome}`);
    expect(SUITES).toContain(exchange.suite);
    expect(exchange.remoteSpeeds.map(({ name }) => name)).toEqual(SUITES);
  }
  expect(facts.paths).toHaveLength(paths.length);
}

/** The kernel gives all that portal asks it for, and both ends have a session of one of the suites. */
async function expectOffloads(router: Router): Promise<void> {
  const { offloads, cipher, sessions } = await router.status();
  expect(offloads).toEqual({ tun: true, udpSegmentation: true, udpReceive: true });
  expect(cipher).toBe(SUITES.join(" or "));
  expect(SUITES).toContain(sessions[0]!.suite!);
  expect((await router.remoteSession())!.suite).toBe(sessions[0]!.suite);
  expect(await router.machine.must(`cat /proc/sys/net/${LIBERAL}`)).toBe("1\n");
}

/** Either end has found out, by datagrams of its own, that its paths carry the largest packets of the TUN whole. */
async function expectWholeDatagrams(lab: Lab, router: Router): Promise<void> {
  const local = async (): Promise<SessionReport> => (await router.status()).sessions[0]!;
  const remote = async (): Promise<SessionReport> => (await router.remoteSession())!;
  for (const [side, session] of Object.entries({ local, remote })) {
    const known = async () => (await session()).paths.map(({ mtu, mtuSearch }) => ({ mtu, mtuSearch }));
    await lab.waitFor(`the ${side} to know the MTU of its paths`, SLOWLY, async () =>
      (await known()).every(({ mtuSearch }) => mtuSearch === "complete"),
    );
    expect(await known()).toEqual(paths.map(() => ({ mtu: PATH_MTU, mtuSearch: "complete" })));
    expect((await session()).mtu).toBe(TUNNEL_MTU);
  }
  expect((await router.status()).mtu).toBe(TUNNEL_MTU);
}

/** The machine itself and the client behind it reach the server, over both paths and in both directions. */
async function expectOnline(lab: Lab, router: Router): Promise<void> {
  for (const family of FAMILIES) {
    await router.machine.must(`ping -c 1 ${ADDRESSES.server[family]}`);
    expect(await pings(lab, family)).toBe(true);
  }
  await expectOwnTransfers(lab, router);
  for (let round = 0; round < ROUNDS && !bothCarried(await router.remoteSession()); round++) {
    expect(await transfer(lab, "up", 2 * MEGABYTE, 4)).toBe(2 * MEGABYTE);
    expect(await transfer(lab, "down", 2 * MEGABYTE, 6)).toBe(2 * MEGABYTE);
  }
  const { sessions } = await router.status();
  expect(bothCarried(sessions[0])).toBe(true);
  for (const reason of DAMAGE) expect(sessions[0]!.drops).not.toHaveProperty(reason);
}

function bothCarried(session: SessionReport | undefined): boolean {
  const counts = session!.paths.flatMap(({ sentBytes, receivedBytes }) => [sentBytes, receivedBytes]);
  return Math.min(...counts) > CARRIED;
}

/** Of the machine's own TCP, whose segments the kernel hands to portal's TUN uncut: SHA-256 of either end. */
async function expectOwnTransfers(lab: Lab, { machine }: Router): Promise<void> {
  const server = lab.spawn("server", [process.execPath, TRANSFER, "serve"], "transfer server");
  await server.nextLine();
  const said = await machine.must(`cd /tmp; wget -S -O down ${SERVER}/${MEGABYTE} 2>&1; sha256sum down`);
  const [sent, came] = [/sent-sha256: (\w+)/, /^(\w{64}) {2}down$/m].map((each) => each.exec(said)?.[1]);
  expect(came).toBe(sent!);
  // wget sends a file to its first zero byte.
  const up = `cd /tmp; base64 down >up; sha256sum up; wget -q -O - --post-file up ${SERVER}; rm up down`;
  const [sum, answer] = (await machine.must(up)).split("  up\n");
  expect((JSON.parse(answer!) as Transfer).arrived).toBe(sum!);
  await server.stop("SIGKILL");
}

/** One path's cable is pulled in mid-transfer, and put back: the transfer goes on, and so does the path. */
async function carriesThroughPulledCable(lab: Lab, router: Router): Promise<void> {
  // The remote knows paths by their numbers: the first is path 0.
  const path0 = async (): Promise<PathReport> => (await router.remoteSession())!.paths[0]!;
  const becomes = (up: boolean): Promise<void> =>
    lab.waitFor(`path 0 to be ${up ? "up again" : "given up"}`, SLOWLY, async () => {
      return ((await path0()).status === "up") === up;
    });
  const flow = await Flow.start(lab, "down");
  await flow.grows(MEGABYTE, "before the cable is pulled");
  await router.machine.setCable(0, "down");
  await becomes(false);
  await flow.grows(MEGABYTE, "without the cable");
  await router.machine.setCable(0, "up");
  await becomes(true);
  const { sentBytes } = await path0();
  await lab.waitFor(
    "path 0 to carry again",
    SLOWLY,
    async () => (await path0()).sentBytes > sentBytes + CARRIED,
  );
  await flow.grows(MEGABYTE, "with the cable again");
  await flow.stop();
}

/** Everything that [host] may change in the machine. */
async function changeable({ machine }: Router): Promise<string[]> {
  const look = `
    for family in -4 -6; do ip $family rule; ip $family route show table all; done
    ip addr | grep inet; nft list ruleset
    cd /proc/sys/net; grep -r . ${LIBERAL} ipv4/ip_forward ipv4/conf ipv6/conf 2>/dev/null | sort`;
  return (await machine.must(look, SLOWLY)).split("\n");
}
