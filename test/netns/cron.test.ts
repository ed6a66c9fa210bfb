/** portal started by the real cron: by the file of `portal service cron`, and by lines of the owner's own. */
import { expect } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import type { LabProcess } from "../../src/lab/process.ts";
import type { Lab } from "../../src/lab/topology.ts";
import { blocksOf } from "../page.ts";
import { scenario } from "./scenario.ts";
import { CABIN, CONFIGURATION, paths, Serviced, Syslog, TOML } from "./servicing.ts";
import { runPortal } from "./single.ts";
import { SOON } from "./traffic.ts";
import { shell } from "./user.ts";

/** A minute of this clock takes a second; what cron starts has the machine's own clock again. */
const HASTY = ["env", "NO_FAKE_STAT=1", "faketime", "-f", "+0 x60"];

async function startCron(lab: Lab, before: readonly string[] = []): Promise<LabProcess> {
  if (!existsSync("/var/spool/cron/crontabs")) {
    shell("mount -t tmpfs -o mode=755 spool /var/spool/cron; mkdir -m 1730 /var/spool/cron/crontabs");
  }
  // What it starts outlives it, and would hold its output open.
  const silent = ["sh", "-c", 'exec "$@" >/dev/null 2>&1', "sh"];
  const cron = lab.spawn("remote", [...silent, ...before, "cron", "-f"], "cron");
  await lab.waitFor("cron to run", SOON, async () => {
    if (!cron.running) throw cron.failure(await cron.exited);
    return existsSync("/run/crond.reboot");
  });
  return cron;
}

scenario(
  import.meta.path,
  "cron starts portal at boot and only then, and what it starts keeps it running",
  { paths },
  async (lab) => {
    const machine = new Serviced(lab);
    const log = await Syslog.start(lab);
    expect((await machine.service("cron", "--install")).stdout).toEndWith("portal starts at the next boot\n");
    const cron = await startCron(lab);
    const first = await machine.expectComesBack();
    await lab.waitFor("the log", SOON, () => log.has("portal", "is running as remote on portal0"));

    // Another cron is no other boot, and ends nothing.
    await cron.stop();
    const again = await startCron(lab);
    expect(await machine.expectWell()).toBe(first);
    // A portal beside it is none, and harms nothing.
    const second = await runPortal(lab, "remote", TOML, machine.program);
    expect([second.code, second.stderr]).toEqual([5, expect.stringContaining("it is in use")]);
    expect(await machine.expectWell()).toBe(first);

    writeFileSync(TOML, CONFIGURATION + CABIN);
    process.kill(first, "SIGHUP");
    await lab.waitFor("the other peer", SOON, async () => (await machine.peers()).includes("cabin"));

    // What its owner ends is ended.
    process.kill(first, "SIGTERM");
    await machine.expectEnded();
    await lab.waitFor("nobody to be left who would start it again", SOON, async () => {
      return (await machine.exec(["pgrep", "-r", "R,S", "-f", "while :|logger"])).stdout === "";
    });
    // What it would leave if it were killed is not another account's to undo.
    const left = "/run/portal/portal0.changes";
    const asPortal = [
      "setpriv",
      "--reuid=portal",
      "--regid=portal",
      "--init-groups",
      "--inh-caps=+net_admin",
    ];
    for (const [owner, command] of [
      ["portal", []],
      ["root", [...asPortal, "--ambient-caps=+net_admin"]],
    ] as const) {
      shell(`install -o ${owner} -m 600 /dev/null ${left}`);
      writeFileSync(TOML, CONFIGURATION.replace("443", "51900"));
      const refused = await runPortal(lab, "remote", TOML, [...command, ...machine.program]);
      const words = `error ${left} is of a portal of another account: start it as that account once more`;
      expect([refused.code, refused.stderr]).toEqual([4, expect.stringContaining(words)]);
      expect(existsSync(left)).toBe(true);
    }
    const removed = await machine.service("cron", "--remove");
    expect(removed.stdout).toStartWith(
      "removed /etc/cron.d/portal\na portal that it has started runs on until",
    );
    await again.stop();
  },
);

scenario(import.meta.path, "by cron a service of root has no more capabilities", { paths }, async (lab) => {
  const machine = new Serviced(lab);
  await machine.install("cron", "--user", "root");
  await startCron(lab);
  await machine.expectWell("root");
  const { rights } = (await machine.process(TOML, "root"))!;
  expect(rights).toContain("Uid:\t0\t0\t0\t0\n");
});

/** As docs/machine.md has it. */
const LINE = blocksOf("docs/machine.md").find(({ language }) => language === "crontab")!.text;
const LOCK = "flock -n /run/portal.lock ";

for (const lock of [LOCK, ""]) {
  scenario(
    import.meta.path,
    `a line of one's own ${lock === "" ? "without" : "with"} a lock has cron start portal whenever it does not run`,
    { paths },
    async (lab) => {
      const machine = new Serviced(lab);
      const log = await Syslog.start(lab);
      expect(LINE).toContain(` ${LOCK}/usr/local/bin/portal --toml ${TOML} `);
      const line = LINE.replace(LOCK, lock).replace("/usr/local/bin/portal", machine.program.join(" "));
      const cron = await startCron(lab, HASTY);
      writeFileSync("/run/crontab", line);
      expect(await machine.exec(["crontab", "/run/crontab"])).toMatchObject({ code: 0, stderr: "" });
      await machine.runs();
      const [first] = await machine.processes(TOML, "root");
      await lab.waitFor("the log", SOON, () => log.has("portal", "is running as remote on portal0"));

      // cron goes on starting it, and nothing comes of that.
      const starts = () => readFileSync("/run/syslog", "utf8").split("CMD (").length - 1;
      const before = starts();
      await lab.waitFor("three further starts", SOON, () => starts() >= before + 3);
      if (lock === "") await lab.waitFor("a refusal", SOON, () => log.has("portal", "it is in use"));
      else expect(log.of("portal")).not.toContain("it is in use");
      expect((await machine.processes(TOML, "root"))[0]).toBe(first);
      expect(await machine.made()).toBe("table inet portal\nportal0\nportal0.changes\nportal0.sock\n");
      expect((await machine.report())!.sessions.length).toBe(1);

      process.kill(first!, "SIGKILL");
      await lab.waitFor("another portal", SOON, async () => (await machine.report()) !== null);
      expect(await machine.processes(TOML, "root")).not.toContain(first);
      await cron.stop();
      for (const pid of await machine.processes(TOML, "root")) process.kill(pid, "SIGTERM");
      await lab.waitFor("its end", SOON, async () => (await machine.made()) === "");
    },
  );
}
