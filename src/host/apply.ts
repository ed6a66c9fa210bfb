/** Makes a change and undoes it. Undoing takes away what portal made and nothing else; what is gone already is no fault. */
import { EAFNOSUPPORT, ENETDOWN, EOPNOTSUPP, EPERM, SysError } from "../sys/errno.ts";
import { addRoute, addRule, deleteRoute, deleteRule, isExisting } from "../sys/routing.ts";
import {
  type Change,
  commandsOf,
  type RouteChange,
  type RuleChange,
  type SysctlChange,
  sysctlCommand,
} from "./change.ts";
import { HostFailure } from "./failure.ts";
import { heldByAnother } from "./journal.ts";
import { expectWritable, restoreSysctl, writeSysctl } from "./sysctl.ts";
import { makeTables, removeTables } from "./tables.ts";

/** What is told to the operator meanwhile. */
export interface HostLog {
  debug(message: string): void;
  info(message: string): void;
  warn(message: string): void;
}

/** Throws HostFailure when `make` is sure to fail: nothing has to be written into a journal then. */
export function expectPossible(change: Change): void {
  if (change.kind === "sysctl") expectWritable(change.file, change.value);
}

/** `journal`: of the portal whose change it is. Throws HostFailure. */
export function make(change: Change, journal: string): void {
  if (change.kind === "sysctl") writeSysctl(change.file, change.value);
  else if (change.kind === "rule") enter(change, () => addRule(change.rule));
  else if (change.kind === "route") enter(change, () => addRoute(change.route));
  else makeTables(change, journal);
}

/** Makes a rule or route anew if it is no longer there. True: it was not. Throws HostFailure. */
export function restore(change: RuleChange | RouteChange): boolean {
  let missing = true;
  enter(change, () => {
    try {
      if (change.kind === "rule") addRule(change.rule);
      else addRoute(change.route);
    } catch (error) {
      if (!isExisting(error)) throw error;
      missing = false;
    }
  });
  return missing;
}

/** `journal`: of the portal whose change it is. Never throws. False: it could not be undone, which is told. */
export function undo(change: Change, journal: string, log: HostLog): boolean {
  try {
    if (change.kind === "sysctl") undoSysctl(change, journal, log);
    else if (change.kind === "rule") deleteRule(change.rule);
    else if (change.kind === "route") deleteRoute(change.route);
    else removeTables(change, journal);
    return true;
  } catch (error) {
    log.warn(`cannot undo "${change.words}": ${(error as Error).message}`);
    return false;
  }
}

function undoSysctl(change: SysctlChange, journal: string, log: HostLog): void {
  const { file, value, former } = change;
  // Whoever ends last puts back what was there first.
  if (heldByAnother(journal, file)?.value === value || restoreSysctl(change)) return;
  const command = sysctlCommand(file, former);
  log.warn(
    `/proc/sys/net/${file} was changed meanwhile and stays; before portal it was ${former}: ${command}`,
  );
}

function enter(change: Change, add: () => void): void {
  try {
    add();
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
    const [command] = commandsOf(change);
    if (isExisting(error)) throw new HostFailure(`somebody else has made it: ${command}; remove it`);
    if (error.errno === EPERM)
      throw new HostFailure(`not permitted: ${command}; run portal as root or with CAP_NET_ADMIN`, true);
    if (error.errno === EAFNOSUPPORT || error.errno === EOPNOTSUPP) {
      throw new HostFailure(`this kernel has no policy routing (${command}): take routes out of [host]`);
    }
    if (error.errno === ENETDOWN) {
      const [device] = /(?<= dev )\S+/.exec(command!) ?? ["INTERFACE"];
      throw new HostFailure(`${device} is down, and takes no routes (${command}): ip link set ${device} up`);
    }
    throw new HostFailure(`the kernel refused ${command}: ${error.message}`);
  }
}
