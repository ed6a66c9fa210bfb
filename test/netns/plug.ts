/** What happens to the local's interfaces: deleted, made anew, given another address. Plain paths only. */
import { readdirSync, readFileSync } from "node:fs";
import { endpointRoute, pathAddress } from "../../src/lab/namespaces.ts";
import { SIDES, type Side } from "../../src/lab/portals.ts";
import type { Lab } from "../../src/lab/topology.ts";
import type { PathReport } from "../../src/share/status.ts";

/** The address of a local's interface when it has not been given another. */
export function usualAddress(path: number): string {
  return pathAddress(path, "local", 4);
}

export async function unplug(lab: Lab, path: number): Promise<void> {
  await lab.ip("local", [`link del ${lab.paths[path]!.name}`]);
}

/** Makes the interface of a path, and its other end. */
export async function plug(lab: Lab, path: number, name = lab.paths[path]!.name): Promise<void> {
  const far = lab.paths[path]!.name;
  await lab.ip("local", [`link add ${name} type veth peer name ${far} netns remote`]);
  await lab.ip("remote", [`addr add ${pathAddress(path, "remote", 4)}/24 dev ${far}`, `link set ${far} up`]);
  await lab.ip("local", [
    `addr add ${usualAddress(path)}/24 dev ${name}`,
    `link set ${name} up`,
    endpointRoute(path, name, 4),
  ]);
}

/** As a DHCP client does that was given another address. */
export async function renumber(lab: Lab, path: number, from: string, to: string): Promise<void> {
  const { name } = lab.paths[path]!;
  await lab.ip("local", [
    `addr del ${from}/24 dev ${name}`,
    `addr add ${to}/24 dev ${name}`,
    endpointRoute(path, name, 4),
  ]);
}

export async function pathsOf(lab: Lab, side: Side): Promise<PathReport[]> {
  return (await lab.status(side))?.sessions[0]?.paths ?? [];
}

/** True when either end has the same paths, so many, and all of them are up. */
export async function settled(lab: Lab, count: number): Promise<boolean> {
  const ends = await Promise.all(SIDES.map((side) => pathsOf(lab, side)));
  const ids = ends.map((paths) => paths.map(({ id }) => id).join());
  return ids[0] === ids[1] && ends.every((paths) => paths.length === count && paths.every(isUp));
}

function isUp({ status }: PathReport): boolean {
  return status === "up";
}

export function descriptors(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

/** Resident memory of its own (proc(5), RssAnon): pages of the program's file come, and are given back, as they are used. */
export function ownMegabytes(pid: number): number {
  const kilobytes = Number(/RssAnon:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
  return kilobytes / 1024;
}
