/** What is wrong in a configuration file, and how it is shown. Pure. */
import { CONFIDENTIAL_KEYS, EVERY_KEY } from "./keys.ts";
import { nearest } from "./nearest.ts";

/** One thing wrong. Line and column count from 1, columns and length in characters as an editor shows them. */
export interface Fault {
  readonly line: number;
  readonly column: number;
  /** How many characters the carets underline; at least 1, never beyond the line's end. */
  readonly length: number;
  /** What is wrong, without a full stop. */
  readonly message: string;
  /** What to write or do instead; stands beside the carets. */
  readonly advice: string;
}

/** All faults in the order of the file, one block each, a blank line between blocks. */
export function formatFaults(text: string, file: string, faults: readonly Fault[]): string {
  const lines = splitLines(text);
  const sorted = faults.toSorted((a, b) => a.line - b.line || a.column - b.column);
  return sorted.map((fault) => formatFault(lines, file, fault)).join("\n");
}

function formatFault(lines: readonly string[], file: string, fault: Fault): string {
  const line = visible(withoutSecrets(lines[fault.line - 1] ?? ""));
  const number = String(fault.line).padStart(5);
  // Tabs stay tabs, so that the carets stand under the token whatever a tab's width is.
  const before = Array.from(line).slice(0, fault.column - 1);
  const indent = before.map((character) => (character === "\t" ? "\t" : " ")).join("");
  const carets = "^".repeat(fault.length);
  return (
    `${file}:${fault.line}:${fault.column}: ${fault.message}\n` +
    `${number} | ${line}\n` +
    `      | ${indent}${carets} ${fault.advice}\n`
  );
}

export function splitLines(text: string): string[] {
  return text.split(/\r?\n/);
}

/** A control character would move the cursor or worse; one stands for one, so columns hold. */
function visible(line: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the ones to replace
  return line.replace(/[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u2028\u2029]/g, "\u00b7");
}

/** Fault blocks end in logs: the value of a secret, of a misspelt secret too, is shown as asterisks. */
function withoutSecrets(line: string): string {
  for (const match of line.matchAll(/([A-Za-z0-9_-]+)["']?\s*=/g)) {
    if (!isConfidential(match[1]!)) continue;
    const end = match.index + match[0].length;
    return line.slice(0, end) + line.slice(end).replace(/[^\s"']/gu, "*");
  }
  return line;
}

/** True for the keys of secrets, and for what their writers may have called them. */
function isConfidential(key: string): boolean {
  const meant = nearest(key, EVERY_KEY);
  if (meant !== null) return CONFIDENTIAL_KEYS.includes(meant);
  return /priv|secret|shared|psk|pass/i.test(key);
}
