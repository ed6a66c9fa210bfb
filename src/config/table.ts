/**
 * One section of a configuration file, read key by key: every wrong type, range or unknown key becomes a fault at the
 * place it stands, and reading goes on. Pure.
 */
import { type Fault, splitLines } from "./fault.ts";
import { EVERY_KEY, headerOf, placeOf, SECTION_NAMES, SECTIONS, type SectionName } from "./keys.ts";
import { nearest } from "./nearest.ts";
import { type KeyPath, locate, type Positions, type Span } from "./position.ts";

/** A value and where it stands. */
export interface Located<T> {
  readonly value: T;
  readonly span: Span;
}

/** The parsed text, where its parts stand, and what was found wrong so far. */
export class Document {
  readonly root: Readonly<Record<string, unknown>>;
  readonly positions: Positions;
  readonly faults: Fault[] = [];
  readonly #text: string;

  constructor(text: string, root: Record<string, unknown>) {
    this.#text = text;
    this.root = root;
    this.positions = locate(text);
  }

  /** A fault at `span`, or at the first character where nothing is written that could be pointed at. */
  fault(span: Span | null, message: string, advice: string): void {
    this.faults.push(faultAt(this.#text, span ?? { offset: 0, length: 1 }, message, advice));
  }
}

/** Turns a span of offsets into line, column and length in characters; only the first line of it is underlined. */
export function faultAt(text: string, span: Span, message: string, advice: string): Fault {
  const before = splitLines(text.slice(0, span.offset));
  const token = splitLines(text.slice(span.offset, span.offset + span.length))[0]!;
  return {
    line: before.length,
    column: characters(before.at(-1)!) + 1,
    length: Math.max(1, characters(token)),
    message,
    advice,
  };
}

function characters(text: string): number {
  return Array.from(text).length;
}

export class Table {
  readonly document: Document;
  readonly section: SectionName;
  readonly #path: KeyPath;
  readonly #values: Readonly<Record<string, unknown>>;

  constructor(
    document: Document,
    section: SectionName,
    path: KeyPath,
    values: Readonly<Record<string, unknown>>,
  ) {
    this.document = document;
    this.section = section;
    this.#path = path;
    this.#values = values;
  }

  has(key: string): boolean {
    return Object.hasOwn(this.#values, key);
  }

  /** Where the section begins: its header; of the top of the file nothing. */
  get header(): Span | null {
    return this.document.positions.valueOf(this.#path) ?? this.document.positions.keyOf(this.#path);
  }

  valueSpan(key: string): Span | null {
    const path = [...this.#path, key];
    return this.document.positions.valueOf(path) ?? this.document.positions.keyOf(path);
  }

  /** A fault at the value of `key`. */
  fault(key: string, message: string, advice: string): void {
    this.document.fault(this.valueSpan(key), message, advice);
  }

  /** A fault at `key` itself. */
  faultAtKey(key: string, message: string, advice: string): void {
    this.document.fault(this.document.positions.keyOf([...this.#path, key]), message, advice);
  }

  /** Of any type; undefined where the key is not there. */
  raw(key: string): unknown {
    return this.#values[key];
  }

  text(key: string): string | null {
    const value = this.#values[key];
    if (value === undefined) return null;
    if (typeof value === "string") return value;
    return this.#wrongType(key, "text in quotes");
  }

  /** A whole number of `least` to `most`. */
  integer(key: string, least: number, most: number): number | null {
    const value = this.#values[key];
    if (value === undefined) return null;
    if (typeof value !== "bigint") return this.#wrongType(key, "a whole number");
    if (value < BigInt(least) || value > BigInt(most)) {
      this.fault(key, `${key} is out of range`, `write a number from ${least} to ${most}`);
      return null;
    }
    return Number(value);
  }

  flag(key: string): boolean | null {
    const value = this.#values[key];
    if (value === undefined) return null;
    if (typeof value === "boolean") return value;
    return this.#wrongType(key, "true or false");
  }

  /** One of some words. */
  word<T extends string>(key: string, words: readonly T[]): T | null {
    const value = this.text(key);
    if (value === null) return null;
    const word = words.find((candidate) => candidate === value);
    if (word !== undefined) return word;
    const near = nearest(value, words);
    const list = words.map((candidate) => `"${candidate}"`).join(" or ");
    this.fault(key, `${key} cannot be ${quote(value)}`, `write ${near === null ? list : `"${near}"`}`);
    return null;
  }

  /** A list of texts, at least one. */
  texts(key: string): Located<string>[] | null {
    const value = this.#values[key];
    if (value === undefined) return null;
    if (!Array.isArray(value)) return this.#wrongType(key, "a list of texts");
    if (value.length === 0) {
      this.fault(key, `${key} is empty`, `write ${key} = ${this.#example(key)}`);
      return null;
    }
    const elements: Located<string>[] = [];
    for (const [i, element] of value.entries()) {
      const span = this.document.positions.valueOf([...this.#path, key, i]) ?? this.valueSpan(key)!;
      if (typeof element === "string") elements.push({ value: element, span });
      else this.document.fault(span, `${key} has ${typeName(element)} in it`, "write text in quotes");
    }
    return elements;
  }

  /** A fault at the header when `key` is not there, nor a misspelt one that `refuseUnknown` tells of. */
  require(key: string): void {
    if (this.has(key) || this.hasMisspelt(key)) return;
    const message = `missing key "${key}" ${placeOf(this.section)}`;
    this.document.fault(this.header, message, `add ${key} = ${this.#example(key)}`);
  }

  /** True when an unknown key looks like `key`. */
  hasMisspelt(key: string): boolean {
    const names = this.#names();
    return Object.keys(this.#values).some((found) => !names.includes(found) && nearest(found, names) === key);
  }

  /** A fault for every key that no portal knows, or that belongs elsewhere. */
  refuseUnknown(): void {
    const names = this.#names();
    for (const key of Object.keys(this.#values)) {
      if (names.includes(key)) continue;
      this.faultAtKey(key, `unknown key ${quote(key)} ${placeOf(this.section)}`, this.#meant(key, names));
    }
  }

  /** What may stand here: keys, and at the top of the file sections too. */
  #names(): string[] {
    const keys = Object.keys(SECTIONS[this.section].keys);
    return this.section === "" ? [...keys, ...SECTION_NAMES] : keys;
  }

  #meant(key: string, names: readonly string[]): string {
    const near = nearest(key, names);
    if (near !== null && this.section === "" && SECTION_NAMES.includes(near as SectionName)) {
      return `write ${headerOf(near as SectionName)}`;
    }
    if (near !== null) return `write "${near}"`;
    // Often a right key in the wrong place: TOML counts every line to the section above it.
    if (EVERY_KEY.includes(key)) {
      const owners = Object.keys(SECTIONS).filter((name) => key in SECTIONS[name as SectionName].keys);
      const places = owners.map((name) =>
        name === "" ? "to the top, above the first section" : headerOf(name as SectionName),
      );
      return `${owners[0] === "" ? "move it" : "it belongs in"} ${places.join(" or ")}`;
    }
    return `known here: ${names.join(", ")}`;
  }

  #example(key: string): string {
    return SECTIONS[this.section].keys[key]!;
  }

  #wrongType(key: string, wanted: string): null {
    const message = `${key} is ${typeName(this.#values[key])}, not ${wanted}`;
    this.fault(key, message, `write ${key} = ${this.#example(key)}`);
    return null;
  }
}

/** What a TOML value is, in words. */
export function typeName(value: unknown): string {
  if (typeof value === "string") return "text";
  if (typeof value === "bigint") return "a whole number";
  if (typeof value === "number") return "a number with a fraction";
  if (typeof value === "boolean") return "true or false";
  if (Array.isArray(value)) return "a list";
  return value instanceof Date ? "a date" : "a section";
}

/** In double quotes, and short enough for a message. */
export function quote(text: string): string {
  const short = Array.from(text).slice(0, 60).join("");
  return JSON.stringify(short === text ? text : `${short}…`);
}
