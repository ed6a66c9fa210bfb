/**
 * Where each key and value of a TOML document stands. The TOML parser gives positions only of syntax errors, so this
 * walks the same text once more and notes the span of every dotted path; it neither decodes values nor checks them.
 * Meant for documents the parser took; of any other text it notes what it can, and never throws. Pure.
 */
import { parse } from "smol-toml";

/** Keys and, inside arrays, indices from the top of the document: `["path", 0, "interface"]`. */
export type KeyPath = readonly (string | number)[];

/** Offsets count UTF-16 units from the start of the text. */
export interface Span {
  readonly offset: number;
  readonly length: number;
}

interface Entry {
  readonly path: KeyPath;
  key: Span;
  value: Span | null;
}

export class Positions {
  readonly #entries = new Map<string, Entry>();

  /** The key itself, one part of a dotted key; the header of a table in an array; an element of an array. */
  keyOf(path: KeyPath): Span | null {
    return this.#entries.get(nameOf(path))?.key ?? null;
  }

  /** The value, quotes and brackets included; of a table its header with brackets; null where nothing is written for it. */
  valueOf(path: KeyPath): Span | null {
    return this.#entries.get(nameOf(path))?.value ?? null;
  }

  /** Every path noted, in the order of the text. */
  paths(): KeyPath[] {
    return [...this.#entries.values()].map((entry) => entry.path);
  }

  /** The first mention of a path stays; a value is added to a path known only as part of a longer one. */
  note(path: KeyPath, key: Span, value: Span | null): void {
    const name = nameOf(path);
    const entry = this.#entries.get(name);
    if (entry === undefined) this.#entries.set(name, { path, key, value });
    else if (entry.value === null && value !== null) {
      entry.key = key;
      entry.value = value;
    }
  }
}

function nameOf(path: KeyPath): string {
  return JSON.stringify(path);
}

/** Notes the positions of a whole document. */
export function locate(text: string): Positions {
  return new Scanner(text).document();
}

/** Deeper nesting is not noted. */
const DEEPEST = 100;

interface KeyPart {
  readonly name: string;
  readonly span: Span;
}

class Scanner {
  readonly #text: string;
  readonly #positions = new Positions();
  /** How many tables each array of tables has so far. */
  readonly #counts = new Map<string, number>();
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  document(): Positions {
    if (this.#text.startsWith("\ufeff")) this.#at = 1;
    let table: KeyPath = [];
    for (;;) {
      this.#skipBlank();
      if (this.#at >= this.#text.length) return this.#positions;
      if (this.#peek() === "[") table = this.#header();
      else this.#pair(table, 0);
      this.#skipLine();
    }
  }

  /** `[a.b]` or `[[a.b]]`; returns the path of the table that the lines below fill. */
  #header(): KeyPath {
    const start = this.#at;
    const repeated = this.#text.startsWith("[[", start);
    this.#at += repeated ? 2 : 1;
    const parts = this.#keyParts();
    if (this.#peek() === "]") this.#at++;
    if (repeated && this.#peek() === "]") this.#at++;
    const whole = { offset: start, length: this.#at - start };
    let path: KeyPath = [];
    for (const [i, part] of parts.entries()) {
      path = [...path, part.name];
      const last = i === parts.length - 1;
      this.#positions.note(path, part.span, last ? whole : null);
      const name = nameOf(path);
      const count = (this.#counts.get(name) ?? 0) + (last && repeated ? 1 : 0);
      if (count === 0) continue;
      this.#counts.set(name, count);
      path = [...path, count - 1];
      if (last) this.#positions.note(path, whole, whole);
    }
    return path;
  }

  /** `key.key = value` below `table`. */
  #pair(table: KeyPath, depth: number): void {
    const parts = this.#keyParts();
    let path = table;
    for (const [i, part] of parts.entries()) {
      path = [...path, part.name];
      if (i < parts.length - 1) this.#positions.note(path, part.span, null);
    }
    if (this.#peek() !== "=" || parts.length === 0) return;
    this.#at++;
    this.#skipSpaces();
    // Noted before what is inside it, so that the order is the text's; the value's end is known only afterwards.
    this.#positions.note(path, parts.at(-1)!.span, null);
    this.#positions.note(path, parts.at(-1)!.span, this.#value(path, depth));
  }

  #keyParts(): KeyPart[] {
    const parts: KeyPart[] = [];
    for (;;) {
      this.#skipSpaces();
      const offset = this.#at;
      const quoted = this.#peek() === '"' || this.#peek() === "'";
      if (quoted) this.#string();
      else this.#skipWhile(/[A-Za-z0-9_-]/);
      const length = this.#at - offset;
      if (length === 0) return parts;
      const written = this.#text.slice(offset, this.#at);
      parts.push({ name: quoted ? unquote(written) : written, span: { offset, length } });
      this.#skipSpaces();
      if (this.#peek() !== ".") return parts;
      this.#at++;
    }
  }

  #value(path: KeyPath, depth: number): Span {
    const offset = this.#at;
    const first = this.#peek();
    if (first === '"' || first === "'") this.#string();
    else if (first === "[" && depth < DEEPEST) this.#array(path, depth);
    else if (first === "{" && depth < DEEPEST) this.#inlineTable(path, depth);
    else this.#bare();
    return { offset, length: this.#at - offset };
  }

  #array(path: KeyPath, depth: number): void {
    this.#at++;
    for (let index = 0; ; index++) {
      this.#skipBlank();
      if (this.#closed("]")) return;
      const element = [...path, index];
      const here = { offset: this.#at, length: 1 };
      this.#positions.note(element, here, null);
      const span = this.#value(element, depth + 1);
      this.#positions.note(element, span, span);
      if (!this.#comma("]")) return;
    }
  }

  #inlineTable(path: KeyPath, depth: number): void {
    this.#at++;
    for (;;) {
      this.#skipBlank();
      if (this.#closed("}")) return;
      this.#pair(path, depth + 1);
      if (!this.#comma("}")) return;
    }
  }

  /** Past the closing bracket, or at the end of the text: true, nothing follows inside. */
  #closed(bracket: string): boolean {
    if (this.#at >= this.#text.length) return true;
    if (this.#peek() !== bracket) return false;
    this.#at++;
    return true;
  }

  /** Past a comma: true. Otherwise past the closing bracket if there is one: false. */
  #comma(bracket: string): boolean {
    this.#skipBlank();
    if (this.#peek() === ",") {
      this.#at++;
      return true;
    }
    this.#closed(bracket);
    return false;
  }

  /** A number, date or word. */
  #bare(): void {
    const start = this.#at;
    this.#skipWhile(/[^,\]}#\r\n]/);
    const written = this.#text.slice(start, this.#at);
    this.#at = start + written.trimEnd().length;
  }

  /** All four kinds of strings. */
  #string(): void {
    const quote = this.#peek();
    const three = quote.repeat(3);
    const long = this.#text.startsWith(three, this.#at);
    this.#at += long ? 3 : 1;
    for (; this.#at < this.#text.length; this.#at++) {
      const character = this.#peek();
      if (character === "\\" && quote === '"') this.#at++;
      else if (long && this.#text.startsWith(three, this.#at)) {
        this.#at += 3;
        // Up to two quotes may stand before the closing three.
        for (let i = 0; i < 2 && this.#peek() === quote; i++) this.#at++;
        return;
      } else if (!long && character === quote) {
        this.#at++;
        return;
      } else if (!long && character === "\n") return;
    }
    this.#at = Math.min(this.#at, this.#text.length);
  }

  #peek(): string {
    return this.#text.charAt(this.#at);
  }

  #skipWhile(wanted: RegExp): void {
    while (this.#at < this.#text.length && wanted.test(this.#peek())) this.#at++;
  }

  #skipSpaces(): void {
    this.#skipWhile(/[ \t]/);
  }

  /** Spaces, line ends and comments. */
  #skipBlank(): void {
    for (;;) {
      this.#skipWhile(/[ \t\r\n]/);
      if (this.#peek() !== "#") return;
      this.#skipLine();
    }
  }

  #skipLine(): void {
    const end = this.#text.indexOf("\n", this.#at);
    this.#at = end < 0 ? this.#text.length : end + 1;
  }
}

/** The name that a quoted key stands for. */
function unquote(written: string): string {
  try {
    return String(parse(`key = ${written}`).key);
  } catch {
    return written;
  }
}
