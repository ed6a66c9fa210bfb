/** What a portal tells the service manager that started it: when it is ready, that its loop goes round, how it stands. */
import { expect } from "bun:test";
import { join } from "node:path";
import { selfCommand } from "../../src/lab/self.ts";
import type { PathOptions } from "../../src/lab/topology.ts";
import { scenario } from "./scenario.ts";
import { SOON } from "./traffic.ts";

const paths: PathOptions[] = [{ plain: true }, { plain: true }];

for (const socket of ["/run/notify.sock", "@portal/notify"]) {
  scenario(
    import.meta.path,
    `the service manager at ${socket} hears how portal stands`,
    { paths },
    async (lab) => {
      const manager = lab.spawn("local", [process.execPath, join(import.meta.dir, "manager.ts"), socket]);
      const heard: string[] = [];
      await manager.nextLine();
      manager.onLine((line) => heard.push(...(JSON.parse(line) as string[])));
      const hear = (what: string): Promise<void> =>
        lab.waitFor(`the manager to hear ${what}`, SOON, () => heard.includes(what));
      const command = ["env", `NOTIFY_SOCKET=${socket}`, ...selfCommand()];
      const portals = await lab.startPortals({ command: { local: command } });
      await hear("READY=1");
      await hear("STATUS=2 of 2 paths up");
      expect(heard.filter((line) => line === "READY=1").length).toBe(1);

      await lab.setInterface(1, "down");
      await hear("STATUS=1 of 2 paths up");
      await portals.remote.stop();
      await hear("STATUS=connecting to the remote portal");

      // A loop that goes round says so again and again; one that stands still does not, and the manager would act.
      heard.length = 0;
      await hear("WATCHDOG=1");
      portals.local.kill("SIGSTOP");
      await lab.waitFor("the portal to stand still", SOON, async () => {
        return (await lab.exec("local", ["cat", `/proc/${portals.local.pid}/stat`])).stdout.includes(") T ");
      });
      heard.length = 0;
      // Two rounds of a loop that lives: there is nothing to wait for when nothing may come.
      await Bun.sleep(2500);
      expect(heard).toEqual([]);
      portals.local.kill("SIGCONT");
      await hear("WATCHDOG=1");

      expect(await portals.local.stop()).toBe(0);
      await hear("STOPPING=1");
    },
  );
}

scenario(import.meta.path, "a portal whose service manager is gone runs on", { paths }, async (lab) => {
  const command = ["env", "NOTIFY_SOCKET=/run/nobody.sock", ...selfCommand()];
  const odd = ["env", "NOTIFY_SOCKET=nowhere", ...selfCommand()];
  const portals = await lab.startPortals({ command: { local: command, remote: odd } });
  expect(portals.remote.errors.some((line) => line.includes("cannot tell the service manager"))).toBe(true);
  expect(portals.local.errors.every((line) => line.includes(" info "))).toBe(true);
});
