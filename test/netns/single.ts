/** One portal by itself: a start that is to fail, one side that comes back, and what either leaves on its machine. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { tunnelRoutes } from "../../src/lab/namespaces.ts";
import { SIDES, type Side } from "../../src/lab/portals.ts";
import type { Finished, LabProcess } from "../../src/lab/process.ts";
import { selfCommand } from "../../src/lab/self.ts";
import type { Lab } from "../../src/lab/topology.ts";
import type { SessionReport } from "../../src/share/status.ts";
import { SOON } from "./traffic.ts";

/** Where the laboratory's portals have their configurations and control sockets. */
const DIRECTORY = "/run/portal";

export function tomlFile(side: Side): string {
  return join(DIRECTORY, `${side}.toml`);
}

export function controlSocket(side: Side): string {
  return join(DIRECTORY, `${side}.sock`);
}

/** Runs a portal that should end by itself; one that does not is killed, and its code is 137. */
export async function runPortal(
  lab: Lab,
  side: Side,
  file: string,
  command: readonly string[] = selfCommand(),
): Promise<Finished> {
  const limit = ["timeout", "--signal=KILL", String(SOON)];
  return await lab.exec(side, [...limit, ...command, "--toml", file]);
}

/** Starts the remote again after its end, and routes nothing. */
export async function startRemote(lab: Lab): Promise<LabProcess> {
  const portal = lab.spawn("remote", [...selfCommand(), "--toml", tomlFile("remote")], "remote portal");
  await lab.waitFor("the remote portal to answer", SOON, async () => {
    if (!portal.running) throw portal.failure(await portal.exited);
    return (await lab.status("remote")) !== null;
  });
  return portal;
}

/** Starts one side of `lab.startPortals()` again after its end, with the configuration it had. */
export async function startAgain(lab: Lab, side: Side): Promise<LabProcess> {
  const portal = lab.spawn(side, [...selfCommand(), "--toml", tomlFile(side)], `${side} portal`);
  const waitFor = (what: string, condition: () => Promise<boolean>): Promise<void> =>
    lab.waitFor(what, SOON, async () => {
      if (!portal.running) throw portal.failure(await portal.exited);
      return await condition();
    });
  // It answers when its interface is up, which routes need.
  await waitFor(`the ${side} portal to answer`, async () => (await lab.status(side)) !== null);
  await lab.ip(side, tunnelRoutes(side, lab.ipv6));
  await waitFor("every path to be up again", async () => {
    const sessions = await Promise.all(SIDES.map((each) => sessionOf(lab, each)));
    return sessions.every((session) => isWhollyUp(session, lab.paths.length));
  });
  return portal;
}

/** The only session a portal of the laboratory has; null when the portal does not answer. */
export async function sessionOf(lab: Lab, side: Side): Promise<SessionReport | null> {
  return (await lab.status(side))?.sessions[0] ?? null;
}

function isWhollyUp(session: SessionReport | null, paths: number): boolean {
  return session?.paths.filter(({ status }) => status === "up").length === paths;
}

/** Everything a portal could leave: interfaces and addresses of both machines, files, processes; zombies are marked. */
export async function traces(lab: Lab): Promise<string[]> {
  const networks = await Promise.all(
    SIDES.map(async (side) => {
      const { stdout } = await lab.exec(side, [
        "sh",
        "-c",
        "ls /sys/class/net; ip -o addr show scope global; ip route",
      ]);
      return stdout.split("\n").map((line) => `${side}: ${line}`);
    }),
  );
  const files = readdirSync("/run", { recursive: true }) as string[];
  return [...networks.flat(), ...files.sort(), ...processes()];
}

/** Each process of the laboratory, whose processes see no others. */
function processes(): string[] {
  const numbers = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return numbers.flatMap((number) => {
    try {
      const zombie = / Z /.test(readFileSync(`/proc/${number}/stat`, "utf8"));
      const words = readFileSync(`/proc/${number}/cmdline`, "utf8").replaceAll("\0", " ");
      return [`${number} ${zombie ? "zombie" : words}`];
    } catch {
      return []; // It has ended since.
    }
  });
}
