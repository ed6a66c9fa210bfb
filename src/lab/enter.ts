/**
 * The way into the laboratory: a program runs itself again inside namespaces of its own (network, mounts, processes
 * and, for an ordinary user, users), where it is process 1 and may build and break networks as it likes.
 *
 * Nothing has to be tidied up: when process 1 ends, the kernel kills every process inside, and with the last of them
 * every namespace, interface, mount and file is gone. Process 1 ends when the program outside does, however that ends:
 * the kernel kills `unshare` with its parent (PR_SET_PDEATHSIG, by setpriv) and process 1 with `unshare` (the same, by
 * --kill-child).
 */
import { readlinkSync } from "node:fs";
import { LabError } from "./failure.ts";
import { type Finished, runToEnd } from "./process.ts";

/** Set inside: the network namespace outside, so that no mistake can take the host's for the laboratory's. */
const MARK = "PORTAL_LAB_OUTSIDE";

/** Programs that the laboratory needs, and their Debian packages. */
const TOOLS: readonly (readonly [program: string, debianPackage: string])[] = [
  ["ip", "iproute2"],
  ["unshare", "util-linux"],
  ["setpriv", "util-linux"],
  ["mount", "mount"],
];

/** Debian keeps some of them where an ordinary user's PATH does not look. */
const TOOL_PATH = `${process.env.PATH ?? ""}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin`;

/** True in a process that `enterLab` started, and in those that process starts. */
export function insideLab(): boolean {
  const outside = process.env[MARK];
  return outside !== undefined && outside !== networkNamespace();
}

/**
 * Runs a command inside; its end is ours to see, SIGINT and SIGTERM end it and this process. With "inherit" its output
 * goes where ours goes, with "pipe" it is handed back. Throws LabError when there can be no laboratory.
 */
export async function enterLab(
  argv: readonly string[],
  output: "inherit" | "pipe" = "inherit",
): Promise<Finished> {
  const unshare = unshareCommand();
  const trial = await runToEnd([...unshare, "true"]);
  if (trial.code !== 0) throw new LabError(noNamespaces(trial.stderr));
  const child = Bun.spawn([...unshare, ...argv], {
    env: { ...process.env, PATH: TOOL_PATH, [MARK]: networkNamespace() },
    stdin: "ignore",
    stdout: output,
    stderr: output,
    // A session of its own, so that the terminal's Ctrl-C reaches this process only, and the inside all at once.
    detached: true,
  });
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    child.kill("SIGKILL");
    await child.exited;
    process.exit(signal === "SIGINT" ? 130 : 143);
  };
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const signal of signals) process.on(signal, end);
  const read = async (stream: unknown): Promise<string> =>
    stream instanceof ReadableStream ? await new Response(stream).text() : "";
  const [code, stdout, stderr] = await Promise.all([child.exited, read(child.stdout), read(child.stderr)]);
  for (const signal of signals) process.off(signal, end);
  return { code, stdout, stderr };
}

function unshareCommand(): string[] {
  for (const [program, debianPackage] of TOOLS) {
    if (Bun.which(program, { PATH: TOOL_PATH }) !== null) continue;
    throw new LabError(`${program} not found: install it with: apt-get install ${debianPackage}`);
  }
  const tool = (program: string): string => Bun.which(program, { PATH: TOOL_PATH })!;
  const namespaces = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
  const user = process.getuid?.() === 0 ? [] : ["--user", "--map-root-user"];
  return [tool("setpriv"), "--pdeathsig", "KILL", tool("unshare"), ...user, ...namespaces];
}

function noNamespaces(said: string): string {
  const what = said.trim().split("\n").at(-1) ?? "";
  return `no namespaces to be had (${what}): run as root, or allow unprivileged user namespaces`;
}

function networkNamespace(): string {
  return readlinkSync("/proc/self/ns/net");
}
