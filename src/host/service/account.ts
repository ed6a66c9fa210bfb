/** The account a service runs as: looked up, and made when it is missing. By id(1), useradd(8) and BusyBox's adduser. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import type { Account } from "./access.ts";
import { Refusal } from "./refusal.ts";

const DIRECTORIES = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/** Path of a program where every service looks for it; null when there is none. */
export function findProgram(name: string): string | null {
  return DIRECTORIES.map((directory) => `${directory}/${name}`).find((path) => existsSync(path)) ?? null;
}

/** Null: there is no such account. */
export function findAccount(name: string): Account | null {
  const [uid, gid, group, gids] = ["-u", "-g", "-gn", "-G"].map((flag) => idOf(flag, name));
  if (uid === null || gid === null || group === null || gids === null) return null;
  return { name, uid: Number(uid), gid: Number(gid), group: group!, gids: gids!.split(" ").map(Number) };
}

function idOf(flag: string, name: string): string | null {
  const { status, stdout } = run("id", [flag, name]);
  return status === 0 ? stdout.trim() : null;
}

/** Makes an account of the system, without home and shell and with a group of its own. */
export function makeAccount(name: string): Account {
  const useradd = ["--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"];
  const shell = findProgram("nologin") ?? "/bin/false";
  const attempts = [
    { program: "useradd", words: [...useradd, "--shell", shell, name] },
    { program: "adduser", words: ["-S", "-D", "-H", "-h", "/nonexistent", "-s", shell, name] },
  ];
  const attempt = attempts.find(({ program }) => findProgram(program) !== null);
  if (attempt === undefined)
    throw new Refusal(`no useradd here: make the account ${name}, or choose one with --user`);
  if (attempt.program === "adduser") run("addgroup", ["-S", name]);
  const words = attempt.program === "adduser" ? ["-G", name, ...attempt.words] : attempt.words;
  const { status, stderr } = run(attempt.program, words);
  const account = status === 0 ? findAccount(name) : null;
  if (account !== null) return account;
  const said = stderr.trim().split("\n").at(-1);
  throw new Refusal(`cannot make the account ${name}: ${said}; make it, or choose one with --user`);
}

function run(
  program: string,
  words: readonly string[],
): { status: number | null; stdout: string; stderr: string } {
  const path = findProgram(program) ?? program;
  return spawnSync(path, words, { encoding: "utf8", env: { PATH: DIRECTORIES.join(":"), LC_ALL: "C" } });
}
