/** The laboratory's machines ask one of them for names, where naming.ts may answer: the client, unless told otherwise. */
import { join } from "node:path";
import { ADDRESSES, type Namespace } from "../../src/lab/namespaces.ts";
import type { LabProcess } from "../../src/lab/process.ts";
import type { Lab } from "../../src/lab/topology.ts";

/** The file may be a symbolic link into /run, which is the laboratory's own. */
const useServer = (at: string) => `
  echo nameserver ${at} > /run/resolv.conf
  file=$(readlink -m /etc/resolv.conf)
  case $file in /run/*) mkdir -p "\${file%/*}"; touch "$file" ;; esac
  mount --bind /run/resolv.conf "$file"`;

export function useNameServer(at: string = ADDRESSES.client[4]): void {
  const mounted = Bun.spawnSync(["sh", "-ec", useServer(at)]);
  if (mounted.exitCode !== 0) throw new Error(mounted.stderr.toString());
}

/** `address`: the answer to every question, or "none". `at`: its own address, of that machine. */
export async function startNameServer(
  lab: Lab,
  address: string,
  machine: Namespace = "client",
  at: string = ADDRESSES.client[4],
): Promise<LabProcess> {
  const argv = [process.execPath, join(import.meta.dir, "naming.ts"), address, at];
  const server = lab.spawn(machine, argv, "name server");
  await server.nextLine();
  return server;
}
