/** The work that is shared out: trains sealed later, batches opened before, as if the portal's own thread had done it. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { BATCHES, type Findings, isHandshake, openBatch } from "../../src/run/handiwork.ts";
import { Desk, type LaneAead } from "../../src/run/laneaead.ts";
import { WorkerKeys } from "../../src/run/workerkeys.ts";
import type { Block } from "../../src/share/block.ts";
import type { Aead, CipherSuite } from "../../src/share/io.ts";
import { KeyTable } from "../../src/share/keytable.ts";
import { Lane, type Slot } from "../../src/share/lane.ts";
import { chooseSuites } from "../../src/sys/aead.ts";
import { nativeBlock, nativeCopy, sharedBlock } from "../../src/sys/memory.ts";
import { HEADER_BYTES, TAG_BYTES, Type, writeHeader } from "../../src/wire/datagram.ts";

const INDEX = 0xc0ff_ee00;
const PATH = 3;
const KEY = Uint8Array.from({ length: 32 }, (_, i) => i * 5 + 3);
const OTHER_KEY = new Uint8Array(32).fill(9);
const { aes, chacha, blake2s } = chooseSuites();
const suites: [string, CipherSuite][] = [aes, chacha, blake2s].flatMap((suite) =>
  suite === null ? [] : [[suite.name, suite]],
);

const tableMemory = new SharedArrayBuffer(KeyTable.bytes);
const lane = new Lane(sharedBlock(new SharedArrayBuffer(Lane.bytesFor(BATCHES))), BATCHES);

function makeDesk(): { desk: Desk; table: KeyTable; keys: WorkerKeys; retired: number[] } {
  new Uint8Array(tableMemory).fill(0);
  const retired: number[] = [];
  const table = new KeyTable(sharedBlock(tableMemory));
  const desk = new Desk(table, (place) => retired.push(place));
  return { desk, table, keys: new WorkerKeys(new KeyTable(sharedBlock(tableMemory))), retired };
}

function plaintext(length: number, seed: number): Block {
  const block = nativeBlock(Math.max(length, 1));
  for (let i = 0; i < length; i++) block.bytes[i] = seed * 31 + i;
  return block;
}

/** Seals a datagram of `length` bytes of plaintext at an offset; its bytes. */
function put(aead: Aead, out: Block, offset: number, packetNumber: number, length: number): number {
  writeHeader(out, offset, Type.data, PATH, packetNumber, INDEX);
  aead.seal(PATH, packetNumber, out, offset, HEADER_BYTES, plaintext(length, packetNumber), 0, length);
  return HEADER_BYTES + length + TAG_BYTES;
}

/** A batch of datagrams as a worker receives it. */
function batch(
  aead: Aead,
  first: number,
  count: number,
  length: number,
): { slot: Slot; bytes: number; segment: number } {
  const slot = lane.reserve()!;
  let bytes = 0;
  for (let i = 0; i < count; i++) bytes += put(aead, slot.block, bytes, first + i, length);
  return { slot, bytes, segment: bytes / count };
}

function take({ slot, bytes }: { slot: Slot; bytes: number }, findings: Findings): Block {
  const block = nativeBlock(65_536);
  nativeCopy(block, 0, slot.block, 0, bytes);
  findings.note(slot, block);
  return block;
}

