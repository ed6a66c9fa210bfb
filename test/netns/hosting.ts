/** Machines as somebody has them before portal comes: they forward nothing, and answer strictly; and what changes on them. */
import { expect } from "bun:test";
import { join } from "node:path";
import type { SinkReport } from "../../src/lab/flow.ts";
import { ADDRESSES, type Family, type Namespace, pathAddress } from "../../src/lab/namespaces.ts";
import { type PortalOptions, SIDES, type Side } from "../../src/lab/portals.ts";
import type { TomlTable } from "../../src/lab/toml.ts";
import type { Lab } from "../../src/lab/topology.ts";
import { SOON } from "./traffic.ts";

export const FAMILIES: readonly Family[] = [4, 6];

const MEGABYTE = 1_000_000;

const NAMES = join(import.meta.dir, "names.ts");

/** Only the tunnel's own addresses are the peer's: what is behind it comes by NAT. */
const PEER: TomlTable = { addresses: [`${ADDRESSES.tunnelLocal[4]}/32`, `${ADDRESSES.tunnelLocal[6]}/128`] };

/** A home network behind the local, and NAT at both ends. */
export function options(local: TomlTable, remote: TomlTable = {}, more: TomlTable = {}): PortalOptions {
  return {
    route: false,
    toml: {
      local: { host: { routes: "default", nat: true, ...local } },
      remote: { host: { nat: true, ...remote }, peer: [PEER], ...more },
    },
  };
}

/** Switches off what the laboratory has on, and gives every path a default route. */
export async function untouched(lab: Lab): Promise<void> {
  const settings = "ipv4/ip_forward ipv6/conf/all/forwarding".split(" ");
  for (const side of SIDES) {
    const off = settings.map((file) => `echo 0 > /proc/sys/net/${file}`);
    // A setting that the kernel changes along with forwarding, away from where it would leave it.
    off.push("echo 0 > /proc/sys/net/ipv4/conf/all/accept_redirects");
    if (side === "local") off.push("echo 1 > /proc/sys/net/ipv4/conf/all/rp_filter");
    await lab.exec(side, ["sh", "-e"], off.join("\n"));
  }
  const routes = FAMILIES.flatMap((family) =>
    lab.paths.map(({ name }, path) => {
      const via = pathAddress(path, "remote", family);
      return `route add default via ${via} dev ${name} metric ${100 + path}`;
    }),
  );
  await lab.ip("local", routes);
  const plain = lab.paths.filter(({ options }) => options.plain).map(({ name }) => name);
  await addressesCount(lab, "local", ["lan", ...plain]);
  await addressesCount(lab, "remote", ["wan", ...plain]);
}

/** An interface's own address comes a little after its carrier, and counts a second later, when nobody else has it. */
export async function addressesCount(lab: Lab, side: Side, names: readonly string[]): Promise<void> {
  await lab.waitFor("all addresses to count", SOON, async () => {
    const { stdout } = await lab.exec(side, [
      "ip",
      "-6",
      "-o",
      "addr",
      "show",
      "-tentative",
      "scope",
      "link",
    ]);
    return names.every((name) => stdout.includes(` ${name} `));
  });
}

const LOOK = `
for family in -4 -6; do ip $family rule; ip $family route show table all; done
nft list ruleset
iptables-save | grep -v '^#' | sed 's/\\[.*//'
ip6tables-save | grep -v '^#' | sed 's/\\[.*//'
cd /proc/sys/net; grep -r . ipv4/ip_forward ipv4/conf ipv6/conf 2>/dev/null | sort
`;

/** Everything that [host] may change on a machine, and the files below /run. */
export async function machineOf(lab: Lab, side: Side): Promise<string[]> {
  const { stdout } = await lab.exec(side, ["sh"], LOOK);
  // The kernel counts down what is left of a route's life.
  return stdout.replace(/ expires \d+sec/g, "").split("\n");
}

export async function machinesOf(lab: Lab): Promise<string[][]> {
  return await Promise.all(SIDES.map((side) => machineOf(lab, side)));
}

/** Asks the server's name server, from any machine: who the server takes it for. */
export async function whoAmI(lab: Lab, from: Namespace, family: Family): Promise<string> {
  const server = lab.spawn("server", [process.execPath, NAMES, "serve", String(family)], "name server");
  await server.nextLine();
  const argv = [process.execPath, NAMES, "ask", String(family), ADDRESSES.server[family]];
  const { code, stdout, stderr } = await lab.exec(from, argv);
  await server.stop("SIGKILL");
  if (code !== 0) throw new Error(`no name for ${from}: ${stderr}`);
  return stdout.trim();
}

/** Where the local would send a packet of its own: the interface, or "unreachable". */
export async function wayOf(lab: Lab, to: string, boundTo?: string): Promise<string> {
  const bound = boundTo === undefined ? [] : ["oif", boundTo];
  const { stdout, stderr, code } = await lab.exec("local", ["ip", "route", "get", to, ...bound]);
  if (code !== 0) return stderr.includes("No route to host") ? "unreachable" : stderr;
  return / dev (\S+)/.exec(stdout)![1]!;
}

export async function expectAsBefore(lab: Lab, before: string[][]): Promise<void> {
  expect(await machinesOf(lab)).toEqual(before);
}

/** nft is not to be had: the file is there, and cannot be run. */
export function hideNft(): void {
  const { exitCode, stderr } = Bun.spawnSync(["sh", "-ec", 'mount --bind /dev/null "$(command -v nft)"']);
  if (exitCode !== 0) throw new Error(stderr.toString());
}

/** Whoever uses a table of iptables first brings its built-in chains into being, which stay. */
export async function useIptables(lab: Lab): Promise<void> {
  for (const side of SIDES) {
    for (const program of ["iptables", "ip6tables"]) {
      for (const table of ["nat", "mangle"]) {
        for (const word of ["-N", "-X"]) await lab.exec(side, [program, "-t", table, word, "first"]);
      }
    }
  }
}

/** A flow from the Internet to a public address; the bytes that came, where `to` listens, at `listening` if that is another port. */
export async function reach(
  lab: Lab,
  to: Namespace,
  address: string,
  port: string,
  listening = port,
): Promise<number> {
  const sink = lab.spawnOwn(to, ["sink", "--port", listening]);
  await sink.nextLine();
  let last = null as SinkReport | null;
  sink.onLine((line) => {
    last = JSON.parse(line) as SinkReport;
  });
  lab.spawnOwn("server", ["source", "--host", address, "--port", port, "--bytes", String(MEGABYTE)]);
  await lab.waitFor(`a flow to port ${port}`, SOON, () => last?.ended === true);
  await sink.exited;
  return last!.intact ? last!.bytes : -1;
}

/** Pings that a machine has heard. */
export async function echoes(lab: Lab, at: Namespace, family: Family): Promise<number> {
  const counter = family === 4 ? "IcmpInEchos" : "Icmp6InEchos";
  return Number(/(\d+)\s+[\d.]+\s*$/.exec((await lab.exec(at, ["nstat", "-asz", counter])).stdout)![1]);
}
