/**
 * The service where a shell keeps it running: a line for cron (crontab(5)) and an init script of System V (LSB 5.0). Pure.
 */
import { FINAL_CODES, isBelowRun, ownLine, RESTART_SECONDS, type ServicePlan, shellWord } from "./plan.ts";
import { startWords } from "./setpriv.ts";

const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const FINAL = FINAL_CODES.join("|");

/** cron takes at most so many characters (MAX_COMMAND of Debian's). */
export const CRON_LINE_MOST = 999;

export function cronFile(plan: ServicePlan): string {
  return `${ownLine("cron", plan)}
# To end it until the next start of the machine, end portal itself with SIGTERM; SIGHUP reads the configuration again.
SHELL=/bin/sh
PATH=${PATH}
@reboot root ${cronCommand(plan)}
`;
}

/** In one line; a percent sign would end it. */
export function cronCommand(plan: ServicePlan): string {
  const loop = [
    "while :",
    `do ${startWords(plan)}`,
    `case $? in ${FINAL}) break;; esac`,
    `sleep ${RESTART_SECONDS}`,
    `done 2>&1 | logger -t ${plan.name}`,
  ];
  return [...makeRunDirectory(plan), ...loop].join("; ").replaceAll("%", "\\%");
}

export function sysvScript(plan: ServicePlan): string {
  return `#!/bin/sh
${ownLine("sysv", plan)}
### BEGIN INIT INFO
# Provides:          ${plan.name}
# Required-Start:    $local_fs $network
# Required-Stop:     $local_fs $network
# Should-Start:      $named $syslog
# Should-Stop:       $named $syslog
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: several Internet connections as one
### END INIT INFO
PATH=${PATH}
pidfile=/run/${plan.name}.pid

# Keeps portal running. TERM ends both, HUP goes on to portal.
keep() {
	trap 'stopped=1; kill "$child" 2>/dev/null' TERM
	trap 'kill -HUP "$child" 2>/dev/null' HUP
	stopped=
	while [ -z "$stopped" ]; do
		${startWords(plan)} &
		child=$!
		wait "$child"
		code=$?
		# A signal ends the wait, but not yet portal.
		while kill -0 "$child" 2>/dev/null; do
			wait "$child"
			code=$?
		done
		case $code in ${FINAL}) break ;; esac
		[ -n "$stopped" ] && break
		sleep ${RESTART_SECONDS} &
		child=$!
		wait "$child"
	done
	rm -f "$pidfile"
}

running() {
	pid=$(cat "$pidfile" 2>/dev/null) && [ -n "$pid" ] && tr '\\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -q ' keep $'
}

start() {
	if running; then
		echo "${plan.name} runs already"
		return 0
	fi
	${[...makeRunDirectory(plan), `setsid "$0" keep </dev/null 2>&1 | logger -t ${plan.name} >/dev/null 2>&1 &`].join("\n\t")}
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		running && return 0
		sleep 0.2
	done
	echo "${plan.name} does not run: logger wrote why to the system's log" >&2
	return 1
}

stop() {
	running || return 0
	kill "$pid"
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		running || return 0
		sleep 1
	done
	echo "${plan.name} does not end" >&2
	return 1
}

case $1 in
keep)
	echo $$ >"$pidfile"
	keep >&2
	;;
start) start ;;
stop) stop ;;
restart | force-reload) stop && start ;;
reload) running && kill -HUP "$pid" ;;
status)
	running || { echo "${plan.name} does not run"; exit 3; }
	echo "${plan.name} runs"
	;;
*)
	echo "usage: $0 start|stop|restart|reload|status" >&2
	exit 2
	;;
esac
`;
}

function makeRunDirectory({ socketDirectory, user, group }: ServicePlan): string[] {
  if (!isBelowRun(socketDirectory)) return [];
  const directory = shellWord(socketDirectory);
  return [`mkdir -p -m 750 ${directory}`, `chown ${user}:${group} ${directory}`];
}
