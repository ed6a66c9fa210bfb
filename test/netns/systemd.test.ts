/** portal as a service of the real systemd, which is the first process of a machine of the laboratory. */
import { expect } from "bun:test";
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { keyText } from "../config/source.ts";
import { Booted, SYSTEMD } from "./booting.ts";
import { scenario } from "./scenario.ts";
import {
  CABIN,
  CONFIGURATION,
  KEY,
  OFFICE,
  OFFICES,
  paths,
  Serviced,
  TOML,
  TWO_RIGHTS,
} from "./servicing.ts";
import { SOON } from "./traffic.ts";
import { NOBODY, shell } from "./user.ts";

const UNIT = "/etc/systemd/system/portal.service";

scenario(
  import.meta.path,
  "under systemd portal is active when it runs, is reloaded, comes back, and leaves nothing",
  { paths },
  async (lab) => {
    const machine = new Serviced(lab);
    await machine.install("systemd");
    const booted = await Booted.boot(machine, SYSTEMD);
    expect(await machine.made()).toBe("");

    // Its key is a pipe, out of which it comes late.
    shell(`rm ${KEY}; mkfifo -m 600 ${KEY}; chown portal ${KEY}`);
    await booted.does("enable", "--now", "--no-block", "portal");
    const pipe = await open(KEY, "w");
    expect(await booted.property("ActiveState")).toBe("activating");
    shell(`rm ${KEY}; (umask 077; echo '${keyText(1)}' >${KEY}); chown portal ${KEY}`);
    await pipe.write(keyText(1));
    await pipe.close();
    await lab.waitFor("the unit to be active", SOON, async () => {
      return (await booted.property("ActiveState")) === "active";
    });
    const first = await machine.expectWell();
    expect(await booted.property("MainPID")).toMatch(/^\d+$/);
    expect(await booted.property("StatusText")).toBe("0 of 1 peer connected");
    // The journal notes the time.
    expect(await booted.journal()).toMatch(/^info portal \S+ is running as remote on portal0/m);

    // Who may ask it: root and its own account.
    const asked = async (...as: string[]) => await booted.exec(...as, ...machine.program, "status");
    const account = (uid: number) => ["setpriv", `--reuid=${uid}`, `--regid=${uid}`, "--clear-groups"];
    expect((await asked()).stdout).toContain("portal0: remote portal");
    expect((await asked(...account(statSync(KEY).uid))).stdout).toContain("portal0: remote portal");
    expect(await asked(...account(NOBODY))).toMatchObject({
      code: 4,
      stderr: expect.stringContaining("run it as root, or as the user the portal runs as"),
    });

    // A changed configuration counts when the command is over, and one with faults is refused by it.
    writeFileSync(TOML, CONFIGURATION + CABIN);
    await booted.does("reload", "portal");
    expect(await machine.peers()).toEqual(["home", "cabin"]);
    writeFileSync(TOML, CONFIGURATION.replace("port = 443", "prot = 443"));
    expect((await booted.systemctl("reload", "portal")).code).not.toBe(0);
    expect(await booted.journal()).toContain('unknown key "prot" in [listen]');
    expect(await booted.property("ActiveState")).toBe("active");
    expect(await machine.peers()).toEqual(["home", "cabin"]);
    writeFileSync(TOML, CONFIGURATION);
    await booted.does("reload", "portal");
    expect(await machine.expectWell()).toBe(first);

    await machine.expectComesBack();
    expect(await booted.property("NRestarts")).toBe("1");

    await booted.does("stop", "portal");
    await machine.expectEnded();
    expect(await booted.property("ActiveState")).toBe("inactive");
    expect((await booted.property("Result")) + (await booted.property("ExecMainStatus"))).toBe("success0");
    await booted.does("disable", "portal");
    expect((await machine.service("systemd", "--remove")).code).toBe(0);
    await booted.powerOff();
  },
);

scenario(
  import.meta.path,
  "systemd's watchdog ends a portal that hangs, and leaves one alone that does not",
  { paths },
  async (lab) => {
    const machine = new Serviced(lab);
    await machine.install("systemd");
    expect(readFileSync(UNIT, "utf8")).toContain("\nWatchdogSec=30\n");
    // As "systemctl edit" would put it there: the same in less time.
    mkdirSync(`${UNIT}.d`);
    writeFileSync(`${UNIT}.d/override.conf`, "[Service]\nWatchdogSec=2\n");
    const booted = await Booted.boot(machine, SYSTEMD);
    await booted.does("start", "portal");
    const first = await machine.expectWell();
    const heard = async () => Number(await booted.property("WatchdogTimestampMonotonic"));
    const since = await heard();
    await lab.waitFor(
      "more than the watchdog's time to pass",
      SOON,
      async () => (await heard()) > since + 3e6,
    );
    expect(await machine.expectWell()).toBe(first);
    process.kill(first, "SIGSTOP");
    await machine.expectAnother(first);
    expect(await booted.journal()).toContain("Watchdog timeout");

    // Another portal beside it has its folder in common with it, and nothing else.
    writeFileSync(OFFICE, OFFICES);
    await machine.install("systemd", "--toml", OFFICE);
    await booted.does("daemon-reload");
    await booted.does("start", "portal-office");
    expect(await machine.report("office0")).not.toBe(null);
    await booted.does("restart", "portal");
    expect(await machine.report()).not.toBe(null);
    await booted.does("stop", "portal");
    expect(await machine.made()).toBe("table inet portal_2\noffice0\noffice0.changes\noffice0.sock\n");
    expect(await machine.report("office0")).not.toBe(null);
    await booted.powerOff();
    await machine.expectOff();
  },
);

scenario(
  import.meta.path,
  "systemd starts an enabled portal at boot, ends it with the machine, and does not try one with faults again",
  { paths },
  async (lab) => {
    const machine = new Serviced(lab);
    const configuration = CONFIGURATION.replace("443", "51900");
    machine.rights = TWO_RIGHTS;
    writeFileSync(TOML, configuration);
    await machine.install("systemd");
    const first = await Booted.boot(machine, SYSTEMD);
    writeFileSync(TOML, configuration.replace("port =", "prot ="));
    expect((await first.systemctl("enable", "--now", "portal")).code).not.toBe(0);
    expect(await first.property("ActiveState")).toBe("failed");
    expect(await first.property("ExecMainStatus")).toBe("3");
    expect(await first.journal()).toContain('unknown key "prot" in [listen]');
    writeFileSync(TOML, configuration);
    await first.powerOff();

    const second = await Booted.boot(machine, SYSTEMD);
    // The boot was over when the portal ran.
    expect(await second.property("ActiveState")).toBe("active");
    await machine.expectWell();
    await second.powerOff();
    await machine.expectOff();
  },
);
