/** The arm64 program's commands that need no network, on the processor of a Raspberry Pi 4. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { version } from "../../package.json" with { type: "json" };
import { arm64Command, arm64Program, buildArm64Program } from "./emulator.ts";

const folder = mkdtempSync(join(tmpdir(), "portal-arm64-"));

interface Outcome {
  readonly exitCode: number;
  readonly out: string;
  readonly err: string;
}

function run(args: readonly string[], input = ""): Outcome {
  const child = Bun.spawnSync(arm64Command(...args), { stdin: Buffer.from(input), cwd: folder });
  return { exitCode: child.exitCode, out: child.stdout.toString(), err: child.stderr.toString() };
}

function base64(hex: string): string {
  return Buffer.from(hex, "hex").toString("base64");
}

beforeAll(buildArm64Program, 120_000);
afterAll(() => rmSync(folder, { recursive: true }));

test("is a program for arm64", () => {
  const header = readFileSync(arm64Program).subarray(0, 20);
  expect(header.subarray(0, 4).toString("latin1")).toBe("\x7fELF");
  // ELF header: e_machine, 183 = EM_AARCH64.
  expect(header.readUInt16LE(18)).toBe(183);
});

test("tells its version", () => {
  const { exitCode, out } = run(["--version"]);
  expect(exitCode).toBe(0);
  expect(out).toContain(version);
});

test("makes private keys, each another", () => {
  const keys = [run(["keygen"]).out, run(["keygen"]).out];
  for (const key of keys) expect(key).toMatch(/^[A-Za-z0-9+/]{43}=\n$/);
  expect(keys[0]).not.toBe(keys[1]!);
});

// RFC 7748, section 6.1: the key pairs of Alice and Bob.
const keyPairs = [
  [
    "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
    "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
  ],
  [
    "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
    "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
  ],
] as const;

test.each(keyPairs)("makes the public key of %s", (privateKey, publicKey) => {
  const { exitCode, out } = run(["pubkey"], `${base64(privateKey)}\n`);
  expect(exitCode).toBe(0);
  expect(out).toBe(`${base64(publicKey)}\n`);
});

const remoteConfig = `
role = "remote"

[tunnel]
interface = "portal0"
addresses = ["10.77.0.1/24", "fd77::1/64"]

[keys]
private_key = "${base64(keyPairs[0][0])}"

[listen]
port = 51900

[[peer]]
name = "home"
public_key = "${base64(keyPairs[1][1])}"
addresses = ["10.77.0.2/32", "fd77::2/128"]
`;

function check(config: string): Outcome {
  const file = join(folder, "portal.toml");
  writeFileSync(file, config, { mode: 0o600 });
  return run(["check", "--toml", file]);
}

test("finds a configuration right", () => {
  const { exitCode, err } = check(remoteConfig);
  expect(err).toBe("");
  expect(exitCode).toBe(0);
});

test("finds a misspelt key, and says where it is and what to write", () => {
  const { exitCode, err } = check(remoteConfig.replace("interface", "interfaec"));
  expect(exitCode).not.toBe(0);
  expect(err).toContain("portal.toml:5:1");
  expect(err).toContain("interfaec");
  expect(err).toMatch(/interface\b/);
});
