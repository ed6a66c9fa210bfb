import { expect, test } from "bun:test";
import fc from "fast-check";
import { ResendQueue } from "../../src/proto/resends.ts";

test("nothing comes from an empty queue", () => {
  const queue = new ResendQueue();
  expect(queue.shift()).toBe(-1);
  expect(queue.length).toBe(0);
});

test("positions of 32 bits come back as they went in", () => {
  const queue = new ResendQueue();
  for (const position of [0, 2 ** 31, 2 ** 32 - 1]) queue.push(position);
  expect([queue.shift(), queue.shift(), queue.shift()]).toEqual([0, 2 ** 31, 2 ** 32 - 1]);
});

test("is a queue, whatever is pushed and taken, and grows while it wraps", () => {
  const steps = fc.array(fc.integer({ min: -400, max: 400 }), { maxLength: 60 });
  fc.assert(
    fc.property(steps, (runs) => {
      const queue = new ResendQueue();
      const model: number[] = [];
      let next = 0;
      for (const run of runs) {
        for (let i = 0; i < run; i++) {
          queue.push(next);
          model.push(next++);
        }
        for (let i = 0; i < -run; i++) expect(queue.shift()).toBe(model.shift() ?? -1);
        expect(queue.length).toBe(model.length);
      }
      while (model.length > 0) expect(queue.shift()).toBe(model.shift()!);
      expect(queue.shift()).toBe(-1);
    }),
  );
});
