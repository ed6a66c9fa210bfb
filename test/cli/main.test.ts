import { afterAll, describe, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import pkg from "../../package.json";
import { formatKey } from "../../src/config/key.ts";
import { LOCAL } from "../config/source.ts";
import { portal } from "./program.ts";

const directory = mkdtempSync("/tmp/portal-cli-");
afterAll(() => rmSync(directory, { recursive: true }));

function write(name: string, text: string, mode = 0o600): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
}

const right = write("right.toml", LOCAL);
const wrong = write("wrong.toml", LOCAL.replace("interface", "interfce"));

describe("usage", () => {
  const table: [args: string[], line: string][] = [
    [["chek"], 'unknown command "chek": did you mean "portal check"?'],
    [["x"], 'unknown command "x": "portal --help" lists all'],
    [["__proto__"], 'unknown command "__proto__": "portal --help" lists all'],
    [["my.toml"], 'unknown command "my.toml": write portal --toml my.toml'],
    [["--tolm"], 'unknown flag "--tolm" of "portal": did you mean "--toml"?'],
    [["--toml", right, "x"], 'unexpected "x": "portal --help" shows what it takes'],
    [["--json", "status"], "the command comes first: portal status --json"],
    [["--version", "--help-me"], 'unknown flag "--help-me" of "portal": "portal --help" lists all'],
    [["status", "--jsn"], 'unknown flag "--jsn" of "portal status": did you mean "--json"?'],
    [["status", "--socket", "/a", "--toml", "b"], '"portal status" takes --socket or --toml: leave one out'],
    [["lab", "emulator"], 'unknown command "emulator": did you mean "portal lab emulate"?'],
    [["lab", "emulate"], 'Missing required argument: --paths; "portal --help" shows what there is'],
    [["lab", "sink", "--prot", "1"], 'unknown flag "--prot" of "portal lab sink": did you mean "--port"?'],
    [["keygen", "now"], 'unexpected "now": "portal keygen --help" shows what it takes'],
  ];
  test.each(table)("%j", async (args, line) => {
    expect(await portal(args)).toEqual({ code: 2, stdout: "", stderr: `portal: ${line}\n` });
  });

  test("a command of commands needs one of them", async () => {
    const { code, stderr } = await portal(["lab"]);
    expect(code).toBe(2);
    expect(stderr).toStartWith('portal: "portal lab" needs a command: emulate, ');
  });

  test("no argument shows the help, as an error", async () => {
    const { code, stdout, stderr } = await portal([]);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toContain("USAGE portal");
  });

  const helps = [{ args: ["--help"] }, { args: ["-h"] }, { args: ["--toml", "x", "--help"] }];
  test.each(helps)("$args", async ({ args }) => {
    const { code, stdout, stderr } = await portal(args);
    expect([code, stderr]).toEqual([0, ""]);
    for (const command of ["check", "status", "keygen", "pubkey", "demo"])
      expect(stdout).toContain(`  ${command} `);
    expect(stdout).not.toContain("  lab ");
    expect(stdout).toContain("5  port, interface or control socket in use");
    expect(stdout).not.toContain("\u001b");
    expect(stdout).not.toMatch(/ $/m);
  });

  test.each(["check", "status", "keygen", "pubkey", "demo"])("%s --help", async (command) => {
    const { code, stdout, stderr } = await portal([command, "--help"]);
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toContain(`USAGE portal ${command}`);
  });

  test.each(["--version", "-v"])("%s", async (flag) => {
    expect(await portal([flag])).toEqual({ code: 0, stdout: `${pkg.version}\n`, stderr: "" });
  });
});

describe("portal check", () => {
  test("says that nothing is wrong", async () => {
    const { code, stdout, stderr } = await portal(["check", "--toml", right]);
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toStartWith(`${right}: no faults, local portal\n`);
    expect((await portal(["check", `--toml=${right}`])).code).toBe(0);
  });

  test("looks in the working directory when no file is named", async () => {
    write("portal.toml", LOCAL);
    for (const args of [["check"], ["check", "--toml"]]) {
      const { stdout } = await portal(args, { cwd: directory });
      expect(stdout).toStartWith("portal.toml: no faults, local portal\n");
    }
  });

  test("says what a start would change on this machine", async () => {
    const { stdout } = await portal(["check", "--toml", right]);
    expect(stdout).toContain(`
A start changes on this machine, and the end undoes:
- the interface portal0
    ip tuntap add portal0 mode tun
    ip link set portal0 mtu 1420 up
    ip addr add 10.77.0.2/24 dev portal0
`);
  });

  test("shows each fault on standard error", async () => {
    const { code, stdout, stderr } = await portal(["check", "--toml", wrong]);
    expect([code, stdout]).toEqual([3, ""]);
    expect(stderr).toBe(`${wrong}:10:1: unknown key "interfce" in [[path]]
   10 | interfce = "eth0"
      | ^^^^^^^^ write "interface"

portal: 1 fault in ${wrong}: see above
`);
  });

  test("reads key files beside the configuration, and their modes", async () => {
    const text = LOCAL.replace(/private_key = ".*"/, 'private_key_file = "private.key"');
    const path = write("file.toml", text, 0o644);
    const key = write("private.key", `${formatKey(new Uint8Array(32).fill(7))}\n`);
    expect((await portal(["check", "--toml", path])).code).toBe(0);
    chmodSync(key, 0o644);
    const { code, stderr } = await portal(["check", "--toml", path]);
    expect(code).toBe(3);
    expect(stderr).toContain("others may read the key in private.key");
    rmSync(key);
    expect((await portal(["check", "--toml", path])).stderr).toContain(
      "cannot read private.key: no such file",
    );
  });

  test("refuses a configuration with a key that others may read", async () => {
    const path = write("open.toml", LOCAL, 0o640);
    const { code, stderr } = await portal(["check", "--toml", path]);
    expect(code).toBe(3);
    expect(stderr).toContain(`run: chmod 600 ${path}`);
    expect(stderr).not.toContain(/private_key = "(.*)"/.exec(LOCAL)![1]!);
  });

  test("says which file is missing", async () => {
    const { code, stderr } = await portal(["check", "--toml", "/nowhere/a.toml"]);
    expect(code).toBe(3);
    expect(stderr).toBe("portal: cannot read /nowhere/a.toml: no such file; name a file with --toml FILE\n");
    const empty = mkdtempSync(join(directory, "empty-"));
    const lost = await portal(["check"], { cwd: empty });
    expect(lost.code).toBe(3);
    expect(lost.stderr).toStartWith(
      "portal: no configuration in portal.toml or /etc/portal/portal.toml: write one",
    );
  });
});

