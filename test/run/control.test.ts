import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { type Control, serveControl } from "../../src/run/control.ts";
import { StartFailure } from "../../src/run/failure.ts";
import { reportOf } from "../ui/report.ts";

let directory: string;
let path: string;
const running: Control[] = [];

beforeEach(() => {
  directory = mkdtempSync("/tmp/portal-control-");
  path = join(directory, "run/portal0.sock");
});

afterEach(() => {
  for (const control of running.splice(0)) control.stop();
  rmSync(directory, { recursive: true });
});

function serve(at = path): Control {
  const control = serveControl(at, () => reportOf());
  running.push(control);
  return control;
}

function failure(run: () => unknown): { message: string; exitCode: number } {
  try {
    run();
  } catch (error) {
    if (error instanceof StartFailure) return { message: error.message, exitCode: error.exitCode };
    throw error;
  }
  throw new Error("no failure");
}

const ask = (target: string, init: RequestInit = {}) =>
  fetch(`http://portal${target}`, { unix: path, ...init });

test("serves the report, and only that", async () => {
  serve();
  const response = await ask("/status");
  expect(response.headers.get("content-type")).toStartWith("application/json");
  expect(await response.json()).toEqual(reportOf());
  expect((await ask("/")).status).toBe(404);
  expect((await ask("/status", { method: "POST" })).status).toBe(405);
});

test("carries out commands, and answers what came of them", async () => {
  const said: unknown[] = [];
  const commands = { path: (body: unknown) => ({ heard: said.push(body) }) };
  running.push(serveControl(path, () => reportOf(), commands));
  const response = await ask("/path", { method: "POST", body: '{"name":"eth0"}' });
  expect([await response.json(), said]).toEqual([{ heard: 1 }, [{ name: "eth0" }]]);
  expect((await ask("/path")).status).toBe(405);
  expect((await ask("/path", { method: "POST", body: "no JSON" })).status).toBe(400);
  expect(await (await ask("/paths")).text()).toBe("there is /status, /path\n");
  expect((await ask("/toString", { method: "POST", body: "{}" })).status).toBe(404);
  expect(said.length).toBe(1);
});

test("is for its own user, in a directory that is made", () => {
  const mask = process.umask();
  serve();
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(statSync(join(directory, "run")).mode & 0o777).toBe(0o750);
  expect(process.umask()).toBe(mask);
});

test("leaves nothing behind", () => {
  serve().stop();
  expect(existsSync(path)).toBe(false);
  serve();
  expect(existsSync(path)).toBe(true);
});

test("leaves another portal's socket alone", async () => {
  serve();
  expect(failure(() => serve())).toEqual({
    message: `another portal serves ${path}: stop it, or give this one another tunnel interface or control_socket`,
    exitCode: 5,
  });
  expect((await ask("/status")).status).toBe(200);
});

test("replaces a socket that a crashed portal left", async () => {
  mkdirSync(join(directory, "run"));
  const code = `Bun.listen({ unix: ${JSON.stringify(path)}, socket: { data() {} } }); process.kill(process.pid, "SIGKILL");`;
  Bun.spawnSync([process.execPath, "-e", code]);
  expect(existsSync(path)).toBe(true);
  serve();
  expect((await ask("/status")).status).toBe(200);
});

test("asks a server of another kind too", async () => {
  mkdirSync(join(directory, "run"));
  const server = createServer().listen(path);
  await new Promise((resolve) => server.once("listening", resolve));
  expect(failure(() => serve()).exitCode).toBe(5);
  server.close();
});

describe("a path that cannot be", () => {
  test("a file that is no socket stays", () => {
    mkdirSync(join(directory, "run"));
    writeFileSync(path, "precious");
    expect(failure(() => serve())).toEqual({
      message: `${path} is no socket: remove it, or change control_socket`,
      exitCode: 1,
    });
    expect(existsSync(path)).toBe(true);
  });

  test("a directory that is a file", () => {
    writeFileSync(join(directory, "file"), "");
    const { message, exitCode } = failure(() => serve(join(directory, "file/portal.sock")));
    expect(message).toMatch(
      /^cannot make the control socket .*file\/portal.sock: .*; change control_socket$/,
    );
    expect(exitCode).toBe(1);
  });

  test.skipIf(process.getuid?.() !== 0)(
    "a directory that is not ours (needs root, to become somebody else)",
    () => {
      chmodSync(directory, 0o755);
      process.seteuid?.(65534);
      try {
        const { message, exitCode } = failure(() => serve());
        expect(message).toContain("run portal as root, or change control_socket");
        expect(exitCode).toBe(4);
      } finally {
        process.seteuid?.(0);
      }
    },
  );
});
