/** The laboratory's machines ask the client for names, where naming.ts may answer. */
import { join } from "node:path";
import { ADDRESSES } from "../../src/lab/namespaces.ts";
import type { LabProcess } from "../../src/lab/process.ts";
import type { Lab } from "../../src/lab/topology.ts";

/** The file may be a symbolic link into /run, which is the laboratory's own. */
const USE_NAME_SERVER = `
  echo nameserver ${ADDRESSES.client[4]} > /run/resolv.conf
  file=$(readlink -m /etc/resolv.conf)
  case $file in /run/*) mkdir -p "\${file%/*}"; touch "$file" ;; esac
  mount --bind /run/resolv.conf "$file"`;

export function useNameServer(): void {
  const mounted = Bun.spawnSync(["sh", "-ec", USE_NAME_SERVER]);
  if (mounted.exitCode !== 0) throw new Error(mounted.stderr.toString());
}

/** `address`: the answer to every question, or "none". */
export async function startNameServer(lab: Lab, address: string): Promise<LabProcess> {
  const server = lab.spawn(
    "client",
    [process.execPath, join(import.meta.dir, "naming.ts"), address],
    "name server",
  );
  await server.nextLine();
  return server;
}
