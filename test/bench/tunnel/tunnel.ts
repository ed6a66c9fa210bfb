/**
 * Other tunnels beside portal: what one of them must say of itself, and what is the same for all. Each gets an interface
 * on either side of path 0, addresses on it and the routes of client and server, as portal does.
 */
import { mkdirSync } from "node:fs";
import { LabError } from "../../../src/lab/failure.ts";
import { ADDRESSES, CLIENT_NETWORK, pathAddress, SERVER_NETWORK } from "../../../src/lab/namespaces.ts";
import { SIDES, type Side } from "../../../src/lab/portals.ts";
import { type Finished, type LabProcess, runToEnd } from "../../../src/lab/process.ts";
import type { Lab } from "../../../src/lab/topology.ts";

export interface Tunnel {
  readonly name: string;
  /** Programs it is made with. */
  readonly programs: readonly string[];
  /** Starts both ends, which make INTERFACES; `directory` is theirs and empty. */
  start(lab: Lab, directory: string): Promise<LabProcess[]>;
}

/** Of different names, as both ends see the same files. */
export const INTERFACES: Record<Side, string> = { local: "benchl", remote: "benchr" };
export const TUNNEL_ADDRESSES: Record<Side, string> = { local: "10.78.0.2", remote: "10.78.0.1" };
export const PORT = 51950;
/** Portal's own with IPv4 outside. */
export const MTU = 1420;

/** Where an end is reached by the other. */
export function outerAddress(side: Side): string {
  return pathAddress(0, side, 4);
}

const START_SECONDS = 15;

export function isInstalled({ programs }: Tunnel): boolean {
  return programs.every((program) => Bun.which(program) !== null);
}

/** Starts it and waits until client and server reach each other through it. */
export async function standUp(lab: Lab, tunnel: Tunnel) {
  const directory = `/run/bench/${tunnel.name}-${crypto.randomUUID()}`;
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const processes = await tunnel.start(lab, directory);
  const stop = async (): Promise<void> => {
    await Promise.all(processes.map((process) => process.stop()));
  };
  try {
    await lab.waitFor(`the interfaces of ${tunnel.name}`, START_SECONDS, async () => {
      await mustRun(processes);
      const made = SIDES.map((side) => lab.hasInterface(side, INTERFACES[side]));
      return (await Promise.all(made)).every(Boolean);
    });
    for (const side of SIDES) await lab.ip(side, settings(side));
    await lab.waitFor(`${tunnel.name} to carry`, START_SECONDS, async () => {
      await mustRun(processes);
      return (await lab.exec("client", ["ping", "-nqc1", "-W1", ADDRESSES.server[4]])).code === 0;
    });
  } catch (error) {
    await stop();
    throw error;
  }
  return { pids: processes.map(({ pid }) => pid), stop };
}

function settings(side: Side): string[] {
  const device = INTERFACES[side];
  const network = side === "local" ? SERVER_NETWORK : CLIENT_NETWORK;
  return [
    `addr replace ${TUNNEL_ADDRESSES[side]}/24 dev ${device}`,
    `link set ${device} up mtu ${MTU}`,
    `route replace ${network[4]} dev ${device}`,
  ];
}

async function mustRun(processes: readonly LabProcess[]): Promise<void> {
  for (const process of processes) if (!process.running) throw process.failure(await process.exited);
}

/** Runs a program that prepares something, to its end. */
export async function must(argv: readonly string[], input = ""): Promise<Finished> {
  const finished = await runToEnd(argv, input);
  if (finished.code !== 0) throw new LabError(`${argv[0]}: ${finished.stderr.trim().split("\n").at(-1)}`);
  return finished;
}
