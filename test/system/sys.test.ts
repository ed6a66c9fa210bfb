/**
 * The tests of src/sys on an arm64 kernel with the pages of a Raspberry Pi 5: layouts of structures, numbers of ioctls,
 * libcrypto, each by itself.
 */
import { expect } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { arm64Program } from "../arm64/emulator.ts";
import { Archive } from "./archive.ts";
import type { Kernel } from "./image.ts";
import { Machine, START_SHELL } from "./machine.ts";
import { onKernel } from "./scenario.ts";

const ROOT = join(import.meta.dir, "../..");
/** Packages that the tests and what they test import. */
const PACKAGES = ["@noble/hashes", "fast-check", "pure-rand"];
const SECONDS = 180;

const KERNEL: Kernel = "16k";

onKernel(import.meta.path, "passes the tests of src/sys", KERNEL, { paths: [] }, async (lab) => {
  const files = new Archive();
  files.file("start", `ip link set lo up\n${START_SHELL}`);
  files.file("usr/bin/portal", readFileSync(arm64Program), 0o755);
  const add = (pattern: string): void => {
    for (const path of new Bun.Glob(pattern).scanSync(ROOT))
      files.file(`repo/${path}`, readFileSync(join(ROOT, path)));
  };
  for (const each of ["src", "test/sys"]) add(`${each}/**/*.ts`);
  for (const each of PACKAGES) add(`node_modules/${each}/**/*.{js,json}`);
  const machine = await Machine.boot(lab, "local", { kernel: KERNEL, cards: [], files });
  // The program holds all of Bun, and is it when it is told so.
  const run = "cd /repo && BUN_BE_BUN=1 portal test --timeout 60000 ./test/sys/ 2>&1";
  const { code, stdout } = await machine.exec(run, SECONDS);
  console.log(stdout);
  expect(code).toBe(0);
});
