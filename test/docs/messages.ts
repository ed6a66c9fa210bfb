/**
 * Every message of the program that asks its operator to do something, found in the sources: what is logged as a warning or
 * an error, why a start fails, what the doctor finds wrong. Of each its longest part that is the same every time.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "../..");

export interface Message {
  readonly file: string;
  readonly text: string;
}

/** What makes such a message, and which of its arguments that is. */
const MAKERS: readonly (readonly [pattern: RegExp, argument: number])[] = [
  [/\blog\.(?:warn|error)\(/g, 0],
  [/\bnew (?:StartFailure|HostFailure)\(/g, 0],
  [/\benvironment\.log\((?=\s*(?:"warn"|level))/g, 1],
  [/\b(?:fault|warning)\(/g, 1],
];

/** Texts that are somebody else's whole message, or too short to be looked for. */
const LEAST = 9;

export function messagesOf(): Message[] {
  const files = [...new Bun.Glob("src/{run,host,proto,doctor}/**/*.ts").scanSync(ROOT)].sort();
  return files.flatMap((file) => {
    const code = readFileSync(join(ROOT, file), "utf8");
    return MAKERS.flatMap(([pattern, argument]) =>
      [...code.matchAll(pattern)].flatMap((match) => {
        if (/(?:function|constructor) ?$/.test(code.slice(0, match.index).trimEnd())) return [];
        const expression = argumentsFrom(code, match.index + match[0].length)[argument] ?? "";
        const texts = fixedTexts(resolved(expression, code, match.index));
        return texts.filter((text) => text.length >= LEAST).map((text) => ({ file, text }));
      }),
    );
  });
}

/** The arguments of a call, from behind its parenthesis. */
function argumentsFrom(code: string, from: number): string[] {
  const found: string[] = [];
  let depth = 0;
  let start = from;
  for (let i = from; i < code.length; i++) {
    const character = code[i]!;
    if (character === '"' || character === "'" || character === "`") i = endOfText(code, i);
    else if ("([{".includes(character)) depth++;
    else if (")]}".includes(character) && depth-- === 0) {
      found.push(code.slice(start, i).trim());
      return found;
    } else if (character === "," && depth === 0) {
      found.push(code.slice(start, i).trim());
      start = i + 1;
    }
  }
  throw new Error("a call without an end");
}

/** Where the string or template that begins at `from` ends. */
function endOfText(code: string, from: number): number {
  for (let i = from + 1; i < code.length; i++) {
    if (code[i] === "\\") i++;
    else if (code[i] === code[from]) return i;
    else if (code[from] === "`" && code[i] === "$" && code[i + 1] === "{") i = endOfHole(code, i + 2);
  }
  return code.length;
}

function endOfHole(code: string, from: number): number {
  let depth = 0;
  for (let i = from; i < code.length; i++) {
    if (code[i] === '"' || code[i] === "`") i = endOfText(code, i);
    else if (code[i] === "{") depth++;
    else if (code[i] === "}" && depth-- === 0) return i;
  }
  return code.length;
}

/** A name stands for what it was given last before. */
function resolved(expression: string, code: string, at: number): string {
  if (!/^\w+$/.test(expression)) return expression;
  const given = [...code.slice(0, at).matchAll(new RegExp(`\\b(?:const|let) ${expression} =([^;]*);`, "g"))];
  const anywhere = given.at(-1) ?? new RegExp(`\\bconst ${expression} =([^;]*);`).exec(code);
  return anywhere?.[1] ?? "";
}

/** Of each text in an expression the longest piece between what differs. */
function fixedTexts(expression: string): string[] {
  const found: string[] = [];
  for (let i = 0; i < expression.length; i++) {
    if (!"\"'`".includes(expression[i]!)) continue;
    const end = endOfText(expression, i);
    const parts = fixedParts(expression.slice(i + 1, end));
    found.push(parts.toSorted((a, b) => b.length - a.length)[0]!);
    i = end;
  }
  return found;
}

function fixedParts(text: string): string[] {
  const parts: string[] = [];
  let start = 0;
  for (let i = 0; i < text.length; i++) {
    if (text[i] !== "$" || text[i + 1] !== "{") continue;
    parts.push(text.slice(start, i));
    i = endOfHole(text, i + 2);
    start = i + 1;
  }
  parts.push(text.slice(start));
  return parts.map((part) => part.replace(/\\(.)/g, "$1").trim());
}
