/**
 * The control socket: HTTP on a UNIX socket, where `portal status` asks a running portal. GET /status answers with a
 * `StatusReport` as JSON. Only the portal's own user may connect.
 */
import { chmodSync, lstatSync, mkdirSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import type { StatusReport } from "../share/status.ts";
import { libc } from "../sys/libc.ts";
import { at, nativeBlock } from "../sys/memory.ts";
import { BUSY, FAILED, NOT_PERMITTED, StartFailure } from "./failure.ts";

export interface Control {
  /** Closes the socket and removes its file. */
  stop(): void;
}

/**
 * Serves `report` at `path`. A socket left behind by a portal that crashed is replaced; one that a live portal serves is
 * a `StartFailure`, as is a path that cannot be made.
 */
export function serveControl(path: string, report: () => StatusReport): Control {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o750 });
    makeRoom(path);
    return listen(path, report);
  } catch (error) {
    throw error instanceof StartFailure ? error : failureOf(error, path);
  }
}

function listen(path: string, report: () => StatusReport): Control {
  // The mode must be right from the first moment, so the mask is set, not only the mode changed afterwards.
  const mask = process.umask(0o177);
  try {
    const server = Bun.serve({ unix: path, fetch: (request) => answer(request, report) });
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

function answer(request: Request, report: () => StatusReport): Response {
  if (new URL(request.url).pathname !== "/status") return new Response("there is /status\n", { status: 404 });
  if (request.method !== "GET") return new Response("only GET\n", { status: 405, headers: { allow: "GET" } });
  return Response.json(report());
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
