/** Asking the portal that runs on this machine, over its control socket: which one, and what can go wrong. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { controlSocketOf } from "../config/parse.ts";
import { usage } from "./arguments.ts";
import { EXIT, Failure } from "./exit.ts";
import { codeOf, findConfig, readSource } from "./load.ts";

/** Where portals put their control sockets unless told otherwise. */
const DIRECTORY = "/run/portal";

/** A portal answers within a fifth of a second; one that is stopped in a debugger does not. */
const PATIENCE_MILLIS = 5_000;

const AS_ROOT = "run it as root, or as the user the portal runs as";

/** The flags that choose a portal. */
export const WHICH = {
  toml: { type: "string", valueHint: "FILE", description: "ask the portal of this configuration file" },
  socket: { type: "string", valueHint: "PATH", description: "ask the portal with this control socket" },
} as const;

/** The control socket of the portal that is meant: the one that runs here, unless told. */
export async function findSocket(
  args: { socket?: string | undefined; toml?: string | undefined },
  command: string,
): Promise<string> {
  if (args.socket !== undefined && args.toml !== undefined) {
    throw usage(`"${command}" takes --socket or --toml: leave one out`);
  }
  if (args.socket !== undefined) return args.socket;
  if (args.toml === undefined) return await findOnly(DIRECTORY);
  const file = findConfig(args.toml);
  const socket = controlSocketOf(readSource(file).text);
  if (socket === null) throw new Failure(EXIT.config, `${file} is no TOML: run portal check --toml ${file}`);
  return socket;
}

/** The socket of the one portal that has its own in `directory`. */
export async function findOnly(directory: string): Promise<string> {
  const sockets = socketsIn(directory);
  const answers = await Promise.allSettled(sockets.map((socket) => ask(socket, "status")));
  const live = sockets.filter((_, i) => answers[i]!.status === "fulfilled");
  if (live.length === 1) return live[0]!;
  if (live.length > 1) {
    const names = live.map((path) => `--socket ${path}`);
    throw usage(`${live.length} portals run here: choose one by ${names.join(" or ")}`);
  }
  const there = answers.find((answer) => answer.status === "rejected" && isThere(answer.reason));
  if (there?.status === "rejected") throw there.reason;
  const advice = "start one with portal --toml FILE, or name its control socket with --socket PATH";
  throw new Failure(EXIT.failed, `no portal runs here (no socket answers in ${directory}): ${advice}`);
}

/** A portal that takes the question, and gives no answer. */
class Silent extends Failure {}

/** Somebody may serve the socket, though it cannot be asked. */
function isThere(reason: unknown): boolean {
  return reason instanceof Silent || (reason instanceof Failure && reason.exitCode === EXIT.notPermitted);
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

/** What the portal behind the socket at `path` answers to a question, or to a command with its `body`. */
export async function ask<Answer>(path: string, name: string, body?: object): Promise<Answer> {
  try {
    const signal = AbortSignal.timeout(PATIENCE_MILLIS);
    const post = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
    const response = await fetch(`http://portal/${name}`, { unix: path, signal, ...post });
    if (!response.ok)
      throw new Failure(EXIT.failed, `what serves ${path} is no portal: it answers ${response.status}`);
    return (await response.json()) as Answer;
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
    return new Silent(EXIT.failed, `the portal at ${path} does not answer: is it stopped? its log may tell`);
  }
  const message = error instanceof Error ? error.message : String(error);
  return new Failure(EXIT.failed, `cannot ask ${path}: ${message}; is it a portal's control socket?`);
}
