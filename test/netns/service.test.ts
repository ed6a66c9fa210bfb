/** What runs portal at boot, on a machine of the laboratory's own: installed, started from a bare environment, removed. */
import { expect } from "bun:test";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import type { Finished, LabProcess } from "../../src/lab/process.ts";
import type { Lab, PathOptions } from "../../src/lab/topology.ts";
import type { StatusReport } from "../../src/share/status.ts";
import { keyText } from "../config/source.ts";
import { scenario } from "./scenario.ts";
import { SOON } from "./traffic.ts";
import { shell, showProgram } from "./user.ts";

const paths: PathOptions[] = [{ plain: true }];
const TOML = "/etc/portal/portal.toml";
const KEY = "/etc/portal/private.key";
const SOCKET = "/run/portal/portal0.sock";

/** Port 443 takes a third capability, and `nat` a change of the machine. */
const CONFIGURATION = `role = "remote"
[tunnel]
addresses = ["10.77.0.1/24"]
[keys]
private_key_file = "private.key"
[listen]
port = 443
[[peer]]
name = "home"
public_key = "${keyText(9)}"
addresses = ["10.77.0.2/32"]
[host]
nat = true
`;

/**
 * A copy of this machine's /etc, and a /var/lib, that vanish with the laboratory, this program below /opt, where services of the machine
 * may have it, and a configuration. The words that start the program.
 */
function makeMachine(): string[] {
  shell("mkdir /run/etc; cp -a /etc/. /run/etc/; mount --bind /run/etc /etc");
  shell("mkdir -p /etc/systemd/system /etc/init.d /etc/cron.d; userdel portal 2>/dev/null || true");
  shell(
    "mount -t tmpfs -o mode=755 opt /opt; mknod -m 666 /run/tun c 10 200; mount --bind /run/tun /dev/net/tun",
  );
  shell("mount -t tmpfs -o mode=755 lib /var/lib");
  shell("rm -rf /etc/portal; mkdir -m 755 /etc/portal");
  writeFileSync(TOML, CONFIGURATION);
  writeFileSync(KEY, keyText(1), { mode: 0o600 });
  return showProgram("/opt");
}

async function service(lab: Lab, program: readonly string[], words: readonly string[]): Promise<Finished> {
  return await lab.exec("remote", [...program, "service", ...words, "--toml", TOML]);
}

async function report(): Promise<StatusReport | null> {
  try {
    return (await (await fetch("http://portal/status", { unix: SOCKET })).json()) as StatusReport;
  } catch {
    return null;
  }
}

async function waitUntilItRuns(lab: Lab): Promise<void> {
  await lab.waitFor("portal to answer", SOON, async () => (await report())?.interface === "portal0");
}

/** Number of the process that is portal itself, and what the kernel says of its rights. */
async function running(lab: Lab): Promise<{ pid: string; rights: string } | null> {
  const { stdout } = await lab.exec("remote", [
    "pgrep",
    "-o",
    "-u",
    "portal",
    "-f",
    `main.ts --toml ${TOML}`,
  ]);
  const pid = stdout.trim();
  if (pid === "") return null;
  try {
    return { pid, rights: readFileSync(`/proc/${pid}/status`, "utf8") };
  } catch {
    return null; // It has ended since.
  }
}

/** What a portal without root has made by `nft`. */
async function tables(lab: Lab): Promise<string> {
  return (await lab.exec("remote", ["nft", "list", "tables"])).stdout;
}

/** CAP_NET_BIND_SERVICE, CAP_NET_ADMIN, CAP_NET_RAW. */
const RIGHTS = "CapEff:\t0000000000003400\n";

async function expectRights(lab: Lab): Promise<string> {
  const { pid, rights } = (await running(lab))!;
  expect(rights).toContain(RIGHTS);
  expect(rights).toContain("NoNewPrivs:\t1\n");
  expect(await tables(lab)).toBe("table inet portal\n");
  return pid;
}

/** Killed, it comes back as another process. */
async function expectComesBack(lab: Lab): Promise<void> {
  const pid = await expectRights(lab);
  await lab.exec("remote", ["kill", "-KILL", pid]);
  await lab.waitFor(
    "portal to be started again",
    SOON,
    async () => ((await running(lab))?.pid ?? pid) !== pid,
  );
  await waitUntilItRuns(lab);
  await expectRights(lab);
}

async function waitUntilItEnded(lab: Lab): Promise<void> {
  await lab.waitFor("portal to end", SOON, async () => (await running(lab)) === null);
  expect(existsSync(SOCKET)).toBe(false);
  expect(await lab.hasInterface("remote", "portal0")).toBe(false);
  expect(await tables(lab)).toBe("");
}

