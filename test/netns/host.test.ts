/** [host]: a home network on the Internet by nothing but two configurations, and machines that are afterwards what they were. */
import { expect } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { SinkReport } from "../../src/lab/flow.ts";
import { ADDRESSES, pathAddress, SERVER_NETWORK, TUNNEL_INTERFACE } from "../../src/lab/namespaces.ts";
import { type PortalOptions, SIDES, type Side } from "../../src/lab/portals.ts";
import type { LabProcess } from "../../src/lab/process.ts";
import { selfCommand } from "../../src/lab/self.ts";
import type { Lab, PathOptions } from "../../src/lab/topology.ts";
import {
  expectAsBefore,
  FAMILIES,
  hideNft,
  machineOf,
  machinesOf,
  options,
  untouched,
  useIptables,
  wayOf,
  whoAmI,
} from "./hosting.ts";
import { scenario } from "./scenario.ts";
import { controlSocket, tomlFile } from "./single.ts";
import { type DatagramResult, echoDatagrams, Flow, pings, SOON, transfer } from "./traffic.ts";
import { asNobody, NOBODY, shell } from "./user.ts";

const paths: PathOptions[] = [{ plain: true }, { plain: true }];

const MEGABYTE = 1_000_000;

/** The remote's addresses towards the server. */
const PUBLIC = { 4: "10.30.0.1", 6: "fd30::1" } as const;

function journal(side: string): string {
  return `/run/portal/${side}.changes`;
}

/** Everything that somebody at home does, in both families. */
async function expectOnline(lab: Lab): Promise<void> {
  for (const family of FAMILIES) {
    expect(await pings(lab, family)).toBe(true);
    expect(await transfer(lab, "up", MEGABYTE, family)).toBe(MEGABYTE);
    expect(await transfer(lab, "down", MEGABYTE, family)).toBe(MEGABYTE);
    // No router cuts IPv6 packets: the first large ones teach both ends what fits into the tunnel.
    if (family === 6) await echoDatagrams(lab, 50, family);
    const { sent, echoed } = await echoDatagrams(lab, 200, family);
    expect(echoed).toBe(sent);
    // What comes out of the remote has its address, and was in the tunnel.
    for (const from of ["client", "local"] as const)
      expect(await whoAmI(lab, from, family)).toBe(PUBLIC[family]);
    expect(await wayOf(lab, ADDRESSES.server[family])).toBe(TUNNEL_INTERFACE);
    // What the machine is connected to stays where it is, and so does what is bound to a path.
    expect(await wayOf(lab, ADDRESSES.client[family])).toBe("lan");
    expect(await wayOf(lab, pathAddress(1, "remote", family))).toBe("path1");
    expect(await wayOf(lab, ADDRESSES.server[family], "path1")).toBe("path1");
  }
  expect(await wayOf(lab, "239.255.255.250")).toBe("path0");
}

/** A server's listener at home, reached on the remote's own address. */
async function expectForwarded(lab: Lab): Promise<void> {
  for (const [family, port] of [
    [4, "8004"],
    [6, "8006"],
  ] as const) {
    const sink = lab.spawnOwn("local", ["sink", "--port", "80"]);
    await sink.nextLine();
    let last = null as SinkReport | null;
    sink.onLine((line) => {
      last = JSON.parse(line) as SinkReport;
    });
    lab.spawnOwn("server", ["source", "--host", PUBLIC[family], "--port", port, "--bytes", String(MEGABYTE)]);
    await lab.waitFor("a flow from the Internet", SOON, () => last?.ended === true);
    expect(last).toMatchObject({ bytes: MEGABYTE, intact: true });
    await sink.exited;
  }
}

/** A server of UDP at home, asked at the remote's own address. */
async function expectUdpForwarded(lab: Lab): Promise<void> {
  for (const family of FAMILIES) {
    const port = String(FORWARDED_UDP[family]);
    const script = [process.execPath, join(import.meta.dir, "datagrams.ts")];
    const echo = lab.spawn("local", [...script, "echo", String(family), "53"], "echo");
    await echo.nextLine();
    const { code, stdout, stderr } = await lab.exec("server", [
      ...script,
      "send",
      PUBLIC[family],
      port,
      "100",
    ]);
    if (code !== 0) throw new Error(stderr);
    const { sent, echoed, damaged } = JSON.parse(stdout) as DatagramResult;
    expect([echoed, damaged]).toEqual([sent, 0]);
    await echo.stop("SIGKILL");
  }
}

