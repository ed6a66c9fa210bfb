/**
 * systemd or OpenRC itself as the first process of a machine of the laboratory, in namespaces and a control group of its own.
 * Programs and units are this machine's. What belongs to the machine around (the clock, modules, settings that are not of the
 * network) it may not change, as in any container.
 */
import { expect } from "bun:test";
import { readFileSync } from "node:fs";
import { type Finished, type LabProcess, runToEnd } from "../../src/lab/process.ts";
import type { Serviced } from "./servicing.ts";
import { SOON } from "./traffic.ts";
import { shell } from "./user.ts";

/** The control groups of such machines, at the top of the hierarchy, wherever this machine has that; of those that are off, away. */
const GROUPS = "/run/groups/portal-test";
const LEAVE = `
mkdir -p /run/groups; mount -t cgroup2 groups /run/groups
for group in ${GROUPS}-*; do
  if grep -qs '^populated 0' "$group/cgroup.events"; then find "$group" -depth -type d -exec rmdir {} +; fi
done
`;

/** The shell's own process goes into one, and is then the parent of the first process. */
const ENTER = `${LEAVE}
group=${GROUPS}-$(stat --dereference --format=%i /proc/self/ns/net)
mkdir "$group"
echo $$ >"$group/cgroup.procs"
umount /run/groups
exec unshare --mount --propagation private --pid --fork --kill-child --uts --ipc --cgroup sh -ec "$1"
`;

const CONTAIN = `
mount -t proc proc /proc
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
mount --bind /proc/sys/net /proc/sys/net
mount -o remount,bind,rw /proc/sys/net
mount -t cgroup2 groups /sys/fs/cgroup
mount -t tmpfs -o mode=1777 tmp /tmp
mount -t tmpfs -o mode=1777 tmp /var/tmp
`;

const START = `
mount -t tmpfs -o mode=755 run /run
kept=-sys_module,-sys_time,-sys_rawio,-audit_control,-audit_read,-syslog
exec env -i container=lab PATH=/usr/sbin:/usr/bin:/sbin:/bin setpriv --bounding-set="$kept" $INIT
`;

/** A first process of a machine. */
export interface Init {
  /** What is laid out for it, and the words that start it. */
  readonly prepare: string;
  readonly start: string;
  /** What answers so when the boot is over, and what switches the machine off. */
  readonly booted: readonly [question: readonly string[], answer: string];
  readonly off: readonly string[];
}

/** Of what this machine's systemd would start at boot, only the journal. */
export const SYSTEMD: Init = {
  prepare: `
mkdir -p /run/units /etc/systemd/journald.conf.d
printf '[Journal]\\nAudit=no\\nReadKMsg=no\\nStorage=volatile\\n' >/etc/systemd/journald.conf.d/lab.conf
cp -a /lib/systemd/system/. /run/units/
rm -rf /run/units/*.wants
mkdir /run/units/sysinit.target.wants
ln -s ../systemd-journald.service /run/units/sysinit.target.wants/
mount --bind /run/units /lib/systemd/system
mount -t tmpfs none /lib/systemd/system-generators
`,
  start: "/lib/systemd/systemd --unit=multi-user.target --log-target=journal --show-status=no",
  booted: [["systemctl", "is-system-running"], "running\n"],
  off: ["systemctl", "poweroff"],
};

export const OPENRC: Init = {
  prepare: "",
  start: "/sbin/openrc-init",
  booted: [["rc-status", "--runlevel"], "default\n"],
  off: ["openrc-shutdown", "--poweroff", "now"],
};

export class Booted {
  private readonly init: Init;
  private readonly parent: LabProcess;
  private readonly first: string;

  private constructor(init: Init, parent: LabProcess, first: string) {
    this.init = init;
    this.parent = parent;
    this.first = first;
  }

  /** Resolves when the boot is over. */
  static async boot(serviced: Serviced, init: Init): Promise<Booted> {
    const { lab } = serviced;
    const script = `${CONTAIN}${init.prepare}${START.replace("$INIT", init.start)}`;
    const parent = lab.spawn("remote", ["sh", "-ec", ENTER, "sh", script], "first process");
    let booted: Booted | null = null;
    await lab.waitFor("the machine to have booted", SOON, async () => {
      if (!parent.running) throw parent.failure(await parent.exited);
      const first = readFileSync(`/proc/${parent.pid}/task/${parent.pid}/children`, "utf8").trim();
      if (!/^\d+$/.test(first)) return false;
      booted = new Booted(init, parent, first);
      const [question, answer] = init.booted;
      return (await booted.exec(...question)).stdout === answer;
    });
    serviced.root = `/proc/${booted!.first}/root`;
    return booted!;
  }

  async exec(...argv: string[]): Promise<Finished> {
    const clean = "env -i --chdir=/ PATH=/usr/sbin:/usr/bin:/sbin:/bin EINFO_COLOR=no".split(" ");
    const inside = ["nsenter", `--target=${this.first}`, "--all"];
    return await runToEnd(["timeout", String(SOON), ...inside, ...clean, ...argv]);
  }

  async systemctl(...words: string[]): Promise<Finished> {
    return await this.exec("systemctl", ...words);
  }

  /** As a command of the owner that succeeds without a word to say. */
  async does(...words: string[]): Promise<void> {
    expect(await this.systemctl("--quiet", ...words)).toEqual({ code: 0, stdout: "", stderr: "" });
  }

  /** What systemd says of a property of portal's unit. */
  async property(name: string): Promise<string> {
    return (await this.systemctl("show", "--value", `--property=${name}`, "portal")).stdout.trim();
  }

  /** What portal has said. */
  async journal(): Promise<string> {
    return (await this.exec("journalctl", "--unit=portal", "--output=cat", "--no-pager")).stdout;
  }

  /** As from the machine's switch; resolves when it is off. */
  async powerOff(): Promise<void> {
    await this.exec(...this.init.off);
    await this.parent.exited;
    shell(`${LEAVE}umount /run/groups`);
  }
}
