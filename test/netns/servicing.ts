/**
 * A machine of the laboratory on which portal is a service: a remote portal, with a port and a change of the machine that
 * take rights, and what is seen of it from outside.
 */
import { expect } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import type { Finished } from "../../src/lab/process.ts";
import type { Lab, PathOptions } from "../../src/lab/topology.ts";
import type { StatusReport } from "../../src/share/status.ts";
import { keyText } from "../config/source.ts";
import { SOON } from "./traffic.ts";
import { shell, showProgram } from "./user.ts";

export const paths: PathOptions[] = [{ plain: true }];
export const TOML = "/etc/portal/portal.toml";
export const KEY = "/etc/portal/private.key";

/** Port 443 takes a third capability, and `nat` a change of the machine. */
export const CONFIGURATION = `role = "remote"
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

/** What a changed file may have besides. */
export const CABIN = `[[peer]]
name = "cabin"
public_key = "${keyText(8)}"
addresses = ["10.77.0.3/32"]
`;

/** Another portal beside it, with all that is its own. */
export const OFFICE = "/etc/portal/office.toml";
export const OFFICES = CONFIGURATION.replace("[tunnel]", '[tunnel]\ninterface = "office0"')
  .replace("10.77.0.1", "10.78.0.1")
  .replace("10.77.0.2", "10.78.0.2")
  .replace("443", "444");

/** As /proc shows them: CAP_NET_ADMIN and CAP_NET_RAW; and CAP_NET_BIND_SERVICE besides. */
export const TWO_RIGHTS = "0000000000003000";
const THREE_RIGHTS = "0000000000003400";

/** Everything that portal has made there and would leave: the firewall's tables, interfaces, files of its own. */
const MADE = `nft list tables; ls /sys/class/net | grep -v -e lo -e path -e wan; ls /run/portal`;

export class Serviced {
  readonly lab: Lab;
  /** The words that start portal. */
  readonly program: readonly string[];
  /** Where the machine's root is seen from here. */
  root = "";
  /** What its portal should have. */
  rights = THREE_RIGHTS;

  /**
   * Makes a copy of this machine's /etc, and a /var/lib and a /dev, that vanish with the laboratory; puts this program below
   * /opt, where services of the machine may have it, and writes a configuration.
   */
  constructor(lab: Lab) {
    this.lab = lab;
    shell("mkdir /run/etc; cp -a /etc/. /run/etc/");
    // Nothing that this machine itself starts is started here.
    shell("cd /run/etc; rm -rf systemd/system init.d rc?.d runlevels/*/* cron.* crontab fstab portal");
    shell("cd /run/etc; mkdir -p systemd/system init.d cron.d portal; chmod 755 portal");
    shell("mount --bind /run/etc /etc; userdel portal 2>/dev/null || true");
    shell("mount -t tmpfs -o mode=755 opt /opt; mount -t tmpfs -o mode=755 lib /var/lib");
    shell(DEVICES);
    writeFileSync(TOML, CONFIGURATION);
    writeFileSync(KEY, keyText(1), { mode: 0o600 });
    this.program = showProgram("/opt");
  }

  async exec(argv: readonly string[]): Promise<Finished> {
    return await this.lab.exec("remote", argv);
  }

  /** `portal service WORDS`. */
  async service(...words: string[]): Promise<Finished> {
    return await this.exec([
      ...this.program,
      "service",
      ...words,
      ...(words.includes("--toml") ? [] : ["--toml", TOML]),
    ]);
  }

  async install(kind: string, ...words: string[]): Promise<void> {
    expect(await this.service(kind, "--install", ...words)).toMatchObject({ code: 0, stderr: "" });
  }

  async report(name = "portal0"): Promise<StatusReport | null> {
    try {
      const socket = `${this.root}/run/portal/${name}.sock`;
      return (await (await fetch("http://portal/status", { unix: socket })).json()) as StatusReport;
    } catch {
      return null;
    }
  }

  async peers(): Promise<string[]> {
    return (await this.report())?.sessions.map(({ peer }) => peer) ?? [];
  }

  async runs(name = "portal0"): Promise<void> {
    await this.lab.waitFor(`${name} to answer`, SOON, async () => (await this.report(name)) !== null);
  }

  /** The numbers of the processes that are portal itself, the oldest first. */
  async processes(toml = TOML, user = "portal"): Promise<number[]> {
    const { stdout } = await this.exec(["pgrep", "-u", user, "-f", `^/opt/bun .*main.ts --toml ${toml}`]);
    const all = stdout === "" ? [] : stdout.trim().split("\n").map(Number);
    // One that portal has just made and that is no other program yet looks like it.
    return all.filter((pid) => !all.includes(parentOf(pid)));
  }

  /** The one of them, and what the kernel says of its rights. */
  async process(toml = TOML, user = "portal"): Promise<{ pid: number; rights: string } | null> {
    const [pid, ...more] = await this.processes(toml, user);
    expect(more).toEqual([]);
    if (pid === undefined) return null;
    try {
      return { pid, rights: readFileSync(`/proc/${pid}/status`, "utf8") };
    } catch {
      return null; // It has ended since.
    }
  }

  /** It runs once, has what it needs of rights, and what it made is there once. Its number. */
  async expectWell(user = "portal"): Promise<number> {
    await this.runs();
    const { pid, rights } = (await this.process(TOML, user))!;
    for (const set of ["Inh", "Prm", "Eff", "Bnd", "Amb"])
      expect(rights).toContain(`Cap${set}:\t${this.rights}\n`);
    expect(rights).toContain("NoNewPrivs:\t1\n");
    expect(await this.made()).toBe("table inet portal\nportal0\nportal0.changes\nportal0.sock\n");
    return pid;
  }

  async made(): Promise<string> {
    const inside = this.root === "" ? MADE : MADE.replaceAll("/run/portal", `${this.root}/run/portal`);
    return (await this.exec(["sh", "-c", inside])).stdout;
  }

  /** Another process than `before` runs. */
  async expectAnother(before: number): Promise<number> {
    await this.lab.waitFor("portal to be started again", SOON, async () => {
      const now = await this.process();
      return now !== null && now.pid !== before && (await this.report()) !== null;
    });
    return await this.expectWell();
  }

  /** Killed, it comes back as another process. */
  async expectComesBack(): Promise<number> {
    const before = await this.expectWell();
    process.kill(before, "SIGKILL");
    return await this.expectAnother(before);
  }

  /** It ends, and nothing is left of it. */
  async expectEnded(): Promise<void> {
    await this.lab.waitFor("portal to end", SOON, async () => (await this.process()) === null);
    expect(await this.made()).toBe("");
  }

  /** Its first process has ended, and nothing that outlives that is left of portal. */
  async expectOff(): Promise<void> {
    this.root = "";
    await this.expectEnded();
  }
}

/** -1: it has ended since. */
function parentOf(pid: number): number {
  try {
    return Number(/^PPid:\t(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]);
  } catch {
    return -1;
  }
}

/** What is in /dev, and nothing of the machine around: a system's log listens there. */
const DEVICES = `
mount -t tmpfs -o mode=755 dev /dev
mkdir /dev/net /dev/shm
while read -r name major minor; do mknod -m 666 "/dev/$name" c "$major" "$minor"; done <<END
null 1 3
zero 1 5
full 1 7
random 1 8
urandom 1 9
tty 5 0
net/tun 10 200
END
ln -s /proc/self/fd /dev/fd
`;

/** The lines of the system's log that `portal` has written, as of a syslog daemon that listens at /dev/log. */
export class Syslog {
  private readonly file = "/run/syslog";

  static async start(lab: Lab): Promise<Syslog> {
    const syslog = new Syslog();
    lab.spawn("remote", ["busybox", "syslogd", "-n", "-O", syslog.file], "syslogd");
    await lab.waitFor("syslogd to listen", SOON, () => existsSync("/dev/log"));
    return syslog;
  }

  has(tag: string, words: string): boolean {
    return this.of(tag).includes(words);
  }

  /** What this program has said, a line each. */
  of(tag: string): string {
    if (!existsSync(this.file)) return "";
    const lines = readFileSync(this.file, "utf8").split("\n");
    return lines.filter((line) => line.includes(` ${tag}: `)).join("\n");
  }
}
