/** The account a service runs as: looked up, and made when it is missing. By id(1), useradd(8) and BusyBox's adduser. */
import { spawnSync } from "node:child_process";
import { findProgram, SYSTEM_FOLDERS } from "../command.ts";
import type { Account } from "./access.ts";
import { Refusal } from "./refusal.ts";

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
  const shell = findProgram("nologin", SYSTEM_FOLDERS) ?? "/bin/false";
  const attempts = [
    { program: "useradd", words: [...useradd, "--shell", shell, name] },
    { program: "adduser", words: ["-S", "-D", "-H", "-h", "/nonexistent", "-s", shell, name] },
  ];
  const attempt = attempts.find(({ program }) => findProgram(program, SYSTEM_FOLDERS) !== null);
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
  const path = findProgram(program, SYSTEM_FOLDERS) ?? program;
  return spawnSync(path, words, { encoding: "utf8", env: { PATH: SYSTEM_FOLDERS.join(":"), LC_ALL: "C" } });
}