scenario(import.meta.path, "the systemd unit is installed, valid, and removed", { paths }, async (lab) => {
  const program = makeMachine();
  const file = "/etc/systemd/system/portal.service";
  const printed = await service(lab, program, ["systemd"]);
  expect(existsSync(file)).toBe(false);

  const first = await service(lab, program, ["systemd", "--install"]);
  expect(first).toEqual({
    code: 0,
    stderr: "",
    stdout: `made the account portal, without home and password
gave ${KEY} to portal, who must read it; its mode is as before
wrote ${file}
start it now and at every boot with: systemctl enable --now portal
`,
  });
  expect(readFileSync(file, "utf8")).toBe(printed.stdout);
  expect(statSync(KEY).mode & 0o777).toBe(0o600);
  const again = await service(lab, program, ["systemd", "--install"]);
  expect(again.stdout).toStartWith(`${file} is as it should be\n`);
  if (Bun.which("systemd-analyze") !== null) {
    const verified = await lab.exec("remote", ["systemd-analyze", "verify", file]);
    expect(verified).toEqual({ code: 0, stdout: "", stderr: "" });
  }

  writeFileSync(file, printed.stdout.replace("RestartSec=2", "RestartSec=9"));
  expect((await service(lab, program, ["systemd", "--install"])).stdout).toStartWith(`replaced ${file}`);
  expect(readFileSync(file, "utf8")).toBe(printed.stdout);

  shell("mkdir -p /etc/systemd/system/multi-user.target.wants");
  shell(`ln -s ${file} /etc/systemd/system/multi-user.target.wants/portal.service`);
  const enabled = await service(lab, program, ["systemd", "--remove"]);
  expect(enabled.code).toBe(1);
  expect(enabled.stderr).toContain('run "systemctl disable --now portal" first');
  shell("rm /etc/systemd/system/multi-user.target.wants/portal.service");
  const removed = await service(lab, program, ["systemd", "--remove"]);
  expect(removed.stdout).toStartWith(`removed ${file}\ngave ${KEY} back to root\n`);
  expect(existsSync(file)).toBe(false);
  expect(statSync(KEY).uid).toBe(0);
  expect((await service(lab, program, ["systemd", "--remove"])).stderr).toContain("nothing to remove");
});

scenario(import.meta.path, "what a service cannot be made of is said", { paths }, async (lab) => {
  const program = makeMachine();
  const file = "/etc/init.d/portal";
  const refused = async (kind: string, words: string): Promise<void> => {
    const { code, stdout, stderr } = await service(lab, program, [kind, "--install"]);
    expect({ code, stdout, stderr }).toEqual({ code: 1, stdout: "", stderr: expect.stringContaining(words) });
  };
  writeFileSync(file, "#!/bin/sh\n# somebody else's\n");
  await refused("sysv", `${file} is not of portal's making: move it away first`);
  expect(readFileSync(file, "utf8")).toContain("somebody else's");
  shell(`rm ${file}; ln -s /etc/hostname ${file}`);
  await refused("openrc", `${file} is not of portal's making`);
  shell(`rm ${file}; rmdir /etc/cron.d 2>/dev/null || mv /etc/cron.d /etc/cron.away`);
  await refused("cron", "this machine has no /etc/cron.d");

  shell("useradd --system portal; chmod 700 /etc/portal");
  await refused("sysv", "portal may not look into /etc/portal: run chmod o+x /etc/portal");
  shell("chmod 755 /etc/portal");
  shell(`chown 12345 ${KEY}`);
  await refused("sysv", `portal may not read ${KEY}, which is not root's to give`);
  expect(existsSync(file)).toBe(false);

  const nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", ...program];
  writeFileSync(
    "/opt/portal.toml",
    CONFIGURATION.replace('private_key_file = "private.key"', `private_key = "${keyText(1)}"`),
    { mode: 0o600 },
  );
  shell("chown 65534 /opt/portal.toml");
  const denied = await lab.exec("remote", [
    ...nobody,
    "service",
    "sysv",
    "--install",
    "--toml",
    "/opt/portal.toml",
  ]);
  expect(denied.code).toBe(4);
  expect(denied.stderr).toContain(`only root may write ${file}`);

  shell("cp /opt/portal.toml /run/portal.toml; chown 0 /run/portal.toml");
  const fleeting = await lab.exec("remote", [
    ...program,
    "service",
    "sysv",
    "--install",
    "--toml",
    "/run/portal.toml",
  ]);
  expect(fleeting.stderr).toContain(
    "/run/portal.toml will not be there at the next boot: put it into /etc/portal first",
  );
});

