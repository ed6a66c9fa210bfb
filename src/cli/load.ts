/** Finds the configuration file, reads it and gives it, checked, or ends the command with its faults. */
import { closeSync, existsSync, fstatSync, openSync, readSync } from "node:fs";
import { dirname, resolve } from "node:path";
import type { Config } from "../config/config.ts";
import { formatFaults } from "../config/fault.ts";
import { parseConfig } from "../config/parse.ts";
import type { Source } from "../config/source.ts";
import { createNoiseCrypto } from "../sys/crypto.ts";
import { EXIT, Failure } from "./exit.ts";
import { complainLine } from "./print.ts";

/** Where a configuration is looked for when none is named. */
export const DEFAULT_FILES: readonly string[] = ["portal.toml", "/etc/portal/portal.toml"];

/** `named` is what stands behind --toml: nothing or "" means the default places. */
export function findConfig(named: string | undefined, places = DEFAULT_FILES): string {
  if (named !== undefined && named !== "") return named;
  const found = places.find((place) => existsSync(place));
  if (found !== undefined) return found;
  const advice = "write one (portal.toml.example shows how), or name it with --toml FILE";
  throw new Failure(EXIT.config, `no configuration in ${places.join(" or ")}: ${advice}`);
}

/** The checked configuration. Its faults are written to standard error, and end the command. */
export function loadConfig(file: string): Config {
  const result = readConfig(file);
  if ("config" in result) return result.config;
  complainLine(result.faults);
  throw faultsIn(file, result.count);
}

/** The checked configuration, or its faults as they are shown. */
export function readConfig(file: string): { config: Config } | { faults: string; count: number } {
  const source = readSource(file);
  const result = parseConfig(source);
  if ("config" in result) return result;
  return { faults: formatFaults(source.text, file, result.faults), count: result.faults.length };
}

function faultsIn(file: string, count: number): Failure {
  return new Failure(EXIT.config, `${count} ${count === 1 ? "fault" : "faults"} in ${file}: see above`);
}

export function readSource(file: string): Source {
  let content: ReturnType<typeof readWithMode>;
  try {
    content = readWithMode(file);
  } catch (error) {
    const denied = codeOf(error) === "EACCES";
    const advice = denied ? "run portal as the user who may, often root" : "name a file with --toml FILE";
    throw new Failure(
      denied ? EXIT.notPermitted : EXIT.config,
      `cannot read ${file}: ${problemOf(error)}; ${advice}`,
    );
  }
  return {
    ...content,
    file,
    readFile: (path) => {
      try {
        const { text, mode } = readWithMode(resolve(dirname(file), path));
        // What is no file in a directory (a pipe, /dev/stdin) has no readers to speak of.
        return { text, mode: mode ?? 0 };
      } catch (error) {
        return { problem: problemOf(error) };
      }
    },
    publicKey: createNoiseCrypto().publicKey,
  };
}

/** Text and permission bits of one and the same file, even if another takes its name meanwhile. */
function readWithMode(path: string): { text: string; mode: number | null } {
  const fd = openSync(path, "r");
  try {
    const stat = fstatSync(fd);
    return { text: readText(fd), mode: stat.isFile() ? stat.mode & 0o777 : null };
  } finally {
    closeSync(fd);
  }
}

/** Whole, unless it is no text that somebody has written: a device may never end. */
function readText(fd: number): string {
  const parts: Buffer[] = [];
  for (let bytes = 0; ; ) {
    const part = Buffer.alloc(65_536);
    const read = readSync(fd, part);
    if (read === 0) return Buffer.concat(parts).toString("utf8");
    parts.push(part.subarray(0, read));
    bytes += read;
    if (bytes > MOST_BYTES) throw new Error(`it has more than ${MOST_BYTES / 1e6} MB`);
  }
}

export function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}

/** Of a configuration or a key. */
const MOST_BYTES = 16e6;

const problems: Readonly<Record<string, string>> = {
  ENOENT: "no such file",
  ENOTDIR: "no such file",
  EACCES: "permission denied",
  EISDIR: "it is a directory",
};

function problemOf(error: unknown): string {
  const message = error instanceof Error ? error.message.split("\n")[0]! : String(error);
  return problems[codeOf(error)] ?? message;
}
