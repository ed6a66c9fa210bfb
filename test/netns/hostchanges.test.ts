/** What portal changes on a machine, beside what others change there: other portals, the operator, an interface that comes back. */
import { expect } from "bun:test";
import { appendFileSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import type { Config } from "../../src/config/config.ts";
import type { HostFailure } from "../../src/host/failure.ts";
import { Host, recoverHost } from "../../src/host/host.ts";
import { previewHost } from "../../src/host/preview.ts";
import type { Lab } from "../../src/lab/topology.ts";
import { configOf, LOCAL, REMOTE } from "../config/source.ts";
import { scenario } from "./scenario.ts";

/** The paths of LOCAL. */
const PATHS = ["eth0", "wwan0"];

const said: string[] = [];
const log = {
  debug: () => {},
  info: (line: string) => void said.push(line),
  warn: (line: string) => void said.push(line),
};

/** These tests are within the program: their machine is the outermost namespace of the laboratory. */
function machine(name: string, body: () => void | Promise<void>): void {
  scenario(import.meta.path, name, { paths: [] }, async (_lab: Lab) => {
    said.length = 0;
    shell(
      "for name in eth0 wwan0 portal0 portal1; do ip link add $name type veth peer name $name-x; ip link set $name up; done",
    );
    shell("ip addr add 10.77.0.2/24 dev portal0; echo 1 > /proc/sys/net/ipv4/conf/all/rp_filter");
    await body();
  });
}

function shell(script: string): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync(["sh", "-ec", script]);
  if (exitCode !== 0) throw new Error(`${script}: ${stderr}`);
  return stdout.toString();
}

const LOOK = `
for family in -4 -6; do ip $family rule; ip $family route show table all; done
nft list ruleset
cd /proc/sys/net; grep -r . ipv4/ip_forward ipv4/conf ipv6/conf 2>/dev/null | sort
`;

const look = () => shell(LOOK).split("\n");
const setting = (file: string) => readFileSync(`/proc/sys/net/${file}`, "utf8").trim();
const set = (file: string, value: string) => writeFileSync(`/proc/sys/net/${file}`, value);

function config(base: string, over: string, tunnel = "portal0"): Config {
  const text = base.replace(
    "[tunnel]",
    `control_socket = "/run/portal/${tunnel}.sock"\n[tunnel]\ninterface = "${tunnel}"`,
  );
  return configOf(`${text}[host]\n${over}\n`);
}

const everything = config(LOCAL, 'routes = "default"\nnat = true');
const other = config(LOCAL, 'routes = ["10.99.0.0/16"]\nnat = true', "portal1");

machine("two portals, whichever ends first", () => {
  const before = look();
  for (const firstEndsFirst of [true, false]) {
    const first = new Host(everything, PATHS, log);
    const alone = look();
    const second = new Host(other, PATHS, log);
    expect(shell("nft list tables")).toBe("table inet portal\ntable inet portal_2\n");
    expect(shell("ip rule | grep -c 31001")).toBe("2\n");
    if (firstEndsFirst) {
      first.undo();
      expect(shell("nft list tables")).toBe("table inet portal_2\n");
      expect(shell("ip rule | grep -c 31000 || true")).toBe("0\n");
      // What both need stays until both have ended.
      expect([setting("ipv4/ip_forward"), setting("ipv4/conf/eth0/rp_filter")]).toEqual(["1", "2"]);
      second.undo();
    } else {
      second.undo();
      expect(look()).toEqual(alone);
      first.undo();
    }
    expect(look()).toEqual(before);
    expect(said.filter((line) => line.includes("cannot"))).toEqual([]);
  }
});

