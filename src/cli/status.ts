/** `portal status`: asks the portal that runs on this machine over its control socket. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { defineCommand } from "citty";
import { controlSocketOf } from "../config/parse.ts";
import type { StatusReport } from "../share/status.ts";
import { renderStatus } from "../ui/status.ts";
import { usage } from "./arguments.ts";
import { EXIT, Failure } from "./exit.ts";
import { codeOf, findConfig, readSource } from "./load.ts";
import { printLine } from "./print.ts";

/** Where portals put their control sockets unless told otherwise. */
const DIRECTORY = "/run/portal";

/** A portal answers within a fifth of a second; one that is stopped in a debugger does not. */
const PATIENCE_MILLIS = 5_000;

const AS_ROOT = "run portal status as root, or as the user the portal runs as";

export const status = defineCommand({
  meta: { name: "status", description: "Show the session and paths of the portal running here" },
  args: {
    json: { type: "boolean", description: "print the report as JSON" },
    toml: { type: "string", valueHint: "FILE", description: "ask the portal of this configuration file" },
    socket: { type: "string", valueHint: "PATH", description: "ask the portal with this control socket" },
  },
  run: async ({ args }) => {
    const report = await reportFrom(args);
    printLine(args.json ? JSON.stringify(report, null, 2) : renderStatus(report));
    return EXIT.ok;
  },
});

async function reportFrom(args: {
  socket?: string | undefined;
  toml?: string | undefined;
}): Promise<StatusReport> {
  if (args.socket !== undefined && args.toml !== undefined) {
    throw usage('"portal status" takes --socket or --toml: leave one out');
  }
  if (args.socket !== undefined) return ask(args.socket);
  if (args.toml === undefined) return askOnly(DIRECTORY);
  const file = findConfig(args.toml);
  const socket = controlSocketOf(readSource(file).text);
  if (socket === null) throw new Failure(EXIT.config, `${file} is no TOML: run portal check --toml ${file}`);
  return ask(socket);
}

/** Asks the one portal that has its socket in `directory`. */
export async function askOnly(directory: string): Promise<StatusReport> {
  const sockets = socketsIn(directory);
  const answers = await Promise.allSettled(sockets.map(ask));
  const live = answers.flatMap((answer) => (answer.status === "fulfilled" ? [answer.value] : []));
  if (live.length === 1) return live[0]!;
  if (live.length > 1) {
    const names = sockets
      .filter((_, i) => answers[i]!.status === "fulfilled")
      .map((path) => `--socket ${path}`);
    throw usage(`${live.length} portals run here: choose one by ${names.join(" or ")}`);
  }
  const denied = answers.find((answer) => answer.status === "rejected" && isDenied(answer.reason));
  if (denied?.status === "rejected") throw denied.reason;
  const advice = "start one with portal --toml FILE, or name its control socket with --socket PATH";
  throw new Failure(EXIT.failed, `no portal runs here (no socket answers in ${directory}): ${advice}`);
}

function isDenied(reason: unknown): boolean {
  return reason instanceof Failure && reason.exitCode === EXIT.notPermitted;
}

function socketsIn(directory: string): string[] {
  try {
    const names = readdirSync(directory).filter((name) => name.endsWith(".sock"));
    return names.sort().map((name) => join(directory, name));
  } catch (error) {
    if (codeOf(error) !== "EACCES") return [];
    throw new Failure(EXIT.notPermitted, `no permission to look into ${directory}: ${AS_ROOT}`);
  }
}

/** The report of the portal behind the socket at `path`. */
export async function ask(path: string): Promise<StatusReport> {
  try {
    const signal = AbortSignal.timeout(PATIENCE_MILLIS);
    const response = await fetch("http://portal/status", { unix: path, signal });
    if (!response.ok)
      throw new Failure(EXIT.failed, `what serves ${path} is no portal: it answers ${response.status}`);
    return (await response.json()) as StatusReport;
  } catch (error) {
    throw error instanceof Failure ? error : failureOf(error, path);
  }
}

function failureOf(error: unknown, path: string): Failure {
  const code = codeOf(error);
  if (code === "ENOENT" || code === "ENOTDIR") {
    return new Failure(
      EXIT.failed,
      `no portal runs with the control socket ${path}: start it with portal --toml FILE`,
    );
  }
  if (code === "ECONNREFUSED") {
    return new Failure(
      EXIT.failed,
      `no portal runs: ${path} is left from one that ended; start it with portal --toml FILE`,
    );
  }
  if (code === "EACCES" || code === "EPERM") {
    return new Failure(EXIT.notPermitted, `no permission for the control socket ${path}: ${AS_ROOT}`);
  }
  if (error instanceof Error && error.name === "TimeoutError") {
    return new Failure(EXIT.failed, `the portal at ${path} does not answer: is it stopped? its log may tell`);
  }
  const message = error instanceof Error ? error.message : String(error);
  return new Failure(EXIT.failed, `cannot ask ${path}: ${message}; is it a portal's control socket?`);
}
