/**
 * What a worker is given to do, and does: it seals the trains of datagrams that the portal's own thread has made, and opens
 * the batches that came, both in place, in the slots of a lane (share/lane.ts). It decides nothing. What it says of a datagram
 * that it opened counts only once the portal's thread has looked at its packet number, as if it had opened it itself.
 */
import type { Block } from "../share/block.ts";
import type { Aead } from "../share/io.ts";
import type { Shape, Slot } from "../share/lane.ts";
import {
  expandPacketNumber,
  HEADER_BYTES,
  MIN_DATAGRAM_BYTES,
  TAG_BYTES,
  TYPE_MASK,
  Type,
} from "../wire/datagram.ts";

/** Of either kind of slot: the bytes in it, and those of each datagram but the last. */
export const LENGTH = 0;
export const SEGMENT = 1;

/**
 * Of a train: place and generation of its key (share/keytable.ts; place -1: it is sealed), a packet number close to its own,
 * whether it has a destination; what its send is told of fragments, and what the descriptor's last send before it was told.
 */
export const PLACE = 2;
export const GENERATION = 3;
export const NUMBER = 4;
export const ADDRESSED = 6;
export const FRAGMENTS = 7;
export const FRAGMENTS_BEFORE = 8;
/** And what became of it. */
export const RESULT = 9;
export const SENT = 0;
export const FULL = 1;
export const FAILED = 2;
export const TOO_BIG = 4;
/** Added to it: this socket segments no more. */
export const UNSEGMENTED = 8;

/** Of a batch, for each of its first datagrams: the place (+ 1) of the key that was tried, its generation, the packet number, whether it was authentic. */
const FOUND = 2;
const FOUND_WORDS = 5;
/** As many as the kernel puts into one batch (UDP_GRO_CNT_MAX). Further ones are left to the portal's thread. */
const FOUND_MOST = 64;

/** Half a megabyte, or four milliseconds of a gigabit, each way: more would only be a longer queue. */
export const TRAINS: Shape = { slots: 8, words: 10, bytes: 65_536 };
export const BATCHES: Shape = { slots: 8, words: FOUND + FOUND_MOST * FOUND_WORDS, bytes: 65_536 };

const SPAN = 2 ** 32;

export function setNumber(words: Int32Array, at: number, packetNumber: number): void {
  words[at] = Math.floor(packetNumber / SPAN);
  words[at + 1] = packetNumber | 0;
}

export function numberOf(words: Int32Array, at: number): number {
  return words[at]! * SPAN + (words[at + 1]! >>> 0);
}

/** Seals each datagram of a train, of which header and plaintext stand where they belong. `near`: close to their packet numbers. */
export function sealTrain(
  aead: Aead,
  near: number,
  block: Block,
  offset: number,
  length: number,
  segment: number,
): void {
  for (let at = 0; at < length; at += segment) {
    const from = offset + at;
    const bytes = Math.min(segment, length - at);
    const packetNumber = expandPacketNumber(block.view.getUint32(from + 2), near);
    const body = from + HEADER_BYTES;
    const plain = bytes - HEADER_BYTES - TAG_BYTES;
    aead.seal(block.bytes[from + 1]!, packetNumber, block, from, HEADER_BYTES, block, body, plain);
  }
}

/** By the first byte of a datagram. */
export function isHandshake(typeAndFlags: number): boolean {
  return (typeAndFlags & TYPE_MASK) < Type.data;
}

/** The keys that open datagrams, by a worker's view of them. */
export interface Openers {
  /** The place of the key that a receiver index names; -1 for none. */
  placeOf(index: number): number;
  /** About where the packet numbers of a path are; -1 while nobody knows. */
  expected(place: number, pathId: number): number;
  /** Null: it is gone. */
  aeadOf(place: number, generation: number): Aead | null;
  generationOf(place: number): number;
}

/** Opens the datagrams of a batch whose keys and packet numbers are known, and notes what was found. */
export function openBatch(slot: Slot, length: number, segment: number, keys: Openers): void {
  const { words, block } = slot;
  words[LENGTH] = length;
  words[SEGMENT] = segment;
  let at = FOUND;
  let from = 0;
  for (let i = 0; i < FOUND_MOST && from < length; i++, from += segment, at += FOUND_WORDS) {
    words[at] = 0;
    const bytes = Math.min(segment, length - from);
    if (bytes < MIN_DATAGRAM_BYTES) continue;
    const place = isHandshake(block.bytes[from]!) ? -1 : keys.placeOf(block.view.getUint32(from + 6));
    if (place < 0) continue;
    const pathId = block.bytes[from + 1]!;
    const expected = keys.expected(place, pathId);
    const generation = keys.generationOf(place);
    const aead = expected < 0 ? null : keys.aeadOf(place, generation);
    if (aead === null) continue;
    const packetNumber = expandPacketNumber(block.view.getUint32(from + 2), expected);
    words[at] = place + 1;
    words[at + 1] = generation;
    setNumber(words, at + 2, packetNumber);
    words[at + 4] = aead.open(pathId, packetNumber, block, from, bytes, HEADER_BYTES) ? 1 : 0;
  }
}

/** What a worker has found out about the datagrams of the batch that was taken last. */
export class Findings {
  private readonly words = new Int32Array(BATCHES.words);
  private block: Block | null = null;

  /** A batch was copied out of its slot to the start of `block`. */
  note(slot: Slot, block: Block): void {
    this.words.set(slot.words);
    this.block = block;
  }

  /** Where it is noted what was found of a datagram; -1: it is as it came. */
  of(block: Block, offset: number): number {
    if (block !== this.block) return -1;
    const i = offset / this.words[SEGMENT]!;
    const at = FOUND + i * FOUND_WORDS;
    return i < FOUND_MOST && this.words[at] !== 0 ? at : -1;
  }

  /** True when this key has shown this packet number to be authentic. */
  agree(at: number, place: number, generation: number, packetNumber: number): boolean {
    const { words } = this;
    return (
      words[at] === place + 1 &&
      words[at + 1] === generation &&
      numberOf(words, at + 2) === packetNumber &&
      words[at + 4] === 1
    );
  }
}
