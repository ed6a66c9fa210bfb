/** The service as a systemd unit (systemd.service(5), systemd.exec(5)). Pure. */
import {
  argumentsOf,
  capabilitiesOf,
  FINAL_CODES,
  isBelowLib,
  isBelowRun,
  ownLine,
  RESTART_SECONDS,
  reloadWords,
  type ServicePlan,
} from "./plan.ts";

/** Variables by which Bun, the runtime inside the program, takes orders. */
const BUN_VARIABLES = [
  "BUN_BE_BUN",
  "BUN_OPTIONS",
  "BUN_INSPECT",
  "BUN_INSPECT_CONNECT_TO",
  "BUN_INSPECT_PRELOAD",
  "BUN_INSPECT_NOTIFY",
];

export function systemdUnit(plan: ServicePlan): string {
  const capabilities = capabilitiesOf(plan)
    .map((name) => `CAP_${name.toUpperCase()}`)
    .join(" ");
  return `${ownLine("systemd", plan)}
# What you change here is lost then; "systemctl edit ${plan.name}" keeps changes of yours in a file beside it.
[Unit]
Description=portal: several Internet connections as one (${escapePercent(plan.toml)})
After=network.target nss-lookup.target
StartLimitIntervalSec=0

[Service]
# portal says when it runs, and every second that its loop goes round. One that hangs is started again.
Type=notify
WatchdogSec=30
ExecStart=${argumentsOf(plan).map(systemdWord).join(" ")}
# Over when the changed configuration counts; says what is wrong with one that has faults, and fails.
ExecReload=${reloadWords(plan).map(systemdWord).join(" ")}
# At the end portal alone is told: programs that it runs to undo its changes would be ended in the midst of that.
KillMode=mixed
Restart=always
RestartSec=${RESTART_SECONDS}
RestartPreventExitStatus=${FINAL_CODES.filter((code) => code !== 0).join(" ")}

# No more rights than it needs.
User=${plan.user}
AmbientCapabilities=${capabilities}
CapabilityBoundingSet=${capabilities}
NoNewPrivileges=yes
UnsetEnvironment=${BUN_VARIABLES.join(" ")}
${socketLines(plan.socketDirectory)}
# Writable too, and kept from one boot to the next.
${stateLines(plan.stateDirectory)}
UMask=0077
# A memory image would hold the keys.
LimitCORE=0
DevicePolicy=closed
DeviceAllow=/dev/net/tun rw
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectProc=invisible
RestrictAddressFamilies=AF_INET AF_INET6 AF_NETLINK AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
# Not MemoryDenyWriteExecute: the program is compiled while it runs. Not ProtectKernelTunables: network settings are below
# /proc/sys/net.

[Install]
WantedBy=multi-user.target
`;
}

function socketLines(directory: string): string {
  if (!isBelowRun(directory)) return `ReadWritePaths=${escapePercent(directory)}`;
  return `# Kept, because another portal may have its socket there.
RuntimeDirectory=${escapePercent(directory.slice("/run/".length))}
RuntimeDirectoryMode=0750
RuntimeDirectoryPreserve=yes`;
}

function stateLines(directory: string): string {
  if (!isBelowLib(directory)) return `ReadWritePaths=${systemdWord(directory)}`;
  return `StateDirectory=${systemdWord(directory.slice("/var/lib/".length))}
StateDirectoryMode=0750`;
}

function escapePercent(text: string): string {
  return text.replaceAll("%", "%%");
}

function systemdWord(word: string): string {
  const escaped = escapePercent(word).replaceAll("$", "$$$$");
  return /[\s"'\\;]/.test(escaped) ? `"${escaped.replace(/(["\\])/g, "\\$1")}"` : escaped;
}