machine("what others change meanwhile is theirs", () => {
  shell("nft add table inet portal; nft add chain inet portal mine; ip rule add pref 31000 lookup 51900");
  const before = look();
  const host = new Host(everything, PATHS, log);
  expect(shell("nft list tables")).toBe("table inet portal\ntable inet portal_2\n");
  expect(shell("ip rule | grep -c 31001")).toBe("2\n");
  set("ipv4/conf/eth0/rp_filter", "1");
  shell("ip rule add pref 30999 lookup main; ip rule del pref 31001 oif wwan0");
  host.undo();
  expect(said.filter((line) => line.includes("stays"))).toEqual([
    "/proc/sys/net/ipv4/conf/eth0/rp_filter was changed meanwhile and stays; before portal it was 0: " +
      "sysctl -w net.ipv4.conf.eth0.rp_filter=0",
  ]);
  expect(setting("ipv4/conf/eth0/rp_filter")).toBe("1");
  set("ipv4/conf/eth0/rp_filter", "0");
  shell("ip rule del pref 30999");
  expect(look()).toEqual(before);
});

machine("paths come, go and come back", () => {
  const before = look();
  const host = new Host(everything, ["eth0"], log);
  expect(setting("ipv4/conf/wwan0/rp_filter")).toBe("0");
  const one = look();
  host.setPaths(PATHS);
  expect(setting("ipv4/conf/wwan0/rp_filter")).toBe("2");
  expect(shell("ip rule | grep 31000")).toContain("oif wwan0");
  shell("ip link del wwan0; ip link add wwan0 type veth peer name wwan0-x; ip link set wwan0 up");
  expect(setting("ipv4/conf/wwan0/rp_filter")).toBe("0");
  host.setPaths(PATHS);
  expect(setting("ipv4/conf/wwan0/rp_filter")).toBe("2");
  host.setPaths(["eth0"]);
  expect(look().filter((line) => line.includes("31000"))).toEqual(
    one.filter((line) => line.includes("31000")),
  );
  host.undo();
  const rest = (lines: string[]) => lines.filter((line) => !/wwan0|fe80/.test(line));
  expect(rest(look())).toEqual(rest(before));
  expect(setting("ipv4/conf/wwan0/rp_filter")).toBe("0");
  expect(said.filter((line) => line.includes("cannot"))).toEqual([]);
});

machine(
  "a portal that runs does not wait for another that is changing something: it does its part later",
  async () => {
    const host = new Host(everything, ["eth0"], log);
    const holder = Bun.spawn(["flock", "-F", "/run/portal", "sh", "-c", "echo; exec sleep 60"], {
      stdout: "pipe",
    });
    await holder.stdout.getReader().read();
    host.setPaths(PATHS);
    host.onTick(0, true);
    expect(holder.exitCode).toBeNull();
    expect(setting("ipv4/conf/wwan0/rp_filter")).toBe("0");
    holder.kill();
    await holder.exited;
    host.onTick(1e6, true);
    expect(setting("ipv4/conf/wwan0/rp_filter")).toBe("2");
    expect(shell("ip rule | grep 31000")).toContain("oif wwan0");
    host.undo();
    expect(said.filter((line) => line.includes("cannot"))).toEqual([]);
  },
);

machine("a setting that cannot be made is said once, and again when it had been made meanwhile", () => {
  const host = new Host(config(LOCAL, 'routes = "default"'), ["eth0"], log);
  const wide = PATHS.concat("portal1");
  const refused = () =>
    said.filter((line) => line.startsWith("cannot set /proc/sys/net/ipv4/conf/wwan0")).length;
  const READ_ONLY = "mount --bind /proc/sys /proc/sys; mount -o remount,ro,bind /proc/sys";
  shell(READ_ONLY);
  for (let i = 0; i < 3; i++) host.setPaths(PATHS);
  expect(refused()).toBe(1);
  // It keeps nothing else from being made.
  expect(shell("ip rule | grep 31000")).toContain("oif wwan0");
  host.setPaths(wide);
  expect(shell("ip rule | grep 31000")).toContain("oif portal1");
  expect(refused()).toBe(1);
  shell("umount /proc/sys");
  host.setPaths(wide);
  expect(setting("ipv4/conf/wwan0/rp_filter")).toBe("2");
  set("ipv4/conf/wwan0/rp_filter", "1");
  shell(READ_ONLY);
  for (let i = 0; i < 3; i++) host.setPaths(wide);
  expect(refused()).toBe(2);
  shell("umount /proc/sys");
  host.undo();
});

