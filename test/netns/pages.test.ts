/** What the pages of docs/ tell their readers to do, done: with their very configurations and commands. */
import { expect } from "bun:test";
import { join } from "node:path";
import { ADDRESSES } from "../../src/lab/namespaces.ts";
import type { Lab, PathOptions } from "../../src/lab/topology.ts";
import { keyText } from "../config/source.ts";
import { blocksOf, readPage } from "../page.ts";
import { Chat } from "./chat.ts";
import { echoes, reach, untouched } from "./hosting.ts";
import { plug, unplug } from "./plug.ts";
import { type Facts, follow, Machine, TOML } from "./reader.ts";
import { scenario } from "./scenario.ts";
import { pings, SOON } from "./traffic.ts";

/** What the Internet sees of a server whose own address is not its only one here. */
const SEEN = "10.30.0.1";

/** A name server somewhere on the Internet, which knows every name as that of the server, where a web server tells a caller's address. */
const NAME_SERVER = "9.9.9.9";

const plain = (...names: readonly string[]): { paths: PathOptions[] } => ({
  paths: names.map((name) => ({ plain: true, name })),
});

/** Machines that forward nothing yet, and the Internet behind the remote. */
async function internet(lab: Lab): Promise<void> {
  await untouched(lab);
  // As systemd sets it on the systems that the pages speak of.
  await lab.exec("local", ["sh", "-c", "echo 2 >/proc/sys/net/ipv4/conf/all/rp_filter"]);
  await lab.ip("server", [`addr add ${NAME_SERVER}/32 dev lo`]);
  const naming = [process.execPath, join(import.meta.dir, "naming.ts"), ADDRESSES.server[4], NAME_SERVER];
  await lab.spawn("server", naming, "name server").nextLine();
  await lab.spawn("server", [process.execPath, join(import.meta.dir, "callers.ts")], "web server").nextLine();
  const gateways = [ADDRESSES.server[4], ADDRESSES.server[6]];
  await lab.ip(
    "remote",
    gateways.map((address) => `route add default via ${address}`),
  );
}

function machinesOf(lab: Lab, installed = true): { pi: Machine; vps: Machine; facts: Facts } {
  const pi = new Machine(lab, "local", installed);
  const vps = new Machine(lab, "remote", installed);
  pi.useNameServer(NAME_SERVER);
  const facts: Facts = async () => ({
    "VPS ADDRESS": ADDRESSES.remoteEndpoint[4],
    "portal.example.org": ADDRESSES.remoteEndpoint[4],
    "THE PI'S PUBLIC KEY": await pi.publicKey(),
    "THE VPS'S PUBLIC KEY": await vps.publicKey(),
  });
  return { pi, vps, facts };
}

/** The Pi and the server as docs/setup.md leaves them, without looking at each step. */
async function setUp(lab: Lab): Promise<{ pi: Machine; vps: Machine; facts: Facts }> {
  const made = machinesOf(lab);
  const { pi, vps, facts } = made;
  for (const machine of [pi, vps])
    await machine.exec("mkdir -p /etc/portal; umask 077; portal keygen > /etc/portal/private.key");
  const configurations = blocksOf("docs/setup.md").filter(({ language }) => language === "toml");
  await follow("docs/setup.md", { machines: { pi, vps }, facts }, configurations);
  for (const machine of [vps, pi]) await machine.start("portal --toml /etc/portal/portal.toml");
  return made;
}

async function whoSees(machine: Machine): Promise<string> {
  return (await machine.exec("curl -s http://icanhazip.com")).stdout.trim();
}

async function expectOnline(pi: Machine, vps: Machine): Promise<void> {
  await pi.expectPaths("eth0 up", "wwan0 up");
  expect(await whoSees(pi)).toBe(SEEN);
  for (const machine of [pi, vps]) {
    expect(machine.said.filter((line) => line.includes("warn"))).toEqual([]);
    await machine.stop();
  }
}

