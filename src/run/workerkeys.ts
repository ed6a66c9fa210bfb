/** A worker's view of the shared keys (share/keytable.ts): which there are, and what is made of one when it is first used. */
import type { Aead, CipherSuite } from "../share/io.ts";
import { type KeyTable, LISTED, type SharedKey } from "../share/keytable.ts";
import { chooseSuites } from "../sys/aead.ts";
import type { Openers } from "./handiwork.ts";

export class WorkerKeys implements Openers {
  private readonly table: KeyTable;
  private readonly suites: readonly (CipherSuite | null)[] = Object.values(chooseSuites());
  /** By place: the generation that was seen there last, the receiver index it opens, the AEAD of it if it was needed. */
  private readonly generations: number[] = [];
  private readonly indices: number[] = [];
  private readonly aeads: (Aead | undefined)[] = [];
  private readonly places = new Map<number, number>();
  private readonly entry: SharedKey = {
    key: new Uint8Array(32),
    generation: 0,
    suite: 0,
    opens: false,
    index: 0,
  };
  private seen = 0;

  constructor(table: KeyTable) {
    this.table = table;
  }

  /** Learns of keys that came, and forgets those that went. */
  refresh(): void {
    const { table, seen } = this;
    const { changes } = table;
    if (changes === seen) return;
    this.seen = changes;
    if (((changes - seen) | 0) <= LISTED) {
      for (let change = seen; change !== changes; change = (change + 1) | 0)
        this.renew(table.changedAt(change));
    }
    // Where those before are listed, others may be by now.
    if (((table.changes - seen) | 0) > LISTED) {
      for (let place = table.top - 1; place >= 0; place--) this.renew(place);
    }
    this.entry.key.fill(0);
  }

  placeOf(index: number): number {
    return this.places.get(index) ?? -1;
  }

  expected(place: number, pathId: number): number {
    return this.table.expected(place, pathId);
  }

  generationOf(place: number): number {
    return this.generations[place]!;
  }

  aeadOf(place: number, generation: number): Aead | null {
    if (this.generations[place] !== generation) this.look(place);
    const known = this.aeads[place];
    if (known !== undefined) return known;
    const { entry } = this;
    if (!this.table.read(place, entry) || entry.generation !== generation) return null;
    const suite = this.suites.find((each) => each?.id === entry.suite);
    if (suite == null) throw new Error(`no cipher suite ${entry.suite}`);
    const aead = suite.aead(entry.key);
    entry.key.fill(0);
    this.aeads[place] = aead;
    return aead;
  }

  private renew(place: number): void {
    if (this.generations[place] !== this.table.generationOf(place)) this.look(place);
  }

  /** Another key has this place, or none. */
  private look(place: number): void {
    const { entry, indices, places } = this;
    this.aeads[place]?.close();
    this.aeads[place] = undefined;
    const index = indices[place] ?? -1;
    // The index may have come to another place since.
    if (index >= 0 && places.get(index) === place) places.delete(index);
    indices[place] = -1;
    this.generations[place] = 0;
    if (!this.table.read(place, entry)) return;
    this.generations[place] = entry.generation;
    if (!entry.opens) return;
    indices[place] = entry.index;
    places.set(entry.index, place);
  }
}
