/** The service as an OpenRC script (openrc-run(8), supervise-daemon(8)). Pure. */
import { isBelowRun, ownLine, RESTART_SECONDS, type ServicePlan, shellWord } from "./plan.ts";
import { startWords } from "./setpriv.ts";

export function openrcScript(plan: ServicePlan): string {
  // OpenRC's own "capabilities" is not there where it was built without (Debian, Devuan).
  const [program, ...rest] = startWords(plan).split(" ");
  const directory = plan.socketDirectory;
  const owner = `${plan.user}:${plan.group}`;
  return `#!/sbin/openrc-run
${ownLine("openrc", plan)}
description="portal: several Internet connections as one"
supervisor=supervise-daemon
command=/usr/bin/${program}
# Read twice, as a shell does.
command_args=${shellWord(rest.join(" "))}
respawn_delay=${RESTART_SECONDS}
respawn_max=0
output_logger="logger -t ${plan.name}"
error_logger="logger -t ${plan.name}"
extra_started_commands="reload"

depend() {
	after localmount net dns logger
}
${
  isBelowRun(directory)
    ? `
start_pre() {
	checkpath --directory --owner ${shellWord(owner)} --mode 0750 ${shellWord(directory)}
}
`
    : ""
}
reload() {
	ebegin "Reloading $RC_SVCNAME"
	supervise-daemon "$RC_SVCNAME" --signal HUP
	eend $?
}
`;
}
