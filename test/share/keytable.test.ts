import { expect, test } from "bun:test";
import { plainBlock } from "../../src/share/block.ts";
import { KeyTable, PLACES, type SharedKey } from "../../src/share/keytable.ts";

const memory = plainBlock(KeyTable.bytes);

function makeTable(): KeyTable {
  memory.bytes.fill(0);
  return new KeyTable(memory);
}

function keyOf(seed: number): Uint8Array {
  return Uint8Array.from({ length: 32 }, (_, i) => (seed * 37 + i * 11) & 0xff);
}

function entry(): SharedKey {
  return { key: new Uint8Array(32), generation: 0, suite: 0, opens: false, index: 0 };
}

test("what is put in is read as it was, by whoever has the memory", () => {
  const table = makeTable();
  const other = new KeyTable(memory);
  expect([other.top, other.changes]).toEqual([0, 0]);
  expect(table.put(keyOf(1), 1, null)).toBe(0);
  expect(table.put(keyOf(2), 2, 0xfedc_ba98)).toBe(1);
  expect([other.top, other.changes]).toEqual([2, 2]);
  const [first, second] = [entry(), entry()];
  expect([other.read(0, first), other.read(1, second), other.read(2, entry())]).toEqual([true, true, false]);
  expect(first).toMatchObject({ key: keyOf(1), suite: 1, opens: false });
  expect(second).toMatchObject({ key: keyOf(2), suite: 2, opens: true, index: 0xfedc_ba98 });
  expect(second.generation).toBe(other.generationOf(1));
});

test("a key that is taken out is wiped, and its place is another's with another generation", () => {
  const table = makeTable();
  table.put(keyOf(1), 1, 5);
  const { changes } = table;
  const generation = table.generationOf(0);
  const before = Buffer.from(keyOf(1));
  expect(Buffer.from(memory.bytes).includes(before)).toBe(true);
  table.remove(0);
  expect(Buffer.from(memory.bytes).includes(before)).toBe(false);
  expect([table.read(0, entry()), table.changes === changes]).toEqual([false, false]);
  expect(table.put(keyOf(2), 1, 6)).toBe(0);
  expect(table.generationOf(0)).not.toBe(generation);
  expect(table.top).toBe(1);
});

test("a place that changes while it is read is not taken for whole", () => {
  const table = makeTable();
  table.put(keyOf(1), 1, 5);
  const load = Atomics.load;
  let loads = 0;
  (Atomics as { load: unknown }).load = (...args: Parameters<typeof load>) => {
    if (loads++ === 6) {
      table.remove(0);
      table.put(keyOf(2), 1, 6);
    }
    return load(...args);
  };
  try {
    expect(table.read(0, entry())).toBe(false);
  } finally {
    Atomics.load = load;
  }
  expect(loads).toBeGreaterThan(6);
  expect(table.read(0, entry())).toBe(true);
});

test.each([0, 1, 2 ** 30 - 1, 2 ** 30, 2 ** 32 - 1, 2 ** 32, 2 ** 45 + 7])(
  "packet number %p is found by its hint and 32 bits",
  (packetNumber) => {
    const table = makeTable();
    const place = table.put(keyOf(1), 1, 5);
    expect(table.expected(place, 3)).toBe(-1);
    table.hint(place, 3, packetNumber);
    expect(table.expected(place, 4)).toBe(-1);
    expect(Math.abs(table.expected(place, 3) - packetNumber)).toBeLessThanOrEqual(2 ** 29);
    // Of whoever has the place next, nothing is known.
    table.remove(place);
    expect(table.put(keyOf(2), 1, 6)).toBe(place);
    expect(table.expected(place, 3)).toBe(-1);
  },
);

test("a full table says so, and has room again when a key is taken out", () => {
  const table = makeTable();
  let places = 0;
  while (table.put(keyOf(3), 1, null) >= 0) places++;
  expect(places).toBe(PLACES);
  table.remove(77);
  expect([table.put(keyOf(4), 1, null), table.put(keyOf(5), 1, null)]).toEqual([77, -1]);
});
