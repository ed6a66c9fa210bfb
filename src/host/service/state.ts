/**
 * The directory of what portal keeps from one boot to the next, for the account of a service: made, or given to it with the
 * files that a portal run by root has left there.
 */
import { chownSync, lchownSync, lstatSync, mkdirSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { type Account, closedDirectory, isPlainFile } from "./access.ts";
import { Refusal, type Tell } from "./refusal.ts";

/** What run/caps.ts writes (run/statefile.ts). */
const OWN_FILE = /^.+\.caps\.json(?:\.(?:new|next|broken))?$/;

/** Throws Refusal where the directory is somebody's, or holds what is. */
export function giveState(account: Account, directory: string, tell: Tell): void {
  // Root owns what it makes.
  if (account.uid === 0) return;
  const stat = lstatSync(directory, { throwIfNoEntry: false });
  if (stat === undefined) {
    mkdirSync(dirname(directory), { recursive: true, mode: 0o755 });
    mkdirSync(directory, { mode: 0o750 });
    chownSync(directory, account.uid, account.gid);
    tell(`made ${directory} for ${account.name}, to keep what outlives a restart`);
  } else if (!stat.isDirectory()) {
    throw new Refusal(`${directory} is no directory: change state_directory`);
  } else if (stat.uid !== account.uid) {
    const names = readdirSync(directory);
    const foreign = names.some((name) => !OWN_FILE.test(name) || !isPlainFile(join(directory, name)));
    if (stat.uid !== 0 || foreign) {
      const advice = `change state_directory, or run chown ${account.name} ${directory}`;
      throw new Refusal(`${account.name} may not write ${directory}, which is not only portal's: ${advice}`);
    }
    // The files first: from then on the account may put others in their place.
    for (const name of names) lchownSync(join(directory, name), account.uid, account.gid);
    chownSync(directory, account.uid, account.gid);
    tell(`gave ${directory} to ${account.name}, to keep what outlives a restart`);
  }
  const closed = closedDirectory(directory, account);
  if (closed !== null)
    throw new Refusal(`${account.name} may not look into ${closed}: change state_directory`);
}
