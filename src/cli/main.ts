/**
 * The command line: finds the command, checks its arguments, runs it by citty and turns what went wrong into one line on
 * standard error and an exit code (cli/exit.ts).
 */
import { type CommandDef, defineCommand, parseArgs, renderUsage, runCommand } from "citty";
import pkg from "../../package.json";
import { nearest } from "../config/nearest.ts";
import { StartFailure } from "../run/failure.ts";
import { EACCES, EADDRINUSE, EBUSY, EPERM, SysError } from "../sys/errno.ts";
import { joinArguments, usage } from "./arguments.ts";
import { check } from "./check.ts";
import { EXIT, EXIT_HELP, Failure } from "./exit.ts";
import { keygen } from "./keygen.ts";
import { path } from "./path.ts";
import { complainLine, printLine } from "./print.ts";
import { pubkey } from "./pubkey.ts";
import { reload } from "./reload.ts";
import { status } from "./status.ts";

// biome-ignore lint/suspicious/noExplicitAny: citty's own type of a command whose arguments are not known here
type Command = CommandDef<any>;

/** A command that is loaded only when it is called, because it opens libraries. */
interface Lazy {
  readonly description: string;
  /** Not in the list of commands. */
  readonly hidden: boolean;
  readonly load: () => Promise<Command>;
}

const COMMANDS: Readonly<Record<string, Command>> = {
  check,
  status,
  reload,
  path,
  keygen,
  pubkey,
};

const LAZY: Readonly<Record<string, Lazy>> = {
  doctor: {
    description: "Find out what keeps portal from working well here, and what to do",
    hidden: false,
    load: () => import("./doctor.ts").then((module) => module.doctor),
  },
  service: {
    description: "Print or install what runs portal at boot",
    hidden: false,
    load: () => import("./service.ts").then((module) => module.service),
  },
  demo: {
    description: "Show one TCP flow over several paths, in a laboratory on this machine",
    hidden: false,
    load: () => import("./demo.ts").then((module) => module.demo),
  },
  lab: {
    description: "Processes of the laboratory",
    hidden: true,
    load: () => import("./lab.ts").then((module) => module.lab),
  },
};

/** `portal` itself: without a command it runs a portal. */
const root = defineCommand({
  meta: { name: "portal", version: pkg.version, description: pkg.description },
  args: {
    toml: {
      type: "string",
      valueHint: "FILE",
      description: "run one portal; without FILE of ./portal.toml or /etc/portal/portal.toml",
    },
    version: { type: "boolean", alias: "v", description: "print the version" },
    help: { type: "boolean", alias: "h", description: "print this" },
  },
  run: async ({ args }) => {
    if (args.toml === undefined) throw usage('nothing to do: "portal --help" shows what there is');
    const { run } = await import("./run.ts");
    return run(args.toml);
  },
});

/** Runs what the arguments ask for. The exit code. */
export async function main(args: readonly string[]): Promise<number> {
  try {
    return await dispatch(args);
  } catch (error) {
    return explain(error);
  }
}

async function dispatch(args: readonly string[]): Promise<number> {
  if (args.length === 0) {
    complainLine(await rootUsage(2));
    return EXIT.usage;
  }
  const resolved = await resolve(args);
  const { command, parents, rest } = resolved;
  if (asksForHelp(rest)) {
    printLine(parents.length === 0 ? await rootUsage(1) : await commandUsage(command, parents, 1));
    return EXIT.ok;
  }
  if (parents.length === 0 && (args[0] === "--version" || args[0] === "-v") && args.length === 1) {
    printLine(pkg.version);
    return EXIT.ok;
  }
  const rawArgs = await joined(resolved);
  const { result } = await runCommand(command, { rawArgs });
  return typeof result === "number" ? result : EXIT.ok;
}

/** Ends without a word when `portal` takes these arguments; throws what it would complain of. Runs nothing. */
export async function accept(args: readonly string[]): Promise<void> {
  const resolved = await resolve(args);
  parseArgs(await joined(resolved), (await settled(resolved.command.args)) ?? {});
}

async function joined({ command, parents, rest }: Resolved): Promise<string[]> {
  return joinArguments(rest, (await settled(command.args)) ?? {}, nameOf(command, parents));
}

interface Resolved {
  readonly command: Command;
  /** The commands it stands under, from `portal` on. */
  readonly parents: readonly Command[];
  readonly rest: readonly string[];
}

