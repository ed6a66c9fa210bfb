/** A remote with an address of each family, and interfaces with a way to both, of which one leads nowhere. */
import { expect } from "bun:test";
import { writeFileSync } from "node:fs";
import { ADDRESSES, endpointRoute, type Family } from "../../src/lab/namespaces.ts";
import type { Lab, PathOptions } from "../../src/lab/topology.ts";
import { Chat } from "./chat.ts";
import { FAMILIES } from "./hosting.ts";
import { pathsOf, settled } from "./plug.ts";
import { scenario } from "./scenario.ts";
import { sessionOf } from "./single.ts";
import { SOON } from "./traffic.ts";

const paths: PathOptions[] = [{ plain: true }, { plain: true }];

const REMOTE = { endpoint: "remote.example:51900" };

/** The remote's name means both of its addresses. */
function nameBoth(): void {
  const names = FAMILIES.map((family) => `${ADDRESSES.remoteEndpoint[family]} remote.example\n`);
  writeFileSync("/run/hosts", names.join(""));
  expect(Bun.spawnSync(["mount", "--bind", "/run/hosts", "/etc/hosts"]).exitCode).toBe(0);
}

/** As a provider that gives addresses of a family and passes none of its packets on: those that come by the path vanish. */
async function leadNowhere(lab: Lab, path: string, family: Family): Promise<void> {
  const ip = family === 4 ? "ip" : "ip6";
  const drop = `iifname "${path}" ${ip} daddr ${ADDRESSES.remoteEndpoint[family]} drop`;
  const table = "table inet nowhere";
  const rules = `${table}\ndelete ${table}\n${table} {\nchain in {\ntype filter hook input priority 0\n${drop}\n}\n}\n`;
  expect((await lab.exec("remote", ["nft", "-f", "-"], rules)).code).toBe(0);
}

scenario(
  import.meta.path,
  "a path whose way by one family leads nowhere goes to the remote by the other, and back again",
  { paths },
  async (lab) => {
    nameBoth();
    const families = async () =>
      (await pathsOf(lab, "local")).map(({ endpoint }) => (endpoint!.startsWith("[") ? 6 : 4));

    // By the family that the system prefers nothing of the first path arrives from the start.
    for (const [path, name] of ["path0", "path1"].entries()) {
      await lab.ip(
        "local",
        FAMILIES.map((family) => endpointRoute(path, name, family)),
      );
    }
    await lab.startPortals({ toml: { local: { remote: REMOTE } } });
    const [preferred] = await families();
    const other = preferred === 4 ? 6 : 4;
    await lab.stopPortals();
    await leadNowhere(lab, "path0", preferred!);
    const portals = await lab.startPortals({ toml: { local: { remote: REMOTE } } });
    await lab.waitFor("both paths to be up", SOON, () => settled(lab, 2));
    expect((await families()).sort()).toEqual([4, 6]);
    const path0 = async () => (await pathsOf(lab, "local")).find(({ name }) => name === "path0")!;
    const wanted = (family: number) => async () =>
      (await path0()).endpoint!.startsWith("[") === (family === 6) && (await settled(lab, 2));
    expect(await wanted(other)()).toBe(true);

    // Later it is the other family, and the session stays.
    const chat = await Chat.start(lab);
    await chat.goesOn(3, "at first");
    const { establishedSeconds } = (await sessionOf(lab, "local"))!;
    await leadNowhere(lab, "path0", other);
    await lab.waitFor("the path to be led back", SOON, wanted(preferred!));
    await chat.goesOn(3, "at last");
    expect((await sessionOf(lab, "local"))!.establishedSeconds).toBeGreaterThan(establishedSeconds!);
    const led = portals.local.errors.filter((line) => line.includes("at another of its addresses"));
    expect(led.length).toBe(2);
    await chat.stop();
  },
);

scenario(
  import.meta.path,
  "so does the only path before there is a session, of an interface without any IPv4 address",
  { paths },
  async (lab) => {
    nameBoth();
    // For lack of a route the kernel looks for the remote's IPv4 address at the very link.
    expect((await lab.exec("local", ["ip", "-4", "addr", "flush", "dev", "path0"])).code).toBe(0);
    const portals = await lab.startPortals({ paths: [0], toml: { local: { remote: REMOTE } } });
    expect((await pathsOf(lab, "local"))[0]!.endpoint).toStartWith("[");
    expect(portals.local.errors.join("\n")).toContain("at another of its addresses");
  },
);
