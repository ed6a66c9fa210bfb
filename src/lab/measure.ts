/** Measures one TCP flow between client and server, a steady UDP probe beside it, while things happen to the paths. */
import type { Direction, EmulatorStats } from "./command.ts";
import { LabError } from "./failure.ts";
import type { SinkReport } from "./flow.ts";
import { ADDRESSES, type Family } from "./namespaces.ts";
import type { ProbeReport, ProbeSent } from "./probe.ts";
import type { LabProcess } from "./process.ts";
import type { Lab } from "./topology.ts";

export interface FlowOptions {
  /** "up": the client sends. */
  direction: Direction;
  /** Length of the measurement, from the flow's first byte. */
  seconds: number;
  /** Family of the flow and the probe. Default 4. */
  family?: Family;
  /** What happens, and how many seconds after the first byte. */
  events?: readonly { readonly at: number; run(): Promise<unknown> }[];
  /** Called about ten times per second. */
  onSample?: (sample: FlowSample) => void;
}

export interface FlowSample {
  /** Since the first byte. */
  seconds: number;
  /** The flow's goodput over the last half second. */
  mbit: number;
  /** What every emulated path delivered in the flow's direction, IP packets, over the last half second. */
  pathMbit: number[];
}

export interface FlowResult {
  /** Goodput, without the flow's beginning (`warmUpSeconds`). */
  mbit: number;
  samples: FlowSample[];
  /** Longest time without a byte of the flow: after the first event, or without one after the warm-up. */
  stallMs: number;
  probe: {
    sent: number;
    lost: number;
    duplicates: number;
    /** As the flow's. */
    stallMs: number;
  };
}

/** How long a flow may take to find its rate before it is measured. */
export function warmUpSeconds(seconds: number): number {
  return Math.min(1, seconds / 4);
}

const PROBES_PER_SECOND = 100;
/** When nothing has come for so long, what is missing is lost. Reports come every 100 ms. */
const PROBE_PATIENCE_MILLIS = 800;
const SAMPLE_MILLIS = 500;
const START_SECONDS = 20;

/** Every measurement has ports of its own, so that no remains of the one before disturb it. */
let nextPort = 20_000;

export async function measureFlow(lab: Lab, options: FlowOptions): Promise<FlowResult> {
  const flow = await startFlow(lab, options);
  try {
    return await observe(lab, options, flow);
  } finally {
    await Promise.all(Object.values(flow).map((process) => process.stop("SIGKILL")));
  }
}

interface Flow {
  readonly source: LabProcess;
  readonly sink: LabProcess;
  readonly probe: LabProcess;
  readonly probed: LabProcess;
}

async function startFlow(lab: Lab, { direction, family = 4 }: FlowOptions): Promise<Flow> {
  const flowPort = String(nextPort++);
  const probePort = String(nextPort++);
  const [from, to] = direction === "up" ? (["client", "server"] as const) : (["server", "client"] as const);
  const connect = ["--port", flowPort, "--host", ADDRESSES.server[family]];
  const listen = ["--port", flowPort];
  // The server listens, whichever way the bytes go: that is how the world is.
  const first = lab.spawnOwn("server", [direction === "up" ? "sink" : "source", ...listen]);
  const probed = lab.spawnOwn(to, ["probe", "--port", probePort]);
  await Promise.all([first.nextLine(), probed.nextLine()]);
  const rate = ["--rate", String(PROBES_PER_SECOND)];
  const probe = lab.spawnOwn(from, ["probe", "--port", probePort, "--host", ADDRESSES[to][family], ...rate]);
  // The time that is measured begins with the flow: whatever happens in it, the probe is there.
  await probe.nextLine();
  const second = lab.spawnOwn("client", [direction === "up" ? "source" : "sink", ...connect]);
  const [sink, source] = direction === "up" ? [first, second] : [second, first];
  return { source, sink, probe, probed };
}

