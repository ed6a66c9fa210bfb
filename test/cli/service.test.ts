import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LOCAL } from "../config/source.ts";
import { portal } from "./program.ts";

const folder = mkdtempSync(join(tmpdir(), "portal-service-"));
afterAll(() => rmSync(folder, { recursive: true }));

const toml = join(folder, "two words.toml");
writeFileSync(toml, LOCAL, { mode: 0o600 });

test("the file is printed for this program and this configuration, by absolute paths", async () => {
  const { code, stdout, stderr } = await portal(["service", "systemd", "--toml", "two words.toml"], {
    cwd: folder,
  });
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout).toMatch(new RegExp(`^ExecStart=/\\S+ /\\S+/src/main.ts --toml "${toml}"$`, "m"));
  expect(stdout).toMatch(/^User=portal$/m);
});

test("another account may be chosen, and root's service is one too", async () => {
  const { stdout } = await portal(["service", "sysv", "--user", "root", "--toml", toml]);
  expect(stdout).toContain("--bounding-set=-all,+net_admin,+net_raw");
  expect(stdout).not.toContain("--reuid");
});

test.each([
  [["service"], 2, '"portal service" needs a command: systemd, openrc, cron, sysv'],
  [["service", "sytemd"], 2, 'did you mean "portal service systemd"?'],
  [["service", "cron", "--install", "--remove"], 2, "takes --install or --remove: leave one out"],
  [["service", "cron", "--user", "two words"], 2, '"two words" cannot be the name of an account'],
  [["service", "cron", "--toml", "none.toml"], 3, "cannot read none.toml: no such file"],
] as [string[], number, string][])("portal %p: exit code %d", async (args, code, words) => {
  const outcome = await portal(args);
  expect({ code: outcome.code, stdout: outcome.stdout }).toEqual({ code, stdout: "" });
  expect(outcome.stderr).toContain(words);
});

test("no service is made of a configuration with faults", async () => {
  const faulty = join(folder, "faulty.toml");
  writeFileSync(faulty, LOCAL.replace("endpoint", "endpiont"), { mode: 0o600 });
  const { code, stdout, stderr } = await portal(["service", "systemd", "--toml", faulty]);
  expect({ code, stdout }).toEqual({ code: 3, stdout: "" });
  expect(stderr).toContain('write "endpoint"');
});