scenario(import.meta.path, "README.md", plain("eth0", "wwan0"), async (lab) => {
  await internet(lab);
  const { pi, vps, facts } = machinesOf(lab, false);
  await follow("README.md", { machines: { pi, vps }, facts });
  await expectOnline(pi, vps);
});

scenario(import.meta.path, "docs/setup.md", plain("eth0", "wwan0"), async (lab) => {
  await internet(lab);
  const { pi, vps, facts } = machinesOf(lab, false);
  await follow("docs/setup.md", { machines: { pi, vps }, facts });
  await expectOnline(pi, vps);
});

/** The home network at the Pi's Ethernet socket, without any address yet. */
async function homeNetwork(lab: Lab): Promise<Machine> {
  await lab.ip("local", ["link set lan down", "addr flush dev lan", "link set lan name eth0"]);
  await lab.ip("client", ["addr flush dev eth0", "link set eth0 down"]);
  return new Machine(lab, "client");
}

/** What a DHCP client is told. */
const TAKE = `[ "$1" = bound ] || exit 0
ip addr add "$ip/$mask" dev "$interface"
ip route replace default via "$router"
echo "nameserver $dns" >/etc/resolv.conf
`;

scenario(import.meta.path, "docs/gateway.md", plain("eth1", "wwan0"), async (lab) => {
  await internet(lab);
  const home = await homeNetwork(lab);
  const { pi, vps, facts } = await setUp(lab);
  let asked = false;
  const before = async (command: string, owner: string): Promise<void> => {
    if (command.startsWith("systemctl restart dnsmasq")) await pi.expectPaths("eth1 up", "wwan0 up");
    if (owner !== "home" || asked) return;
    asked = true;
    home.write("/tmp/take", `#!/bin/sh\n${TAKE}`);
    await home.exec("chmod +x /tmp/take; sysctl -qw net.ipv6.conf.eth0.accept_ra=1; ip link set eth0 up");
    expect(await home.exec("busybox udhcpc -i eth0 -n -q -s /tmp/take")).toMatchObject({ code: 0 });
    await lab.waitFor("an IPv6 address and route", SOON, async () => {
      const { stdout } = await home.exec("ip -6 addr show dev eth0 scope global; ip -6 route show default");
      return stdout.includes(" fd50:") && stdout.includes("default via fe80:");
    });
  };
  await follow("docs/gateway.md", { machines: { pi, vps, home }, facts, before });
  expect(asked).toBe(true);
  expect(await whoSees(home)).toBe(SEEN);
  for (const family of [4, 6] as const) expect(await pings(lab, family)).toBe(true);
  await pi.stop();
  await vps.stop();
});

scenario(import.meta.path, "docs/mobility.md", plain("wlan0", "eth7"), async (lab) => {
  await internet(lab);
  for (const path of [0, 1]) await unplug(lab, path);
  const made = await setUp(lab);
  const { pi: laptop, vps, facts } = made;
  await laptop.stop();
  let looks = 0;
  const before = async (command: string): Promise<void> => {
    if (command !== "portal status") return;
    if (looks++ === 0) {
      await vps.restart();
      await laptop.start("portal --toml /etc/portal/portal.toml");
    } else await plug(lab, 0);
  };
  await follow("docs/mobility.md", { machines: { laptop, vps }, facts, before });
  expect(laptop.said.some((line) => line.endsWith(waitingLine()))).toBe(true);
  await laptop.expectPaths("wlan0 up");
  const chat = await Chat.start(lab, "local");
  await chat.goesOn(3, "by Wi-Fi");
  await unplug(lab, 0);
  await laptop.expectPaths();
  await plug(lab, 1);
  await chat.goesOn(3, "by another interface after none");
  await laptop.expectPaths("eth7 up");
  // The very session that was there.
  expect(vps.said.filter((line) => line.includes("established")).length).toBe(1);
  await chat.stop();
  await laptop.stop();
  await vps.stop();
});

