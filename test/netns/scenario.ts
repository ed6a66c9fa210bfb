/**
 * A test in a laboratory of its own: network, mount and process namespaces that end with it (src/lab/enter.ts).
 *
 * Outside, `scenario` is a test that runs this one test of its file again inside; inside, it is the test itself, with
 * the laboratory built. What the inside prints is shown, and all it says when it fails.
 */
import { test } from "bun:test";
import { relative } from "node:path";
import { enterLab, insideLab } from "../../src/lab/enter.ts";
import { type Lab, type LabOptions, withLab } from "../../src/lab/topology.ts";

const needsRoot = process.getuid?.() !== 0;
const SECOND = 1000;

/** Seconds until a test that hangs is ended: what it waits for has shorter deadlines of its own. */
const PATIENCE = 90;

/**
 * One at a time on this machine, whoever else runs these tests, and before other work: two busy processes on two cores
 * cost a flow over two paths a sixth of its rate.
 */
const ALONE = [
  ...["flock", "--no-fork", "/dev/net/tun", "nice", "-n", "-20"],
  // Where the kernel shares the processor among terminal sessions first (sched(7), autogroup), niceness alone is not enough.
  ...["sh", "-c", 'echo -20 2>/dev/null >/proc/self/autogroup; exec "$@"', "sh"],
];

/** `file`: import.meta.path of the test's own; `patience` in seconds. Needs root, iproute2 and util-linux. */
export function scenario(
  file: string,
  name: string,
  options: LabOptions,
  body: (lab: Lab) => Promise<void>,
  patience = PATIENCE,
): void {
  if (insideLab()) test(name, () => withLab(options, body), patience * SECOND);
  else test.skipIf(needsRoot)(`${name} (needs root)`, () => runInside(file, name), 2 * patience * SECOND);
}

async function runInside(file: string, name: string): Promise<void> {
  const path = `./${relative(process.cwd(), file)}`;
  const only = `^ *${name.replace(/[^\w ]/g, "\\$&")}$`;
  const { code, stdout, stderr } = await enterLab(
    [...ALONE, process.execPath, "test", path, "-t", only],
    "pipe",
  );
  const lines = stdout.split("\n").filter((line) => line !== "" && !line.startsWith("bun test v"));
  if (lines.length > 0) console.log(lines.join("\n"));
  if (code !== 0) throw new Error(`inside the laboratory:\n${stderr.trim()}`);
}
