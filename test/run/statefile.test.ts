/** A file that holds what was written last, however long the disk takes. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { StateFile } from "../../src/run/statefile.ts";

let directory: string;
let file: StateFile;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "portal-state-"));
  file = new StateFile(join(directory, "state.json"));
});

afterEach(() => rmSync(directory, { recursive: true }));

test("what is written at once is not replaced by what was begun before it", async () => {
  const slow = file.write("old");
  file.writeNow("new");
  await slow;
  expect(file.read()).toBe("new");
  await file.write("newer");
  expect([file.read(), file.writing]).toEqual(["newer", false]);
});

test("nor is what is written last", async () => {
  const slow = file.write("old");
  file.finish("last");
  await slow;
  expect(file.read()).toBe("last");
});

test("one that cannot be written says so, and may be tried again", async () => {
  const missing = new StateFile(join(directory, "none", "state.json"));
  await expect(missing.write("text")).rejects.toThrow("ENOENT");
  expect(missing.writing).toBe(false);
  missing.writeNow("text");
  expect(existsSync(missing.path)).toBe(true);
});
