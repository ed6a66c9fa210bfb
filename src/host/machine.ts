/** What planning asks of the machine; `thisMachine` answers from the kernel, tests from tables. */
import { readFileSync } from "node:fs";
import { EAFNOSUPPORT, EOPNOTSUPP, SysError } from "../sys/errno.ts";
import { listRules, type RuleEntry } from "../sys/inventory.ts";
import type { SysctlChange } from "./change.ts";
import { findProgram, runProgram } from "./command.ts";
import { heldByAnother, readJournal } from "./journal.ts";
import { readSysctl, settingScopes } from "./sysctl.ts";
import { askIptables } from "./tables.ts";

export interface Machine {
  readonly ipv6: boolean;
  readonly firewall: "nft" | "iptables" | null;
  /** Null: there is no such setting. Files are below /proc/sys/net. */
  sysctl(file: string): string | null;
  /** `all`, `default` and interfaces. */
  scopes(family: "ipv4" | "ipv6"): readonly string[];
  /** The setting as another portal on this machine has changed it; null when none has. */
  changedByAnother(file: string): SysctlChange | null;
  /** Priorities of rules and numbers of tables that are taken. */
  taken(): { priorities: ReadonlySet<number>; tables: ReadonlySet<number> };
  /** Names of the firewall's tables or chains. */
  firewallNames(): ReadonlySet<string>;
  /** The table of nftables that the portal that asks has left, when it was killed, for this start to replace. */
  ownTable(): string | null;
  /** Interfaces whose default route the kernel learned from router advertisements. */
  advertised(): ReadonlySet<string>;
}

/** `journal`: of the portal that asks. */
export function thisMachine(journal: string): Machine {
  const firewall = findProgram("nft") !== null ? "nft" : findProgram("iptables") !== null ? "iptables" : null;
  return machineWith(journal, firewall);
}

/** `rules`: the policy rules of a family. */
export function machineWith(
  journal: string,
  firewall: Machine["firewall"],
  rules: typeof listRules = listRules,
): Machine {
  const ipv6 = settingScopes("ipv6").length > 0;
  return {
    ipv6,
    firewall,
    sysctl: readSysctl,
    scopes: settingScopes,
    changedByAnother: (file) => heldByAnother(journal, file),
    taken: () => {
      const all = [...orNone(() => rules(false)), ...(ipv6 ? orNone(() => rules(true)) : [])];
      return {
        priorities: new Set(all.map(({ priority }) => priority)),
        tables: new Set(all.map(({ table }) => table)),
      };
    },
    firewallNames: () => (firewall === "nft" ? nftTables() : iptablesNames(journal)),
    ownTable: () => (firewall === "nft" ? tableLeft(journal) : null),
    advertised,
  };
}

/** A kernel without policy routing has no rules; where portal needs some, making them says so. */
function orNone(list: () => RuleEntry[]): RuleEntry[] {
  try {
    return list();
  } catch (error) {
    if (error instanceof SysError && [EOPNOTSUPP, EAFNOSUPPORT].includes(error.errno)) return [];
    throw error;
  }
}

/** Empty, too, for a user who may not ask. */
function nftTables(): Set<string> {
  const { output } = runProgram("nft", ["list", "tables"]);
  return new Set(output.split("\n").map((line) => line.split(" ").at(-1)!));
}

function tableLeft(journal: string): string | null {
  return readJournal(journal).findLast((change) => change.kind === "nft")?.table ?? null;
}

/** A chain `portal-in` is of the name `portal`. */
function iptablesNames(journal: string): Set<string> {
  const names = new Set<string>();
  for (const program of ["iptables", "ip6tables"]) {
    for (const table of ["nat", "mangle"]) {
      const { output } = askIptables(program, ["-w", "-t", table, "-S"], journal);
      for (const match of output.matchAll(/^-N (\S+)-(?:in|out|mss)$/gm)) names.add(match[1]!);
    }
  }
  return names;
}

const RTF_DEFAULT = 0x10000;
const RTF_ADDRCONF = 0x40000;

/** /proc/net/ipv6_route: destination, its length, source, its length, next hop, metric, two counters, flags, interface. */
function advertised(): Set<string> {
  let text = "";
  try {
    text = readFileSync("/proc/net/ipv6_route", "utf8");
  } catch {
    // No IPv6.
  }
  const rows = text.split("\n").map((line) => line.trim().split(/\s+/));
  const learned = rows.filter((row) => {
    const flags = Number.parseInt(row[8] ?? "0", 16);
    return (flags & RTF_DEFAULT) !== 0 && (flags & RTF_ADDRCONF) !== 0;
  });
  return new Set(learned.map((row) => row[9]!));
}
