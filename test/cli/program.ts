/** Runs the program as a user does, and takes what it says apart. */
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";

const main = join(import.meta.dir, "../../src/main.ts");

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** One run, in `cwd` or in an empty directory of its own, where no file can have the name of an argument. */
export async function portal(
  args: readonly string[],
  options: { cwd?: string; stdin?: string } = {},
): Promise<Outcome> {
  const empty = mkdtempSync("/tmp/portal-cli-");
  const child = Bun.spawn([process.execPath, main, ...args], {
    cwd: options.cwd ?? empty,
    stdin: Buffer.from(options.stdin ?? ""),
    stdout: "pipe",
    stderr: "pipe",
    env: { PATH: process.env.PATH ?? "" },
  });
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  const code = await child.exited;
  rmSync(empty, { recursive: true });
  return { code, stdout, stderr };
}
