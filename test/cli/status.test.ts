import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ask, findOnly } from "../../src/cli/ask.ts";
import { Failure } from "../../src/cli/exit.ts";
import { type Control, serveControl } from "../../src/run/control.ts";
import { renderStatus } from "../../src/ui/status.ts";
import { reportOf } from "../ui/report.ts";
import { portal } from "./program.ts";

let directory: string;
const running: Control[] = [];

beforeEach(() => {
  directory = mkdtempSync("/tmp/portal-status-");
});

afterEach(() => {
  for (const control of running.splice(0)) control.stop();
  rmSync(directory, { recursive: true });
});

function serve(name: string): string {
  const path = join(directory, name);
  running.push(serveControl(path, () => reportOf()));
  return path;
}

/** A socket that nobody serves any more. */
function left(name: string): string {
  const path = join(directory, name);
  const code = `Bun.listen({ unix: ${JSON.stringify(path)}, socket: { data() {} } }); process.kill(process.pid, "SIGKILL");`;
  Bun.spawnSync([process.execPath, "-e", code]);
  expect(existsSync(path)).toBe(true);
  return path;
}

async function failure(promise: Promise<unknown>): Promise<{ message: string; exitCode: number }> {
  const error = await promise.then(
    () => new Error("no failure"),
    (reason: unknown) => reason,
  );
  if (error instanceof Failure) return { message: error.message, exitCode: error.exitCode };
  throw error;
}

test("prints the report as a table or as JSON", async () => {
  const socket = serve("portal0.sock");
  const table = await portal(["status", "--socket", socket]);
  expect(table).toEqual({ code: 0, stdout: `${renderStatus(reportOf())}\n`, stderr: "" });
  const json = await portal(["status", "--json", "--socket", socket]);
  expect([json.code, JSON.parse(json.stdout)]).toEqual([0, reportOf()]);
});

test("finds the socket that a configuration names, faults elsewhere in it or not", async () => {
  const socket = serve("mine.sock");
  const file = join(directory, "portal.toml");
  writeFileSync(file, `control_socket = "${socket}"\nrole = "wrong"\n`);
  expect((await portal(["status", "--toml", file])).code).toBe(0);
  expect((await portal(["status", "--toml"], { cwd: directory })).code).toBe(0);
  writeFileSync(file, "no toml");
  const { code, stderr } = await portal(["status", "--toml", file]);
  expect([code, stderr]).toEqual([3, `portal: ${file} is no TOML: run portal check --toml ${file}\n`]);
});

test("asks the only portal there is, whatever lies beside its socket", async () => {
  serve("a.sock");
  left("b.sock");
  writeFileSync(join(directory, "c.sock"), "");
  writeFileSync(join(directory, "d.txt"), "");
  expect(await findOnly(directory)).toBe(join(directory, "a.sock"));
});

test("lists several portals to choose from", async () => {
  const [b, a] = [serve("b.sock"), serve("a.sock")];
  expect(await failure(findOnly(directory))).toEqual({
    message: `2 portals run here: choose one by --socket ${a} or --socket ${b}`,
    exitCode: 2,
  });
});

test("says when none runs", async () => {
  const advice = "start one with portal --toml FILE, or name its control socket with --socket PATH";
  for (const place of [directory, join(directory, "none")]) {
    expect(await failure(findOnly(place))).toEqual({
      message: `no portal runs here (no socket answers in ${place}): ${advice}`,
      exitCode: 1,
    });
  }
  const missing = join(directory, "x.sock");
  expect(await failure(ask(missing, "status"))).toEqual({
    message: `no portal runs with the control socket ${missing}: start it with portal --toml FILE`,
    exitCode: 1,
  });
  const stale = left("stale.sock");
  expect((await failure(findOnly(directory))).exitCode).toBe(1);
  expect((await failure(ask(stale, "status"))).message).toStartWith(
    `no portal runs: ${stale} is left from one that ended;`,
  );
});

test("says when something else answers", async () => {
  const path = join(directory, "web.sock");
  const server = Bun.serve({ unix: path, fetch: () => new Response("no", { status: 404 }) });
  expect(await failure(ask(path, "status"))).toEqual({
    message: `what serves ${path} is no portal: it answers 404`,
    exitCode: 1,
  });
  server.reload({ fetch: () => new Response("no JSON") });
  expect((await failure(ask(path, "status"))).message).toStartWith(`cannot ask ${path}: `);
  await server.stop(true);
});

test("says when the one that runs does not answer", async () => {
  const path = join(directory, "portal0.sock");
  const server = Bun.listen({ unix: path, socket: { data() {} } });
  left("another.sock");
  expect(await failure(findOnly(directory))).toEqual({
    message: `the portal at ${path} does not answer: is it stopped? its log may tell`,
    exitCode: 1,
  });
  server.stop(true);
}, 15_000);

test.skipIf(process.getuid?.() !== 0)("says who may ask (needs root, to become somebody else)", async () => {
  const inner = join(directory, "portal");
  mkdirSync(inner, { mode: 0o750 });
  const socket = serve("portal0.sock");
  left("another.sock");
  Bun.spawnSync(["chmod", "755", directory]);
  const groups = process.getgroups!();
  process.setgroups!([]);
  process.setegid!(65534);
  process.seteuid!(65534);
  try {
    expect(await failure(findOnly(inner))).toEqual({
      message: `no permission to look into ${inner}: run it as root, or as the user the portal runs as`,
      exitCode: 4,
    });
    expect((await failure(findOnly(directory))).exitCode).toBe(4);
    expect(await failure(ask(socket, "status"))).toEqual({
      message: `no permission for the control socket ${socket}: run it as root, or as the user the portal runs as`,
      exitCode: 4,
    });
  } finally {
    process.seteuid!(0);
    process.setegid!(0);
    process.setgroups!(groups);
  }
});
