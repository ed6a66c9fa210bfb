/**
 * Packets per second: UDP packets of one size (iperf3), as many as the sender can, from client to server over both portals,
 * beside plain forwarding and other tunnels. Everything shares this machine's processors, so what the sender offers is less
 * than it could alone. CPU microseconds are those of both ends together, per packet that arrived.
 */
import { type Lab, withLab } from "../../src/lab/topology.ts";
import { iperfPackets } from "./iperf.ts";
import type { Options } from "./options.ts";
import { type Figure, report } from "./report.ts";
import type { BenchResult, Say } from "./result.ts";
import { inTurn } from "./turn.ts";
import { cpuSeconds } from "./usage.ts";
import { ONE_PATH, over, type Standing, TWO_PATHS, TWO_THREADS, waysOf } from "./ways.ts";

const FIGURES = {
  offered: { title: "offered kpps", digits: 1 },
  arrived: { title: "arrived kpps", digits: 1 },
  cpuMicros: { title: "CPU us per packet", digits: 1 },
} satisfies Record<string, Figure>;

type Measured = Partial<Record<keyof typeof FIGURES, number>>;

const WARM_UP_SECONDS = 1;

export async function pps(options: Options, say: Say): Promise<BenchResult> {
  const ways = waysOf(options, [ONE_PATH, TWO_PATHS, TWO_THREADS]);
  const kinds = options.sizes.flatMap((bytes) =>
    options.directions.flatMap((direction) => ways.map((way) => ({ bytes, direction, way }))),
  );
  const runs = kinds.map(({ bytes, direction, way }) => ({
    name: `${bytes} ${direction} ${way.name}`,
    row: [String(bytes), direction, way.title],
    repeats: [] as Measured[],
  }));
  await withLab({ paths: [{ plain: true }, { plain: true }] }, async (lab) => {
    for (let repeat = 1; repeat <= options.repeats; repeat++) {
      for (const [i, kind] of kinds.entries()) {
        const measured = await inTurn(() =>
          over(lab, kind.way, (standing) => measure(lab, standing, kind, options)),
        );
        runs[i]!.repeats.push(measured);
        const rate = `${measured.arrived!.toFixed(1)} of ${measured.offered!.toFixed(1)} kpps`;
        say(`${repeat}/${options.repeats} ${runs[i]!.row.join(", ")}: ${rate}`);
      }
    }
  });
  return report(["IP bytes", "way", "over, median (least-most)"], FIGURES, runs);
}

async function measure(
  lab: Lab,
  { pids }: Standing,
  { bytes, direction }: Pick<Parameters<typeof iperfPackets>[1], "bytes" | "direction">,
  { seconds }: Options,
): Promise<Measured> {
  await iperfPackets(lab, { bytes, direction, seconds: WARM_UP_SECONDS });
  const before = cpuSeconds(pids);
  const { offered, arrived } = await iperfPackets(lab, { bytes, direction, seconds });
  const rates = { offered: offered / 1000, arrived: arrived / 1000 };
  if (pids.length === 0) return rates;
  return { ...rates, cpuMicros: ((cpuSeconds(pids) - before) * 1e6) / (arrived * seconds) };
}
