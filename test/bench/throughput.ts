/**
 * Throughput without any rate limit: one TCP flow (iperf3) from client to server over both portals, beside plain
 * forwarding over the same namespaces and cables. Everything shares this machine's processors: client, both portals,
 * server. CPU seconds are those of both portals together, per GB of goodput.
 */
import { readFileSync } from "node:fs";
import { ADDRESSES } from "../../src/lab/namespaces.ts";
import type { PortalOptions } from "../../src/lab/portals.ts";
import { type Lab, withLab } from "../../src/lab/topology.ts";
import { type Column, renderTable } from "../../src/ui/table.ts";
import type { BenchOptions, BenchResult } from "./run.ts";
import { type Summary, showSummary, summarize } from "./sample.ts";

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

const DIRECTIONS = ["up", "down"] as const;

interface Measured {
  up: number[];
  down: number[];
  cpuSecondsPerGb: number[];
  rssMb: number[];
}

export async function throughput(options: BenchOptions): Promise<BenchResult> {
  const results = new Map<Variant, Measured>();
  await withLab({ paths: [{ plain: true }, { plain: true }] }, async (lab) => {
    const server = lab.spawn("server", ["iperf3", "--server"]);
    await lab.route(0);
    await lab.waitFor("iperf3", 10, async () => (await iperf(lab, 0, ["--bytes", "1K"])) !== null);
    for (let repeat = 1; repeat <= options.repeats; repeat++) {
      for (const variant of VARIANTS) {
        const measured = results.get(variant) ?? { up: [], down: [], cpuSecondsPerGb: [], rssMb: [] };
        results.set(variant, measured);
        await measure(lab, variant, options.seconds, measured);
        options.say(
          `${repeat}/${options.repeats} ${variant.name}: up ${Math.round(measured.up.at(-1)!)}, ` +
            `down ${Math.round(measured.down.at(-1)!)} Mbit/s`,
        );
      }
    }
    server.kill();
  });
  return report(results);
}

async function measure(lab: Lab, variant: Variant, seconds: number, measured: Measured): Promise<void> {
  if (variant.portals === null) {
    await lab.stopPortals();
    await lab.route(0);
  } else {
    await lab.startPortals(variant.portals);
  }
  const before = cpuSeconds(lab);
  let gigabytes = 0;
  for (const direction of DIRECTIONS) {
    const reverse = direction === "down" ? ["--reverse"] : [];
    const mbit = await iperf(lab, 1, ["--time", String(seconds), ...reverse]);
    if (mbit === null) throw new Error(`iperf3 failed over ${variant.name}`);
    measured[direction].push(mbit);
    gigabytes += (mbit * seconds) / 8000;
  }
  if (lab.portals === null) return;
  measured.cpuSecondsPerGb.push((cpuSeconds(lab) - before) / gigabytes);
  measured.rssMb.push(Math.max(...pids(lab).map(rssMb)));
}

/** Mbit/s that arrived after the first `omit` seconds; null when iperf3 failed. */
async function iperf(lab: Lab, omit: number, more: readonly string[]): Promise<number | null> {
  const words = ["iperf3", "--json", "--client", ADDRESSES.server[4], "--omit", String(omit), ...more];
  const { code, stdout } = await lab.exec("client", words);
  if (code !== 0) return null;
  const { end } = JSON.parse(stdout) as { end: { sum_received: { bits_per_second: number } } };
  return end.sum_received.bits_per_second / 1e6;
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

function report(results: Map<Variant, Measured>): BenchResult {
  const figures: Record<string, Record<string, Summary>> = {};
  const rows: string[][] = [];
  for (const [{ name, portals }, measured] of results) {
    const { up, down, cpuSecondsPerGb, rssMb: rss } = measured;
    const summaries = { up: summarize(up), down: summarize(down) };
    if (portals === null) {
      figures[name] = summaries;
      rows.push([name, showSummary(summaries.up), showSummary(summaries.down), "-", "-"]);
      continue;
    }
    const costs = { cpuSecondsPerGb: summarize(cpuSecondsPerGb), rssMb: summarize(rss) };
    figures[name] = { ...summaries, ...costs };
    rows.push([
      name,
      showSummary(summaries.up),
      showSummary(summaries.down),
      showSummary(costs.cpuSecondsPerGb, 1),
      showSummary(costs.rssMb),
    ]);
  }
  const titles = ["up Mbit/s", "down Mbit/s", "CPU s per GB", "RSS MB"];
  const columns: Column[] = [
    { title: "one TCP flow, median (least-most)", align: "left" },
    ...titles.map((title) => ({ title, align: "right" as const })),
  ];
  return { figures, text: renderTable(columns, rows, "").join("\n") };
}
