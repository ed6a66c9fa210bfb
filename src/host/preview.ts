/** What a start would change on this machine, or a running portal has changed, as `portal check` shows it. */
import type { Config } from "../config/config.ts";
import { type Change, commandsOf, keyOf, sysctlCommand } from "./change.ts";
import { findProgram } from "./command.ts";
import { staysOverStart } from "./host.ts";
import { alone, isOwned, journalPath, readJournal } from "./journal.ts";
import { machineWith, thisMachine } from "./machine.ts";
import { type Plan, planOf } from "./plan.ts";
import { keepingAddresses, readSysctl } from "./sysctl.ts";
import { refusalOf } from "./tables.ts";

/** How many changes a portal with this control socket left that was killed. */
export function leftBehind({ controlSocket }: Config): number {
  const journal = journalPath(controlSocket);
  const left = readJournal(journal);
  return left.length > 0 && !alone(journal, () => isOwned(journal)) ? new Set(left.map(keyOf)).size : 0;
}

/** Lines without indentation are for people, those below for a shell. Throws HostFailure where a start would. */
export function previewHost(config: Config, paths: readonly string[]): string[] {
  const journal = journalPath(config.controlSocket);
  const left = readJournal(journal);
  if (left.length > 0 && alone(journal, () => isOwned(journal))) {
    return [
      "The portal that runs has changed on this machine, and undoes at its end:",
      ...left.flatMap(linesOf),
    ];
  }
  const { changes, whileUp, instead } = planFor(config, paths, journal);
  const lines = [
    ...instead,
    "A start changes on this machine, and the end undoes:",
    ...interfaceLines(config),
    ...changes.flatMap(linesOf),
  ];
  if (whileUp.length > 0) lines.push("and only while some path is up:", ...whileUp.flatMap(linesOf));
  const undone = left.filter((change) => !staysOverStart(config, change));
  if (undone.length === 0) return lines;
  const heading = "First, what a portal left that was killed is undone:";
  return [heading, ...undone.map(({ words }) => `- ${words}`), ...lines];
}

/** As a start finds out: where the kernel refuses the table of nft, it is iptables that is used. */
function planFor(config: Config, paths: readonly string[], journal: string): Plan & { instead: string[] } {
  const plan = planOf(config, paths, thisMachine(journal));
  const table = plan.changes.find((change) => change.kind === "nft");
  const refusal = table === undefined ? null : refusalOf(table);
  if (refusal === null) return { ...plan, instead: [] };
  if (findProgram("iptables") === null) throw refusal;
  const other = planOf(config, paths, machineWith(journal, "iptables"));
  return { ...other, instead: [`${refusal.message}; a start tries iptables instead:`] };
}

function interfaceLines({ tunnel }: Config): string[] {
  const name = tunnel.interface;
  return [
    `- the interface ${name}`,
    `    ip tuntap add ${name} mode tun`,
    `    ip link set ${name} mtu ${tunnel.mtu} up`,
    ...tunnel.addresses.map(({ text }) => `    ip addr add ${text} dev ${name}`),
    ...(readSysctl(keepingAddresses("default")) === null
      ? []
      : [`    ${sysctlCommand(keepingAddresses(name), "1")}`]),
  ];
}

function linesOf(change: Change): string[] {
  const was = change.kind === "sysctl" ? ` (now ${change.former})` : "";
  return [`- ${change.words}${was}`, ...commandsOf(change).map((line) => `    ${line}`)];
}
