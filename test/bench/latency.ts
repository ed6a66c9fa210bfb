/**
 * Latency without any load: a ping every few milliseconds from client to server over both portals, beside plain forwarding
 * and other tunnels. What a tunnel adds is the difference of the medians of one run.
 */
import { Ping } from "../../src/lab/ping.ts";
import { type Lab, withLab } from "../../src/lab/topology.ts";
import { iperf } from "./iperf.ts";
import type { Options } from "./options.ts";
import { type Figure, report } from "./report.ts";
import type { BenchResult, Say } from "./result.ts";
import { percentile } from "./sample.ts";
import { inTurn } from "./turn.ts";
import { ONE_PATH, over, TWO_PATHS, TWO_THREADS, waysOf } from "./ways.ts";

/** As fast as 1,000 within five seconds, and slow enough that each finds everything asleep. */
const INTERVAL_SECONDS = 0.005;

/** Seconds of work before the measured pings. */
const WARM_UP_FLOW = 3;
const WARM_UP_PINGS = 20;

const FIGURES = {
  p50: { title: "p50 ms", digits: 3 },
  p99: { title: "p99 ms", digits: 3 },
  most: { title: "longest ms", digits: 2 },
  unanswered: { title: "unanswered", digits: 0 },
  pings: { title: "pings", digits: 0 },
} satisfies Record<string, Figure>;

type Measured = Record<keyof typeof FIGURES, number>;

export async function latency(options: Options, say: Say): Promise<BenchResult> {
  const ways = waysOf(options, [ONE_PATH, TWO_PATHS, TWO_THREADS]);
  const runs = ways.map(({ name, title }) => ({ name, row: [title], repeats: [] as Measured[] }));
  await withLab({ paths: [{ plain: true }, { plain: true }] }, async (lab) => {
    for (let repeat = 1; repeat <= options.repeats; repeat++) {
      for (const [i, way] of ways.entries()) {
        const measured = await inTurn(() => over(lab, way, () => measure(lab, options.seconds)));
        runs[i]!.repeats.push(measured);
        const { p50, p99 } = measured;
        say(`${repeat}/${options.repeats} ${way.title}: p50 ${p50.toFixed(3)}, p99 ${p99.toFixed(3)} ms`);
      }
    }
  });
  return report(["ping, median (least-most)"], FIGURES, runs);
}

async function measure(lab: Lab, seconds: number): Promise<Measured> {
  // A tunnel has been running for days when somebody plays: what a runtime still compiles in its first minute is not it.
  await iperf(lab, { direction: "up", seconds: WARM_UP_FLOW, warmUp: 0, congestion: null });
  await pings(lab, WARM_UP_PINGS);
  const { answers, sent } = await pings(lab, seconds);
  const millis = answers.map((answer) => answer.millis);
  const at = (share: number): number => percentile(millis, share) ?? Number.POSITIVE_INFINITY;
  return { p50: at(0.5), p99: at(0.99), most: at(1), unanswered: sent - answers.length, pings: sent };
}

async function pings(lab: Lab, seconds: number) {
  const ping = new Ping(lab, 4, INTERVAL_SECONDS);
  await Bun.sleep(seconds * 1000);
  return await ping.stop();
}
