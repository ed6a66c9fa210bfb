/** Programs of the machine, where they are, and how they end. */
import { spawnSync } from "node:child_process";
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

const PATIENCE_MILLIS = 20_000;

/** Runs a program to its end. */
export function runProgram(name: string, args: readonly string[], input = ""): Outcome {
  const path = findProgram(name);
  if (path === null) return { ok: false, output: "", complaint: `${name} is not installed` };
  const done = spawnSync(path, args, { input, encoding: "utf8", timeout: PATIENCE_MILLIS });
  const said = done.error?.message ?? (done.stderr ?? "").trim().split("\n")[0]!;
  const complaint = said === "" ? `${name} ended with ${done.signal ?? `code ${done.status}`}` : said;
  return { ok: done.status === 0, output: done.stdout ?? "", complaint };
}
