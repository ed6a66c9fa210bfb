/** portal by an init script of System V: as service(8), the links of update-rc.d(8) and a bare shell call it. */
import { expect } from "bun:test";
import { globSync, readFileSync, writeFileSync } from "node:fs";
import type { Finished } from "../../src/lab/process.ts";
import type { Lab } from "../../src/lab/topology.ts";
import { scenario } from "./scenario.ts";
import { CABIN, CONFIGURATION, OFFICE, OFFICES, paths, Serviced, Syslog, TOML } from "./servicing.ts";
import { SOON } from "./traffic.ts";

const BARE = ["env", "-i", "--chdir=/", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"];

const PID_FILE = "/run/portal.pid";

/** LSB 5.0: what an init script's `status` and the others end with. */
const NOT_RUNNING = 3;
const NOT_CONFIGURED = 6;
const NOT_RUNNING_TO_RELOAD = 7;

type Script = (word: string) => Promise<Finished>;

/** What `service portal WORD` runs. */
function scriptOf(lab: Lab, name = "portal"): Script {
  return async (word) => await lab.exec("remote", [...BARE, "service", name, word]);
}

scenario(
  import.meta.path,
  "the init script starts, reloads, starts anew and ends portal, and brings it back",
  { paths },
  async (lab) => {
    const machine = new Serviced(lab);
    const log = await Syslog.start(lab);
    const script = scriptOf(lab);
    await machine.install("sysv");
    expect(await script("status")).toMatchObject({ code: NOT_RUNNING, stdout: "portal does not run\n" });
    expect((await script("reload")).code).toBe(NOT_RUNNING_TO_RELOAD);
    expect((await script("stop")).code).toBe(0);
    expect((await script("start")).code).toBe(0);
    const killed = await machine.expectComesBack();
    expect(await script("status")).toMatchObject({ code: 0, stdout: "portal runs\n" });
    expect(await script("start")).toMatchObject({ code: 0, stdout: "portal runs already\n" });
    expect(await machine.expectWell()).toBe(killed);
    await lab.waitFor("the log", SOON, () => log.has("portal", "is running as remote on portal0"));

    // Also when nobody takes its log any more.
    expect((await machine.exec(["pkill", "-KILL", "-x", "logger"])).code).toBe(0);
    writeFileSync(TOML, CONFIGURATION + CABIN);
    expect((await script("reload")).code).toBe(0);
    await lab.waitFor("the other peer", SOON, async () => (await machine.peers()).includes("cabin"));
    expect(await machine.expectWell()).toBe(killed);

    // For a file with faults nothing that runs is ended.
    writeFileSync(TOML, CONFIGURATION.replace("port = 443", "prot = 443"));
    for (const word of ["restart", "force-reload"]) {
      const { code, stderr } = await script(word);
      expect([code, stderr]).toEqual([
        NOT_CONFIGURED,
        expect.stringContaining('unknown key "prot" in [listen]'),
      ]);
    }
    expect(await machine.expectWell()).toBe(killed);
    writeFileSync(TOML, CONFIGURATION);
    let before = killed;
    for (const word of ["restart", "force-reload"]) {
      expect((await script(word)).code).toBe(0);
      before = await machine.expectAnother(before);
    }

    expect((await script("stop")).code).toBe(0);
    await machine.expectEnded();
    expect((await script("status")).code).toBe(NOT_RUNNING);
    // Nobody is left who would start it again, nor who writes its log.
    expect((await machine.exec(["pgrep", "-r", "R,S", "-f", "logger|init.d/portal"])).stdout).toBe("");
  },
);

scenario(
  import.meta.path,
  "the init script minds neither stale pid files nor another portal's, and a killed keeper",
  { paths },
  async (lab) => {
    const machine = new Serviced(lab);
    await machine.install("sysv");
    writeFileSync(OFFICE, OFFICES);
    await machine.install("sysv", "--toml", OFFICE);
    const [portal, office] = [scriptOf(lab), scriptOf(lab, "portal-office")];
    expect((await office("start")).code).toBe(0);
    await machine.runs("office0");
    // Of a process that is gone, of one that is another program's, and of the other portal.
    const other = readFileSync("/run/portal-office.pid", "utf8");
    for (const stale of ["4194303\n", "1\n", "", other]) {
      writeFileSync(PID_FILE, stale);
      expect((await portal("status")).code).toBe(NOT_RUNNING);
      expect((await portal("stop")).code).toBe(0);
    }
    expect((await portal("start")).code).toBe(0);
    await machine.runs();
    expect((await office("status")).code).toBe(0);

    // With its keeper portal ends as well, and a start is one again.
    const keeper = Number(readFileSync(PID_FILE, "utf8"));
    process.kill(keeper, "SIGKILL");
    await lab.waitFor("portal to end", SOON, async () => (await machine.process()) === null);
    expect((await portal("status")).code).toBe(NOT_RUNNING);
    expect((await portal("start")).code).toBe(0);
    await machine.runs();
    expect((await portal("stop")).code).toBe(0);
    expect(await machine.process()).toBe(null);
    expect((await office("status")).code).toBe(0);
    expect((await office("stop")).code).toBe(0);
    await machine.expectEnded();
  },
);

scenario(
  import.meta.path,
  "the links of an init script start portal at boot and end it at the end",
  { paths },
  async (lab) => {
    const machine = new Serviced(lab);
    await machine.install("sysv");
    const exec = async (...words: string[]) => await machine.exec([...BARE, ...words]);
    expect(await exec("update-rc.d", "portal", "defaults")).toMatchObject({ code: 0 });
    const link = (pattern: string) => globSync(`/etc/${pattern}portal`);
    expect([2, 3, 4, 5].map((level) => link(`rc${level}.d/S*`).length)).toEqual([1, 1, 1, 1]);
    expect([0, 1, 6].map((level) => link(`rc${level}.d/K*`).length)).toEqual([1, 1, 1]);
    expect((await machine.service("sysv", "--remove")).stderr).toContain(
      "/etc/init.d/portal is enabled still",
    );
    // As the first process does, by the name of the link.
    expect((await exec(link("rc2.d/S*")[0]!, "start")).code).toBe(0);
    await machine.expectWell();
    expect((await exec("service", "portal", "status")).code).toBe(0);
    expect((await exec(link("rc0.d/K*")[0]!, "stop")).code).toBe(0);
    await machine.expectEnded();
    expect(await exec("update-rc.d", "-f", "portal", "remove")).toMatchObject({ code: 0 });
    expect((await machine.service("sysv", "--remove")).code).toBe(0);
  },
);
