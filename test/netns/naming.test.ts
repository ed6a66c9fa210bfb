/** The remote's name: nobody may answer for it at the start, and it may mean another address later. */
import { expect } from "bun:test";
import { ADDRESSES, pathAddress } from "../../src/lab/namespaces.ts";
import type { PathOptions } from "../../src/lab/topology.ts";
import { Chat } from "./chat.ts";
import { startNameServer, useNameServer } from "./nameserver.ts";
import { settled } from "./plug.ts";
import { scenario } from "./scenario.ts";
import { SOON } from "./traffic.ts";

const paths: PathOptions[] = [{ plain: true }, { plain: true }];

const FIRST = ADDRESSES.remoteEndpoint[4];
const SECOND = "192.0.2.9";

scenario(
  import.meta.path,
  "a local waits for a name server, and the session follows the name to another address",
  { paths },
  async (lab) => {
    useNameServer();
    const endpoint = "portal.example.org:51900";
    const portals = await lab.startPortals({ toml: { local: { remote: { endpoint } } }, wait: false });
    const said = (words: string) => portals.local.errors.filter((line) => line.includes(words)).length;
    await lab.waitFor("the local to miss its name server", SOON, () => said("cannot resolve") > 0);
    expect((await lab.status("local"))!.sessions[0]!.status).toBe("connecting");
    const server = await startNameServer(lab, FIRST);
    await lab.waitFor("the paths to be up", SOON, () => settled(lab, 2));
    expect(said("cannot resolve")).toBe(1);
    const chat = await Chat.start(lab);
    await chat.goesOn(3, "at the first address");

    for (const [path, { name }] of lab.paths.entries()) {
      const via = pathAddress(path, "remote", 4);
      await lab.ip("local", [`route add ${SECOND} via ${via} dev ${name} metric ${100 + path}`]);
    }
    await lab.ip("remote", [`addr add ${SECOND}/32 dev lo`, `addr del ${FIRST}/32 dev lo`]);
    server.send(SECOND);
    await chat.goesOn(3, "at the second address");
    await lab.waitFor("the paths to be up there", SOON, () => settled(lab, 2));
    // The very session that was there.
    expect(portals.remote.errors.filter((line) => line.includes("established")).length).toBe(1);
    await chat.stop();
  },
);