/** The command that the first words name; a command comes before its flags. */
async function resolve(args: readonly string[]): Promise<Resolved> {
  const word = args[0]!;
  if (word.startsWith("-")) {
    refuseLateCommand(args);
    return { command: root, parents: [], rest: args };
  }
  if (!isCommand(word)) throw unknownCommand(word, commandNames(), "portal");
  const known = COMMANDS[word] ?? (await LAZY[word]!.load());
  let command: Command = known;
  const parents: Command[] = [root];
  let rest = args.slice(1);
  for (;;) {
    const subCommands = await settled(command.subCommands);
    if (subCommands === undefined || asksForHelp(rest.slice(0, 1))) return { command, parents, rest };
    const name = rest[0] ?? "";
    const next = Object.hasOwn(subCommands, name) ? await settled(subCommands[name]) : undefined;
    if (next === undefined) throw unknownCommand(name, Object.keys(subCommands), nameOf(command, parents));
    parents.push(command);
    command = next;
    rest = rest.slice(1);
  }
}

/** `portal --json status`: what is meant is clear, but not whose flag it is. */
function refuseLateCommand(args: readonly string[]): void {
  const at = args.findIndex((arg, i) => isCommand(arg) && args[i - 1] !== "--toml");
  if (at < 0) return;
  const others = args.filter((_, i) => i !== at);
  throw usage(`the command comes first: portal ${[args[at], ...others].join(" ")}`);
}

function isCommand(word: string): boolean {
  return Object.hasOwn(COMMANDS, word) || Object.hasOwn(LAZY, word);
}

function commandNames(): string[] {
  return [...Object.keys(COMMANDS), ...Object.keys(LAZY).filter((name) => !LAZY[name]!.hidden)];
}

function unknownCommand(word: string, names: readonly string[], parent: string): Failure {
  if (word === "") return usage(`"${parent}" needs a command: ${names.join(", ")}`);
  if (word.endsWith(".toml")) return usage(`unknown command "${word}": write portal --toml ${word}`);
  const near = nearest(word, names);
  const advice = near === null ? `"${parent} --help" lists all` : `did you mean "${parent} ${near}"?`;
  return usage(`unknown command "${word}": ${advice}`);
}

/** citty takes many things as a value, a promise or a function that makes one. */
function settled<T>(resolvable: T | Promise<T> | (() => T) | (() => Promise<T>)): Promise<T> {
  return Promise.resolve(
    typeof resolvable === "function" ? (resolvable as () => T | Promise<T>)() : resolvable,
  );
}

function nameOf(command: Command, parents: readonly Command[]): string {
  return [...parents, command]
    .map((each) => (each.meta as { name?: string } | undefined)?.name ?? "?")
    .join(" ");
}

function asksForHelp(args: readonly string[]): boolean {
  const end = args.indexOf("--");
  return (end < 0 ? args : args.slice(0, end)).some((arg) => arg === "--help" || arg === "-h");
}

/** The help of `portal` itself. Lazy commands are described, not loaded. */
async function rootUsage(fd: 1 | 2): Promise<string> {
  const described = Object.entries(LAZY).map(([name, { description, hidden }]) => {
    return [name, defineCommand({ meta: { name, description, hidden } })] as const;
  });
  const subCommands = { ...COMMANDS, ...Object.fromEntries(described) };
  const text = await renderUsage({ ...(root as Command), subCommands });
  const codes = EXIT_HELP.map(([code, meaning]) => `  ${code}  ${meaning}`);
  return plainUnlessTerminal(`${text}\n\nExit codes:\n${codes.join("\n")}`, fd);
}

async function commandUsage(command: Command, parents: readonly Command[], fd: 1 | 2): Promise<string> {
  const parent = defineCommand({
    meta: { name: parents.map((each) => nameOf(each, [])).join(" "), version: pkg.version },
  });
  return plainUnlessTerminal(await renderUsage(command, parent), fd);
}

/** citty colours whatever it writes to. */
function plainUnlessTerminal(text: string, fd: 1 | 2): string {
  const stream = fd === 1 ? process.stdout : process.stderr;
  const fit = stream.isTTY ? text : Bun.stripANSI(text);
  return fit.replace(/[ \t]+$/gm, "");
}

/** What the kernel's refusals mean, where no command said it better. */
const exitCodes: ReadonlyMap<number, number> = new Map([
  [EPERM, EXIT.notPermitted],
  [EACCES, EXIT.notPermitted],
  [EADDRINUSE, EXIT.busy],
  [EBUSY, EXIT.busy],
]);

/** One line on standard error; the exit code. What nobody foresaw is a bug, and is shown with its stack. */
function explain(error: unknown): number {
  if (error instanceof Failure || error instanceof StartFailure) {
    complainLine(`portal: ${error.message}`);
    return error.exitCode;
  }
  if (error instanceof SysError) {
    complainLine(`portal: the kernel refused ${error.message}`);
    return exitCodes.get(error.errno) ?? EXIT.failed;
  }
  // citty's own, of arguments: a missing required one, a value that is none of an enum.
  if (error instanceof Error && error.name === "CLIError") {
    complainLine(`portal: ${Bun.stripANSI(error.message)}; "portal --help" shows what there is`);
    return EXIT.usage;
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  complainLine(`portal: a bug in portal: ${text}`);
  return EXIT.failed;
}
