/** What `portal demo` is asked and what it shows. */
import { describe, expect, test } from "bun:test";
import { planOf } from "../../src/cli/demo.ts";
import { selfCommand } from "../../src/lab/self.ts";
import { bar, type DemoReport, liveLines, phaseLine, renderReport } from "../../src/ui/demo.ts";

describe("the plan", () => {
  test("names paths by rate and one-way delay", () => {
    const { paths, seconds, json } = planOf({ paths: "50/20, 20/40/0.5/8", seconds: "4" });
    expect(seconds).toBe(4);
    expect(json).toBe(false);
    expect(paths).toMatchObject([
      { name: "path0", mbit: 50, delayMs: 20, loss: 0, jitterMs: 0 },
      { name: "path1", mbit: 20, delayMs: 40, loss: 0.005, jitterMs: 8 },
    ]);
    // Of 1,500 bytes 60 are the tunnel's, and of the rest 52 are the flow's IP and TCP headers.
    expect(paths[0]!.limitMbit).toBeCloseTo((50 * 1388) / 1500, 6);
  });

  test.each([
    ["50", "is no path"],
    ["50/20", "needs 2 to 16 paths"],
    ["50/20,", "is no path"],
    ["50/20,/40", "is no path"],
    ["50/20,20/-1", "is no path"],
    ["50/20,20/x", "is no path"],
    ["50/20,20/40/31", "/loss in % (0 to 30)"],
    ["50/20,20/2001", "one-way ms (0 to 2000)"],
    ["50/20,20000/1", "Mbit/s (0.1 to 10000)"],
    ["50/20,20/40/1/1/1", "is no path"],
    ["50/20,0/40", "is no path"],
    [Array(17).fill("1/1").join(","), "needs 2 to 16 paths"],
  ])("refuses --paths %j: %s", (paths, message) => {
    expect(() => planOf({ paths, seconds: "5" })).toThrow(message);
  });

  test.each(["", "1", "x", "-5", "1e9"])("refuses --seconds %j", (seconds) => {
    expect(() => planOf({ paths: "50/20,20/40", seconds })).toThrow("--seconds is a number");
  });
});

const report: DemoReport = {
  seconds: 5,
  paths: [
    { name: "path0", mbit: 50, delayMs: 20, jitterMs: 0, loss: 0, limitMbit: 46.27 },
    { name: "path1", mbit: 20, delayMs: 40, jitterMs: 5, loss: 0.005, limitMbit: 18.51 },
  ],
  limitMbit: 64.77,
  singleMbit: [45.9, 17.4],
  singleUpMbit: [45.9, 17.2],
  singleDownMbit: [45.3, 17.4],
  bothUpMbit: 63.3,
  bothDownMbit: 62.5,
  shareUp: 0.98,
  shareDown: 0.96,
  cutStallMs: 225,
  probeSent: 2043,
  probeLost: 1,
  cutUp: { mbit: 38.3, flowStallMs: 225, probeStallMs: 91.5, probeSent: 514, probeLost: 0 },
  cutDown: { mbit: 40.4, flowStallMs: 221, probeStallMs: 91.5, probeSent: 506, probeLost: 1 },
};

test("a bar is as long as its value", () => {
  expect(bar(0, 10, 4)).toBe("");
  expect(bar(5, 10, 4)).toBe("██");
  expect(bar(10, 10, 4)).toBe("████");
  expect(bar(99, 10, 4)).toBe("████");
  expect(bar(1, 32, 4)).toBe("▏");
  expect(bar(1, 0, 4)).toBe("");
});

test("a running phase shows the flow and its paths on one scale", () => {
  const phase = { title: "both paths, up", limitMbit: 64.77, paths: [0, 1] };
  const sample = { seconds: 2.04, mbit: 32.385, pathMbit: [30, 5] };
  expect(liveLines(phase, sample, report.paths, "path0 is cut").join("\n")).toMatchInlineSnapshot(`
    "both paths, up: path0 is cut, 2.0 s
      the flow, Mbit/s                      ███████████████                  32.4 of 64.8
      path0 50 Mbit/s 20 ms                 █████████████▉                   30.0 of 50.0
      path1 20 Mbit/s 40+-5 ms 0.50 % loss  ██▍                               5.0 of 20.0"
  `);
});

test("an ended phase is one line", () => {
  const phase = { title: "both paths, up", limitMbit: 64.77, paths: [0, 1] };
  expect(phaseLine(phase, 58.3)).toBe(
    "both paths, up                         58.3 Mbit/s, 90 % of the limit",
  );
});

test("the table at the end", () => {
  expect(renderReport(report)).toMatchInlineSnapshot(`
    "one TCP flow, Mbit/s                        limit    up  down
    path0 50 Mbit/s 20 ms alone                  46.3  45.9  45.3
    path1 20 Mbit/s 40+-5 ms 0.50 % loss alone   18.5  17.2  17.4
    both paths                                   64.8  63.3  62.5
      of the limit                                     98 %  96 %

    path0 cut and restored in mid-flow
                                        up      down
      the flow, Mbit/s                38.3      40.4
      longest stall of the flow     225 ms    221 ms
      longest stall of the probe   91.5 ms   91.5 ms
      packets the probe lost      0 of 514  1 of 506

    Delays are one way. The limit is each path's rate less all headers. The probe sends 100 packets
    per second beside the flow; over both paths it lost 1 of 2043."
  `);
});

test.skipIf(process.getuid?.() !== 0)(
  "the demo runs, and prints one object (needs root)",
  async () => {
    const argv = [...selfCommand(), "demo", "--json", "--seconds", "2", "--paths", "20/5,10/10"];
    const child = Bun.spawn(argv, { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
    const [stdout, stderr, code] = await Promise.all([
      child.stdout.text(),
      child.stderr.text(),
      child.exited,
    ]);
    expect({ code, lines: stderr.trim().split("\n").length, stderr }).toMatchObject({ code: 0, lines: 8 });
    const seen = JSON.parse(stdout) as DemoReport;
    expect(seen.paths.map(({ name }) => name)).toEqual(["path0", "path1"]);
    // Each flow crossed, and by the path that was meant: no faster than it (packets held back may come in a burst).
    const rates = [seen.singleUpMbit, seen.singleDownMbit, [seen.bothUpMbit, seen.bothDownMbit]].flat();
    const limits = [...seen.paths, ...seen.paths].map(({ limitMbit }) => limitMbit);
    for (const [i, limit] of [...limits, seen.limitMbit, seen.limitMbit].entries()) {
      expect(rates[i]!).toBeGreaterThan(0);
      expect(rates[i]!).toBeLessThan(limit * 1.2);
    }
    expect(seen.cutUp.mbit).toBeGreaterThan(0);
    expect(seen.cutDown.mbit).toBeGreaterThan(0);
    expect(seen.probeSent).toBeGreaterThan(4 * 200);
    expect(seen.probeLost).toBeLessThan(seen.probeSent);
  },
  180_000,
);
