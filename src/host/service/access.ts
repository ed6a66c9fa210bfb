/**
 * Whether an account may read a file, as its mode and those of the directories above say (path_resolution(7)), also of
 * root, who as a service has no right to pass over them. Access control lists are not looked at.
 */
import { lstatSync, realpathSync, statSync } from "node:fs";
import { dirname } from "node:path";

export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly group: string;
  readonly gid: number;
  /** Of all its groups. */
  readonly gids: readonly number[];
}

const READ = 4;
const SEARCH = 1;

/** The first of the directories above that the account may not pass, from the root on; null when it passes all. */
export function closedDirectory(path: string, account: Account): string | null {
  const above: string[] = [];
  for (let at = dirname(realpathSync(path)); ; at = dirname(at)) {
    above.unshift(at);
    if (at === "/") break;
  }
  return above.find((directory) => !permits(directory, account, SEARCH)) ?? null;
}

export function mayRead(path: string, account: Account): boolean {
  return permits(path, account, READ);
}

export function mayRun(path: string, account: Account): boolean {
  return permits(path, account, SEARCH);
}

function permits(path: string, account: Account, bit: number): boolean {
  const { mode, uid, gid } = statSync(path);
  if (uid === account.uid) return (mode & (bit << 6)) !== 0;
  if (account.gids.includes(gid)) return (mode & (bit << 3)) !== 0;
  return (mode & bit) !== 0;
}

/** True for a plain file with one name: what may be given to another account without giving more. */
export function isPlainFile(path: string): boolean {
  const stat = lstatSync(path);
  return stat.isFile() && stat.nlink === 1;
}
