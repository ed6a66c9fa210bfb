import { expect, test } from "bun:test";
import fc from "fast-check";
import { Agenda, type Planned } from "../../src/proto/agenda.ts";

class Thing implements Planned {
  place = -1;
  at: number;

  constructor(at: number) {
    this.at = at;
  }
}

test("nothing is due of nothing", () => {
  const agenda = new Agenda<Thing>();
  expect(agenda.nextAt).toBe(Number.POSITIVE_INFINITY);
  expect(agenda.due(Number.POSITIVE_INFINITY)).toBeNull();
});

test("a thing that is in none keeps its time, and is taken out in vain", () => {
  const agenda = new Agenda<Thing>();
  const thing = new Thing(5);
  agenda.move(thing, 3);
  agenda.remove(thing);
  expect([thing.at, thing.place, agenda.length]).toEqual([3, -1, 0]);
  agenda.add(thing);
  expect(agenda.nextAt).toBe(3);
});

test("beside a slow model: the first is the first, whatever moves, comes and goes", () => {
  const time = fc.oneof(fc.integer({ min: 0, max: 20 }), fc.constant(Number.POSITIVE_INFINITY));
  const step = fc.oneof(
    { weight: 3, arbitrary: fc.record({ add: time }) },
    { weight: 4, arbitrary: fc.record({ move: fc.nat(), to: time }) },
    { weight: 1, arbitrary: fc.record({ remove: fc.nat() }) },
    { weight: 2, arbitrary: fc.record({ due: time }) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const agenda = new Agenda<Thing>();
      const model = new Set<Thing>();
      const pick = (n: number) => [...model][n % Math.max(model.size, 1)];
      for (const each of steps) {
        if ("add" in each) {
          const thing = new Thing(each.add);
          agenda.add(thing);
          model.add(thing);
        } else if ("move" in each) {
          const thing = pick(each.move);
          if (thing !== undefined) agenda.move(thing, each.to);
        } else if ("remove" in each) {
          const thing = pick(each.remove);
          if (thing === undefined) continue;
          agenda.remove(thing);
          model.delete(thing);
          expect(thing.place).toBe(-1);
        } else {
          const first = Math.min(...[...model].map(({ at }) => at));
          const due = agenda.due(each.due);
          if (first > each.due || model.size === 0) {
            expect(due).toBeNull();
          } else {
            expect(due?.at).toBe(first);
            expect(model.delete(due!)).toBe(true);
          }
        }
        expect(agenda.length).toBe(model.size);
        expect(agenda.nextAt).toBe(Math.min(...[...model].map(({ at }) => at)));
      }
    }),
  );
});
