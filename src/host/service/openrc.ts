/** The service as an OpenRC script (openrc-run(8), supervise-daemon(8)). Pure. */
import {
  argumentsOf,
  capabilitiesOf,
  isBelowRun,
  ownLine,
  RESTART_SECONDS,
  type ServicePlan,
  shellWord,
} from "./plan.ts";

export function openrcScript(plan: ServicePlan): string {
  const [program, ...rest] = argumentsOf(plan);
  const capabilities = capabilitiesOf(plan).map((name) => `^cap_${name}`);
  const directory = plan.socketDirectory;
  const owner = `${plan.user}:${plan.group}`;
  return `#!/sbin/openrc-run
${ownLine("openrc", plan)}
description="portal: several Internet connections as one"
supervisor=supervise-daemon
command=${shellWord(program!)}
command_args=${quoted(rest)}
command_user=${shellWord(owner)}
# Of OpenRC 0.45 and later.
capabilities="${capabilities.join(",")}"
respawn_delay=${RESTART_SECONDS}
respawn_max=0
output_logger="logger -t ${plan.name}"
error_logger="logger -t ${plan.name}"
extra_started_commands="reload"

depend() {
	need localmount
	after net dns logger
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

/** OpenRC reads the words again, as a shell does. */
function quoted(words: readonly string[]): string {
  return shellWord(words.map(shellWord).join(" "));
}
