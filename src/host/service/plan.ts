/** What a service is to run, and the words of its files that all kinds share. Pure. */

export interface ServicePlan {
  /** `portal`; `portal-office` for a configuration named office.toml. The service's name and that of its file. */
  readonly name: string;
  /** The words that start this program, the first an absolute path. */
  readonly command: readonly string[];
  /** The configuration's absolute path. */
  readonly toml: string;
  /** The account it runs as, and that account's own group. */
  readonly user: string;
  readonly group: string;
  /** Where the control socket lies. What is below /run has to be made at every start. */
  readonly socketDirectory: string;
  /** Where portal keeps what outlives a restart. */
  readonly stateDirectory: string;
  /** The remote's port is one below 1024. */
  readonly lowPort: boolean;
}

export const KINDS = ["systemd", "openrc", "cron", "sysv"] as const;
export type Kind = (typeof KINDS)[number];

/** Ends of portal that a new start does not mend: stopped (0), wrong arguments (2), faults in the configuration (3). */
export const FINAL_CODES: readonly number[] = [0, 2, 3];

/** Seconds before it is started again. */
export const RESTART_SECONDS = 2;

export function argumentsOf(plan: ServicePlan): string[] {
  return [...plan.command, "--toml", plan.toml];
}

/** The words that have it read its configuration again. */
export function reloadWords(plan: ServicePlan): string[] {
  return [...plan.command, "reload", "--toml", plan.toml];
}

/** The words that say what is wrong with its configuration, and end with code 3 when something is. */
export function checkWords(plan: ServicePlan): string[] {
  return [...plan.command, "check", "--toml", plan.toml];
}

/** Names without CAP_ in lower case, as setpriv writes them. */
export function capabilitiesOf(plan: ServicePlan): string[] {
  return ["net_admin", "net_raw", ...(plan.lowPort ? ["net_bind_service"] : [])];
}

/** The first line of text that every file of ours begins with, after what must come first. */
export function ownLine(kind: Kind, plan: ServicePlan): string {
  return `# Written by "portal service ${kind} --install", which also replaces it, for ${plan.toml}`;
}

/** True for a file that `ownLine` began. */
export function isOwn(text: string): boolean {
  return /^# Written by "portal service \w+ --install"/m.test(text);
}

/** The service's name for a configuration file. */
export function serviceName(toml: string): string {
  const stem = toml
    .split("/")
    .at(-1)!
    .replace(/\.toml$/, "")
    .replace(/[^A-Za-z0-9_-]/g, "-");
  return stem === "portal" ? "portal" : `portal-${stem}`;
}

export function isBelowRun(directory: string): boolean {
  return /^\/run\/./.test(directory);
}

/** True where systemd makes the directory, and gives it to the account. */
export function isBelowLib(directory: string): boolean {
  return /^\/var\/lib\/./.test(directory);
}

/** One word of a shell's command line. */
export function shellWord(word: string): string {
  return /^[A-Za-z0-9_./:=@,+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** Words as a shell's command line. */
export function shellLine(words: readonly string[]): string {
  return words.map(shellWord).join(" ");
}
