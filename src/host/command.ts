/** Programs of the machine, where they are, and how they end. */
import { spawn, spawnSync } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { join } from "node:path";

/** Where every service looks. */
export const SYSTEM_FOLDERS: readonly string[] = [
  ...["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"],
];

/** cron's PATH, for one, leaves out half of them. */
const FOLDERS = [
  ...(process.env.PATH ?? "").split(":").filter((folder) => folder.startsWith("/")),
  ...SYSTEM_FOLDERS,
];

/** The path of a program; null when there is none. */
export function findProgram(name: string, folders: readonly string[] = FOLDERS): string | null {
  for (const folder of folders) {
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not here.
    }
  }
  return null;
}

export interface Outcome {
  readonly ok: boolean;
  readonly output: string;
  /** The first line of what it complained of. */
  readonly complaint: string;
}

/** A program that takes longer is killed. */
const PATIENCE_MILLIS = 20_000;

/** Runs a program to its end; `more`: of its environment. */
export function runProgram(
  name: string,
  args: readonly string[],
  input = "",
  more: Record<string, string> = {},
  patienceMillis = PATIENCE_MILLIS,
): Outcome {
  const path = findProgram(name);
  if (path === null) return notInstalled(name);
  const env = { ...process.env, ...more };
  const limit = { timeout: patienceMillis, killSignal: "SIGKILL" } as const;
  const done = spawnSync(path, args, { input, encoding: "utf8", ...limit, env });
  if (done.error !== undefined && "code" in done.error && done.error.code === "ETIMEDOUT")
    return tooLong(name, patienceMillis);
  return outcomeOf(name, done.signal ?? done.status, done.stdout ?? "", done.stderr ?? "", done.error);
}

/** As `runProgram`, while others go on. One that cannot even be killed, as it waits in the kernel, is left to itself. */
export async function startProgram(
  name: string,
  args: readonly string[],
  input = "",
  more: Record<string, string> = {},
  patienceMillis = PATIENCE_MILLIS,
): Promise<Outcome> {
  const path = findProgram(name);
  if (path === null) return notInstalled(name);
  return await new Promise((resolve) => {
    const env = { ...process.env, ...more };
    const child = spawn(path, args, { env });
    const said = { stdout: "", stderr: "" };
    const patience = setTimeout(() => {
      settle(tooLong(name, patienceMillis));
      child.kill("SIGKILL");
      for (const stream of [child.stdin, child.stdout, child.stderr]) stream.destroy();
    }, patienceMillis);
    const settle = (outcome: Outcome) => {
      clearTimeout(patience);
      resolve(outcome);
    };
    for (const which of ["stdout", "stderr"] as const) {
      child[which].setEncoding("utf8").on("data", (text: string) => {
        said[which] += text;
      });
    }
    child.on("error", (error) => settle(outcomeOf(name, null, "", "", error)));
    const end = (code: number | null, signal: string | null) =>
      settle(outcomeOf(name, signal ?? code, said.stdout, said.stderr));
    child.on("close", end);
    // One that was ended may have left others behind that hold its output open.
    child.on("exit", (code, signal) => {
      if (signal !== null) end(code, signal);
    });
    // It may end before it has read all.
    child.stdin.on("error", () => {});
    child.stdin.end(input);
  });
}

function tooLong(name: string, millis: number): Outcome {
  return { ok: false, output: "", complaint: `${name} did not end within ${millis / 1000} s` };
}

function notInstalled(name: string): Outcome {
  return { ok: false, output: "", complaint: `${name} is not installed` };
}

/** `end`: exit code or signal. */
function outcomeOf(
  name: string,
  end: number | string | null,
  output: string,
  errors: string,
  error?: Error,
): Outcome {
  const said = error?.message ?? errors.trim().split("\n")[0]!;
  const how = typeof end === "string" ? end : `code ${end}`;
  return { ok: end === 0, output, complaint: said === "" ? `${name} ended with ${how}` : said };
}
