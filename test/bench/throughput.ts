/**
 * Throughput without any rate limit: one TCP flow (iperf3) from client to server over both portals, beside plain
 * forwarding and other tunnels over the same namespaces and cables. Everything shares this machine's processors: client,
 * both ends of the tunnel, server. CPU seconds are those of both ends together, per GB of goodput; those of the busiest thread
 * of all say what a machine with processors enough for the others could reach.
 */
import { type Lab, withLab } from "../../src/lab/topology.ts";
import { iperf } from "./iperf.ts";
import type { Options } from "./options.ts";
import { type Figure, report } from "./report.ts";
import type { BenchResult, Say } from "./result.ts";
import { inTurn } from "./turn.ts";
import { busiestSeconds, cpuSeconds, rssMb, threadSeconds } from "./usage.ts";
import {
  ONE_PATH,
  over,
  portalWay,
  type Standing,
  TWO_PATHS,
  TWO_THREADS,
  type Way,
  waysOf,
} from "./ways.ts";

const readable = { tunnel: { privacy: false } };
const plodding = { tunnel: { offloads: false } };

const PORTALS: readonly Way[] = [
  ONE_PATH,
  TWO_PATHS,
  TWO_THREADS,
  portalWay("readable", "portal, one path, privacy off", {
    paths: [0],
    toml: { local: readable, remote: readable },
  }),
  portalWay("readable-two-threads", "portal, one path, privacy off, two threads at either end", {
    paths: [0],
    toml: { local: { threads: 2, ...readable }, remote: { threads: 2, ...readable } },
  }),
  portalWay("plodding", "portal, one path, offloads off", {
    paths: [0],
    toml: { local: plodding, remote: plodding },
  }),
];

const FIGURES = {
  up: { title: "up Mbit/s", digits: 0 },
  down: { title: "down Mbit/s", digits: 0 },
  cpuSecondsPerGb: { title: "CPU s per GB", digits: 1 },
  busiestPerGb: { title: "busiest thread", digits: 1 },
  rssMb: { title: "RSS MB", digits: 0 },
} satisfies Record<string, Figure>;

/** Seconds. */
const WARM_UP = 1;

type Measured = Partial<Record<keyof typeof FIGURES, number>>;

export async function throughput(options: Options, say: Say): Promise<BenchResult> {
  const ways = waysOf(options, PORTALS);
  const runs = ways.map(({ name, title }) => ({ name, row: [title], repeats: [] as Measured[] }));
  await withLab({ paths: [{ plain: true }, { plain: true }] }, async (lab) => {
    for (let repeat = 1; repeat <= options.repeats; repeat++) {
      for (const [i, way] of ways.entries()) {
        const measured = await inTurn(() => over(lab, way, (standing) => measure(lab, standing, options)));
        runs[i]!.repeats.push(measured);
        const rates = options.directions.map(
          (direction) => `${direction} ${Math.round(measured[direction]!)}`,
        );
        say(`${repeat}/${options.repeats} ${way.title}: ${rates.join(", ")} Mbit/s`);
      }
    }
  });
  return report(["one TCP flow, median (least-most)"], FIGURES, runs);
}

async function measure(lab: Lab, { pids }: Standing, options: Options): Promise<Measured> {
  const { seconds } = options;
  const measured: Measured = {};
  let cpu = 0;
  let busiest = 0;
  let gigabytes = 0;
  for (const direction of options.directions) {
    const before = cpuSeconds(pids);
    const threads = threadSeconds(pids);
    // The warm-up costs processor time too, and brings bytes that do not count.
    const share = seconds / (seconds + WARM_UP);
    const mbit = await iperf(lab, { direction, seconds, warmUp: WARM_UP, congestion: options.inner[0]! });
    cpu += (cpuSeconds(pids) - before) * share;
    busiest += busiestSeconds(threads, threadSeconds(pids)) * share;
    measured[direction] = mbit;
    gigabytes += (mbit * seconds) / 8000;
  }
  if (pids.length === 0) return measured;
  return {
    ...measured,
    cpuSecondsPerGb: cpu / gigabytes,
    busiestPerGb: busiest / gigabytes,
    rssMb: rssMb(pids),
  };
}