/** What the page shows of the log. */
function waitingLine(): string {
  return /^ {4}(warn no path: .*)$/m.exec(readPage("docs/mobility.md"))![1]!;
}

scenario(import.meta.path, "docs/address.md", plain("eth1", "wwan0"), async (lab) => {
  await internet(lab);
  const home = await homeNetwork(lab);
  const { pi, vps, facts } = await setUp(lab);
  // The home network is as docs/gateway.md leaves it; and the Pi's connections.
  const gateway = blocksOf("docs/gateway.md").filter(
    ({ language, owner }) => language === "toml" && owner === "pi",
  );
  await follow("docs/gateway.md", { machines: { pi }, facts }, gateway);
  await lab.ip("local", ["addr add 192.168.50.1/24 dev eth0", "link set eth0 up"]);
  await lab.ip("client", ["addr add 192.168.50.2/24 dev eth0", "link set eth0 up"]);
  const address = ADDRESSES.remoteEndpoint[4];
  await lab.ip("remote", [`route add ${ADDRESSES.server[4]}/32 dev wan src ${address}`]);
  await follow("docs/address.md", { machines: { pi, vps, home }, facts });
  await pi.expectPaths("eth1 up", "wwan0 up");
  expect(await reach(lab, "client", address, "443")).toBeGreaterThan(0);
  expect(await reach(lab, "remote", address, "22")).toBeGreaterThan(0);
  expect(await reach(lab, "local", address, "8080", "80")).toBeGreaterThan(0);
  const heard = await echoes(lab, "client", 4);
  expect((await lab.exec("server", ["ping", "-c", "1", "-W", "5", address])).code).toBe(0);
  expect(await echoes(lab, "client", 4)).toBe(heard + 1);
  // What it says comes from that address too.
  home.useNameServer(NAME_SERVER);
  expect(await whoSees(home)).toBe(address);
  await pi.stop();
  await vps.stop();
});

scenario(import.meta.path, "docs/caps.md", plain("eth0", "wwan0"), async (lab) => {
  await internet(lab);
  const { pi, vps, facts } = await setUp(lab);
  await follow("docs/caps.md", { machines: { pi, vps }, facts });
  await pi.expectPaths("eth0 up", "wwan0 up");
  expect(pi.read("/var/lib/portal/portal0.caps.json")).toContain('"wwan0"');
  // The backup carries when it is needed.
  await unplug(lab, 0);
  await pi.expectPaths("wwan0 up");
  expect(await whoSees(pi)).toBe(SEEN);
  await pi.stop();
  await vps.stop();
});

scenario(import.meta.path, "docs/troubleshooting.md", plain("eth0", "wwan0"), async (lab) => {
  await internet(lab);
  const { pi, vps, facts } = await setUp(lab);
  await pi.expectPaths("eth0 up", "wwan0 up");
  const blocks = blocksOf("docs/troubleshooting.md");

  // A server's firewall that lets nothing through: the page's commands do.
  await vps.exec("iptables -P FORWARD DROP");
  expect((await vps.exec("portal doctor")).stdout).toContain("chain FORWARD: drops what is forwarded");
  const home = ["ping", "-c", "1", "-W", "1", ADDRESSES.server[4]];
  expect((await lab.exec("local", home)).code).toBe(1);
  await follow("docs/troubleshooting.md", { machines: { vps }, facts }, blocks);
  expect((await lab.exec("local", home)).code).toBe(0);
  expect((await vps.exec("portal doctor")).stdout).toEndWith("\n\nall well\n");

  // The doctor as the page shows it.
  await pi.stop();
  pi.write(TOML, pi.read(TOML).replace(/public_key = ".*"/, `public_key = "${keyText(9)}"`));
  await lab.ip("local", [
    `route del ${ADDRESSES.remoteEndpoint[4]} dev wwan0`,
    "route del default dev wwan0",
  ]);
  await follow("docs/troubleshooting.md", { machines: { pi }, facts }, blocks);
  await vps.stop();
});
