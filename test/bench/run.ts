/**
 * `npm run bench [-- NAME] [--json] [--seconds N] [--repeats N]`: measures portal on this machine. Every benchmark
 * measures what it compares in one run, interleaved, and prints medians and spread; nothing here passes or fails.
 */
import { parseArgs } from "node:util";
import { enterLab, insideLab } from "../../src/lab/enter.ts";
import { throughput } from "./throughput.ts";

const BENCHMARKS = { throughput } as const;

export interface BenchOptions {
  readonly seconds: number;
  readonly repeats: number;
  /** Progress, one line each, on standard error. */
  say(line: string): void;
}

/** What a benchmark gives back: the figures, and the same as text. */
export interface BenchResult {
  readonly figures: object;
  readonly text: string;
}

async function main(): Promise<number> {
  if (!insideLab())
    return (await enterLab([process.execPath, import.meta.path, ...process.argv.slice(2)])).code;
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      json: { type: "boolean", default: false },
      seconds: { type: "string", default: "5" },
      repeats: { type: "string", default: "3" },
    },
  });
  const name = positionals[0] ?? "throughput";
  if (!Object.hasOwn(BENCHMARKS, name)) {
    console.error(`no benchmark "${name}": there are ${Object.keys(BENCHMARKS).join(", ")}`);
    return 2;
  }
  const result = await BENCHMARKS[name as keyof typeof BENCHMARKS]({
    seconds: Number(values.seconds),
    repeats: Number(values.repeats),
    say: (line) => console.error(line),
  });
  console.log(values.json ? JSON.stringify(result.figures, null, 2) : result.text);
  return 0;
}

process.exit(await main());
