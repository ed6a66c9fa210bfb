/** The service as an OpenRC script (openrc-run(8), supervise-daemon(8)). Pure. */
import {
  checkWords,
  isBelowRun,
  ownLine,
  RESTART_SECONDS,
  type ServicePlan,
  shellLine,
  shellWord,
} from "./plan.ts";
import { startWords } from "./setpriv.ts";

export function openrcScript(plan: ServicePlan): string {
  const directory = plan.socketDirectory;
  const owner = shellWord(`${plan.user}:${plan.group}`);
  return `#!/sbin/openrc-run
${ownLine("openrc", plan)}
description="portal: several Internet connections as one"
description_reload="Read the configuration again"
supervisor=supervise-daemon
# A shell that becomes portal. It joins it to the system's log, which supervise-daemon does only since OpenRC 0.52, and to
# its rights: OpenRC's own "capabilities" is not there where it was built without (Debian, Devuan).
command=/bin/sh
# Read twice, as a shell does.
command_args=${shellWord(`-c ${shellWord(becoming(plan))}`)}
respawn_delay=${RESTART_SECONDS}
respawn_max=0
extra_started_commands="reload"

depend() {
	after localmount net dns logger
}

# A portal that runs is not stopped for a configuration that has faults.
checkconfig() {
	${shellLine(checkWords(plan))} >/dev/null
	[ $? -ne 3 ]
}

start_pre() {
	checkconfig || return 1${
    isBelowRun(directory)
      ? `
	checkpath --directory --owner ${owner} --mode 0750 ${shellWord(directory)}`
      : ""
  }
}

stop_pre() {
	[ "$RC_CMD" != restart ] || checkconfig
}

reload() {
	ebegin "Reloading $RC_SVCNAME"
	supervise-daemon "$RC_SVCNAME" --signal HUP
	eend $?
}
`;
}

/** The pipe to the logger has no name any more when portal begins. */
function becoming(plan: ServicePlan): string {
  const pipe = `/run/${plan.name}.log`;
  return [
    'trap "" HUP',
    `rm -f ${pipe}`,
    `mkfifo -m 600 ${pipe}`,
    `logger -t ${plan.name} <${pipe} >/dev/null 2>&1 & exec >${pipe} 2>&1`,
    `rm ${pipe}`,
    `exec ${startWords(plan)}`,
  ].join("; ");
}
