/**
 * Runs the tests group by group and ends with one line of totals.
 *
 *   npm test               all groups but those that are run by hand
 *   npm test units sim     only these
 *
 * One group after the other, and one file after the other within a group: tests in network namespaces measure rates, and
 * must not take the processor from each other. A single file: npx bun test test/wire/datagram.test.ts
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

interface Group {
  readonly name: string;
  /** One test may take this long. */
  readonly testSeconds: number;
  /** The whole group may take this long; then something hangs. */
  readonly minutes: number;
  /** Hundreds of tests: show only what fails. */
  readonly quiet: boolean;
  /** Runs only when named: it fetches more than anybody expects of a test. */
  readonly byHand?: true;
}

/** A group is a folder of test/; `units` is everything outside the others. */
const GROUPS: readonly Group[] = [
  { name: "units", testSeconds: 60, minutes: 8, quiet: true },
  { name: "sim", testSeconds: 240, minutes: 12, quiet: false },
  { name: "netns", testSeconds: 120, minutes: 30, quiet: false },
  { name: "arm64", testSeconds: 120, minutes: 8, quiet: false },
  { name: "system", testSeconds: 300, minutes: 12, quiet: false, byHand: true },
];

interface Totals {
  passed: number;
  failed: number;
  skipped: number;
}

/** What was printed about each failed test, shown once more at the end, where nobody has to look for it. */
const failures: string[] = [];

/** Lines that end what was printed about a test: its own verdict, or the one before it. */
const VERDICT = /^\((pass|fail|skip|todo)\)/;
/** So much is shown again of each failed test. */
const FAILURE_LINES = 60;

/** Shows what `stream` brings as it comes, and keeps what belongs to failed tests. */
async function show(stream: ReadableStream<Uint8Array>, group: string): Promise<void> {
  const decoder = new TextDecoder();
  let rest = "";
  let about: string[] = [];
  for await (const bytes of stream) {
    process.stdout.write(bytes);
    const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
    rest = lines.pop()!;
    for (const line of lines) {
      about.push(line);
      const verdict = VERDICT.exec(line)?.[1];
      if (verdict === "fail") failures.push(`--- ${group}`, ...about.slice(-FAILURE_LINES));
      if (verdict !== undefined) about = [];
    }
  }
}

function groupOf(file: string): string {
  const folder = file.split("/")[1]!;
  return GROUPS.some((group) => group.name === folder) ? folder : "units";
}

/** The number in `name="number"` of the report's outermost element. */
function attribute(report: string, name: string): number {
  const root = /<testsuites [^>]*>/.exec(report)?.[0] ?? "";
  return Number(new RegExp(` ${name}="(\\d+)"`).exec(root)?.[1] ?? 0);
}

async function readReport(path: string): Promise<string> {
  const file = Bun.file(path);
  return (await file.exists()) ? file.text() : "";
}

async function runGroup(group: Group, files: readonly string[], reportPath: string): Promise<Totals> {
  if (files.length === 0) {
    console.log(`${group.name}: no tests`);
    return { passed: 0, failed: 1, skipped: 0 };
  }
  const command = [process.execPath, "test", ...files.map((file) => `./${file}`)];
  command.push(
    `--timeout=${group.testSeconds * 1000}`,
    "--reporter=junit",
    `--reporter-outfile=${reportPath}`,
  );
  if (group.quiet) command.push("--only-failures");
  const child = Bun.spawn(command, {
    stdio: ["ignore", "pipe", "pipe"],
    timeout: group.minutes * 60_000,
    killSignal: "SIGTERM",
  });
  const shown = Promise.all([show(child.stdout, group.name), show(child.stderr, group.name)]);
  const exitCode = await child.exited;
  await shown;
  const report = await readReport(reportPath);
  const totals = { passed: 0, failed: attribute(report, "failures"), skipped: attribute(report, "skipped") };
  totals.passed = attribute(report, "tests") - totals.failed - totals.skipped;
  if (report === "") {
    console.log(`${group.name}: bun test ended without a report (exit code ${exitCode})`);
    return { passed: 0, failed: 1, skipped: 0 };
  }
  // A file that cannot be loaded, or that holds no test, is not in the report.
  for (const file of files.filter((name) => !report.includes(`file="${name}"`))) {
    console.log(`${file}: no test ran`);
    totals.failed++;
  }
  if (exitCode !== 0 && totals.failed === 0) {
    console.log(`${group.name}: bun test ended with exit code ${exitCode}`);
    totals.failed++;
  }
  return totals;
}

async function main(names: readonly string[]): Promise<number> {
  const unknown = names.find((name) => !GROUPS.some((group) => group.name === name));
  if (unknown !== undefined) {
    console.error(
      `no test group named ${unknown}; there are: ${GROUPS.map((group) => group.name).join(", ")}`,
    );
    return 2;
  }
  const files = [...new Bun.Glob("test/**/*.test.ts").scanSync(".")].sort();
  const reports = mkdtempSync(join(tmpdir(), "portal-test-"));
  const sum: Totals = { passed: 0, failed: 0, skipped: 0 };
  try {
    for (const group of GROUPS.filter(
      ({ name, byHand }) => names.includes(name) || (names.length === 0 && !byHand),
    )) {
      const own = files.filter((file) => groupOf(file) === group.name);
      console.log(`\n=== ${group.name}: ${own.length} files`);
      const totals = await runGroup(group, own, join(reports, `${group.name}.xml`));
      sum.passed += totals.passed;
      sum.failed += totals.failed;
      sum.skipped += totals.skipped;
    }
  } finally {
    rmSync(reports, { recursive: true });
  }
  if (failures.length > 0) console.log(["\n=== failed", ...failures].join("\n"));
  const skipped = sum.skipped > 0 ? `, ${sum.skipped} skipped` : "";
  console.log(`\n${sum.passed} passed, ${sum.failed} failed${skipped}`);
  return sum.failed === 0 && sum.passed > 0 ? 0 : 1;
}

process.chdir(join(import.meta.dir, ".."));
process.exitCode = await main(process.argv.slice(2));
