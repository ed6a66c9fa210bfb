/**
 * Puts a service's file in its place, with what it needs: the account it runs as, and that account's right to read the
 * configuration and the keys. And takes it away again. Whatever is changed is told, line by line.
 */
import {
  chownSync,
  existsSync,
  globSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { findProgram, SYSTEM_FOLDERS } from "../command.ts";
import { type Account, closedDirectory, isPlainFile, mayRead, mayRun } from "./access.ts";
import { findAccount, makeAccount } from "./account.ts";
import { fileOf, SERVICES } from "./kinds.ts";
import { isBelowLib, isOwn, type Kind, type ServicePlan } from "./plan.ts";
import { Refusal, type Tell } from "./refusal.ts";
import { CRON_LINE_MOST, cronCommand } from "./shell.ts";
import { giveState } from "./state.ts";

/** Directories whose files are gone, or others, at the next boot or inside a service. */
const FLEETING = ["/tmp/", "/var/tmp/", "/dev/shm/", "/run/", "/proc/"];

/** `files`: what portal reads at its start, the configuration and its key files. */
export function install(kind: Kind, plan: ServicePlan, files: readonly string[], tell: Tell): void {
  const service = SERVICES[kind];
  const file = fileOf(kind, plan.name);
  if (process.getuid?.() !== 0) throw new Refusal(`only root may write ${file}: run this as root`, true);
  if (!existsSync(service.directory)) {
    throw new Refusal(`this machine has no ${service.directory}: choose another kind of service`);
  }
  for (const [program, debianPackage] of service.tools) {
    if (findProgram(program, SYSTEM_FOLDERS) !== null) continue;
    throw new Refusal(`${program} not found: install it with: apt-get install ${debianPackage}`);
  }
  refuseFleeting(plan);
  if (kind === "cron" && cronCommand(plan).length > CRON_LINE_MOST) {
    throw new Refusal(
      `the line for cron would be too long: shorten the paths of ${plan.command[0]} and ${plan.toml}`,
    );
  }
  refuseForeign(file);
  const account = findAccount(plan.user) ?? makeAccountAndTell(plan.user, tell);
  letRead(account, plan, files, tell);
  if (kind !== "systemd" || !isBelowLib(plan.stateDirectory)) giveState(account, plan.stateDirectory, tell);
  const text = service.text({ ...plan, group: account.group });
  const replaced = write(file, text, service.mode, tell);
  const renew = service.renew(plan.name);
  if (replaced && renew !== null) tell(`where it runs already, start it anew with: ${renew}`);
  const enable = service.enable(plan.name);
  tell(enable === null ? "portal starts at the next boot" : `start it now and at every boot with: ${enable}`);
}

/** `files`, as for `install`: what had been given to the service's account goes back to root. */
export function remove(kind: Kind, plan: ServicePlan, files: readonly string[], tell: Tell): void {
  const service = SERVICES[kind];
  const file = fileOf(kind, plan.name);
  if (process.getuid?.() !== 0) throw new Refusal(`only root may remove ${file}: run this as root`, true);
  if (!existsSync(file)) throw new Refusal(`there is no ${file}: nothing to remove`);
  refuseForeign(file);
  const pattern = service.enabled(plan.name);
  const disable = service.disable(plan.name);
  if (pattern !== null && globSync(pattern).length > 0) {
    throw new Refusal(`${file} is enabled still: run "${disable}" first`);
  }
  rmSync(file);
  tell(`removed ${file}`);
  if (disable === null) tell("a portal that it has started runs on until SIGTERM, or the machine, ends it");
  const account = findAccount(plan.user);
  if (account === null || account.uid === 0) return;
  for (const path of files) {
    if (!existsSync(path) || statSync(path).uid !== account.uid || !isPlainFile(path)) continue;
    chownSync(path, 0, 0);
    tell(`gave ${path} back to root`);
  }
  tell(`the account ${account.name} stays: userdel ${account.name} removes it if nothing else uses it`);
}

function refuseFleeting({ command, toml }: ServicePlan): void {
  for (const path of [...command, toml]) {
    const place = FLEETING.find((directory) => path.startsWith(directory));
    if (place === undefined) continue;
    const better = path === toml ? "/etc/portal" : "/usr/local/bin";
    throw new Refusal(`${path} will not be there at the next boot: put it into ${better} first`);
  }
}

/** A file that somebody else made is theirs. */
function refuseForeign(file: string): void {
  if (!existsSync(file) || (isPlainFile(file) && isOwn(readFileSync(file, "utf8")))) return;
  throw new Refusal(`${file} is not of portal's making: move it away first`);
}

function makeAccountAndTell(name: string, tell: Tell): Account {
  const account = makeAccount(name);
  tell(`made the account ${name}, without home and password`);
  return account;
}

/** Gives the account what it must read and may not: files that are root's alone. */
function letRead(account: Account, plan: ServicePlan, files: readonly string[], tell: Tell): void {
  for (const path of [...plan.command, ...files]) {
    const closed = closedDirectory(path, account);
    if (closed === null) continue;
    const advice = `run chmod o+x ${closed}, put ${path} elsewhere, or choose --user root`;
    throw new Refusal(`${account.name} may not look into ${closed}: ${advice}`);
  }
  const program = plan.command[0]!;
  if (!mayRun(program, account))
    throw new Refusal(`${account.name} may not run ${program}: run chmod 755 ${program}`);
  for (const path of files) {
    if (mayRead(path, account)) continue;
    const { uid } = statSync(path);
    if (uid !== 0 || !isPlainFile(path)) {
      throw new Refusal(
        `${account.name} may not read ${path}, which is not root's to give: run chown ${account.name} ${path}`,
      );
    }
    chownSync(path, account.uid, account.gid);
    tell(`gave ${path} to ${account.name}, who must read it; its mode is as before`);
  }
}

/** True when another file was there. */
function write(file: string, text: string, mode: number, tell: Tell): boolean {
  const before = existsSync(file) ? readFileSync(file, "utf8") : null;
  if (before === text) {
    tell(`${file} is as it should be`);
    return false;
  }
  const fresh = `${file}.portal-new`;
  writeFileSync(fresh, text, { mode });
  renameSync(fresh, file);
  tell(before === null ? `wrote ${file}` : `replaced ${file}, which was of portal's making`);
  return before !== null;
}
