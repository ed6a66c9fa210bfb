/** How a portal ends, what its peer sees of it, and how it comes back. */
import { expect } from "bun:test";
import { existsSync, writeFileSync } from "node:fs";
import { ADDRESSES, TUNNEL_INTERFACE } from "../../src/lab/namespaces.ts";
import { SIDES, type Side } from "../../src/lab/portals.ts";
import type { LabProcess } from "../../src/lab/process.ts";
import { selfCommand } from "../../src/lab/self.ts";
import type { Lab, PathOptions } from "../../src/lab/topology.ts";
import { keyText } from "../config/source.ts";
import { startNameServer, useNameServer } from "./nameserver.ts";
import { scenario } from "./scenario.ts";
import { controlSocket, sessionOf, startAgain } from "./single.ts";
import { Flow, pings, SOON } from "./traffic.ts";

const paths: PathOptions[] = [{ plain: true }, { plain: true }];

const MEGABYTE = 1_000_000;

/** Of a process that ended by SIGKILL: this test's, or LabProcess.stop's because nothing else ended it. */
const KILLED = 137;

function otherOf(side: Side): Side {
  return side === "local" ? "remote" : "local";
}

async function expectGone(lab: Lab, side: Side): Promise<void> {
  expect(await lab.hasInterface(side, TUNNEL_INTERFACE)).toBe(false);
  expect(existsSync(controlSocket(side))).toBe(false);
}

/** The peer has been told: a session whose paths merely fall silent would still be there. */
async function expectNoticed(lab: Lab, ended: Side, peer: LabProcess): Promise<void> {
  const side = otherOf(ended);
  const expected = side === "local" ? "connecting" : "down";
  await lab.waitFor(`the ${side} portal to close the session`, SOON, async () => {
    const session = (await sessionOf(lab, side))!;
    return session.status === expected && session.suite === null && session.paths.length === 0;
  });
  expect(peer.running).toBe(true);
  expect(peer.errors.filter((line) => line.endsWith("ended: the peer closed it")).length).toBe(1);
}

for (const side of SIDES) {
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    scenario(
      import.meta.path,
      `the ${side} portal ends by ${signal} and comes back`,
      { paths },
      async (lab) => {
        const portals = await lab.startPortals();
        expect(await portals[side].stop(signal)).toBe(0);
        expect(portals[side].errors.at(-1)).toEndWith(" info stopped");
        await expectGone(lab, side);
        await expectNoticed(lab, side, portals[otherOf(side)]);
        const again = await startAgain(lab, side);
        for (const family of [4, 6] as const) expect(await pings(lab, family)).toBe(true);
        expect(await again.stop(signal)).toBe(0);
        await expectGone(lab, side);
      },
    );
  }

  scenario(
    import.meta.path,
    `the ${side} portal ends under load, and the flow outlives it`,
    { paths },
    async (lab) => {
      const portals = await lab.startPortals();
      const flows = [await Flow.start(lab, "up"), await Flow.start(lab, "down")];
      for (const flow of flows) await flow.grows(MEGABYTE, "at first");
      expect(await portals[side].stop()).toBe(0);
      await expectGone(lab, side);
      await expectNoticed(lab, side, portals[otherOf(side)]);
      await startAgain(lab, side);
      for (const flow of flows) await flow.grows(MEGABYTE, "after the return");
      for (const flow of flows) await flow.stop();
    },
  );

  scenario(import.meta.path, `the ${side} portal is killed and comes back`, { paths }, async (lab) => {
    const portals = await lab.startPortals();
    // A portal that is killed is missed sooner when it is talked to.
    lab.spawn("client", ["ping", "-q", "-n", "-i", "0.05", ADDRESSES.server[4]]);
    expect(await portals[side].stop("SIGKILL")).toBe(KILLED);
    expect(await lab.hasInterface(side, TUNNEL_INTERFACE)).toBe(false);
    expect(existsSync(controlSocket(side))).toBe(true);
    const again = await startAgain(lab, side);
    expect(await pings(lab, 4)).toBe(true);
    expect(portals[otherOf(side)].running).toBe(true);
    expect(await again.stop()).toBe(0);
    await expectGone(lab, side);
  });
}

scenario(import.meta.path, "a portal whose interface is deleted says so and ends", { paths }, async (lab) => {
  const portals = await lab.startPortals();
  await lab.ip("local", [`link delete ${TUNNEL_INTERFACE}`]);
  await lab.waitFor("the portal to end", SOON, () => !portals.local.running);
  expect(await portals.local.exited).toBe(1);
  expect(portals.local.errors.at(-1)).toContain(`error the interface ${TUNNEL_INTERFACE} was deleted`);
  await expectGone(lab, "local");
  await expectNoticed(lab, "local", portals.remote);
});

const ASKING = `role = "local"
control_socket = "/run/asking.sock"
[tunnel]
addresses = ["10.77.0.2/24"]
[keys]
private_key = "${keyText(1)}"
[remote]
endpoint = "portal.example.org:51900"
public_key = "${keyText(9)}"
[[path]]
interface = "path0"
`;

scenario(import.meta.path, "a portal ends while it asks for its remote's address", { paths }, async (lab) => {
  useNameServer();
  const server = await startNameServer(lab, "none");
  const asked = server.nextLine();
  const file = "/run/asking.toml";
  writeFileSync(file, ASKING, { mode: 0o600 });
  const portal = lab.spawn("local", [...selfCommand(), "--toml", file], "local portal");
  await Promise.race([asked, portal.exited]);
  expect(portal.running).toBe(true);
  expect(await portal.stop()).toBe(0);
  expect(portal.errors.at(-1)).toEndWith(" info stopped");
});