async function observe(lab: Lab, options: FlowOptions, flow: Flow): Promise<FlowResult> {
  const { sink, source, probe, probed } = flow;
  const reports: SinkReport[] = [];
  const probes: ProbeReport[] = [];
  const samples: FlowSample[] = [];
  const sampler = new Sampler(options.direction);
  sink.onLine((line) => {
    const report = JSON.parse(line) as SinkReport;
    if (reports.length === 0 && report.bytes === 0) return;
    reports.push(report);
    if (report.at > reports[0]!.at + options.seconds * 1000) return;
    void lab.lineStats().then((stats) => {
      const sample = sampler.sample(report, stats);
      if (sample === null) return;
      samples.push(sample);
      options.onSample?.(sample);
    });
  });
  probed.onLine((line) => probes.push(JSON.parse(line) as ProbeReport));

  const running = (): void => {
    for (const process of [sink, source]) {
      if (!process.running) throw new LabError(`the flow broke: ${process.errors.at(-1) ?? process.name}`);
    }
  };
  await lab.waitFor("the flow's first byte", START_SECONDS, () => {
    running();
    return reports.length > 0;
  });
  const began = reports[0]!.at;
  const happened = await pass(began, options, running);
  probe.closeInput();
  const { sent } = JSON.parse(await probe.nextLine()) as ProbeSent;
  source.kill();
  await settled(probes, sent);
  const received = probes.at(-1)?.received ?? 0;

  if (reports.some(({ intact }) => !intact)) throw new LabError("the flow's bytes were changed on the way");
  const end = began + options.seconds * 1000;
  const from = began + warmUpSeconds(options.seconds) * 1000;
  const stallFrom = happened ?? from;
  return {
    mbit: goodput(reports.filter(({ at }) => at >= from && at <= end)),
    samples,
    stallMs: longestGap(
      reports.filter(({ at }) => at <= end),
      stallFrom,
    ),
    probe: {
      sent,
      lost: sent - received,
      duplicates: probes.at(-1)?.duplicates ?? 0,
      stallMs: longestGap(
        probes.filter(({ at }) => at <= end),
        stallFrom,
      ),
    },
  };
}

/** Waits for the probe packets that are still on their way. */
async function settled(probes: readonly ProbeReport[], sent: number): Promise<void> {
  let received = -1;
  let quiet = 0;
  while (received < sent && quiet < PROBE_PATIENCE_MILLIS) {
    const before = received;
    await Bun.sleep(50);
    received = probes.at(-1)?.received ?? 0;
    quiet = received === before ? quiet + 50 : 0;
  }
}

/** Lets the time pass and the events happen. When the first of them happened; null without one. */
async function pass(began: number, options: FlowOptions, running: () => void): Promise<number | null> {
  const until = async (seconds: number): Promise<void> => {
    const at = began + seconds * 1000;
    for (let left = at - clock(); left > 0; left = at - clock()) {
      await Bun.sleep(Math.min(left, 100));
      running();
    }
  };
  let first: number | null = null;
  for (const event of options.events ?? []) {
    await until(event.at);
    first ??= clock();
    await event.run();
  }
  await until(options.seconds);
  return first;
}

function goodput(reports: readonly SinkReport[]): number {
  const [first, last] = [reports.at(0), reports.at(-1)];
  if (first === undefined || last === undefined || last.at === first.at) return 0;
  return megabits(last.bytes - first.bytes, last.at - first.at);
}

function longestGap(reports: readonly { at: number; gapMs: number }[], from: number): number {
  return reports.filter(({ at }) => at >= from).reduce((longest, { gapMs }) => Math.max(longest, gapMs), 0);
}

/** Turns totals into rates over the last half second. */
class Sampler {
  private readonly direction: Direction;
  private readonly totals: { at: number; bytes: number; pathBytes: number[] }[] = [];
  private began = 0;

  constructor(direction: Direction) {
    this.direction = direction;
  }

  sample(report: SinkReport, stats: EmulatorStats): FlowSample | null {
    const pathBytes = stats.paths.map((path) => path[this.direction].deliveredBytes);
    this.totals.push({ at: report.at, bytes: report.bytes, pathBytes });
    if (this.totals.length === 1) this.began = report.at;
    while (this.totals.length > 2 && report.at - this.totals[1]!.at >= SAMPLE_MILLIS) this.totals.shift();
    const first = this.totals[0]!;
    const millis = report.at - first.at;
    if (millis <= 0) return null;
    return {
      seconds: (report.at - this.began) / 1000,
      mbit: megabits(report.bytes - first.bytes, millis),
      pathMbit: pathBytes.map((bytes, i) => megabits(bytes - first.pathBytes[i]!, millis)),
    };
  }
}

function megabits(bytes: number, millis: number): number {
  return (bytes * 8) / (millis * 1000);
}

function clock(): number {
  return performance.timeOrigin + performance.now();
}
