/** The files of services: installed on a machine of the laboratory's own, refused, and removed. */
import { expect } from "bun:test";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { keyText } from "../config/source.ts";
import { scenario } from "./scenario.ts";
import { CONFIGURATION, KEY, paths, Serviced } from "./servicing.ts";
import { shell } from "./user.ts";

scenario(import.meta.path, "the systemd unit is installed, valid, and removed", { paths }, async (lab) => {
  const machine = new Serviced(lab);
  const file = "/etc/systemd/system/portal.service";
  const printed = await machine.service("systemd");
  expect(existsSync(file)).toBe(false);

  const first = await machine.service("systemd", "--install");
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
  const again = await machine.service("systemd", "--install");
  expect(again.stdout).toStartWith(`${file} is as it should be\n`);
  if (Bun.which("systemd-analyze") !== null) {
    const verified = await lab.exec("remote", ["systemd-analyze", "verify", file]);
    expect(verified).toEqual({ code: 0, stdout: "", stderr: "" });
  }

  writeFileSync(file, printed.stdout.replace("RestartSec=2", "RestartSec=9"));
  expect((await machine.service("systemd", "--install")).stdout).toStartWith(`replaced ${file}`);
  expect(readFileSync(file, "utf8")).toBe(printed.stdout);

  shell("mkdir -p /etc/systemd/system/multi-user.target.wants");
  shell(`ln -s ${file} /etc/systemd/system/multi-user.target.wants/portal.service`);
  const enabled = await machine.service("systemd", "--remove");
  expect(enabled.code).toBe(1);
  expect(enabled.stderr).toContain('run "systemctl disable --now portal" first');
  shell("rm /etc/systemd/system/multi-user.target.wants/portal.service");
  const removed = await machine.service("systemd", "--remove");
  expect(removed.stdout).toStartWith(`removed ${file}\ngave ${KEY} back to root\n`);
  expect(existsSync(file)).toBe(false);
  expect(statSync(KEY).uid).toBe(0);
  expect((await machine.service("systemd", "--remove")).stderr).toContain("nothing to remove");
});

scenario(import.meta.path, "what a service cannot be made of is said", { paths }, async (lab) => {
  const machine = new Serviced(lab);
  const file = "/etc/init.d/portal";
  const refused = async (kind: string, words: string): Promise<void> => {
    const { code, stdout, stderr } = await machine.service(kind, "--install");
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

  const nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", ...machine.program];
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
    ...machine.program,
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
  const machine = new Serviced(lab);
  const made = await machine.service("sysv", "--install");
  expect(made.stdout).toContain("made /var/lib/portal for portal, to keep what outlives a restart\n");
  const { uid, mode } = statSync("/var/lib/portal");
  expect(uid).toBe(statSync(KEY).uid);
  expect(mode & 0o777).toBe(0o750);
  expect((await machine.service("cron", "--install")).stdout).not.toContain("/var/lib/portal");

  // What root's portal has left goes on counting.
  const file = "/var/lib/portal/portal0.caps.json";
  writeFileSync(file, "{}", { mode: 0o600 });
  shell("chown 0 /var/lib/portal");
  const given = await machine.service("sysv", "--install");
  expect(given.stdout).toContain("gave /var/lib/portal to portal, to keep what outlives a restart\n");
  expect([statSync(file).uid, statSync("/var/lib/portal").uid]).toEqual([uid, uid]);

  // What is not only portal's is nobody's to give.
  shell("chown 0 /var/lib/portal; touch /var/lib/portal/other");
  const refused = await machine.service("sysv", "--install");
  expect([refused.code, refused.stderr]).toEqual([
    1,
    "portal: portal may not write /var/lib/portal, which is not only portal's: " +
      "change state_directory, or run chown portal /var/lib/portal\n",
  ]);
  expect(statSync("/var/lib/portal").uid).toBe(0);
});
