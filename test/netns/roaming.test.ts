/** A local portal that is suddenly elsewhere: the remote follows it, and flows go on. */
import { expect } from "bun:test";
import { endpointRoute, pathAddress } from "../../src/lab/namespaces.ts";
import type { Lab, PathOptions } from "../../src/lab/topology.ts";
import { BY_RELAY, Relay } from "./relay.ts";
import { scenario } from "./scenario.ts";
import { Flow, SOON } from "./traffic.ts";

const paths: PathOptions[] = [{ mbit: 20, delayMs: 10 }];

const MEGABYTE = 1_000_000;

/** Where the remote sends to. */
async function endpoint(lab: Lab): Promise<string> {
  return (await lab.status("remote"))!.sessions[0]!.paths[0]!.endpoint!;
}

/** Two flows, one each way, before and after something happens. The remote then knows another address of the local. */
async function expectFollowed(lab: Lab, happen: () => Promise<unknown>): Promise<string> {
  const flows = [await Flow.start(lab, "up"), await Flow.start(lab, "down")];
  for (const flow of flows) await flow.grows(MEGABYTE, "before");
  const before = await endpoint(lab);
  await happen();
  for (const flow of flows) await flow.grows(MEGABYTE, "after");
  const after = await endpoint(lab);
  expect(after).not.toBe(before);
  for (const flow of flows) await flow.stop();
  return after;
}

scenario(import.meta.path, "the interface gets another address", { paths }, async (lab) => {
  await lab.startPortals();
  const { name } = lab.paths[0]!;
  const other = "10.20.0.99";
  const after = await expectFollowed(lab, () =>
    lab.ip("local", [
      `addr del ${pathAddress(0, "local", 4)}/24 dev ${name}`,
      `addr add ${other}/24 dev ${name}`,
      endpointRoute(0, name, 4),
    ]),
  );
  expect(after.split(":")[0]).toBe(other);
});

scenario(import.meta.path, "a NAT gives another port", { paths }, async (lab) => {
  const relay = await Relay.start(lab);
  await lab.startPortals({ toml: { local: BY_RELAY } });
  await expectFollowed(lab, () => relay.ask({ rebind: true }));
});

/** Nothing but what the remote sends; the local has nothing to say, and does not know that it is not heard. */
scenario(import.meta.path, "a NAT gives another port during a download", { paths }, async (lab) => {
  const relay = await Relay.start(lab);
  await lab.startPortals({ toml: { local: BY_RELAY } });
  const flow = await Flow.start(lab, "down");
  await flow.grows(MEGABYTE, "before");
  const before = await endpoint(lab);
  await relay.ask({ rebind: true });
  await flow.grows(MEGABYTE, "after");
  expect(await endpoint(lab)).not.toBe(before);
  await lab.waitFor("the path to be up at both ends", SOON, async () => {
    const ends = await Promise.all([lab.status("local"), lab.status("remote")]);
    return ends.every((end) => end!.sessions[0]!.paths[0]!.status === "up");
  });
  await flow.stop();
});
