/** The small parts of the laboratory: commands, configuration text, queues, gaps, lateness, memory. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parse } from "smol-toml";
import { lineSettings, parseCommand, wrongOptions } from "../../src/lab/command.ts";
import { Gaps } from "../../src/lab/gaps.ts";
import { Lateness } from "../../src/lab/lateness.ts";
import { SLOT_BYTES, SlotPool } from "../../src/lab/pool.ts";
import { PacketRing } from "../../src/lab/ring.ts";
import { formatToml, mergeToml, type TomlTable } from "../../src/lab/toml.ts";
import { plainBlock } from "../../src/share/block.ts";

describe("a command", () => {
  test("sets a line, of one direction or both", () => {
    expect(parseCommand('{"path":1,"direction":"down","set":{"mbit":20}}')).toEqual({
      kind: "set",
      path: 1,
      direction: "down",
      set: { mbit: 20 },
    });
    expect(parseCommand('{"path":0,"set":{"cut":true}}')).toMatchObject({
      direction: null,
      set: { cut: true },
    });
    expect(parseCommand('{"stats":true}')).toEqual({ kind: "stats" });
  });

  test.each([
    ["{", "not JSON"],
    ["7", "not an object"],
    ["null", "not an object"],
    ["[]", "not an object"],
    ["{}", "path must be a number"],
    ['{"path":-1,"set":{}}', "path must be a number"],
    ['{"path":0,"direction":"left","set":{}}', "direction must be up or down"],
    ['{"path":0}', "set must be an object"],
    ['{"path":0,"set":{"speed":1}}', 'unknown setting "speed"'],
    ['{"path":0,"set":{"mbit":-1}}', "mbit must be a number, 0 or more"],
    ['{"path":0,"set":{"mbit":1e300}}', "mbit must be a number, 0 or more"],
    ['{"path":0,"set":{"delayMs":null}}', "delayMs must be a number, 0 or more"],
    ['{"path":0,"set":{"loss":2}}', "loss must be a share, 0 to 1"],
    ['{"path":0,"set":{"cut":1}}', "cut must be true or false"],
    ['{"path":0,"set":{"trace":5}}', "trace must be a file's path"],
    ['{"path":0,"set":{"traceFromMs":5}}', "traceFromMs goes with a trace"],
    ['{"path":0,"set":{"trace":"a","traceFromMs":-1}}', "traceFromMs must be a number, 0 or more"],
  ])("%s is refused: %s", (line, message) => {
    expect(parseCommand(line)).toBe(message);
  });

  test("any text is a command or a message", () => {
    const commands = fc.record({ path: fc.anything(), direction: fc.anything(), set: fc.anything() });
    const lines = fc.oneof(
      fc.string(),
      fc.json(),
      commands.map((value) => JSON.stringify(value) ?? ""),
    );
    fc.assert(fc.property(lines, (line) => ["string", "object"].includes(typeof parseCommand(line))));
  });

  test("says everything in the line model's units", () => {
    const trace = new Float64Array([1000]);
    const options = {
      mbit: 20,
      burstBytes: 3000,
      delayMs: 40,
      jitterMs: 2,
      queueMs: null,
      loss: 0.01,
      cut: false,
      trace: "file",
      traceFromMs: 5,
    };
    expect(wrongOptions(options)).toBeNull();
    expect(lineSettings(options, trace)).toEqual({
      rateBitsPerSecond: 20e6,
      burstBytes: 3000,
      delayMicros: 40_000,
      jitterMicros: 2000,
      queueMicros: Number.POSITIVE_INFINITY,
      loss: 0.01,
      cut: false,
      trace,
    });
    expect(lineSettings({}, null)).toEqual({});
    expect(lineSettings({ mbit: null, trace: null }, null)).toEqual({
      rateBitsPerSecond: Number.POSITIVE_INFINITY,
      trace: null,
    });
  });
});

describe("a configuration file", () => {
  const word = fc.stringMatching(/^[a-z_]{1,8}$/);
  const plain = fc.oneof(
    fc.string(),
    fc.boolean(),
    fc.integer(),
    fc.array(fc.string({ minLength: 1 }), { minLength: 1 }),
  );
  const leaf = fc.dictionary(word, plain, { noNullPrototype: true });
  const table = fc.dictionary(word, fc.oneof(plain, leaf, fc.array(leaf, { minLength: 1 })), {
    noNullPrototype: true,
  });

  test("reads back as it was written", () => {
    fc.assert(
      fc.property(table, (value) => expect(parse(formatToml(value as TomlTable)) as unknown).toEqual(value)),
    );
  });

  test("is changed by what is laid over it", () => {
    const base = {
      role: "local",
      tunnel: { mtu: 1440, interface: "portal0" },
      path: [{ interface: "a" }, { interface: "b" }],
    };
    const over = {
      tunnel: { mtu: 1300, interface: undefined },
      path: [{ metric: 1 }, {}, { interface: "c" }],
    };
    expect(mergeToml(base, over)).toEqual({
      role: "local",
      tunnel: { mtu: 1300 },
      path: [{ interface: "a", metric: 1 }, { interface: "b" }, { interface: "c" }],
    });
    expect(base.tunnel.interface).toBe("portal0");
  });
});

test("a ring gives packets back in order, whatever is pushed and taken", () => {
  const steps = fc.array(fc.boolean(), { maxLength: 400, size: "max" });
  fc.assert(
    fc.property(steps, (pushes) => {
      const ring = new PacketRing<number>();
      const model: number[] = [];
      for (const [i, push] of pushes.entries()) {
        if (push) {
          ring.push(i, i * 2, i * 3, i & 255);
          model.push(i);
        } else if (model.length > 0) {
          const first = model.shift()!;
          expect([ring.item, ring.bytes, ring.time, ring.mark]).toEqual([
            first,
            first * 2,
            first * 3,
            first & 255,
          ]);
          ring.drop();
        }
        expect(ring.length).toBe(model.length);
      }
    }),
  );
});

test("gaps: the longest silence, the present one included", () => {
  const gaps = new Gaps(0);
  gaps.arrived(10);
  gaps.arrived(40);
  gaps.arrived(45);
  expect(gaps.take(50)).toBe(30);
  expect(gaps.take(100)).toBe(55);
  gaps.arrived(145);
  expect(gaps.take(150)).toBe(100);
});

test("lateness: percentiles in steps of ten microseconds, from one question to the next", () => {
  const lateness = new Lateness();
  for (let i = 0; i < 100; i++) lateness.add(i * 10);
  expect(lateness.take()).toEqual({ p50: 500, p99: 990, max: 990 });
  expect(lateness.take()).toEqual({ p50: 0, p99: 0, max: 0 });
  lateness.add(-5);
  lateness.add(1e9);
  expect(lateness.take()).toEqual({ p50: 10, p99: 50_000, max: 1e9 });
});

test("a pool never gives a slot twice, and slots do not overlap", () => {
  const pool = new SlotPool(plainBlock);
  const slots = Array.from({ length: 2500 }, () => pool.take());
  expect(pool.used).toBe(2500);
  const places = slots.map((slot) => {
    const offset = pool.offset(slot);
    expect(offset + SLOT_BYTES).toBeLessThanOrEqual(pool.block(slot).bytes.length);
    return `${slot >> 10} ${offset}`;
  });
  expect(new Set(places).size).toBe(2500);
  for (const slot of slots) pool.give(slot);
  expect(pool.used).toBe(0);
});
