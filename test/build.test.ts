/** What a compiled program must not do: run code or take settings from the directory it is started in. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compile } from "../build.ts";

const folder = mkdtempSync(join(tmpdir(), "portal-build-"));
const hostile = join(folder, "hostile");
const entry = join(folder, "entry.ts");
const safe = join(folder, "safe");
const careless = join(folder, "careless");
const architecture = process.arch === "arm64" ? "arm64" : "x64";

function runIn(directory: string, program: string, home: string): string {
  const env = { HOME: home, XDG_CONFIG_HOME: home, PATH: process.env.PATH };
  return Bun.spawnSync([program], { cwd: directory, env, stderr: "inherit" }).stdout.toString();
}

beforeAll(async () => {
  mkdirSync(hostile);
  writeFileSync(entry, 'console.log("program", process.env.INTRUDER ?? "undisturbed");');
  writeFileSync(join(hostile, "intruder.ts"), 'console.log("intruder");');
  writeFileSync(join(hostile, "bunfig.toml"), 'preload = ["./intruder.ts"]\n');
  writeFileSync(join(hostile, ".bunfig.toml"), `preload = ["${hostile}/intruder.ts"]\n`);
  writeFileSync(join(hostile, ".env"), "INTRUDER=disturbed\n");
  writeFileSync(join(hostile, "package.json"), '{ "name": "intruder" }');
  await compile(entry, architecture, safe);
  await Bun.build({ entrypoints: [entry], compile: { outfile: careless } });
});

afterAll(() => rmSync(folder, { recursive: true }));

test("takes nothing from the directory it is started in", () => {
  expect(runIn(hostile, safe, folder)).toBe("program undisturbed\n");
});

test("takes nothing from the home directory's bunfig", () => {
  expect(runIn(folder, safe, hostile)).toBe("program undisturbed\n");
});

test("would, with Bun's default options", () => {
  expect(runIn(hostile, careless, folder)).toBe("intruder\nprogram disturbed\n");
});
