import { expect, test } from "bun:test";
import { createLog, LOG_LEVELS } from "../../src/run/log.ts";

test.each(LOG_LEVELS)("at level %s, what is less urgent is dropped", (level) => {
  const lines: string[] = [];
  const log = createLog(level, (line) => lines.push(line));
  for (const name of LOG_LEVELS) log[name](`a ${name}`);
  const expected = LOG_LEVELS.slice(0, LOG_LEVELS.indexOf(level) + 1).map((name) => `${name} a ${name}`);
  expect(lines).toEqual(expected);
});

test("one message is one line", () => {
  const lines: string[] = [];
  createLog("info", (line) => lines.push(line)).warn("first\n  second\r\nthird\n");
  expect(lines).toEqual(["warn first / second / third"]);
});

/** What a process with standard error at a pipe writes; `journal` makes the variable name that pipe. */
function written(journal: "none" | "this" | "another"): string {
  const code = `
    import { fstatSync } from "node:fs";
    import { createLog } from ${JSON.stringify(`${import.meta.dir}/../../src/run/log.ts`)};
    const { dev, ino } = fstatSync(2);
    const stream = { none: undefined, this: dev + ":" + ino, another: dev + ":" + (ino + 1) }[process.argv[1]];
    if (stream === undefined) delete process.env.JOURNAL_STREAM; else process.env.JOURNAL_STREAM = stream;
    createLog("info").info("hello");
  `;
  return Bun.spawnSync([process.execPath, "-e", code, journal]).stderr.toString();
}

test("standard error has the time, unless it is the journal", () => {
  expect(written("none")).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z info hello\n$/);
  expect(written("another")).toMatch(/^\d{4}-.*Z info hello\n$/);
  expect(written("this")).toBe("info hello\n");
});