/** The server has been told of packets that fit into the tunnel: its own are smaller, though its interface takes 1500. */
async function expectClamped(lab: Lab): Promise<void> {
  for (const family of FAMILIES) {
    const port = String(9000 + family);
    // What it has learned from larger packets is forgotten.
    expect((await lab.exec("server", ["ip", `-${family}`, "route", "flush", "cache"])).code).toBe(0);
    const source = lab.spawnOwn("server", ["source", "--port", port]);
    await source.nextLine();
    const sink = lab.spawnOwn("client", ["sink", "--port", port, "--host", ADDRESSES.server[family]]);
    await lab.waitFor("the flow", SOON, async () => {
      const { stdout } = await lab.exec("server", ["ss", "-tinH", "sport", "=", port]);
      const [, mss, pmtu] = /\bmss:(\d+) pmtu:(\d+)/.exec(stdout) ?? [];
      // 1440 bytes of tunnel less the headers and 12 of timestamps.
      return mss === String(1440 - (family === 4 ? 40 : 60) - 12) && pmtu === "1500";
    });
    await Promise.all([source.stop("SIGKILL"), sink.stop("SIGKILL")]);
  }
}

const FORWARDED_UDP = { 4: 5304, 6: 5306 } as const;

const FORWARD = [
  { protocol: "tcp", port: 8004, to: `${ADDRESSES.tunnelLocal[4]}:80` },
  { protocol: "tcp", port: 8006, to: `[${ADDRESSES.tunnelLocal[6]}]:80` },
  { protocol: "udp", port: FORWARDED_UDP[4], to: `${ADDRESSES.tunnelLocal[4]}:53` },
  { protocol: "udp", port: FORWARDED_UDP[6], to: `[${ADDRESSES.tunnelLocal[6]}]:53` },
];

for (const tool of ["nft", "iptables"] as const) {
  scenario(import.meta.path, `a home network by ${tool} and nothing left of it`, { paths }, async (lab) => {
    await untouched(lab);
    if (tool === "iptables") hideNft();
    if (tool === "iptables") await useIptables(lab);
    const before = await machinesOf(lab);
    const wanted = options({}, {}, { forward: FORWARD });

    const portals = await lab.startPortals(wanted);
    await expectOnline(lab);
    await expectForwarded(lab);
    await expectUdpForwarded(lab);
    await expectClamped(lab);
    expect(SIDES.map((side) => existsSync(journal(side)))).toEqual([true, true]);
    await lab.stopPortals();
    await expectAsBefore(lab, before);
    expect(SIDES.map((side) => existsSync(journal(side)))).toEqual([false, false]);
    for (const side of SIDES) expect(portals[side].errors.join("\n")).not.toContain("warn");

    // Killed, and the next one undoes what the killed one did.
    const killed = await lab.startPortals(wanted);
    await Promise.all(SIDES.map((side) => killed[side].stop("SIGKILL")));
    expect(await machineOf(lab, "local")).not.toEqual(before[0]!);
    for (const family of FAMILIES) expect(await wayOf(lab, ADDRESSES.server[family])).toBe("unreachable");
    const again = await lab.startPortals(wanted);
    expect(await pings(lab, 4)).toBe(true);
    for (const side of SIDES)
      expect(again[side].errors.join("\n")).toContain("what a killed portal had left");
    await lab.stopPortals();
    await expectAsBefore(lab, before);
  });
}

const LEASED: PortalOptions["toml"] = {
  local: { tunnel: { addresses: undefined } },
  remote: { listen: { pool: ["10.77.0.0/24", "fd77::/64"] }, peer: [{ addresses: undefined }] },
};

for (const [whose, given] of [
  ["of its own", {}],
  ["that the remote gives it", LEASED],
] as const) {
  scenario(
    import.meta.path,
    `flows of a home network outlive either portal, the local with addresses ${whose}`,
    { paths },
    async (lab) => {
      await untouched(lab);
      const wanted = options({});
      const toml = {
        local: { ...wanted.toml!.local, ...given.local },
        remote: { ...wanted.toml!.remote, ...given.remote },
      };
      const portals: Record<Side, LabProcess> = { ...(await lab.startPortals({ ...wanted, toml })) };
      const flows = [
        await Flow.start(lab, "up"),
        await Flow.start(lab, "down"),
        await Flow.start(lab, "down", { family: 6 }),
      ];
      for (const flow of flows) await flow.grows(MEGABYTE, "before");
      for (const [side, signal] of [
        ["local", "SIGTERM"],
        ["local", "SIGKILL"],
        ["remote", "SIGKILL"],
      ] as const) {
        await portals[side].stop(signal);
        // What the server sends meanwhile finds nobody, and comes again when the kernel no longer knows the interface.
        await Bun.sleep(1000);
        portals[side] = lab.spawn(side, [...selfCommand(), "--toml", tomlFile(side)], `${side} portal`);
        for (const flow of flows) await flow.grows(MEGABYTE, `after the ${side} was ended by ${signal}`);
      }
      for (const flow of flows) await flow.stop();
      for (const side of SIDES) {
        await portals[side].stop("SIGTERM");
        const liberal = ["cat", "/proc/sys/net/netfilter/nf_conntrack_tcp_be_liberal"];
        expect((await lab.exec(side, liberal)).stdout).toBe("0\n");
      }
    },
  );
}

