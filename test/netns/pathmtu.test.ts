/** A hop on a path carries less than the interfaces at its ends, or begins to in mid-flow, with and without ICMP. */
import { expect } from "bun:test";
import { ADDRESSES, type Family } from "../../src/lab/namespaces.ts";
import type { Side } from "../../src/lab/portals.ts";
import { runToEnd } from "../../src/lab/process.ts";
import type { TomlTable } from "../../src/lab/toml.ts";
import type { Lab, PathOptions } from "../../src/lab/topology.ts";
import { pathOf } from "./pathuse.ts";
import { scenario } from "./scenario.ts";
import { Flow, SOON } from "./traffic.ts";

const paths: PathOptions[] = [{ plain: true }, { plain: true }];
const MEGABYTE = 1_000_000;

/** The local decides by itself how large packets are; the remote's is fixed. */
const free: TomlTable = { tunnel: { mtu: undefined } };

/** Puts a router into path 1, between the cable of the local and one of its own to the remote. */
async function addHop(told: boolean): Promise<void> {
  const hop = (words: string) => `ip -n hop ${words}`;
  const lines = [
    "ip netns add hop",
    "ip -n remote link set path1 netns hop name near",
    hop("link add far type veth peer name path1 netns remote"),
    ...["near", "far"].map((name) => hop(`link set ${name} up`)),
    "ip -n remote link set path1 up",
    hop("addr add 10.20.1.1/24 dev near"),
    hop("addr add fd20:0:0:1::1/64 dev near nodad"),
    hop("addr add 10.21.1.2/24 dev far"),
    hop("addr add fd21::2/64 dev far nodad"),
    "ip -n remote addr add 10.21.1.1/24 dev path1",
    "ip -n remote addr add fd21::1/64 dev path1 nodad",
    "ip -n remote route add 10.20.1.0/24 via 10.21.1.2",
    "ip -n remote route add fd20:0:0:1::/64 via fd21::2",
    "ip netns exec hop sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding'",
  ];
  await must(lines);
  await setHop(1500);
  if (told) return;
  const rules = [
    "table inet silent {",
    "  chain out {",
    "    type filter hook output priority 0",
    "    icmp type destination-unreachable drop",
    "    icmpv6 type packet-too-big drop",
    "  }",
    "}",
  ];
  await must([`ip netns exec hop nft -f - <<'END'\n${rules.join("\n")}\nEND`]);
}

/** From now on the router passes on no larger packets, either way. */
async function setHop(mtu: number): Promise<void> {
  const routes = [
    `192.0.2.1 via 10.21.1.1 mtu lock ${mtu}`,
    `10.20.1.0/24 dev near mtu lock ${mtu}`,
    `2001:db8::1 via fd21::1 mtu lock ${mtu}`,
    `fd20:0:0:1::/64 dev near mtu lock ${mtu}`,
  ];
  await must(routes.map((route) => `ip -n hop route replace ${route}`));
}

async function must(lines: readonly string[]): Promise<void> {
  const { code, stderr } = await runToEnd(["sh", "-ec", lines.join("\n")]);
  if (code !== 0) throw new Error(stderr);
}

async function found(lab: Lab, side: Side, path: number): Promise<number> {
  await lab.waitFor(`the ${side} to know the MTU of path ${path}`, SOON, async () => {
    return (await pathOf(lab, side, path)).mtuSearch === "complete";
  });
  return (await pathOf(lab, side, path)).mtu!;
}

async function expectFound(lab: Lab, side: Side, path: number, mtu: number): Promise<void> {
  const known = await found(lab, side, path);
  expect(known).toBeLessThanOrEqual(mtu);
  expect(known).toBeGreaterThan(mtu - 8);
}

/** What one ping of `bytes` of IP packet with Don't Fragment says. */
async function ping(lab: Lab, bytes: number, family: Family): Promise<string> {
  const payload = bytes - (family === 4 ? 20 : 40) - 8;
  const argv = [
    "ping",
    `-${family}`,
    "-M",
    "do",
    "-c",
    "1",
    "-W",
    "2",
    "-s",
    String(payload),
    ADDRESSES.server[family],
  ];
  const { stdout, stderr } = await lab.exec("client", argv);
  return stdout + stderr;
}

for (const told of [true, false]) {
  const name = `a hop of 1400 bytes, ${told ? "with ICMP" : "without ICMP"}`;
  scenario(import.meta.path, name, { paths }, async (lab) => {
    await addHop(told);
    await setHop(1400);
    await lab.startPortals({ toml: { local: free } });
    // The most that either has to send.
    await expectFound(lab, "local", 0, 1480);
    await expectFound(lab, "remote", 0, 1500);
    for (const side of ["local", "remote"] as const) await expectFound(lab, side, 1, 1400);
    const inside = (await lab.status("local"))!.sessions[0]!.mtu!;
    expect(inside).toBe((await pathOf(lab, "local", 1)).mtu! - 60);
    await lab.waitFor("the TUN to have that MTU", SOON, async () => {
      const { stdout } = await lab.exec("local", ["ip", "link", "show", "portal0"]);
      return stdout.includes(` mtu ${inside} `) && (await lab.status("local"))!.mtu === inside;
    });
    for (const family of [4, 6] as const) {
      for (const direction of ["up", "down"] as const) {
        const flow = await Flow.start(lab, direction, { family });
        await flow.grows(5 * MEGABYTE, `${direction}, IPv${family}`);
        await flow.stop();
      }
      // The client's interface takes 1500: the packet comes back from the local's kernel.
      expect(await ping(lab, 1430, family)).toMatch(new RegExp(`mtu ?[=:] ?${inside}`, "i"));
      expect(await ping(lab, inside, family)).toContain("1 received");
    }
  });

  scenario(
    import.meta.path,
    `a hop that begins to carry less in mid-flow, ${told ? "with ICMP" : "without ICMP"}`,
    { paths },
    async (lab) => {
      // Both fixed: what is too big is the portals' to tell.
      await addHop(told);
      await lab.startPortals();
      for (const direction of ["up", "down"] as const)
        await expectFound(lab, direction === "up" ? "local" : "remote", 1, 1500);
      const flows = [await Flow.start(lab, "up"), await Flow.start(lab, "down", { family: 6 })];
      for (const flow of flows) await flow.grows(5 * MEGABYTE, "at first");
      await setHop(1380);
      for (const flow of flows) await flow.grows(20 * MEGABYTE, "through the smaller hop");
      for (const side of ["local", "remote"] as const) {
        // A search may still be on.
        await lab.waitFor("the smaller MTU", SOON, async () => (await found(lab, side, 1)) < 1500);
        await expectFound(lab, side, 1, 1380);
      }
      for (const flow of flows) await flow.grows(5 * MEGABYTE, "once it is known");
      for (const side of ["local", "remote"] as const) expect((await pathOf(lab, side, 1)).status).toBe("up");
      const inside = (await lab.status("local"))!.sessions[0]!.mtu!;
      expect((await lab.status("local"))!.mtu).toBe(1440);
      for (const family of [4, 6] as const)
        expect(await ping(lab, 1430, family)).toMatch(new RegExp(`mtu ?[=:] ?${inside}`, "i"));
      expect((await lab.status("local"))!.sessions[0]!.drops.tooBig).toBeGreaterThan(0);
      for (const flow of flows) await flow.stop();
    },
  );
}
