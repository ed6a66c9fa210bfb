/**
 * Many sessions that carry traffic at the same time: one remote portal with a thousand of them (homes.ts) and one, two or three
 * threads, of which 50 or all send or are sent packets in turn, so much together that there is room for all. What a GB costs the
 * remote's processors, and the busiest of its threads: that one is the limit of a machine with processors enough.
 */
import type { LabProcess } from "../../src/lab/process.ts";
import { type Lab, withLab } from "../../src/lab/topology.ts";
import type { Progress } from "./homes.ts";
import {
  connectHomes,
  HOMES,
  homesProcess,
  inside,
  must,
  program,
  shakeHands,
  startRemote,
} from "./manyhomes.ts";
import type { Options } from "./options.ts";
import { type Figure, report } from "./report.ts";
import type { BenchResult, Say } from "./result.ts";
import { inTurn } from "./turn.ts";
import { busiestSeconds, cpuSeconds, rssMb, threadSeconds } from "./usage.ts";

const THREADS = [1, 2, 3];
const BUSY = [50, HOMES];
/** So much is offered to all of them, or by them. */
const MBIT = 400;
const SETTLE_SECONDS = 5;
/** Of either direction, in which the runtime compiles what becomes hot. */
const WARM_UP_SECONDS = 4;

const FIGURES = {
  down: { title: "down Mbit/s", digits: 0 },
  downCpu: { title: "CPU s per GB", digits: 1 },
  downBusiest: { title: "busiest thread", digits: 1 },
  up: { title: "up Mbit/s", digits: 0 },
  upCpu: { title: "CPU s per GB", digits: 1 },
  upBusiest: { title: "busiest thread", digits: 1 },
  rss: { title: "RSS MB", digits: 0 },
} satisfies Record<string, Figure>;
type Measured = Partial<Record<keyof typeof FIGURES, number>>;

/** What the remote has carried, and what it took. */
interface Carried {
  readonly mbit: number;
  readonly cpu: number;
  readonly busiest: number;
}

export async function crowd(options: Options, say: Say): Promise<BenchResult> {
  const runs = THREADS.flatMap((threads) =>
    BUSY.map((busy) => ({
      threads,
      busy,
      name: `${threads}-${busy}`,
      row: [String(threads), busy.toLocaleString("en")],
      repeats: [] as Measured[],
    })),
  );
  await withLab({ paths: [{ plain: true }] }, async (lab) => {
    await connectHomes(lab);
    for (let repeat = 1; repeat <= options.repeats; repeat++) {
      for (const threads of THREADS) {
        const rows = runs.filter((run) => run.threads === threads);
        await inTurn(() =>
          measure(lab, threads, options.seconds, (busy, measured) => {
            rows.find((row) => row.busy === busy)!.repeats.push(measured);
            say(
              `${repeat}/${options.repeats} ${threads} threads, ${busy} busy: ${Math.round(measured.down!)} down, ${Math.round(measured.up!)} up`,
            );
          }),
        );
      }
    }
  });
  return report(["the remote's threads", `of ${HOMES + 1} sessions busy`], FIGURES, runs);
}

async function measure(
  lab: Lab,
  threads: number,
  seconds: number,
  onMeasured: (busy: number, measured: Measured) => void,
): Promise<void> {
  const homes = homesProcess();
  try {
    await startRemote(lab, homes, { threads });
    await shakeHands(lab, homes);
    await Bun.sleep(SETTLE_SECONDS * 1000);
    const remote = lab.portals!.remote.pid;
    await download(remote, homes, BUSY[0]!, WARM_UP_SECONDS);
    await upload(lab, remote, homes, BUSY[0]!, WARM_UP_SECONDS);
    for (const busy of BUSY) {
      const down = await download(remote, homes, busy, seconds);
      const up = await upload(lab, remote, homes, busy, seconds);
      onMeasured(busy, {
        down: down.mbit,
        downCpu: down.cpu,
        downBusiest: down.busiest,
        up: up.mbit,
        upCpu: up.cpu,
        upBusiest: up.busiest,
        rss: rssMb([remote]),
      });
    }
  } finally {
    await homes.stop("SIGKILL");
  }
}

async function download(remote: number, homes: LabProcess, busy: number, seconds: number): Promise<Carried> {
  let bytes = 0;
  homes.onLine((line) => {
    bytes = (JSON.parse(line) as Partial<Progress>).bytes ?? bytes;
  });
  // One is told ten times a second.
  const arrived = async () => {
    await Bun.sleep(300);
    return bytes;
  };
  const words = ["stream", busy, MBIT, seconds].map(String);
  const send = () => must([...inside("server"), ...program("offering.ts"), ...words]);
  return await carried(remote, seconds, arrived, send);
}

/** What is sent is known from the homes, what has arrived from the remote's interface, which the kernel has it from. */
async function upload(
  lab: Lab,
  remote: number,
  homes: LabProcess,
  busy: number,
  seconds: number,
): Promise<Carried> {
  const arrived = async () => {
    const { stdout } = await lab.exec("remote", ["ip", "-j", "-s", "link", "show", "portal0"]);
    const [link] = JSON.parse(stdout) as { stats64: { rx: { bytes: number } } }[];
    return link!.stats64.rx.bytes;
  };
  const send = () =>
    new Promise<void>((resolve) => {
      homes.onLine((line) => {
        if (typeof JSON.parse(line) === "number") resolve();
      });
      homes.send(`upload ${busy} ${MBIT} ${seconds}`);
    });
  return await carried(remote, seconds, arrived, send);
}

async function carried(
  remote: number,
  seconds: number,
  arrived: () => Promise<number>,
  send: () => Promise<void>,
): Promise<Carried> {
  const from = await arrived();
  const cpu = cpuSeconds([remote]);
  const threads = threadSeconds([remote]);
  await send();
  const gigabytes = ((await arrived()) - from) / 1e9;
  return {
    mbit: (gigabytes * 8000) / seconds,
    cpu: (cpuSeconds([remote]) - cpu) / gigabytes,
    busiest: busiestSeconds(threads, threadSeconds([remote])) / gigabytes,
  };
}
