/** portal as a service of the real OpenRC: its runlevels, its scripts, its supervisor. */
import { expect } from "bun:test";
import { readdirSync, writeFileSync } from "node:fs";
import { Booted, OPENRC } from "./booting.ts";
import { scenario } from "./scenario.ts";
import { CABIN, CONFIGURATION, paths, Serviced, Syslog, TOML } from "./servicing.ts";
import { SOON } from "./traffic.ts";

scenario(
  import.meta.path,
  "OpenRC starts portal in its runlevel, keeps it running, and ends it",
  { paths },
  async (lab) => {
    const machine = new Serviced(lab);
    const status = async () => (await booted.exec("rc-service", "portal", "status")).code;
    const succeeds = async (...words: string[]) =>
      expect(await booted.exec(...words)).toMatchObject({ code: 0 });
    const log = await Syslog.start(lab);
    await machine.install("openrc");
    const booted = await Booted.boot(machine, OPENRC);
    expect(await status()).toBe(3);

    await succeeds("rc-update", "add", "portal", "default");
    await succeeds("openrc", "default");
    await machine.expectComesBack();
    expect(await status()).toBe(0);
    await lab.waitFor("the log", SOON, () => log.has("portal", "is running as remote on portal0"));
    // A second start is none.
    const first = await machine.expectWell();
    await succeeds("rc-service", "portal", "start");
    expect(await machine.expectWell()).toBe(first);

    // A changed configuration; and one with faults, for which nothing that runs is ended.
    writeFileSync(TOML, CONFIGURATION + CABIN);
    await succeeds("rc-service", "portal", "reload");
    await lab.waitFor("the other peer", SOON, async () => (await machine.peers()).includes("cabin"));
    writeFileSync(TOML, CONFIGURATION.replace("port = 443", "prot = 443"));
    const refused = await booted.exec("rc-service", "portal", "restart");
    expect(refused.code).not.toBe(0);
    expect(refused.stderr).toContain('unknown key "prot" in [listen]');
    expect(await machine.expectWell()).toBe(first);
    writeFileSync(TOML, CONFIGURATION);
    await succeeds("rc-service", "portal", "restart");
    await machine.expectAnother(first);
    expect(await machine.peers()).toEqual(["home"]);

    await succeeds("rc-service", "portal", "stop");
    await machine.expectEnded();
    expect(await status()).toBe(3);
    // Neither the supervisor is left, nor the one who writes the log, nor the pipe between.
    expect((await booted.exec("pgrep", "-r", "R,S", "supervise-daemo|logger")).stdout).toBe("");
    expect(readdirSync(`${machine.root}/run`).filter((name) => name.includes("portal.log"))).toEqual([]);

    // The supervisor itself is killed: portal ends with it, and is started anew.
    await succeeds("rc-service", "portal", "start");
    await machine.expectWell();
    await succeeds("pkill", "-KILL", "-x", "supervise-daemo");
    await machine.expectEnded();
    await succeeds("rc-service", "portal", "restart");
    await machine.expectWell();
    await booted.powerOff();
    await machine.expectOff();

    const again = await Booted.boot(machine, OPENRC);
    await machine.expectWell();
    const enabled = (await machine.service("openrc", "--remove")).stderr;
    const disable = /is enabled still: run "(.*)" first/.exec(enabled)![1]!;
    expect(await again.exec("sh", "-ec", disable)).toMatchObject({ code: 0, stderr: "" });
    await machine.expectEnded();
    expect((await machine.service("openrc", "--remove")).code).toBe(0);
    await again.powerOff();
  },
);
