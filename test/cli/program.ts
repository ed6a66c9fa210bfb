/** Runs the program as a user does, and takes what it says apart. */
import { join } from "node:path";

const main = join(import.meta.dir, "../../src/main.ts");

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export async function portal(
  args: readonly string[],
  options: { cwd?: string; stdin?: string } = {},
): Promise<Outcome> {
  const child = Bun.spawn([process.execPath, main, ...args], {
    cwd: options.cwd ?? "/",
    stdin: Buffer.from(options.stdin ?? ""),
    stdout: "pipe",
    stderr: "pipe",
    env: { PATH: process.env.PATH ?? "" },
  });
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  return { code: await child.exited, stdout, stderr };
}
