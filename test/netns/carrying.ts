/** What every tunnel must do, whatever its portals are: packets of both families and all sizes, both ways, on every path. */
import { expect } from "bun:test";
import type { Direction } from "../../src/lab/command.ts";
import { type Family, pathAddress } from "../../src/lab/namespaces.ts";
import { overheadBytes } from "../../src/lab/portals.ts";
import type { TomlTable } from "../../src/lab/toml.ts";
import type { Lab, PathOptions } from "../../src/lab/topology.ts";
import type { Drop } from "../../src/share/counters.ts";
import { echoDatagrams, iperf3, pings, transfer } from "./traffic.ts";

export const carryingPaths: PathOptions[] = [
  { mbit: 20, delayMs: 5 },
  { mbit: 20, delayMs: 8 },
];

const MEGABYTE = 1_000_000;

/** Drops that full lines and queues lead to, or an acknowledgement that is late on a busy machine. */
const ORDINARY: readonly string[] = ["duplicate", "superseded", "expired", "queueDelay"] satisfies Drop[];

/** Starts the portals, `toml` laid over both, and has everything cross between them. */
export async function carriesAll(lab: Lab, outer: Family, toml: TomlTable = {}): Promise<void> {
  await lab.startPortals({ outer, toml: { local: toml, remote: toml } });
  await expectPathsOfTheirOwn(lab, outer);
  for (const inner of [4, 6] as const) {
    expect(await pings(lab, inner)).toBe(true);
    expect(await pings(lab, inner, 3, fitsExactly(inner, outer))).toBe(true);
    for (const direction of ["up", "down"] as const) {
      expect(await transfer(lab, direction, 2 * MEGABYTE, inner)).toBe(2 * MEGABYTE);
      if (inner === outer) await expectIperf(lab, direction, inner);
    }
    // By now both ends know the MTU of the way, and let larger packets leave in fragments.
    expect(await pings(lab, inner, 3, ["-s", "4000"])).toBe(true);
    const { sent, ...came } = await echoDatagrams(lab, 1000, inner);
    expect(came).toEqual({ echoed: sent, duplicates: 0, damaged: 0 });
  }
  for (const { up, down } of (await lab.lineStats()).paths) {
    for (const line of [up, down]) expect(line.deliveredBytes).toBeGreaterThan(MEGABYTE / 10);
  }
  for (const side of ["local", "remote"] as const) {
    const { cipher, sessions } = (await lab.status(side))!;
    expect(cipher.split(" or ")).toContain(sessions[0]!.suite!);
    const drops = Object.keys(sessions[0]!.drops).filter((reason) => !ORDINARY.includes(reason));
    expect(drops).toEqual([]);
  }
}

/** By TCP, and by UDP with more than one path can carry. */
async function expectIperf(lab: Lab, direction: Direction, family: Family): Promise<void> {
  for (const udpMbit of [undefined, 30]) {
    expect(await iperf3(lab, direction, { family, bytes: MEGABYTE, udpMbit })).toBeGreaterThan(0);
  }
}

/** A ping that fills the tunnel's MTU and must not be cut. */
function fitsExactly(inner: Family, outer: Family): string[] {
  const headers = (inner === 4 ? 20 : 40) + 8;
  return ["-M", "do", "-s", String(1500 - overheadBytes(outer) - headers)];
}

/** Each path leaves by its own interface, not by the route of the lowest metric. */
async function expectPathsOfTheirOwn(lab: Lab, outer: Family): Promise<void> {
  const { paths } = (await lab.status("remote"))!.sessions[0]!;
  const addresses = paths.map(({ endpoint }) => endpoint!.replace(/:\d+$/, "").replace(/[[\]]/g, ""));
  expect(addresses).toEqual([pathAddress(0, "local", outer), pathAddress(1, "local", outer)]);
}
