/** The texts of service files: what each must say, and that no path breaks out of its word. */
import { expect, test } from "bun:test";
import { SERVICES } from "../../src/host/service/kinds.ts";
import { isOwn, KINDS, type ServicePlan, serviceName, shellWord } from "../../src/host/service/plan.ts";
import { cronCommand } from "../../src/host/service/shell.ts";

const PLAN: ServicePlan = {
  name: "portal",
  command: ["/usr/local/bin/portal"],
  toml: "/etc/portal/portal.toml",
  user: "portal",
  group: "portal",
  socketDirectory: "/run/portal",
  stateDirectory: "/var/lib/portal",
  lowPort: false,
};

test.each(KINDS)("the file of %s", (kind) => {
  expect(SERVICES[kind].text(PLAN)).toMatchSnapshot();
});

test.each(KINDS)("the file of %s is known as portal's own", (kind) => {
  expect(isOwn(SERVICES[kind].text(PLAN))).toBe(true);
});

test("other files are not portal's own", () => {
  for (const text of [
    "",
    "#!/bin/sh\n",
    "# Written by hand\n",
    'echo "# Written by "portal service sysv --install"',
  ]) {
    expect(isOwn(text)).toBe(false);
  }
});

test.each(KINDS)("a port below 1024 adds one capability to the file of %s", (kind) => {
  const text = SERVICES[kind].text({ ...PLAN, lowPort: true });
  expect(text.toLowerCase()).toContain("net_bind_service");
  expect(SERVICES[kind].text(PLAN).toLowerCase()).not.toContain("net_bind_service");
});

test("a control socket outside /run is the one place that systemd lets portal write", () => {
  const text = SERVICES.systemd.text({ ...PLAN, socketDirectory: "/var/lib/portal" });
  expect(text).toContain("\nReadWritePaths=/var/lib/portal\n");
  expect(text).not.toContain("RuntimeDirectory");
});

test("what portal keeps lies where systemd makes a directory for it, or lets it write", () => {
  const linesOf = (stateDirectory: string) =>
    SERVICES.systemd.text({ ...PLAN, stateDirectory }).match(/^(?:State|ReadWrite).*$/gm);
  expect(linesOf("/var/lib/portal")).toEqual(["StateDirectory=portal", "StateDirectoryMode=0750"]);
  expect(linesOf("/var/lib/a/b")).toEqual(["StateDirectory=a/b", "StateDirectoryMode=0750"]);
  expect(linesOf("/srv/portal")).toEqual(["ReadWritePaths=/srv/portal"]);
});

test.each([
  ["/etc/portal/portal.toml", "portal"],
  ["/etc/portal/office.toml", "portal-office"],
  ["/srv/my office.toml", "portal-my-office"],
  ["/srv/a.b", "portal-a-b"],
])("the service of %s is named %s", (toml, name) => expect(serviceName(toml)).toBe(name));

/** Words that a shell or systemd would take apart. */
const ODD = [
  "plain",
  "two words",
  "it's",
  '"quoted"',
  "100%",
  "$HOME",
  "`id`",
  "a;b",
  "back\\slash",
  "ünï",
  "*",
];

test.each(ODD)("a shell takes %s as one word", (word) => {
  const { stdout } = Bun.spawnSync(["sh", "-c", `printf '<%s>' ${shellWord(word)} end`]);
  expect(stdout.toString()).toBe(`<${word}><end>`);
});

test.each(ODD)("cron's shell takes %s as one word", (word) => {
  // In place of the programs of the line: one that shows what it was given, and what ends the loop.
  const line = cronCommand({ ...PLAN, toml: `/etc/${word}`, socketDirectory: "/var/x" });
  expect(line).not.toMatch(/(?<!\\)%/);
  const shown = `env() { for each; do last=$each; done; printf '<%s>' "$last"; }; logger() { cat; }; ${line.replaceAll("\\%", "%")}`;
  expect(Bun.spawnSync(["sh", "-c", shown]).stdout.toString()).toBe(`</etc/${word}>`);
});

test.each(ODD)("OpenRC's shells take %s as one word", (word) => {
  const text = SERVICES.openrc.text({ ...PLAN, toml: `/etc/${word}` });
  // As openrc-run does: it sources the script, and reads the arguments once more.
  const read = 'eval "$0"; eval "set -- $command_args"; printf "%s\\n%s" "$#$1" "$2"';
  const [flag, ...rest] = Bun.spawnSync(["sh", "-c", read, text]).stdout.toString().split("\n");
  expect(flag).toBe("2-c");
  const line = rest.join("\n");
  expect(line).toEndWith(` --toml ${shellWord(`/etc/${word}`)}`);
  // In place of portal: what shows what it was given. The last command alone.
  const shown = `env() { for each; do last=$each; done; printf '<%s>' "$last"; }; ${line.slice(line.lastIndexOf("; exec env") + 7)}`;
  expect(Bun.spawnSync(["sh", "-c", shown]).stdout.toString()).toBe(`</etc/${word}>`);
});

test("systemd's own marks are written so that they stand for themselves", () => {
  const text = SERVICES.systemd.text({ ...PLAN, toml: '/etc/my "100%" $HOME.toml' });
  expect(text).toContain('ExecStart=/usr/local/bin/portal --toml "/etc/my \\"100%%\\" $$HOME.toml"\n');
});
