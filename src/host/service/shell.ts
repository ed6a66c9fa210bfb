/**
 * The service where a shell keeps it running: a line for cron (crontab(5)) and an init script of System V (LSB 5.0). Pure.
 */
import {
  checkWords,
  FINAL_CODES,
  isBelowRun,
  ownLine,
  RESTART_SECONDS,
  type ServicePlan,
  shellLine,
  shellWord,
} from "./plan.ts";
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

/** In one line; a percent sign would end it. SIGHUP is ignored until portal minds it. */
export function cronCommand(plan: ServicePlan): string {
  const loop = [
    "while :",
    `do ${startWords(plan)}`,
    `case $? in ${FINAL}) break;; esac`,
    `sleep ${RESTART_SECONDS}`,
    `done 2>&1 | logger -t ${plan.name}`,
  ];
  return ['trap "" HUP', ...makeRunDirectory(plan), ...loop].join("; ").replaceAll("%", "\\%");
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
	stopped= child=
	trap 'stopped=1; [ -z "$child" ] || kill "$child" 2>/dev/null' TERM
	while [ -z "$stopped" ]; do
		# Ignored until portal minds it, which has yet to read its configuration.
		trap '' HUP
		child=
		${startWords(plan)} &
		child=$!
		trap 'kill -HUP "$child" 2>/dev/null' HUP
		# The signal came when there was no number yet.
		[ -z "$stopped" ] || kill "$child" 2>/dev/null
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

# The number in the file may be another program's by now, also another portal's.
running() {
	pid=$(cat "$pidfile" 2>/dev/null) && [ -n "$pid" ] &&
		tr '\\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -Eq ' keep( ${plan.name})? $'
}

# A portal that runs is not ended for a configuration that has faults.
checkconfig() {
	${shellLine(checkWords(plan))} >/dev/null
	[ $? -ne 3 ] || exit 6
}

start() {
	if running; then
		echo "${plan.name} runs already"
		return 0
	fi
	${[...makeRunDirectory(plan), `setsid "$0" keep ${plan.name} </dev/null 2>&1 | logger -t ${plan.name} >/dev/null 2>&1 &`].join("\n\t")}
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
	looks=0
	while [ $looks -lt 100 ]; do
		running || return 0
		sleep 0.1
		looks=$((looks + 1))
	done
	echo "${plan.name} does not end" >&2
	return 1
}

case $1 in
keep)
	echo $$ >"$pidfile"
	keep >&2
	;;
start)
	checkconfig
	start
	;;
stop) stop ;;
restart | force-reload)
	checkconfig
	stop && start
	;;
reload | status)
	if ! running; then
		echo "${plan.name} does not run"
		[ "$1" = status ] && exit 3
		exit 7
	fi
	if [ "$1" = status ]; then echo "${plan.name} runs"; else kill -HUP "$pid"; fi
	;;
*)
	echo "usage: $0 start|stop|restart|reload|force-reload|status" >&2
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