scenario(import.meta.path, "what portal keeps is the account's own to write", { paths }, async (lab) => {
  const program = makeMachine();
  const made = await service(lab, program, ["sysv", "--install"]);
  expect(made.stdout).toContain("made /var/lib/portal for portal, to keep what outlives a restart\n");
  const { uid, mode } = statSync("/var/lib/portal");
  expect(uid).toBe(statSync(KEY).uid);
  expect(mode & 0o777).toBe(0o750);
  expect((await service(lab, program, ["cron", "--install"])).stdout).not.toContain("/var/lib/portal");

  // What root's portal has left goes on counting.
  const file = "/var/lib/portal/portal0.caps.json";
  writeFileSync(file, "{}", { mode: 0o600 });
  shell("chown 0 /var/lib/portal");
  const given = await service(lab, program, ["sysv", "--install"]);
  expect(given.stdout).toContain("gave /var/lib/portal to portal, to keep what outlives a restart\n");
  expect([statSync(file).uid, statSync("/var/lib/portal").uid]).toEqual([uid, uid]);

  // What is not only portal's is nobody's to give.
  shell("chown 0 /var/lib/portal; touch /var/lib/portal/other");
  const refused = await service(lab, program, ["sysv", "--install"]);
  expect([refused.code, refused.stderr]).toEqual([
    1,
    "portal: portal may not write /var/lib/portal, which is not only portal's: " +
      "change state_directory, or run chown portal /var/lib/portal\n",
  ]);
  expect(statSync("/var/lib/portal").uid).toBe(0);
});

scenario(
  import.meta.path,
  "the init script runs portal from an environment of nothing",
  { paths },
  async (lab) => {
    const program = makeMachine();
    expect((await service(lab, program, ["sysv", "--install"])).code).toBe(0);
    const script = async (word: string): Promise<number> =>
      (await lab.exec("remote", ["env", "-i", "--chdir=/", "/bin/sh", "/etc/init.d/portal", word])).code;
    expect(await script("status")).toBe(3);
    expect(await script("start")).toBe(0);
    await waitUntilItRuns(lab);
    expect(await script("status")).toBe(0);
    expect(await script("start")).toBe(0);
    await expectComesBack(lab);
    expect(await script("stop")).toBe(0);
    await waitUntilItEnded(lab);
    expect(await script("status")).toBe(3);
    // What a new start does not mend is not started again.
    writeFileSync(TOML, CONFIGURATION.replace("port = 443", "prot = 443"));
    await script("start");
    await lab.waitFor("the script to give up", SOON, async () => (await script("status")) === 3);
  },
);

/** Does at boot what cron would: its own few variables, those of the file, the root folder, and the line by a shell. */
function startByCron(lab: Lab, file: string): LabProcess {
  const lines = readFileSync(file, "utf8").split("\n");
  const variables = lines.filter((line) => /^[A-Z]+=/.test(line));
  const line = lines.find((each) => each.startsWith("@reboot root "))!;
  const command = line.slice("@reboot root ".length).replaceAll("\\%", "%");
  return lab.spawn(
    "remote",
    ["env", "-i", "--chdir=/", ...variables, "/bin/sh", "-c", command],
    "cron's shell",
  );
}

scenario(
  import.meta.path,
  "the line for cron runs portal from cron's bare environment",
  { paths },
  async (lab) => {
    const program = makeMachine();
    const file = "/etc/cron.d/portal";
    const installed = await service(lab, program, ["cron", "--install"]);
    expect(installed.stdout).toEndWith("portal starts at the next boot\n");
    const shellOfCron = startByCron(lab, file);
    await waitUntilItRuns(lab);
    await expectComesBack(lab);
    await lab.exec("remote", ["kill", "-TERM", (await running(lab))!.pid]);
    await waitUntilItEnded(lab);
    await lab.waitFor("the loop to end", SOON, () => !shellOfCron.running);
    expect((await service(lab, program, ["cron", "--remove"])).code).toBe(0);
    expect(existsSync(file)).toBe(false);
  },
);

scenario(import.meta.path, "a service of root has no more capabilities", { paths }, async (lab) => {
  const program = makeMachine();
  expect((await service(lab, program, ["cron", "--install", "--user", "root"])).code).toBe(0);
  startByCron(lab, "/etc/cron.d/portal");
  await waitUntilItRuns(lab);
  const { stdout } = await lab.exec("remote", ["pgrep", "-u", "root", "-f", "^/opt/bun .*main.ts --toml"]);
  const rights = readFileSync(`/proc/${stdout.trim()}/status`, "utf8");
  expect(rights).toContain("Uid:\t0\t0\t0\t0\n");
  expect(rights).toContain(RIGHTS);
});
