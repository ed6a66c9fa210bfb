/** Programs of the machine, run to their end while portal waits and while it goes on: the outcome is the same. */
import { describe, expect, test } from "bun:test";
import { type Outcome, runProgram, startProgram } from "../../src/host/command.ts";

type Run = (
  name: string,
  args: readonly string[],
  input?: string,
  more?: Record<string, string>,
  patienceMillis?: number,
) => unknown;

describe.each([
  ["while portal waits", runProgram as Run],
  ["while portal goes on", startProgram as Run],
])("%s", (_, run) => {
  const sh = async (script: string, input?: string, more?: Record<string, string>): Promise<Outcome> =>
    (await run("sh", ["-c", script], input, more)) as Outcome;

  test("what it is given and says", async () => {
    expect(await sh("cat", "text\n")).toMatchObject({ ok: true, output: "text\n" });
    expect(await sh('echo "$PORTAL_TEST"', "", { PORTAL_TEST: "here" })).toMatchObject({ output: "here\n" });
    const failed = await sh("echo first >&2; echo second >&2; exit 3");
    expect(failed).toEqual({ ok: false, output: "", complaint: "first" });
  });

  test("one that says nothing, reads nothing, or is ended by a signal", async () => {
    expect((await sh("exit 3", "x".repeat(1_000_000))).complaint).toBe("sh ended with code 3");
    expect((await sh("kill -KILL $$")).complaint).toBe("sh ended with SIGKILL");
  });

  test("one that takes too long is ended, also when it minds no SIGTERM", async () => {
    const outcome = (await run("sh", ["-c", "kill -STOP $$"], "", {}, 200)) as Outcome;
    expect(outcome).toEqual({ ok: false, output: "", complaint: "sh did not end within 0.2 s" });
  });

  test("one that is not there", async () => {
    const missing = (await run("portal-has-no-such-program", [])) as Outcome;
    expect(missing).toEqual({
      ok: false,
      output: "",
      complaint: "portal-has-no-such-program is not installed",
    });
  });
});

test("one that was ended is not waited for because of what it has left behind", async () => {
  const { complaint } = await startProgram("sh", ["-c", "sleep 6 & kill -KILL $$"]);
  expect(complaint).toBe("sh ended with SIGKILL");
});