machine(
  "one thing that is needed and cannot be made keeps no other from being made, and is said once",
  () => {
    const before = shell("ip rule; ip -6 rule");
    const wide = config(
      LOCAL.replace('["10.77.0.2/24"]', '["10.77.0.2/24", "fd77::2/64"]'),
      'forwarding = true\nroutes = "default"',
    );
    const host = new Host(wide, ["eth0"], log);
    set("ipv6/conf/wwan0/accept_ra", "1");
    shell("mount --bind /proc/sys /proc/sys; mount -o remount,ro,bind /proc/sys");
    for (let i = 0; i < 3; i++) host.setPaths(PATHS);
    expect(said.filter((line) => line.includes("wwan0/accept_ra")).length).toBe(1);
    expect(shell("ip rule | grep 31000")).toContain("oif wwan0");
    shell("umount /proc/sys");
    host.undo();
    expect(shell("ip rule; ip -6 rule")).toBe(before);
  },
);

machine("a route that could not be made is made as soon as it can be, without any path going down", () => {
  const host = new Host(config(LOCAL, 'routes = "default"\non_down = "direct"'), PATHS, log);
  const inTunnel = () => shell("ip route show table 51900").includes("default dev portal0");
  shell("ip link set portal0 down");
  for (let second = 0; second < 3; second++) host.onTick(second * 1e6, true);
  expect(inTunnel()).toBe(false);
  expect(said.filter((line) => line.includes("0.0.0.0/0 dev portal0")).length).toBe(1);
  shell("ip link set portal0 up");
  host.onTick(3e6, true);
  expect(inTunnel()).toBe(true);
  for (let second = 4; second < 8; second++) host.onTick(second * 1e6, false);
  expect(inTunnel()).toBe(false);
  host.undo();
  expect(shell("ip route show table 51900 2>&1 || true")).not.toContain("default");
});

/** An nft that notes what it is asked for, and then waits until it may go on. */
const SLOW_NFT = `#!/bin/sh
cat > /run/asked
until [ -e /run/go ]; do sleep 0.01; done
exec /run/nft "$@" < /run/asked
`;

machine(
  "the firewall follows the paths without holding up the packets, in order, and the end waits for it",
  async () => {
    const before = look();
    const host = new Host(config(LOCAL, 'routes = "default"\nnat = true\non_down = "direct"'), [], log);
    const by = () => {
      const table = shell("/run/nft list table inet portal");
      expect(table).toContain('oifname "portal0" meta nfproto ipv4 snat ip to 10.77.0.2');
      return /oifname (.*) meta nfproto ipv4 masquerade/.exec(table)?.[1] ?? "";
    };
    writeFileSync("/run/slow", SLOW_NFT, { mode: 0o755 });
    shell(
      'nft=$(readlink -f "$(command -v nft)"); touch /run/nft; mount --bind "$nft" /run/nft; mount --bind /run/slow "$nft"',
    );
    const until = async (condition: () => boolean) => {
      for (let i = 0; i < 1000 && !condition(); i++) await Bun.sleep(10);
      expect(condition()).toBe(true);
    };
    host.setPaths(["eth0"]);
    // It goes on while nft does not: the next changes wait, and only the last of them counts.
    expect(by()).toBe("");
    expect(shell("ip rule | grep 31000")).toContain("oif eth0");
    // Written down before it is made.
    expect(readFileSync("/run/portal/portal0.changes", "utf8")).toContain('oifname { \\"eth0\\" }');
    host.setPaths(PATHS);
    host.setPaths(["wwan0"]);
    await until(() => existsSync("/run/asked"));
    writeFileSync("/run/go", "");
    await until(() => by().includes("wwan0"));
    expect(by()).not.toContain("eth0");
    expect(said.filter((line) => line.includes("nft"))).toEqual([]);
    // What is under way at the end comes to its own end first.
    shell("rm /run/go /run/asked");
    host.setPaths(PATHS);
    await until(() => existsSync("/run/asked"));
    const end = host.end();
    await Bun.sleep(20);
    expect(existsSync("/run/portal/portal0.changes")).toBe(true);
    writeFileSync("/run/go", "");
    await end;
    shell('umount "$(readlink -f "$(command -v nft)")"');
    expect(look()).toEqual(before);
  },
);