describe.each(suites)("%s", (_, suite) => {
  test("a train that was prepared is sealed as each datagram by itself would have been", () => {
    const { desk } = makeDesk();
    const first = fc.oneof(
      fc.maxSafeNat(),
      fc.integer({ min: -40, max: 40 }).map((d) => 2 ** 32 + d),
    );
    const shape = fc.record({
      first: first.map((number) => Math.max(0, Math.min(number, 2 ** 53 - 100))),
      count: fc.integer({ min: 1, max: 20 }),
      length: fc.integer({ min: 0, max: 300 }),
      last: fc.nat(),
    });
    fc.assert(
      fc.property(shape, ({ first: from, count, length, last }) => {
        const lazy = desk.suite(suite).aead(KEY) as LaneAead;
        const plain = suite.aead(KEY);
        const [a, b] = [nativeBlock(8000), nativeBlock(8000)];
        let bytes = 0;
        for (let i = 0; i < count; i++) {
          const size = i === count - 1 ? last % (length + 1) : length;
          put(plain, b, bytes, from + i, size);
          bytes += put(lazy, a, bytes, from + i, size);
        }
        expect(a.bytes).not.toEqual(b.bytes);
        const segment = count === 1 ? bytes : HEADER_BYTES + length + TAG_BYTES;
        expect(desk.sealer === lazy && desk.packetNumber === from + count - 1).toBe(true);
        lazy.sealHere(desk.packetNumber, a, 0, bytes, segment);
        expect(a.bytes).toEqual(b.bytes);
        lazy.close();
        plain.close();
      }),
      { numRuns: 60 },
    );
  });

  test.each([0, 2 ** 31 + 5, 2 ** 32 - 3, 2 ** 40 + 9])(
    "from packet number %p on: the first is opened here, the others by whoever has the table",
    (first) => {
      const { desk, keys } = makeDesk();
      const plain = suite.aead(KEY);
      const lazy = desk.suite(suite).aead(KEY) as LaneAead;
      keys.refresh();
      const opening = batch(plain, first, 2, 100);
      openBatch(opening.slot, opening.bytes, opening.segment, keys);
      let block = take(opening, desk.findings);
      for (let i = 0; i < 2; i++) {
        expect(desk.findings.of(block, i * opening.segment)).toBe(-1);
        expect(lazy.open(PATH, first + i, block, i * opening.segment, opening.segment, HEADER_BYTES)).toBe(
          true,
        );
      }

      keys.refresh();
      const others = batch(plain, first + 2, 6, 100);
      // One is damaged on the way, one says another number than its own.
      others.slot.block.bytes[3 * others.segment + 40]! ^= 1;
      others.slot.block.bytes[4 * others.segment + 5]! ^= 1;
      openBatch(others.slot, others.bytes, others.segment, keys);
      block = take(others, desk.findings);
      const { segment } = others;
      for (let i = 0; i < 6; i++) {
        expect(desk.findings.of(block, i * segment)).toBeGreaterThan(0);
        expect(lazy.open(PATH, first + 2 + i, block, i * segment, segment, HEADER_BYTES)).toBe(
          i !== 3 && i !== 4,
        );
        if (i === 3 || i === 4) continue;
        const body = block.bytes.slice(i * segment + HEADER_BYTES, (i + 1) * segment - TAG_BYTES);
        expect([...body]).toEqual([...plaintext(100, first + 2 + i).bytes]);
      }
    },
  );

  test("what was found counts for this key, packet number and block only", () => {
    const { desk, table, keys, retired } = makeDesk();
    const plain = suite.aead(KEY);
    const lazy = desk.suite(suite).aead(KEY) as LaneAead;
    const opening = batch(plain, 0, 1, 50);
    openBatch(opening.slot, opening.bytes, opening.segment, keys);
    const block = take(opening, desk.findings);
    expect(lazy.open(PATH, 0, block, 0, opening.bytes, HEADER_BYTES)).toBe(true);
    keys.refresh();

    const next = batch(plain, 1, 2, 50);
    openBatch(next.slot, next.bytes, next.segment, keys);
    const came = take(next, desk.findings);
    expect(lazy.open(PATH, 1 + 2 ** 32, came, 0, next.segment, HEADER_BYTES)).toBe(false);
    const other = desk.suite(suite).aead(OTHER_KEY) as LaneAead;
    // Of the same generation, in a place of its own.
    expect([other.share(INDEX + 1), other.place, other.generation]).toEqual([true, 1, lazy.generation]);
    expect(other.open(PATH, 1, came, 0, next.segment, HEADER_BYTES)).toBe(false);
    expect(lazy.open(PATH, 1, came, 0, next.segment, HEADER_BYTES)).toBe(true);
    // Of another block nothing was found: it is tried, and what is open already is not sealed, if it ever was.
    const copy = nativeBlock(65_536);
    nativeCopy(copy, 0, came, 0, next.bytes);
    expect(lazy.open(PATH, 1, copy, 0, next.segment, HEADER_BYTES)).toBe(!suite.encrypts);

    // The place of a closed key is another's, and what the old one has found is of no use to it.
    lazy.close();
    expect(retired).toEqual([]);
    const third = desk.suite(suite).aead(OTHER_KEY) as LaneAead;
    expect([third.share(INDEX), third.place, table.top]).toEqual([true, 0, 2]);
    expect(third.open(PATH, 2, came, next.segment, next.segment, HEADER_BYTES)).toBe(false);
  });

  test("a worker tries nothing that it knows no key or number of", () => {
    const { desk, keys } = makeDesk();
    const plain = suite.aead(KEY);
    const lazy = desk.suite(suite).aead(KEY) as LaneAead;
    lazy.share(INDEX);
    desk.keys.hint(lazy.place, PATH, 0);
    const untouched = (change: (bytes: Block["bytes"]) => void): boolean => {
      keys.refresh();
      const given = batch(plain, 5, 1, 50);
      change(given.slot.block.bytes);
      const before = given.slot.block.bytes.slice(0, given.bytes);
      openBatch(given.slot, given.bytes, given.segment, keys);
      const block = take(given, desk.findings);
      return desk.findings.of(block, 0) < 0 && Bun.deepEquals(block.bytes.slice(0, given.bytes), before);
    };
    expect(untouched(() => {})).toBe(false);
    // Another index, another path, a handshake message.
    expect(untouched((bytes) => (bytes[6]! ^= 1))).toBe(true);
    expect(untouched((bytes) => (bytes[1] = 7))).toBe(true);
    expect(untouched((bytes) => (bytes[0] = Type.initiation))).toBe(true);
    expect([Type.initiation, Type.cookie, Type.data, Type.close].map(isHandshake)).toEqual([
      true,
      true,
      false,
      false,
    ]);
    lazy.close();
    expect(untouched(() => {})).toBe(true);
  });

  test("any bytes may come", () => {
    const { desk, keys } = makeDesk();
    const lazy = desk.suite(suite).aead(KEY) as LaneAead;
    lazy.share(INDEX);
    desk.keys.hint(lazy.place, PATH, 0);
    keys.refresh();
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 1, maxLength: 400 }),
        fc.integer({ min: 1, max: 500 }),
        (bytes, segment) => {
          const slot = lane.reserve()!;
          slot.block.bytes.set(bytes);
          // Most of them for the key that there is.
          for (let at = 0; at + 10 <= bytes.length; at += segment) {
            slot.block.bytes.set([Type.data, PATH], at);
            slot.block.view.setUint32(at + 6, INDEX);
          }
          openBatch(slot, bytes.length, segment, keys);
          const block = take({ slot, bytes: bytes.length }, desk.findings);
          for (let at = 0; at < bytes.length; at += segment) {
            const length = Math.min(segment, bytes.length - at);
            if (length >= HEADER_BYTES + TAG_BYTES)
              expect(lazy.open(PATH, 0, block, at, length, HEADER_BYTES)).toBe(false);
          }
        },
      ),
    );
  });
});

test("a key that seals keeps its place until its last train is sealed", () => {
  const { desk, retired } = makeDesk();
  const lazy = desk.suite(aes).aead(KEY) as LaneAead;
  put(lazy, nativeBlock(200), 0, 1, 50);
  expect([lazy.share(null), lazy.place]).toEqual([true, 0]);
  lazy.close();
  expect([retired, desk.sealer, desk.keys.generationOf(0) & 1]).toEqual([[0], null, 1]);
});

test("sealing outside its blocks is our own bug", () => {
  const lazy = makeDesk().desk.suite(aes).aead(KEY);
  expect(() => lazy.seal(0, 0, nativeBlock(75), 0, 10, nativeBlock(50), 0, 50)).toThrow("outside");
  expect(() => lazy.seal(0, 0, nativeBlock(99), 0, 10, nativeBlock(50), 1, 50)).toThrow("outside");
});