test("a file may have the name of a command", async () => {
  const { code, stderr } = await portal(["--toml", "check"]);
  expect([code, stderr]).toEqual([
    3,
    "portal: cannot read check: no such file; name a file with --toml FILE\n",
  ]);
});

test("portal --toml shows the faults too, and runs nothing", async () => {
  for (const args of [["--toml", wrong], [`--toml=${wrong}`]]) {
    const { code, stderr } = await portal(args);
    expect(code).toBe(3);
    expect(stderr).toContain('unknown key "interfce"');
  }
});

describe("keys", () => {
  test("pubkey gives the public key of RFC 7748 section 6.1", async () => {
    const base64 = (hex: string) => Buffer.from(hex, "hex").toString("base64");
    const stdin = base64("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
    const expected = base64("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
    expect(await portal(["pubkey"], { stdin })).toEqual({ code: 0, stdout: `${expected}\n`, stderr: "" });
  });

  test("keygen prints another key each time", async () => {
    const [first, second] = await Promise.all([portal(["keygen"]), portal(["keygen"])]);
    expect([first.code, first.stderr]).toEqual([0, ""]);
    expect(first.stdout).toMatch(/^[A-Za-z0-9+/]{43}=\n$/);
    expect(first.stdout).not.toBe(second.stdout);
    const { code, stdout } = await portal(["pubkey"], { stdin: first.stdout });
    expect(code).toBe(0);
    expect(stdout).toMatch(/^[A-Za-z0-9+/]{43}=\n$/);
    expect(stdout).not.toBe(first.stdout);
  });

  test("pubkey of what is no key", async () => {
    const { code, stdout, stderr } = await portal(["pubkey"], { stdin: "hello\n" });
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toStartWith(
      "portal: no private key on standard input: a key is 44 characters of base64, this is 5;",
    );
  });

  test("pubkey of what never ends, and of what cannot be read", async () => {
    for (const [input, says] of [
      ["/dev/zero", "no private key on standard input: a key is 44 characters of base64, this is"],
      ["/", "cannot read standard input (EISDIR"],
    ] as const) {
      const script = 'exec "$0" "$1" pubkey < "$2"';
      const main = resolve(import.meta.dir, "../../src/main.ts");
      const child = Bun.spawn(["sh", "-c", script, process.execPath, main, input], { stderr: "pipe" });
      expect(await child.stderr.text()).toStartWith(`portal: ${says}`);
      expect(await child.exited).toBe(1);
    }
  });

  test("a configuration or a key that never ends", async () => {
    const { code, stderr } = await portal(["check", "--toml", "/dev/zero"]);
    expect(code).toBe(3);
    expect(stderr).toBe(
      "portal: cannot read /dev/zero: it has more than 16 MB; name a file with --toml FILE\n",
    );
  });

  test("keygen warns when the file it writes is open to others", async () => {
    const main = resolve(import.meta.dir, "../../src/main.ts");
    const into = (mode: number) => {
      const path = write(`key-${mode}`, "", mode);
      return Bun.spawnSync([process.execPath, main, "keygen"], { stdout: Bun.file(path) }).stderr.toString();
    };
    expect(into(0o600)).toBe("");
    expect(into(0o644)).toContain("others may read the file this key goes to");
  });
});

test("nothing but running a portal and its laboratory opens libraries", async () => {
  const transpiler = new Bun.Transpiler({ loader: "ts" });
  const seen = new Set<string>();
  // The first file loads the second where it does not find itself a worker.
  const waiting = ["main.ts", "cli/main.ts"].map((file) => resolve(import.meta.dir, "../../src", file));
  for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
    if (seen.has(file) || !file.endsWith(".ts")) continue;
    seen.add(file);
    for (const { path, kind } of transpiler.scanImports(await Bun.file(file).text())) {
      if (kind !== "import-statement") continue;
      if (path.startsWith(".")) waiting.push(resolve(file, "..", path));
      else seen.add(path);
    }
  }
  expect([...seen].some((path) => path.endsWith("src/config/parse.ts"))).toBe(true);
  expect([...seen]).not.toContain("bun:ffi");
});

test("says that its output cannot be written", async () => {
  const main = join(import.meta.dir, "../../src/main.ts");
  const full = Bun.file("/dev/full");
  const told = Bun.spawn([process.execPath, main, "keygen"], { stdout: full, stderr: "pipe" });
  expect(await told.stderr.text()).toStartWith("portal: cannot write to standard output: ENOSPC");
  expect(await told.exited).toBe(1);
  const untold = Bun.spawn([process.execPath, main, "nonsense"], { stdout: "ignore", stderr: full });
  expect(await untold.exited).toBe(2);
});
