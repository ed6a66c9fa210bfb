/**
 * The pages that people read, as tests do: README.md and docs/*.md, by their blocks of code. Behind the language of a block
 * stands whose it is, and for a file where it is: "```sh pi", "```toml vps", "```conf pi /etc/dnsmasq.d/lan.conf".
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "smol-toml";
import { formatToml, mergeToml, type TomlTable } from "../src/lab/toml.ts";

const ROOT = join(import.meta.dir, "..");

export const PAGES: readonly string[] = [
  "README.md",
  ...readdirSync(join(ROOT, "docs"))
    .filter((name) => name.endsWith(".md"))
    .map((name) => `docs/${name}`)
    .sort(),
];

export interface CodeBlock {
  readonly page: string;
  /** Of its first line within the page, counted from 1. */
  readonly line: number;
  readonly language: string;
  readonly owner: string;
  /** The file that it is; "" where the page names none. */
  readonly file: string;
  readonly text: string;
}

export function readPage(page: string): string {
  return readFileSync(join(ROOT, page), "utf8");
}

export function blocksOf(page: string): CodeBlock[] {
  const blocks: CodeBlock[] = [];
  let open: { indent: number; info: string; line: number; lines: string[] } | null = null;
  for (const [i, line] of readPage(page).split("\n").entries()) {
    const fence = /^( *)```(.*)$/.exec(line);
    if (fence === null) open?.lines.push(line.slice(open.indent));
    else if (open === null) open = { indent: fence[1]!.length, info: fence[2]!, line: i + 2, lines: [] };
    else {
      const [language = "", owner = "", file = ""] = open.info.split(" ");
      blocks.push({ page, line: open.line, language, owner, file, text: `${open.lines.join("\n")}\n` });
      open = null;
    }
  }
  if (open !== null) throw new Error(`${page}:${open.line}: a block without an end`);
  return blocks;
}

/** Where a block stands, for those who have to mend it. */
export function placeOf({ page, line }: CodeBlock): string {
  return `${page}:${line}`;
}

/** The commands that a block has its reader type: all of a script, of a transcript what stands behind "$ ". */
export function commandsIn({ language, text }: CodeBlock): string[] {
  const joined = text.replace(/\\\n */g, "");
  const lines = joined.split("\n").filter((line) => line.trim() !== "" && !line.startsWith("#"));
  if (language === "sh") return lines;
  if (language !== "console") return [];
  return lines.filter((line) => line.startsWith("$ ")).map((line) => line.slice(2));
}

type Tables = Record<string, TomlTable[string]>;

/** What the entries of a list are told apart by; of the others a page only ever adds one. */
const NAMES: Readonly<Record<string, string>> = { path: "interface", peer: "name" };

/** A configuration as a reader has it who has added to it what another block shows: keys to their section, entries to their list. */
export function addTo(base: string, more: string): string {
  const result = parse(base) as Tables;
  for (const [key, value] of Object.entries(parse(more) as Tables)) {
    const below = result[key];
    if (Array.isArray(value) && Array.isArray(below)) {
      result[key] = joinLists(below as TomlTable[], value as TomlTable[], NAMES[key]);
    } else result[key] = mergeToml({ [key]: below }, { [key]: value })[key];
  }
  return formatToml(result);
}

function joinLists(below: readonly TomlTable[], above: readonly TomlTable[], name = ""): TomlTable[] {
  const joined = [...below];
  for (const entry of above) {
    const at = joined.findIndex((each) => each[name] !== undefined && each[name] === entry[name]);
    if (at < 0) joined.push(entry);
    else joined[at] = { ...joined[at], ...entry };
  }
  return joined;
}
