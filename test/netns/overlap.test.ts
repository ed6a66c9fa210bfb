/**
 * Two interfaces whose networks, own addresses and gateways are the same, as two LTE sticks of one maker have: each path
 * goes by its own. The routers are namespaces beside the laboratory's, with a relay in each for its NAT.
 *
 *     local  path0  192.168.8.100 ── 192.168.8.1  router0  10.21.0.2 ── 10.21.0.1  remote
 *            path1  192.168.8.100 ── 192.168.8.1  router1  10.21.1.2 ── 10.21.1.1
 */
import { expect } from "bun:test";
import { join } from "node:path";
import { LabProcess } from "../../src/lab/process.ts";
import type { Lab, PathOptions } from "../../src/lab/topology.ts";
import { pathsOf } from "./plug.ts";
import { scenario } from "./scenario.ts";
import { Flow, pings, SOON } from "./traffic.ts";

const paths: PathOptions[] = [{ plain: true }, { plain: true }];

/** Where both routers are asked for the remote. */
const ENDPOINT = "198.51.100.1";
const PORT = "51900";

function ip(line: string): void {
  const { exitCode, stderr } = Bun.spawnSync(["ip", ...line.split(" ")]);
  if (exitCode !== 0) throw new Error(`ip ${line}: ${stderr}`);
}

/** Takes the laboratory's cables away and puts a router into each path. */
async function build(lab: Lab): Promise<void> {
  for (const i of [0, 1]) {
    const router = `router${i}`;
    await lab.ip("local", [`link del path${i}`]);
    ip(`netns add ${router}`);
    ip(`-n local link add path${i} type veth peer name lan netns ${router}`);
    ip(`-n remote link add path${i} type veth peer name wan netns ${router}`);
    ip(`-n ${router} addr add 192.168.8.1/24 dev lan`);
    ip(`-n ${router} addr add ${ENDPOINT}/32 dev lo`);
    ip(`-n ${router} addr add 10.21.${i}.2/24 dev wan`);
    for (const name of ["lo", "lan", "wan"]) ip(`-n ${router} link set ${name} up`);
    await lab.ip("remote", [`addr add 10.21.${i}.1/24 dev path${i}`, `link set path${i} up`]);
    await lab.ip("local", [
      `addr add 192.168.8.100/24 dev path${i}`,
      `link set path${i} up`,
      `route add default via 192.168.8.1 dev path${i} metric ${100 + i}`,
    ]);
    const relay = [
      process.execPath,
      join(import.meta.dir, "relaying.ts"),
      ENDPOINT,
      PORT,
      PORT,
      `10.21.${i}.1`,
    ];
    const process_ = new LabProcess(`relay of ${router}`, ["ip", "netns", "exec", router, ...relay]);
    await process_.nextLine();
  }
}

async function setFilter(lab: Lab, value: 0 | 1 | 2): Promise<void> {
  const files = ["all", "path0", "path1"].map((name) => `/proc/sys/net/ipv4/conf/${name}/rp_filter`);
  const { code, stderr } = await lab.exec("local", [
    "sh",
    "-ec",
    `for f in ${files.join(" ")}; do echo ${value} > $f; done`,
  ]);
  if (code !== 0) throw new Error(stderr);
}

async function statuses(lab: Lab): Promise<string> {
  return (await pathsOf(lab, "local")).map(({ status }) => status).join(" ");
}

for (const filter of [0, 2] as const) {
  scenario(
    import.meta.path,
    `two interfaces with the same network, address and gateway carry, with rp_filter ${filter}`,
    { paths },
    async (lab) => {
      await build(lab);
      await setFilter(lab, filter);
      await lab.startPortals({ toml: { local: { remote: { endpoint: `${ENDPOINT}:${PORT}` } } } });
      const seen = (await pathsOf(lab, "remote")).map(({ endpoint }) => endpoint!.split(":")[0]);
      expect(seen).toEqual(["10.21.0.2", "10.21.1.2"]);
      // Each alone.
      for (const i of [0, 1]) {
        const flow = await Flow.start(lab, "down");
        await lab.ip("local", [`link set path${i} down`]);
        await flow.grows(1_000_000, `without path${i}`);
        await lab.ip("local", [
          `link set path${i} up`,
          `route replace default via 192.168.8.1 dev path${i} metric ${100 + i}`,
        ]);
        await lab.waitFor("both to be up again", SOON, async () => (await statuses(lab)) === "up up");
        await flow.stop();
      }
    },
  );
}

scenario(
  import.meta.path,
  "with rp_filter 1, and portal told to leave it, the kernel drops what comes by the second, until it is 2",
  { paths },
  async (lab) => {
    await build(lab);
    await setFilter(lab, 1);
    const local = { remote: { endpoint: `${ENDPOINT}:${PORT}` }, host: { loose_rp_filter: false } };
    await lab.startPortals({ toml: { local }, wait: false });
    await lab.waitFor("the first to be up", SOON, async () => (await statuses(lab)) === "up joining");
    expect(await pings(lab, 4)).toBe(true);
    expect(await statuses(lab)).toBe("up joining");
    await setFilter(lab, 2);
    await lab.waitFor("the second to be up", SOON, async () => (await statuses(lab)) === "up up");
  },
);
