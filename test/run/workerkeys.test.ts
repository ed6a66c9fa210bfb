import { expect, test } from "bun:test";
import { WorkerKeys } from "../../src/run/workerkeys.ts";
import { plainBlock } from "../../src/share/block.ts";
import { KeyTable, LISTED } from "../../src/share/keytable.ts";

const memory = plainBlock(KeyTable.bytes);

/** A table as a worker sees it, which counts looks at places. */
class Watched extends KeyTable {
  looks = 0;
  /** Called at each look. */
  meanwhile = () => {};

  override generationOf(place: number): number {
    this.looks++;
    this.meanwhile();
    return super.generationOf(place);
  }
}

class Bed {
  readonly owner: KeyTable;
  readonly seen: Watched;
  readonly keys: WorkerKeys;
  /** Places by receiver index. */
  readonly places = new Map<number, number>();
  private index = 0;

  constructor() {
    memory.bytes.fill(0);
    this.owner = new KeyTable(memory);
    this.seen = new Watched(memory);
    this.keys = new WorkerKeys(this.seen);
  }

  put(count: number): void {
    for (let i = 0; i < count; i++) {
      this.places.set(++this.index, this.owner.put(new Uint8Array(32).fill(this.index), 1, this.index));
    }
  }

  /** Those put in first. */
  remove(count: number): void {
    for (const [index, place] of [...this.places].slice(0, count)) {
      this.owner.remove(place);
      this.places.delete(index);
    }
  }

  expectAll(): void {
    for (let index = 1; index <= this.index; index++)
      expect(this.keys.placeOf(index)).toBe(this.places.get(index) ?? -1);
  }
}

test.each([1, 7, LISTED - 1, LISTED, LISTED + 1, 3 * LISTED])(
  "after %p changes at a time a worker knows all keys, and none that went",
  (changes) => {
    const bed = new Bed();
    for (let round = 0; round < 4; round++) {
      bed.put(changes);
      bed.keys.refresh();
      bed.expectAll();
      bed.remove(Math.ceil(changes / 2));
      bed.keys.refresh();
      bed.expectAll();
    }
  },
);

test("one change costs as little among thousands of keys as among few", () => {
  const looks = [10, 5000].map((count) => {
    const bed = new Bed();
    bed.put(count);
    bed.keys.refresh();
    bed.seen.looks = 0;
    bed.put(1);
    bed.keys.refresh();
    bed.expectAll();
    return bed.seen.looks;
  });
  expect(looks[1]).toBe(looks[0]!);
});

test("changes that come while others are looked at are missed by nobody", () => {
  const bed = new Bed();
  bed.put(10);
  let once = true;
  bed.seen.meanwhile = () => {
    if (!once) return;
    once = false;
    // So many that the list says nothing more of the first, but all of what is new with the next look.
    bed.put(LISTED - 5);
  };
  bed.keys.refresh();
  // What came meanwhile is seen now, or with the next look.
  bed.keys.refresh();
  bed.expectAll();
});
