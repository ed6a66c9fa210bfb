/** The example file: both halves are right once the keys are filled in, and every key is explained. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { HostConfig } from "../../src/config/config.ts";
import { SECTIONS } from "../../src/config/keys.ts";
import { configOf, keyText, parseText } from "./source.ts";

const example = readFileSync(join(import.meta.dir, "../../portal.toml.example"), "utf8");
const border = example.split("\n").findIndex((line) => line.includes("=== REMOTE PORTAL ==="));
const localHalf = example.split("\n").slice(0, border).join("\n");
const remoteHalf = example.split("\n").slice(border).join("\n");

const files = { "/etc/portal/private.key": { text: keyText(1), mode: 0o600 } };
const fillIn = (text: string) => text.replace(/"PUBLIC KEY OF THE .*"/, `"${keyText(9)}"`);
/** Deletes the "#" of every line that is no explanation. */
const uncomment = (text: string) => text.replace(/^#(?=[a-z[])/gm, "");

test("the local half is right as it stands", () => {
  const config = configOf(fillIn(localHalf), files);
  expect(config.role).toBe("local");
  expect(config.role === "local" && config.paths.map((path) => path.interface)).toEqual(["eth0", "wwan0"]);
});

test("the defaults it shows are the defaults", () => {
  const shown = configOf(fillIn(uncomment(localHalf)), files);
  const short = configOf(fillIn(localHalf), files);
  if (shown.role !== "local" || short.role !== "local") throw new Error("not local");
  // A path and a handover more are no defaults.
  const host: HostConfig = { ...shown.host, handovers: [] };
  expect({ ...shown, host, paths: shown.paths.slice(0, 1) }).toEqual({
    ...short,
    paths: short.paths.slice(0, 1),
  });
  expect(shown.host.handovers).toMatchObject([{ interface: "eth1" }]);
  expect(shown.paths[2]).toMatchObject({ congestion: "fixed", upBytesPerSecond: 1_250_000 });
});

test("the remote half is right without its signs", () => {
  const text = fillIn(uncomment(remoteHalf));
  const config = configOf(text, files);
  if (config.role !== "remote") throw new Error("not remote");
  const listen = text.slice(text.indexOf("[listen]"), text.indexOf("# One [[peer]]"));
  expect(configOf(text.replace(listen, ""), files)).toEqual(config);
});

test("it cannot be used before the keys are filled in", () => {
  const result = parseText(localHalf, files);
  expect("faults" in result && result.faults.map((fault) => fault.message)).toEqual([
    "public_key is no key: a key is 44 characters of base64, this is 31",
  ]);
});

test("every key of both portals stands in it, in its section", () => {
  for (const [section, { keys, role }] of Object.entries(SECTIONS)) {
    const half = role === "remote" ? remoteHalf : localHalf;
    const parts = half.split(/^(?=#?\[)/m);
    const header = new RegExp(`^#?\\[+${section}\\]`);
    const part = (section === "" ? [parts[0]!] : parts.filter((text) => header.test(text))).join("");
    for (const key of Object.keys(keys)) expect(part).toMatch(new RegExp(`\\b${key}\\b( =|.* as above)`));
  }
});

test("its lines fit a terminal", () => {
  expect(example.split("\n").filter((line) => line.length > 120)).toEqual([]);
});
