/** The kinds of services: where the file of each lies, what is in it, and the owner's commands for it. Pure. */
import { openrcScript } from "./openrc.ts";
import type { Kind, ServicePlan } from "./plan.ts";
import { cronFile, sysvScript } from "./shell.ts";
import { systemdUnit } from "./systemd.ts";

export interface ServiceKind {
  readonly title: string;
  readonly directory: string;
  readonly suffix: string;
  readonly mode: number;
  readonly text: (plan: ServicePlan) => string;
  /** Programs the file needs, and their Debian packages. */
  readonly tools: readonly (readonly [program: string, debianPackage: string])[];
  /** What the owner runs to have it started now and at every boot. Null: nothing, the next boot starts it. */
  readonly enable: (name: string) => string | null;
  /** What makes a service that runs already take a new file. Null: nothing. */
  readonly renew: (name: string) => string | null;
  /** The reverse of `enable`, before the file goes. Null: nothing. */
  readonly disable: (name: string) => string | null;
  /** Where a file or symbolic link shows that it is enabled: a pattern of paths. */
  readonly enabled: (name: string) => string | null;
}

export const SERVICES: Readonly<Record<Kind, ServiceKind>> = {
  systemd: {
    title: "systemd (Debian, Raspberry Pi OS, Ubuntu, Fedora and most others)",
    directory: "/etc/systemd/system",
    suffix: ".service",
    mode: 0o644,
    text: systemdUnit,
    tools: [],
    enable: (name) => `systemctl enable --now ${name}`,
    renew: (name) => `systemctl daemon-reload && systemctl restart ${name}`,
    disable: (name) => `systemctl disable --now ${name}`,
    enabled: (name) => `/etc/systemd/system/*.target.wants/${name}.service`,
  },
  openrc: {
    title: "OpenRC (Gentoo, Artix, Devuan)",
    directory: "/etc/init.d",
    suffix: "",
    mode: 0o755,
    text: openrcScript,
    tools: [
      ["setpriv", "util-linux"],
      ["logger", "bsdutils"],
    ],
    enable: (name) => `rc-update add ${name} default && rc-service ${name} start`,
    renew: (name) => `rc-service ${name} restart`,
    disable: (name) => `rc-service ${name} stop; rc-update delete ${name} default`,
    enabled: (name) => `/etc/runlevels/*/${name}`,
  },
  cron: {
    title: "cron, by a line that runs at boot",
    directory: "/etc/cron.d",
    suffix: "",
    mode: 0o644,
    text: cronFile,
    tools: [
      ["setpriv", "util-linux"],
      ["logger", "bsdutils"],
    ],
    enable: () => null,
    renew: () => null,
    disable: () => null,
    enabled: () => null,
  },
  sysv: {
    title: "init scripts of System V",
    directory: "/etc/init.d",
    suffix: "",
    mode: 0o755,
    text: sysvScript,
    tools: [
      ["setpriv", "util-linux"],
      ["logger", "bsdutils"],
    ],
    enable: (name) => `update-rc.d ${name} defaults && /etc/init.d/${name} start`,
    renew: (name) => `/etc/init.d/${name} restart`,
    disable: (name) => `/etc/init.d/${name} stop; update-rc.d -f ${name} remove`,
    enabled: (name) => `/etc/rc[S0-6].d/S[0-9][0-9]${name}`,
  },
};

export function fileOf(kind: Kind, name: string): string {
  const { directory, suffix } = SERVICES[kind];
  return `${directory}/${name}${suffix}`;
}
