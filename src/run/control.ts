/**
 * The control socket: HTTP on a UNIX socket, where other commands of portal ask a running one. GET /status answers with a
 * `StatusReport`; POST /NAME carries out a command. All bodies are JSON. Only the portal's own user may connect.
 */
import { chmodSync, lstatSync, mkdirSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import type { StatusReport } from "../share/status.ts";
import { libc } from "../sys/libc.ts";
import { at, nativeBlock } from "../sys/memory.ts";
import { BUSY, FAILED, NOT_PERMITTED, StartFailure } from "./failure.ts";

/** Carries out what is asked and answers; `problem` in the answer says why it could not. */
export type Command = (body: unknown) => object;

export interface Control {
  /** Closes the socket and removes its file. */
  stop(): void;
}

/**
 * Serves `report` and `commands` at `path`. A socket left behind by a portal that crashed is replaced; one that a live portal serves is
 * a `StartFailure`, as is a path that cannot be made.
 */
export function serveControl(
  path: string,
  report: () => StatusReport,
  commands: Readonly<Record<string, Command>> = {},
): Control {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o750 });
    makeRoom(path);
    return listen(path, (request) => answer(request, report, commands));
  } catch (error) {
    throw error instanceof StartFailure ? error : failureOf(error, path);
  }
}

function listen(path: string, fetch: (request: Request) => Response | Promise<Response>): Control {
  // The mode must be right from the first moment, so the mask is set, not only the mode changed afterwards.
  const mask = process.umask(0o177);
  try {
    const server = Bun.serve({ unix: path, fetch });
    chmodSync(path, 0o600);
    return {
      stop() {
        void server.stop(true);
        rmSync(path, { force: true });
      },
    };
  } finally {
    process.umask(mask);
  }
}

async function answer(
  request: Request,
  report: () => StatusReport,
  commands: Readonly<Record<string, Command>>,
): Promise<Response> {
  const name = new URL(request.url).pathname.slice(1);
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (name !== "status" && command === undefined) {
    const names = ["status", ...Object.keys(commands)].map((each) => `/${each}`);
    return new Response(`there is ${names.join(", ")}\n`, { status: 404 });
  }
  const method = command === undefined ? "GET" : "POST";
  if (request.method !== method) {
    return new Response(`only ${method}\n`, { status: 405, headers: { allow: method } });
  }
  if (command === undefined) return Response.json(report());
  try {
    return Response.json(command(await request.json()));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return new Response("no JSON\n", { status: 400 });
  }
}

function makeRoom(path: string): void {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return;
  if (!stat.isSocket()) {
    throw new StartFailure(`${path} is no socket: remove it, or change control_socket`, FAILED);
  }
  if (isServed(path)) {
    const advice = "stop it, or give this one another tunnel interface or control_socket";
    throw new StartFailure(`another portal serves ${path}: ${advice}`, BUSY);
  }
  rmSync(path);
}

const AF_UNIX = 1;
const SOCK_STREAM_CLOEXEC = 1 | 0o2000000;
const SUN_PATH = 2;
const SOCKADDR_BYTES = 110;

/** True when something accepts connections at `path`. By libc, because it is to be known before going on. */
function isServed(path: string): boolean {
  const address = nativeBlock(SOCKADDR_BYTES);
  address.view.setUint16(0, AF_UNIX, true);
  new TextEncoder().encodeInto(path, address.bytes.subarray(SUN_PATH, SOCKADDR_BYTES - 1));
  const fd = libc.socket(AF_UNIX, SOCK_STREAM_CLOEXEC, 0);
  const connected = libc.connect(fd, at(address), SOCKADDR_BYTES) === 0;
  libc.close(fd);
  return connected;
}

function failureOf(error: unknown, path: string): unknown {
  if (!(error instanceof Error) || !("code" in error)) return error;
  const { code } = error;
  const message = `cannot make the control socket ${path}: ${error.message.split("\n")[0]}`;
  if (code === "EACCES" || code === "EPERM" || code === "EROFS") {
    return new StartFailure(`${message}; run portal as root, or change control_socket`, NOT_PERMITTED);
  }
  return new StartFailure(`${message}; change control_socket`, code === "EADDRINUSE" ? BUSY : FAILED);
}
