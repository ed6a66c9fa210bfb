/**
 * Throughput without any rate limit: one TCP flow (iperf3) from client to server over both portals, beside plain
 * forwarding over the same namespaces and cables. Everything shares this machine's processors: client, both portals,
 * server. CPU seconds are those of both portals together, per GB of goodput.
 */
import { readFileSync } from "node:fs";
import type { PortalOptions } from "../../src/lab/portals.ts";
import { type Lab, withLab } from "../../src/lab/topology.ts";
import { type Column, renderTable } from "../../src/ui/table.ts";
import { iperf } from "./iperf.ts";
import type { Options } from "./options.ts";
import type { BenchResult, Say } from "./result.ts";
import { type Summary, showSummary, summarize } from "./sample.ts";
import { inTurn } from "./turn.ts";

interface Variant {
  readonly name: string;
  /** Null: no portals. */
  readonly portals: PortalOptions | null;
}

const readable = { tunnel: { privacy: false } };
const plodding = { tunnel: { offloads: false } };

const VARIANTS: readonly Variant[] = [
  { name: "plain forwarding", portals: null },
  { name: "portal, one path", portals: { paths: [0] } },
  { name: "portal, two paths", portals: { paths: [0, 1] } },
  {
    name: "portal, one path, privacy off",
    portals: { paths: [0], toml: { local: readable, remote: readable } },
  },
  {
    name: "portal, one path, offloads off",
    portals: { paths: [0], toml: { local: plodding, remote: plodding } },
  },
];

interface Measured {
  up: number[];
  down: number[];
  cpuSecondsPerGb: number[];
  rssMb: number[];
}

export async function throughput(options: Options, say: Say): Promise<BenchResult> {
  const results = new Map<Variant, Measured>();
  await withLab({ paths: [{ plain: true }, { plain: true }] }, async (lab) => {
    for (let repeat = 1; repeat <= options.repeats; repeat++) {
      for (const variant of VARIANTS) {
        const measured = results.get(variant) ?? { up: [], down: [], cpuSecondsPerGb: [], rssMb: [] };
        results.set(variant, measured);
        await inTurn(() => measure(lab, variant, options, measured));
        say(
          `${repeat}/${options.repeats} ${variant.name}: ` +
            options.directions.map((way) => `${way} ${Math.round(measured[way].at(-1)!)}`).join(", ") +
            " Mbit/s",
        );
      }
    }
  });
  return report(results);
}

async function measure(lab: Lab, variant: Variant, options: Options, measured: Measured): Promise<void> {
  if (variant.portals === null) {
    await lab.stopPortals();
    await lab.route(0);
  } else {
    await lab.startPortals(variant.portals);
  }
  const before = cpuSeconds(lab);
  const { seconds } = options;
  let gigabytes = 0;
  for (const direction of options.directions) {
    const mbit = await iperf(lab, { direction, seconds, warmUp: 1, congestion: options.inner[0]! });
    measured[direction].push(mbit);
    gigabytes += (mbit * seconds) / 8000;
  }
  if (lab.portals === null) return;
  measured.cpuSecondsPerGb.push((cpuSeconds(lab) - before) / gigabytes);
  measured.rssMb.push(Math.max(...pids(lab).map(rssMb)));
}

function pids(lab: Lab): number[] {
  return lab.portals === null ? [] : [lab.portals.local.pid, lab.portals.remote.pid];
}

/** User and system time of both portals (proc(5), fields 14 and 15 of stat, in hundredths of a second). */
function cpuSeconds(lab: Lab): number {
  return pids(lab).reduce((sum, pid) => {
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ");
    return sum + (Number(fields[11]) + Number(fields[12])) / 100;
  }, 0);
}

function rssMb(pid: number): number {
  const line = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return Number(line?.[1] ?? 0) / 1000;
}

/** Column titles, digits, and the measured values below them. */
const COLUMNS: readonly (readonly [title: string, digits: number, name: keyof Measured])[] = [
  ["up Mbit/s", 0, "up"],
  ["down Mbit/s", 0, "down"],
  ["CPU s per GB", 1, "cpuSecondsPerGb"],
  ["RSS MB", 0, "rssMb"],
];

function report(results: Map<Variant, Measured>): BenchResult {
  const figures: Record<string, Partial<Record<keyof Measured, Summary>>> = {};
  const rows: string[][] = [];
  for (const [{ name }, measured] of results) {
    const summaries: Partial<Record<keyof Measured, Summary>> = {};
    const row = [name];
    for (const [, digits, column] of COLUMNS) {
      const values = measured[column];
      if (values.length > 0) summaries[column] = summarize(values);
      const summary = summaries[column];
      row.push(summary === undefined ? "-" : showSummary(summary, digits));
    }
    figures[name] = summaries;
    rows.push(row);
  }
  const columns: Column[] = [
    { title: "one TCP flow, median (least-most)", align: "left" },
    ...COLUMNS.map(([title]) => ({ title, align: "right" as const })),
  ];
  return { figures, text: renderTable(columns, rows, "").join("\n") };
}
