/**
 * The keys of live sessions, as the portal's own thread shares them with its workers. It alone writes; a worker finds by the
 * receiver index of a datagram which key opens it, and what its packet number is about.
 *
 *   changes, places ever used (64 bytes)
 *   the places that changed last (4 bytes each)
 *   place:   generation (odd while it is used), suite, opens, receiver index, key (32 bytes)    = 64 bytes
 *   hints:   of each place and path id, where packet numbers are by now (2 bytes)
 *
 * A place may be freed and used again at any time, also while somebody reads it: the generation, looked at before and after,
 * says whether what was read is whole, and whose it was.
 */
import type { Block } from "./block.ts";

/**
 * Two keys of some 8,000 sessions, and those before a change of keys: 19 MB of addresses, of which each key that there is takes
 * half a kilobyte of memory. What has no place is sealed and opened by the portal's own thread.
 */
export const PLACES = 32_768;
/** Changes of which it is known where they were; a power of two. */
export const LISTED = 1024;
const PATH_IDS = 256;
const HEAD_WORDS = 16;
const PLACE_WORDS = 16;
const GENERATION = 0;
const SUITE = 1;
const OPENS = 2;
const INDEX = 3;
const KEY = 4;
const KEY_WORDS = 8;
const CHANGES = 0;
const TOP = 1;
/** A hint is so many packet numbers wide: four of them are what 32 bits tell apart. */
const HINT_SPAN = 2 ** 30;
const WORDS = HEAD_WORDS + LISTED + PLACES * PLACE_WORDS;
const HINTS_AT = WORDS * 4;

/** One place, as read. */
export interface SharedKey {
  readonly key: Uint8Array;
  generation: number;
  suite: number;
  opens: boolean;
  /** Of a key that opens. */
  index: number;
}

export class KeyTable {
  static readonly bytes = HINTS_AT + PLACES * PATH_IDS * 2;
  private readonly words: Int32Array;
  private readonly hints: Uint16Array;
  /** The owner's: places used before and free now. */
  private readonly free: number[] = [];

  /** `memory`: shared, and of zeros at first. */
  constructor(memory: Block) {
    const { buffer } = memory.bytes;
    this.words = new Int32Array(buffer, 0, WORDS);
    this.hints = new Uint16Array(buffer, HINTS_AT, PLACES * PATH_IDS);
  }

  // --- The owner's ---

  /** Puts a key in; its place, or -1 when there is none. `index` null: it seals. */
  put(key: Uint8Array, suite: number, index: number | null): number {
    const { words } = this;
    const place = this.free.pop() ?? Atomics.load(words, TOP);
    if (place === PLACES) return -1;
    if (place === Atomics.load(words, TOP)) Atomics.store(words, TOP, place + 1);
    const at = placeAt(place);
    this.hints.fill(0, place * PATH_IDS, (place + 1) * PATH_IDS);
    words[at + SUITE] = suite;
    words[at + OPENS] = index === null ? 0 : 1;
    words[at + INDEX] = index ?? 0;
    for (let i = 0; i < KEY_WORDS; i++) words[at + KEY + i] = wordOf(key, 4 * i);
    Atomics.add(words, at + GENERATION, 1);
    this.list(place);
    return place;
  }

  /** Wipes a key. */
  remove(place: number): void {
    const { words } = this;
    const at = placeAt(place);
    Atomics.add(words, at + GENERATION, 1);
    for (let i = 0; i < KEY_WORDS; i++) Atomics.store(words, at + KEY + i, 0);
    this.list(place);
    this.free.push(place);
  }

  /** A packet of this number was authentic. */
  hint(place: number, pathId: number, packetNumber: number): void {
    const at = place * PATH_IDS + pathId;
    const hint = Math.floor(packetNumber / HINT_SPAN) + 1;
    if (this.hints[at] !== hint) Atomics.store(this.hints, at, hint);
  }

  private list(place: number): void {
    const { words } = this;
    Atomics.store(words, listedAt(words[CHANGES]!), place);
    Atomics.add(words, CHANGES, 1);
  }

  // --- Everybody's ---

  generationOf(place: number): number {
    return Atomics.load(this.words, placeAt(place) + GENERATION);
  }

  /** Another whenever a key has come or gone. */
  get changes(): number {
    return Atomics.load(this.words, CHANGES);
  }

  /** The place of a change, counted as `changes` counts: of the last `LISTED`, looked at afterwards. */
  changedAt(change: number): number {
    return Atomics.load(this.words, listedAt(change));
  }

  /** All places in use are below this. */
  get top(): number {
    return Atomics.load(this.words, TOP);
  }

  /** Reads a place. False: it is free, or was changed meanwhile. */
  read(place: number, into: SharedKey): boolean {
    const { words } = this;
    const at = placeAt(place);
    const generation = this.generationOf(place);
    if ((generation & 1) === 0) return false;
    into.generation = generation;
    // Each an atomic load: none of them may come after the last look at the generation.
    into.suite = Atomics.load(words, at + SUITE);
    into.opens = Atomics.load(words, at + OPENS) === 1;
    into.index = Atomics.load(words, at + INDEX) >>> 0;
    for (let i = 0; i < KEY_WORDS; i++) writeWord(into.key, 4 * i, Atomics.load(words, at + KEY + i));
    return this.generationOf(place) === generation;
  }

  /** About where packet numbers are on this path; -1 while nobody knows. */
  expected(place: number, pathId: number): number {
    const hint = Atomics.load(this.hints, place * PATH_IDS + pathId);
    return hint === 0 ? -1 : (hint - 1) * HINT_SPAN + HINT_SPAN / 2;
  }
}

function placeAt(place: number): number {
  return HEAD_WORDS + LISTED + place * PLACE_WORDS;
}

function listedAt(change: number): number {
  return HEAD_WORDS + (change & (LISTED - 1));
}

function wordOf(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
}

function writeWord(bytes: Uint8Array, at: number, word: number): void {
  for (let i = 0; i < 4; i++) bytes[at + i] = word >>> (8 * i);
}