machine(
  "a leased address is in the firewall before anything else happens, whatever changed just before",
  async () => {
    const leased = LOCAL.replace(/^addresses = .*\n/m, "");
    const host = new Host(config(leased, 'routes = "default"\nnat = true'), [], log);
    const rule = () =>
      /oifname "portal0" meta nfproto ipv4 (.*)/.exec(shell("nft list table inet portal"))?.[1];
    expect(rule()).toBe("masquerade");
    // Of which the firewall knows nothing.
    host.setPaths(["eth0"]);
    host.setLeased([Uint8Array.of(10, 77, 0, 5)]);
    expect(rule()).toBe("snat ip to 10.77.0.5");
    await host.end();
  },
);

machine("iptables follows the paths too, and what cannot be removed stays written down", async () => {
  shell('mount --bind /bin/false "$(command -v nft)"');
  const host = new Host(config(LOCAL, 'routes = "default"\nnat = true\non_down = "direct"'), [], log);
  host.setPaths(["eth0"]);
  await host.end();
  const rules = () => shell("iptables -t nat -S; ip6tables -t mangle -S");
  expect(rules()).not.toContain("portal-");
  expect(Bun.spawnSync([process.execPath, "-e", MAKE_AND_DIE]).signalCode).toBe("SIGKILL");
  expect(rules()).toContain("portal-out");
  const tool = shell('readlink -f "$(command -v iptables)"').trim();
  shell(`mount --bind /bin/false ${tool}`);
  recoverHost(everything, log);
  shell(`umount ${tool}`);
  expect(rules()).toContain("portal-out");
  recoverHost(everything, log);
  expect(said.at(-1)).toBe("undone on this machine what a killed portal had left: 2 changes");
  expect(rules()).not.toContain("portal-");
});

machine("a router that learns its own routes goes on learning", () => {
  const wide = config(
    LOCAL.replace('["10.77.0.2/24"]', '["10.77.0.2/24", "fd77::2/64"]'),
    "forwarding = true",
  );
  set("ipv6/conf/eth0/accept_ra", "1");
  set("ipv6/conf/wwan0/accept_ra", "0");
  set("ipv4/conf/wwan0/forwarding", "1");
  const before = look();
  const host = new Host(wide, PATHS, log);
  expect(setting("ipv6/conf/all/forwarding")).toBe("1");
  expect(PATHS.map((name) => setting(`ipv6/conf/${name}/accept_ra`))).toEqual(["2", "0"]);
  host.undo();
  expect(look()).toEqual(before);
  // Also by an interface that comes when portal has already made the machine forward.
  const early = new Host(wide, [], log);
  early.setPaths(PATHS);
  expect(PATHS.map((name) => setting(`ipv6/conf/${name}/accept_ra`))).toEqual(["2", "0"]);
  early.undo();
  expect(look()).toEqual(before);
});

machine("a journal of another boot is none of ours", () => {
  const before = look();
  const path = "/run/portal/portal0.changes";
  new Host(everything, PATHS, log).undo();
  // The machine as it is after a start, with what was written before that.
  const change = {
    kind: "sysctl",
    file: "ipv4/ip_forward",
    former: "1",
    value: "0",
    also: {},
    needed: true,
    words: "",
  };
  const header = { version: 1, boot: "another", namespace: "another" };
  writeFileSync(path, `${JSON.stringify(header)}\n${JSON.stringify(change)}\n`, { mode: 0o600 });
  recoverHost(everything, log);
  expect(look()).toEqual(before);
  expect(existsSync(path)).toBe(false);
  // A torn line was not begun; what stands before it is undone.
  const host = new Host(everything, PATHS, log);
  appendFileSync(path, '{"kind":"sysctl","file":"ipv4/conf/eth0/rp_filter","for');
  expect(previewHost(everything, PATHS)[0]).toStartWith("The portal that runs");
  const text = readFileSync(path);
  host.undo();
  const again = new Host(everything, PATHS, log);
  const made = look();
  again.undo();
  // As a killed portal leaves it: the changes are there, and a journal that nobody holds.
  const child = Bun.spawnSync([process.execPath, "-e", MAKE_AND_DIE]);
  expect(child.signalCode).toBe("SIGKILL");
  expect(look()).toEqual(made);
  expect(previewHost(everything, PATHS)[0]).toStartWith("First, what a portal left");
  writeFileSync(path, text);
  recoverHost(everything, log);
  expect(look()).toEqual(before);
  expect(existsSync(path)).toBe(false);
});

