/**
 * Makes and removes the firewall's rules: a table by nft(8), or chains by iptables(8). Which programs that takes, one after
 * the other; they run while portal waits, or beside it (`run`, `runBeside`).
 */
import { dirname, join } from "node:path";
import {
  type FirewallChange,
  type IptablesChange,
  iptablesName,
  makingArguments,
  type NftChange,
  removingArguments,
} from "./change.ts";
import { findProgram, type Outcome, runProgram, startProgram } from "./command.ts";
import { HostFailure } from "./failure.ts";

interface Invocation {
  readonly program: string;
  readonly words: readonly string[];
  readonly input?: string;
}

/** What is to be run next; it is told how the one before ended. */
type Steps = Generator<Invocation, void, Outcome>;

/** `journal`: of the portal whose change it is. Throws HostFailure. */
export function makeTables(change: FirewallChange, journal: string): void {
  run(making(change), journal);
}

/** As `makeTables`, while others go on. Rejects with a HostFailure. */
export async function makeTablesBeside(change: FirewallChange, journal: string): Promise<void> {
  const steps = making(change);
  for (let step = steps.next(); !step.done; ) {
    const { program, words, input } = step.value;
    let outcome = await startProgram(program, words, input, lockOf(journal));
    if (isWorthAnotherTry(outcome)) outcome = await startProgram(program, words, input, lockOf(journal));
    step = steps.next(outcome);
  }
}

/** False: somebody has taken the table away, or the way to a chain. */
export async function hasTables(change: FirewallChange, journal: string): Promise<boolean> {
  for (const { program, words } of asking(change)) {
    const { ok, complaint } = await startProgram(program, words, "", lockOf(journal));
    if (!ok && /No such file|Bad rule|No chain|does not exist/.test(complaint)) return false;
  }
  return true;
}

function asking(change: FirewallChange): Invocation[] {
  if (change.kind === "nft") return [{ program: "nft", words: ["list", "table", "inet", change.table] }];
  const program = iptablesName(change.family);
  return change.chains.map(({ table, name, from }) => ({
    program,
    words: ["-w", "-t", table, "-C", from, "-j", name],
  }));
}

/** Why the kernel would not have this table; null where it would, or where it is not for this user to ask. Changes nothing. */
export function refusalOf(change: NftChange): HostFailure | null {
  const { ok, complaint } = runProgram("nft", ["-c", "-f", "-"], change.script);
  return ok || complaint.includes("not permitted") ? null : refused(change, complaint);
}

/** Throws HostFailure. */
export function removeTables(change: FirewallChange, journal: string): void {
  run(change.kind === "nft" ? removingTable(change) : removingChains(change), journal);
}

/** What `iptables` or `ip6tables` says. */
export function askIptables(program: string, words: readonly string[], journal: string): Outcome {
  return invoke({ program, words }, journal);
}

function run(steps: Steps, journal: string): void {
  for (let step = steps.next(); !step.done; ) step = steps.next(invoke(step.value, journal));
}

function invoke({ program, words, input }: Invocation, journal: string): Outcome {
  const outcome = runProgram(program, words, input, lockOf(journal));
  return isWorthAnotherTry(outcome) ? runProgram(program, words, input, lockOf(journal)) : outcome;
}

// --- The lock of iptables ---

/**
 * The older iptables takes a lock that only root may open. Without root it has one of portal's own: the kernel refuses
 * what is based on a table that somebody else has changed meanwhile, unless that left as many rules as before.
 */
let ownLock = false;

function lockOf(journal: string): Record<string, string> {
  return ownLock ? { XTABLES_LOCKFILE: join(dirname(journal), "xtables.lock") } : {};
}

function isWorthAnotherTry({ ok, complaint }: Outcome): boolean {
  if (ok) return false;
  // Whoever ends a service may tell all its processes to end, also what undoes portal's changes.
  if (/ ended with SIG(?:TERM|INT|HUP)$/.test(complaint)) return true;
  if (complaint.includes("Resource temporarily unavailable")) return true;
  if (ownLock || !complaint.includes("can't open lock file")) return false;
  ownLock = true;
  return true;
}

// --- Steps ---

function making(change: FirewallChange): Steps {
  return change.kind === "nft" ? makingTable(change) : makingChains(change);
}

function* makingTable(change: NftChange): Steps {
  const { ok, complaint } = yield { program: "nft", words: ["-f", "-"], input: change.script };
  if (!ok) throw refused(change, complaint);
}

function refused({ script, table }: NftChange, complaint: string): HostFailure {
  const lack = /No such file or directory|not supported/.exec(complaint)?.[0];
  if (lack === undefined || !script.includes("type nat")) {
    const notPermitted = complaint.includes("not permitted");
    return new HostFailure(`nft cannot make its table ${table}: ${complaint}`, notPermitted);
  }
  const modules = ["nft_chain_nat", "nft_masq", "nft_fib_inet"].join(" ");
  const advice = `run "modprobe -a ${modules}" (in a container, on its host), use a kernel with CONFIG_NFT_NAT, CONFIG_NFT_MASQ and CONFIG_NFT_FIB_INET, or take nat, [[forward]] and [[handover]] out`;
  return new HostFailure(`this kernel has no NAT for nftables (${lack}): ${advice}`);
}

function* removingTable({ table }: NftChange): Steps {
  // Declared first, it is there to be deleted, whatever somebody has done.
  const input = `table inet ${table}\ndelete table inet ${table}\n`;
  const { ok, complaint } = yield { program: "nft", words: ["-f", "-"], input };
  if (!ok) throw new HostFailure(complaint);
}

/** Made anew when there already: of a portal that has got another path. */
function* makingChains(change: IptablesChange): Steps {
  const { family, chains } = change;
  const program = iptablesName(family);
  for (const words of removingArguments(chains)) yield { program, words };
  for (const words of makingArguments(chains)) {
    const { ok, complaint } = yield { program, words };
    if (ok) continue;
    const command = [program, ...words].join(" ");
    throw new HostFailure(`${command}: ${complaint}`, complaint.toLowerCase().includes("denied"));
  }
}

function* removingChains({ family, chains }: IptablesChange): Steps {
  const program = iptablesName(family);
  if (findProgram(program) === null) return;
  // What is not there is complained of, which is as good as removed.
  for (const words of removingArguments(chains)) yield { program, words };
  for (const { table, name } of chains) {
    const { ok, output, complaint } = yield { program, words: ["-w", "-t", table, "-S"] };
    // Without the kernel's part of it there is nothing.
    if (!ok && !/does not exist/i.test(complaint)) throw new HostFailure(`${program}: ${complaint}`);
    if (output.includes(`-N ${name}\n`)) throw new HostFailure(`chain ${name} of ${program} is still there`);
  }
}
