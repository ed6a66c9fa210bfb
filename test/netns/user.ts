/** This program as an ordinary user, and files for it; inside the laboratory only. */
import { chownSync } from "node:fs";
import { join } from "node:path";

/** The number of an account without any right. */
export const NOBODY = 65534;

export function shell(script: string): void {
  const { exitCode, stderr } = Bun.spawnSync(["sh", "-ec", script]);
  if (exitCode !== 0) throw new Error(`${script}: ${stderr}`);
}

/**
 * Shows this program below `folder`, a folder of the laboratory's own: what it is made of may lie where only its owner
 * looks. The words that start it there.
 */
export function showProgram(folder: string): string[] {
  shell(`mkdir -p ${folder}/program; mount --bind '${join(import.meta.dir, "../..")}' ${folder}/program`);
  shell(`touch ${folder}/bun; mount --bind '${process.execPath}' ${folder}/bun`);
  return [`${folder}/bun`, `${folder}/program/src/main.ts`];
}

/** This program as nobody, with these capabilities and no others. */
export function asNobody(capabilities: readonly string[] = []): string[] {
  const setpriv = ["setpriv", `--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups", "--no-new-privs"];
  const few = ["-all", ...capabilities.map((name) => `+${name}`)].join(",");
  const rights = [`--inh-caps=${few}`, `--ambient-caps=${few}`, `--bounding-set=${few}`];
  return [...setpriv, ...rights, ...showProgram("/run")];
}

export function giveNobody(...paths: readonly string[]): void {
  for (const path of paths) chownSync(path, NOBODY, NOBODY);
}