machine("what cannot be undone stays written down until it can be", () => {
  const before = look();
  const path = "/run/portal/portal0.changes";
  expect(Bun.spawnSync([process.execPath, "-e", MAKE_AND_DIE]).signalCode).toBe("SIGKILL");
  const all = readFileSync(path, "utf8").trim().split("\n").length - 1;
  shell('mount --bind /bin/false "$(command -v nft)"');
  recoverHost(everything, log);
  expect(said).toEqual([
    expect.stringMatching(/^cannot undo "NAT of all IPv4 leaving by portal0; .*": nft ended with code 1$/),
    `undone on this machine what a killed portal had left: ${all - 1} changes`,
  ]);
  const [, ...left] = readFileSync(path, "utf8").trim().split("\n");
  expect(left.map((line) => JSON.parse(line).kind)).toEqual(["nft"]);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(readdirSync("/run/portal")).toEqual(["portal0.changes"]);
  // A portal that starts meanwhile takes it along, and what it makes besides.
  const host = new Host(config(LOCAL, 'routes = "default"'), PATHS, log);
  host.undo();
  expect(readFileSync(path, "utf8").trim().split("\n").slice(1)).toEqual(left);
  shell('umount "$(command -v nft)"');
  said.length = 0;
  recoverHost(everything, log);
  expect(said).toEqual(["undone on this machine what a killed portal had left: 1 change"]);
  expect(look()).toEqual(before);
  expect(existsSync(path)).toBe(false);
});

const MAKE_AND_DIE = `
import { Host } from "${import.meta.dir}/../../src/host/host.ts";
import { configOf, LOCAL } from "${import.meta.dir}/../config/source.ts";
const log = { debug() {}, info() {}, warn() {} };
new Host(configOf(LOCAL + '[host]\\nroutes = "default"\\nnat = true\\n'), ["eth0", "wwan0"], log);
process.kill(process.pid, "SIGKILL");
await new Promise(() => {});
`;

machine("what flows of others do not outlive without stays over the start that follows a kill", () => {
  const liberal = () => setting("netfilter/nf_conntrack_tcp_be_liberal");
  const tables = () => shell("nft list tables");
  const path = "/run/portal/portal0.changes";
  expect(liberal()).toBe("0");
  expect(Bun.spawnSync([process.execPath, "-e", MAKE_AND_DIE]).signalCode).toBe("SIGKILL");
  recoverHost(everything, log, true);
  expect([liberal(), tables()]).toEqual(["1", "table inet portal\n"]);
  const host = new Host(everything, PATHS, log);
  expect([liberal(), tables()]).toEqual(["1", "table inet portal\n"]);
  host.undo();
  expect([liberal(), tables(), existsSync(path)]).toEqual(["0", "", false]);
  // Whichever name it has.
  const beside = new Host(other, PATHS, log);
  expect(Bun.spawnSync([process.execPath, "-e", MAKE_AND_DIE]).signalCode).toBe("SIGKILL");
  beside.undo();
  recoverHost(everything, log, true);
  expect(tables()).toBe("table inet portal_2\n");
  const again = new Host(everything, PATHS, log);
  expect(tables()).toBe("table inet portal_2\n");
  again.undo();
  expect([liberal(), tables(), existsSync(path)]).toEqual(["0", "", false]);
  // A start that has no use for it puts it back.
  expect(Bun.spawnSync([process.execPath, "-e", MAKE_AND_DIE]).signalCode).toBe("SIGKILL");
  recoverHost(config(LOCAL, 'routes = "default"'), log, true);
  expect([liberal(), tables(), existsSync(path)]).toEqual(["0", "", false]);
});