scenario(import.meta.path, "two networks joined without NAT", { paths }, async (lab) => {
  await untouched(lab);
  const before = await machinesOf(lab);
  // The client's network is the peer's, and the server's is what the local sends into the tunnel.
  const local = { routes: [SERVER_NETWORK[4], SERVER_NETWORK[6]], forwarding: true };
  const remote = { routes: "peers", forwarding: true };
  await lab.startPortals({ route: false, toml: { local: { host: local }, remote: { host: remote } } });
  for (const family of FAMILIES) {
    expect(await pings(lab, family)).toBe(true);
    expect(await whoAmI(lab, "client", family)).toBe(ADDRESSES.client[family]);
    expect(await transfer(lab, "down", MEGABYTE, family)).toBe(MEGABYTE);
    const back = ["ping", "-q", "-n", "-c", "3", "-i", "0.02", "-w", String(SOON), ADDRESSES.client[family]];
    expect((await lab.exec("server", back)).code).toBe(0);
    // What is not listed stays outside.
    expect(await wayOf(lab, family === 4 ? "198.51.100.1" : "2001:db8:99::1")).toBe("path0");
  }
  await lab.stopPortals();
  await expectAsBefore(lab, before);
});

scenario(import.meta.path, "what was made for a path goes with it, at once", { paths }, async (lab) => {
  await untouched(lab);
  await lab.startPortals(options({}));
  const portal = async (...words: string[]): Promise<string> => {
    const done = await lab.exec("local", [...selfCommand(), ...words, "--socket", controlSocket("local")]);
    expect(done.code).toBe(0);
    return done.stderr;
  };
  const bound = async (): Promise<string[]> => {
    const { stdout } = await lab.exec("local", ["ip", "rule"]);
    return [...stdout.matchAll(/oif (\S+)/g)].map((match) => match[1]!);
  };
  expect(await bound()).toEqual(["path0", "path1"]);
  await portal("path", "down", "path1");
  expect(await bound()).toEqual(["path0"]);
  await portal("path", "up", "path1");
  expect(await bound()).toEqual(["path0", "path1"]);
  const file = tomlFile("local");
  const text = readFileSync(file, "utf8");
  // Along with [host], which stays in force.
  writeFileSync(file, text.slice(0, text.lastIndexOf("[[path]]")));
  const waits = "[host] routes, [host] forwarding, [host] nat, [host] clamp_mss";
  expect(await portal("reload")).toBe(`portal: as before until portal is started again: ${waits}\n`);
  expect(await bound()).toEqual(["path0"]);
});

/** As a service runs: nobody in particular, with the two rights that portal needs and passes on to nft. */
function withTwoRights(): string[] {
  const nobody = asNobody(["net_admin", "net_raw"]);
  // Here the device may be root's alone.
  shell("mknod -m 666 /run/tun c 10 200; mount --bind /run/tun /dev/net/tun");
  return ["sh", "-ec", `chown -R ${NOBODY} /run/portal; exec "$@"`, "sh", ...nobody];
}

/** The iptables of kernels without nftables, whose lock only root may open. */
async function useOlderIptables(lab: Lab): Promise<void> {
  hideNft();
  const [older, newer] = ["iptables-legacy", "iptables"].map(
    (name) => `"$(readlink -f "$(command -v ${name})")"`,
  );
  shell(`mount --bind ${older} ${newer}; touch /run/xtables.lock; chmod 600 /run/xtables.lock`);
  await useIptables(lab);
}

for (const by of ["nft", "the older iptables"]) {
  scenario(import.meta.path, `a home network without root by ${by}`, { paths }, async (lab) => {
    await untouched(lab);
    if (by !== "nft") await useOlderIptables(lab);
    const before = await machinesOf(lab);
    const command = withTwoRights();
    const wanted = { ...options({}), command: { local: command, remote: command } };
    const portals = await lab.startPortals(wanted);
    for (const family of FAMILIES) {
      expect(await pings(lab, family)).toBe(true);
      expect(await whoAmI(lab, "client", family)).toBe(PUBLIC[family]);
    }
    for (const side of SIDES) {
      const { stdout } = await lab.exec(side, ["grep", "Uid:", `/proc/${portals[side].pid}/status`]);
      expect(stdout).toStartWith(`Uid:\t${NOBODY}\t${NOBODY}`);
    }
    await Promise.all(SIDES.map((side) => portals[side].stop("SIGKILL")));
    await lab.startPortals(wanted);
    await lab.stopPortals();
    await expectAsBefore(lab, before);
  });
}
