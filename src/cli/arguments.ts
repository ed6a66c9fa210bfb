/**
 * Checks the arguments of one command before citty reads them, because citty takes unknown flags silently. What it gets
 * then is unambiguous: every value is joined to its flag.
 */
import type { ArgDef, ArgsDef } from "citty";
import { nearest } from "../config/nearest.ts";
import { EXIT, Failure } from "./exit.ts";

/** Flags that mean something without their value, too. */
const VALUE_OPTIONAL = ["toml"];

/** The same arguments as `--flag=value`; a `Failure` for what `command` does not take. */
export function joinArguments(args: readonly string[], defs: ArgsDef, command: string): string[] {
  const joined: string[] = [];
  const words: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!;
    if (arg === "--") {
      words.push(...args.slice(i + 1));
      break;
    }
    if (!arg.startsWith("-") || arg === "-") {
      words.push(arg);
      continue;
    }
    const equals = arg.indexOf("=");
    const flag = equals < 0 ? arg : arg.slice(0, equals);
    const name = nameOf(flag, defs);
    if (name === null) throw unknownFlag(flag, defs, command);
    if (defs[name]!.type === "boolean") {
      if (equals >= 0) throw usage(`${flag} of "${command}" takes no value: write ${flag} alone`);
      joined.push(flag.startsWith("--no-") ? flag : `--${name}`);
      continue;
    }
    const next = args[i + 1];
    const follows = equals < 0 && next !== undefined && !next.startsWith("-");
    const value = equals >= 0 ? arg.slice(equals + 1) : follows ? next : "";
    if (value === "" && !VALUE_OPTIONAL.includes(name)) {
      const hint = defs[name]!.valueHint ?? name.toUpperCase();
      throw usage(`${flag} of "${command}" needs a value: write ${flag} ${hint}`);
    }
    if (follows) i++;
    joined.push(`--${name}=${value}`);
  }
  const positionals = Object.values(defs).filter((def) => def.type === "positional").length;
  if (words.length > positionals) {
    const word = words[positionals]!;
    const file = word.endsWith(".toml") && "toml" in defs;
    const advice = file ? `write --toml ${word}` : `"${command} --help" shows what it takes`;
    throw usage(`unexpected "${word}": ${advice}`);
  }
  return words.length > 0 ? [...joined, "--", ...words] : joined;
}

/** The argument that a flag as typed (`--json`, `-j`, `--no-json`) stands for. */
function nameOf(flag: string, defs: ArgsDef): string | null {
  for (const [name, def] of Object.entries(defs)) {
    if (def.type === "positional") continue;
    const negative = def.type === "boolean" && def.default === true ? [`--no-${name}`] : [];
    if ([`--${name}`, ...negative, ...aliasesOf(def)].includes(flag)) return name;
  }
  return null;
}

function aliasesOf(def: ArgDef): string[] {
  const aliases = "alias" in def ? [def.alias ?? []].flat() : [];
  return aliases.map((alias) => (alias.length === 1 ? `-${alias}` : `--${alias}`));
}

function unknownFlag(flag: string, defs: ArgsDef, command: string): Failure {
  const names = Object.entries(defs).flatMap(([name, def]) => (def.type === "positional" ? [] : [name]));
  const near = nearest(flag.replace(/^-+/, ""), [...names, "help"]);
  const advice = near === null ? `"${command} --help" lists all` : `did you mean "--${near}"?`;
  return usage(`unknown flag "${flag}" of "${command}": ${advice}`);
}

export function usage(message: string): Failure {
  return new Failure(EXIT.usage, message);
}
