/** The laboratory on a real kernel: what it builds, and that nothing of it remains. Needs root, ip and ping. */
import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readlinkSync, statSync } from "node:fs";
import { join } from "node:path";

const needsRoot = process.getuid?.() !== 0;
const SCRIPT = join(import.meta.dir, "inside.ts");
const SECONDS = 1000;

function start(scenario: string, prefix: readonly string[] = []) {
  return Bun.spawn([...prefix, process.execPath, SCRIPT, scenario], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
}

// biome-ignore lint/suspicious/noExplicitAny: each scenario has a result of its own
async function run(scenario: string, prefix: readonly string[] = []): Promise<any> {
  const child = start(scenario, prefix);
  const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return JSON.parse(stdout);
}

/** Network namespaces that some process of this machine is in. */
function namespacesInUse(): Set<string> {
  const found = new Set<string>();
  for (const pid of readdirSync("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    try {
      found.add(readlinkSync(`/proc/${pid}/ns/net`));
    } catch {
      // Ended meanwhile.
    }
  }
  return found;
}

describe.skipIf(needsRoot)("the laboratory (needs root)", () => {
  test(
    "delays, cuts and restores a path, in both families",
    async () => {
      const seen = await run("lines");
      expect(seen.unrouted.received).toBe(0);
      for (const name of ["v4", "v6", "restored", "back"]) {
        expect(seen[name].received).toBe(3);
        // Never early: 10 ms up and 30 ms down.
        expect(seen[name].shortest).toBeGreaterThanOrEqual(40);
      }
      expect(seen.cut.received).toBe(0);
      expect(seen.plain.received).toBe(3);
      // Four times three packets and one that got no answer; nothing that the kernels had to say to each other.
      const missed = { refused: 0, lost: 0, overflow: 0, inside: 0 };
      expect(seen.up).toMatchObject({ offered: 13, delivered: 13, cut: 0, ...missed });
      expect(seen.down).toMatchObject({ offered: 13, delivered: 12, cut: 1, ...missed });
    },
    60 * SECONDS,
  );

  test(
    "carries a flow, whole and no faster than the line, and a probe beside it",
    async () => {
      const { up, down } = await run("flow");
      for (const { mbit, probe, samples } of [up, down]) {
        expect(mbit).toBeGreaterThan(0);
        expect(mbit).toBeLessThan(20);
        expect(samples.length).toBeGreaterThan(0);
        expect(probe.sent).toBeGreaterThanOrEqual(200);
        expect(probe.duplicates).toBe(0);
      }
    },
    60 * SECONDS,
  );

  test(
    "damages packets so that only a reader of the bytes notices",
    async () => {
      const { message, damaged } = await run("corrupt");
      expect(message).toBe("the flow's bytes were changed on the way");
      expect(damaged).toBeGreaterThan(0);
    },
    60 * SECONDS,
  );

  test(
    "says what is wrong with a line's settings",
    async () => {
      expect(await run("refuses")).toEqual({ message: "line emulator: mbit must be a number, 0 or more" });
    },
    60 * SECONDS,
  );

  test("is never built in the host's own namespaces", async () => {
    expect(await run("outside")).toEqual({ refused: true });
  });

  test.each([
    ["SIGKILL", null],
    ["SIGTERM", 143],
    ["SIGINT", 130],
  ] as const)(
    "%s leaves nothing behind",
    async (signal, code) => expect(await leavesNothing(start("stay"), signal)).toBe(code),
    60 * SECONDS,
  );
});

/** Ends a laboratory that would stay, and waits until nothing of it is left. The exit code. */
async function leavesNothing(
  child: ReturnType<typeof start>,
  signal: NodeJS.Signals,
): Promise<number | null> {
  const { value } = await child.stdout.getReader().read();
  const { namespaces, files } = JSON.parse(new TextDecoder().decode(value));
  expect(files).toEqual(["client", "local", "remote", "server"]);
  expect(new Set(namespaces).size).toBe(5);
  const inUse = namespacesInUse();
  for (const namespace of namespaces) expect(inUse.has(namespace)).toBe(true);
  child.kill(signal);
  await child.exited;
  for (const name of files) expect(existsSync(`/run/netns/${name}`)).toBe(false);
  expect(readdirSync("/sys/class/net").filter((name) => /^(lan|wan|line\d+[nf])$/.test(name))).toEqual([]);
  // The kernel does the rest by itself; a test that never ends says that it did not.
  while (namespaces.some((namespace: string) => namespacesInUse().has(namespace))) await Bun.sleep(20);
  return child.exitCode;
}

/** Becomes nobody; whether nobody may make namespaces here, and read this program, is the machine's choice. */
const AS_NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];

function nobodyMay(): boolean {
  if (needsRoot) return false;
  const argv = [
    ...AS_NOBODY,
    "unshare",
    "--user",
    "--net",
    process.execPath,
    "-e",
    `await Bun.file(${JSON.stringify(SCRIPT)}).text()`,
  ];
  try {
    return Bun.spawnSync(argv, { stdio: ["ignore", "ignore", "ignore"] }).exitCode === 0;
  } catch {
    return false;
  }
}

test.skipIf(!nobodyMay())(
  "an ordinary user has a laboratory, too (needs root, to become one, and user namespaces)",
  async () => {
    const { mbit, ping, uid } = await run("plain", AS_NOBODY);
    expect(mbit).toBeGreaterThan(0);
    expect(ping.received).toBe(3);
    expect(uid).toEqual(["0", "65534", "1"]);
    expect(await leavesNothing(start("stayPlain", AS_NOBODY), "SIGKILL")).toBe(null);
  },
  60 * SECONDS,
);

/** Debian's rule gives everybody the device; some machines keep it for root. */
const tunForRoot = existsSync("/dev/net/tun") && (statSync("/dev/net/tun").mode & 0o006) === 0;

test.skipIf(!nobodyMay() || !tunForRoot)(
  "an ordinary user without a right to TUN is told what to do (needs root, to become one, and user namespaces)",
  async () => {
    const child = start("lines", AS_NOBODY);
    const stderr = await child.stderr.text();
    expect(await child.exited).not.toBe(0);
    expect(stderr).toContain("open /dev/net/tun");
    expect(stderr).toContain("run as root");
  },
  60 * SECONDS,
);
