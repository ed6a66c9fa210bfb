/**
 * Interfaces that have their addresses from DHCP servers, with the default route in the tunnel and NAT at both ends.
 *
 *     local  path0  leased ── 192.168.8.1  router0  10.21.0.2 ── 10.21.0.1  remote
 *            path1  leased ── 192.168.8.1  router1  10.21.1.2 ── 10.21.1.1
 */
import { expect } from "bun:test";
import { ADDRESSES, TUNNEL_INTERFACE } from "../../src/lab/namespaces.ts";
import { SIDES } from "../../src/lab/portals.ts";
import type { LabProcess } from "../../src/lab/process.ts";
import type { Lab, PathOptions } from "../../src/lab/topology.ts";
import { Chat } from "./chat.ts";
import { Client, LEASE_SECONDS, startServer } from "./dhcp.ts";
import { addressesCount, expectAsBefore, machinesOf, options, untouched, wayOf, whoAmI } from "./hosting.ts";
import { pathsOf, settled } from "./plug.ts";
import { Router } from "./router.ts";
import { scenario } from "./scenario.ts";
import { Flow, SOON } from "./traffic.ts";

const paths: PathOptions[] = [{ plain: true }, { plain: true }];

const MEGABYTE = 1_000_000;

/** Puts a router with NAT into each of these paths, whose interfaces have no address then. */
async function build(lab: Lab, count: number): Promise<Router[]> {
  await untouched(lab);
  const routers: Router[] = [];
  for (let i = 0; i < count; i++) {
    const router = await Router.start(`router${i}`);
    await router.cable("lan", "local", `path${i}`, "192.168.8.1/24");
    await router.cable("wan", "remote", `path${i}`, `10.21.${i}.2/24`);
    await router.ip(`route add ${ADDRESSES.remoteEndpoint[4]} via 10.21.${i}.1`);
    await router.masquerade("wan");
    await lab.ip("remote", [`addr add 10.21.${i}.1/24 dev path${i}`]);
    routers.push(router);
  }
  const names = routers.map((_, i) => `path${i}`);
  for (const side of SIDES) await addressesCount(lab, side, names);
  return routers;
}

/** What the local has said of its paths. */
function news(portal: LabProcess): string[] {
  return portal.errors.filter((line) => / path path\d( of remote:| added| removed|:)/.test(line));
}

scenario(
  import.meta.path,
  "a lease is obtained, renewed, replaced by another network's, runs out and comes again",
  { paths },
  async (lab) => {
    const [router] = await build(lab, 1);
    const before = await machinesOf(lab);
    const { local: portal } = await lab.startPortals({ ...options({}), paths: [0], wait: false });
    await lab.waitFor("the local to wait for its path", SOON, async () => {
      return (await lab.status("local"))?.sessions[0]?.status === "connecting";
    });

    const client = new Client(lab, "path0");
    const first = await startServer(router!, "192.168.8", 100);
    await lab.waitFor("the path to be up", SOON, () => settled(lab, 1));
    const chat = await Chat.start(lab);
    const download = await Flow.start(lab, "down");
    await download.grows(MEGABYTE, "with a lease");
    await chat.goesOn(3, "with a lease");
    expect(await wayOf(lab, ADDRESSES.server[4])).toBe(TUNNEL_INTERFACE);
    expect(await whoAmI(lab, "client", 4)).toBe("10.30.0.1");

    // Nothing is disturbed by renewals that change nothing.
    const said = news(portal);
    const [path] = await pathsOf(lab, "local");
    for (let i = 0; i < 3; i++) {
      await client.renew();
      await chat.goesOn(3, "after a renewal");
    }
    await download.grows(MEGABYTE, "after renewals");
    expect(news(portal)).toEqual(said);
    expect((await pathsOf(lab, "local"))[0]).toMatchObject({
      id: path!.id,
      status: "up",
      reason: path!.reason,
    });

    // The router is another one: the next renewal is refused, and another network's address and gateway are leased.
    await first.stop();
    await router!.ip("addr add 192.168.9.1/24 dev lan", "addr del 192.168.8.1/24 dev lan");
    const second = await startServer(router!, "192.168.9", 50);
    const bound = client.hears("bound 192.168.9.50");
    client.ask();
    await bound;
    await chat.goesOn(10, "with another lease");
    await download.grows(MEGABYTE, "with another lease");

    // It goes away, and the lease runs out.
    await second.stop();
    await client.hears("deconfig", LEASE_SECONDS + 10);
    await lab.waitFor(
      "the path to be given up",
      SOON,
      async () => (await pathsOf(lab, "local"))[0]!.status !== "up",
    );
    expect(await wayOf(lab, ADDRESSES.server[4])).toBe(TUNNEL_INTERFACE);
    await startServer(router!, "192.168.9", 50);
    await chat.goesOn(10, "with a lease again");
    await download.grows(MEGABYTE, "with a lease again");
    expect((await pathsOf(lab, "local")).map(({ status }) => status)).toEqual(["up"]);
    console.log(`longest echo ${chat.report.longestMs.toFixed(0)} ms; ${client.events.join(", ")}`);
    await chat.stop();
    await download.stop();
    await lab.stopPortals();
    const rest = (machines: string[][]) =>
      machines.map((lines) => lines.filter((line) => !/192\.168\.|fe80/.test(line)));
    expect(rest(await machinesOf(lab))).toEqual(rest(before));
  },
);

scenario(
  import.meta.path,
  "two routers lease the same address of the same network with the same gateway, and both paths carry",
  { paths },
  async (lab) => {
    const routers = await build(lab, 2);
    for (const router of routers) await startServer(router, "192.168.8", 100);
    const clients = [0, 1].map((i) => new Client(lab, `path${i}`));
    await Promise.all(clients.map((client) => client.hears("bound 192.168.8.100")));
    const before = await machinesOf(lab);
    const { local: portal } = await lab.startPortals(options({}));
    const seen = (await pathsOf(lab, "remote")).map(({ endpoint }) => endpoint!.split(":")[0]);
    expect(seen).toEqual(["10.21.0.2", "10.21.1.2"]);
    expect(await whoAmI(lab, "client", 4)).toBe("10.30.0.1");
    const chat = await Chat.start(lab);
    const download = await Flow.start(lab, "down");
    await download.grows(MEGABYTE, "by both");
    // Renewals, of which those of the second leave by the first unless the client binds itself to its interface.
    const said = news(portal);
    await clients[0]!.renew();
    await chat.goesOn(3, "after a renewal");
    expect(news(portal)).toEqual(said);
    // Each alone.
    for (const i of [0, 1]) {
      await routers[i]!.ip("link set wan down");
      await download.grows(MEGABYTE, `without path${i}`);
      await chat.goesOn(3, `without path${i}`);
      await routers[i]!.ip(
        "link set wan up",
        `route replace ${ADDRESSES.remoteEndpoint[4]} via 10.21.${i}.1`,
      );
      await lab.waitFor("both to be up again", SOON, () => settled(lab, 2));
    }
    await chat.stop();
    await download.stop();
    await lab.stopPortals();
    await expectAsBefore(lab, before);
  },
);