machine("a kernel that has no nftables is served by iptables", () => {
  shell('mount --bind /bin/false "$(command -v nft)"; iptables -t nat -N first; iptables -t nat -X first');
  shell(
    "ip6tables -t mangle -N first; ip6tables -t mangle -X first; iptables -t mangle -N first; iptables -t mangle -X first",
  );
  const tables = () => shell("iptables-save; ip6tables-save").replace(/^#.*|\[.*/gm, "");
  const before = tables();
  const host = new Host(everything, PATHS, log);
  expect(said[0]).toEndWith("; using iptables");
  expect(tables()).toContain("-A portal-out -o portal0 -j SNAT --to-source 10.77.0.2");
  expect(shell("ip6tables -t mangle -S FORWARD")).toContain("-A FORWARD -j portal-mss");
  // As portal does when its paths change.
  host.setPaths(["eth0"]);
  expect(shell("iptables -t nat -S POSTROUTING | grep -c portal-out")).toBe("1\n");
  host.undo();
  expect(tables()).toBe(before);
});

machine("what cannot be done is said, and nothing is left", () => {
  shell('for name in nft iptables; do mount --bind /dev/null "$(command -v $name)"; done');
  const before = shell("ip rule; ip -6 rule");
  const failure = (make: () => void): HostFailure => {
    try {
      make();
    } catch (error) {
      return error as HostFailure;
    }
    throw new Error("no failure");
  };
  expect(failure(() => new Host(everything, PATHS, log)).message).toBe(
    'neither nft nor iptables on this machine: install nftables ("apt-get install nftables"), or take nat, clamp_mss and [[forward]] out',
  );
  shell("mount --bind /proc/sys /proc/sys; mount -o remount,ro,bind /proc/sys");
  const forwarding = config(REMOTE, "forwarding = true\nclamp_mss = false");
  const refused = failure(() => new Host(forwarding, [], log));
  expect([refused.message, refused.notPermitted]).toEqual([
    "cannot set /proc/sys/net/ipv4/ip_forward to 1: /proc/sys is read-only here; " +
      "run portal as root or with CAP_NET_ADMIN, or once per boot: sysctl -w net.ipv4.ip_forward=1",
    true,
  ]);
  // A path may do without.
  const host = new Host(config(LOCAL, 'routes = "default"'), ["eth0"], log);
  expect(said.at(-2)).toStartWith(
    "cannot set /proc/sys/net/ipv4/conf/eth0/rp_filter to 2: /proc/sys is read-only here;",
  );
  host.undo();
  expect(shell("ip rule; ip -6 rule")).toBe(before);
  expect(existsSync("/run/portal/portal0.changes")).toBe(false);
});

machine("what others take away is made again, and told", async () => {
  const before = look().toSorted();
  const host = new Host(everything, PATHS, log);
  host.onTick(0, true);
  const made = look().toSorted();
  said.length = 0;
  const preferences = "$(ip $family rule | sed -n 's/^\\(31[0-9]*\\):.*/\\1/p')";
  shell(`for family in -4 -6; do for each in ${preferences}; do ip $family rule del pref $each; done; done`);
  shell("nft flush ruleset; ip link set portal0 down");
  host.onTick(20_000_000, true);
  expect(said.join("\n")).toContain("portal0 is down, and takes no routes (ip -4 route add");
  shell("ip link set portal0 up");
  const until = Date.now() + 10_000;
  for (
    let now = 30_000_000;
    Date.now() < until && !Bun.deepEquals(look().toSorted(), made);
    now += 5_000_000
  ) {
    host.onTick(now, true);
    await Bun.sleep(100);
  }
  expect(look().toSorted()).toEqual(made);
  const told = said.filter((line) => line.startsWith("gone without portal, and made again: "));
  expect(told.some((line) => line.includes("route"))).toBe(true);
  expect(new Set(told).size).toBe(told.length);
  said.length = 0;
  host.onTick(1e9, true);
  await host.end();
  expect(said).toEqual([]);
  expect(look().toSorted()).toEqual(before);
});
