/** The homes of `npm run bench -- sessions` and `crowd` (homes.ts) in the laboratory, and the remote portal that serves them. */
import { LabError } from "../../src/lab/failure.ts";
import { LabProcess, runToEnd } from "../../src/lab/process.ts";
import type { TomlTable } from "../../src/lab/toml.ts";
import type { Lab } from "../../src/lab/topology.ts";
import { formatAddress } from "../../src/wire/address.ts";
import { CABLE, HOME_NETWORK, homeAddress, NOBODY, PATH_NETWORK } from "./homeplan.ts";
import type { Progress } from "./homes.ts";
import { cpuSeconds } from "./usage.ts";

/** Beside the laboratory's own local portal: together a thousand. */
export const HOMES = 999;
const NAMESPACE = "homes";
const PATIENCE_SECONDS = 60;

/** A namespace for the homes, in which every address of theirs is its own, and the way to it. */
export async function connectHomes(lab: Lab): Promise<void> {
  await must(["ip", "netns", "add", NAMESPACE]);
  await lab.ip("remote", [
    `link add homes type veth peer name remote netns ${NAMESPACE}`,
    `addr add ${CABLE.remote}/24 dev homes`,
    "link set homes up",
    `route add ${PATH_NETWORK} via ${CABLE.homes}`,
  ]);
  const lines = [
    "link set lo up",
    `addr add ${CABLE.homes}/24 dev remote`,
    "link set remote up",
    `route add default via ${CABLE.remote}`,
    `route add local ${PATH_NETWORK} dev lo`,
  ];
  await must(["ip", "-n", NAMESPACE, "-batch", "-"], lines.join("\n"));
}

/** The process of the homes, which do nothing yet. */
export function homesProcess(): LabProcess {
  return new LabProcess("homes", [...inside(NAMESPACE), ...program("homes.ts"), String(HOMES)]);
}

/** Starts portals of which the remote knows all homes, and the ways to these and to nobody. */
export async function startRemote(lab: Lab, homes: LabProcess, toml: TomlTable = {}): Promise<void> {
  const publicKeys = JSON.parse(await homes.nextLine()) as string[];
  const peer: TomlTable[] = publicKeys.map((public_key, i) => {
    return { name: `home${i}`, public_key, addresses: [`${formatAddress(homeAddress(i))}/32`] };
  });
  await lab.startPortals({ paths: [0], toml: { remote: { ...toml, peer: [{}, ...peer] } } });
  const nobody = formatAddress(NOBODY);
  await lab.ip("remote", [`route replace ${HOME_NETWORK} dev portal0`, `route replace blackhole ${nobody}`]);
}

/** The words that start a file of this folder. */
export function program(file: string): string[] {
  return [process.execPath, new URL(file, import.meta.url).pathname];
}

export function inside(namespace: string): string[] {
  return ["ip", "netns", "exec", namespace];
}

export async function must(argv: readonly string[], input = ""): Promise<void> {
  const { code, stderr } = await runToEnd(argv, input);
  if (code !== 0) throw new LabError(`${argv.join(" ")}: ${stderr.trim()}`);
}

/** All homes at once: how long it takes, and the processor time of the remote. */
export async function shakeHands(lab: Lab, homes: LabProcess): Promise<{ seconds: number; cpu: number }> {
  const remote = lab.portals!.remote.pid;
  const { publicKey } = (await lab.status("remote"))!;
  let up = 0;
  homes.onLine((line) => {
    up = Math.max(up, (JSON.parse(line) as Partial<Progress>).up ?? 0);
  });
  const from = performance.now();
  const before = cpuSeconds([remote]);
  homes.send(`begin ${publicKey}`);
  await lab.waitFor("all homes to be up", PATIENCE_SECONDS, () => {
    if (!homes.running) throw homes.failure(1);
    return up === HOMES;
  });
  return { seconds: (performance.now() - from) / 1000, cpu: cpuSeconds([remote]) - before };
}
