/**
 * Records one TCP flow between client and server, and steady UDP probes beside it, while things happen to the paths:
 * what the receiving ends said, every 100 ms. What it means is for others to say (lab/measure.ts, the benchmarks).
 */
import type { Direction } from "./command.ts";
import { LabError } from "./failure.ts";
import type { SinkReport } from "./flow.ts";
import { ADDRESSES, type Family } from "./namespaces.ts";
import type { ProbeReport, ProbeSent } from "./probe.ts";
import type { LabProcess } from "./process.ts";
import type { Lab } from "./topology.ts";

export interface RecordOptions {
  /** "up": the client sends. */
  direction: Direction;
  /** Length of the record, from the flow's first byte. */
  seconds: number;
  /** Family of the flow and the probes. Default 4. */
  family?: Family;
  /** Directions of the probes. Default: the flow's. */
  probes?: readonly Direction[];
  /** What happens, and how many seconds after the first byte. */
  events?: readonly { readonly at: number; run(): Promise<unknown> }[];
  /** Called about ten times per second with what the sink says, from the first byte on. */
  onReport?: (report: SinkReport) => void;
}

/** All times are milliseconds of a clock that all processes of the machine share. */
export interface FlowRecord {
  /** The flow's first byte, within the sink's 100 ms. */
  readonly began: number;
  readonly end: number;
  /** When each event was begun. */
  readonly happened: readonly number[];
  readonly flow: readonly SinkReport[];
  readonly probes: readonly ProbeRecord[];
}

export interface ProbeRecord {
  readonly direction: Direction;
  readonly sent: number;
  readonly reports: readonly ProbeReport[];
}

const PROBES_PER_SECOND = 100;
/** When nothing has come for so long, what is missing is lost. Reports come every 100 ms. */
const PROBE_PATIENCE_MILLIS = 800;
const START_SECONDS = 20;

/** Every measurement has ports of its own, so that no remains of the one before disturb it. */
let nextPort = 20_000;

/** Rejects when the flow breaks, or when a byte of it was not the one that was sent. */
export async function recordFlow(lab: Lab, options: RecordOptions): Promise<FlowRecord> {
  const probes = await Promise.all(
    (options.probes ?? [options.direction]).map((direction) =>
      Probe.start(lab, direction, options.family ?? 4),
    ),
  );
  const ends = await startFlow(lab, options);
  try {
    return await observe(lab, options, ends, probes);
  } finally {
    const processes = [
      ends.source,
      ends.sink,
      ...probes.flatMap(({ sender, receiver }) => [sender, receiver]),
    ];
    await Promise.all(processes.map((process) => process.stop("SIGKILL")));
  }
}

interface FlowEnds {
  readonly source: LabProcess;
  readonly sink: LabProcess;
}

async function startFlow(lab: Lab, { direction, family = 4 }: RecordOptions): Promise<FlowEnds> {
  const port = ["--port", String(nextPort++)];
  const connect = [...port, "--host", ADDRESSES.server[family]];
  // The server listens, whichever way the bytes go: that is how the world is.
  const first = lab.spawnOwn("server", [direction === "up" ? "sink" : "source", ...port]);
  await first.nextLine();
  const second = lab.spawnOwn("client", [direction === "up" ? "source" : "sink", ...connect]);
  return direction === "up" ? { source: second, sink: first } : { source: first, sink: second };
}

async function observe(
  lab: Lab,
  options: RecordOptions,
  { sink, source }: FlowEnds,
  probes: readonly Probe[],
): Promise<FlowRecord> {
  const flow: SinkReport[] = [];
  sink.onLine((line) => {
    const report = JSON.parse(line) as SinkReport;
    if (flow.length === 0 && report.bytes === 0) return;
    flow.push(report);
    options.onReport?.(report);
  });
  const running = (): void => {
    for (const process of [sink, source]) {
      if (!process.running) throw new LabError(`the flow broke: ${process.errors.at(-1) ?? process.name}`);
    }
  };
  await lab.waitFor("the flow's first byte", START_SECONDS, () => {
    running();
    return flow.length > 0;
  });
  const began = flow[0]!.at;
  const happened = await pass(began, options, running);
  const finished = await Promise.all(probes.map((probe) => probe.finish(() => source.kill())));
  if (flow.some(({ intact }) => !intact)) throw new LabError("the flow's bytes were changed on the way");
  return { began, end: began + options.seconds * 1000, happened, flow, probes: finished };
}

/** A probe of one direction: sender and receiver. */
class Probe {
  readonly sender: LabProcess;
  readonly receiver: LabProcess;
  private readonly direction: Direction;
  private readonly reports: ProbeReport[] = [];

  private constructor(direction: Direction, sender: LabProcess, receiver: LabProcess) {
    this.direction = direction;
    this.sender = sender;
    this.receiver = receiver;
    receiver.onLine((line) => this.reports.push(JSON.parse(line) as ProbeReport));
  }

  static async start(lab: Lab, direction: Direction, family: Family): Promise<Probe> {
    const port = ["--port", String(nextPort++)];
    const [from, to] = direction === "up" ? (["client", "server"] as const) : (["server", "client"] as const);
    const receiver = lab.spawnOwn(to, ["probe", ...port]);
    await receiver.nextLine();
    const rate = ["--rate", String(PROBES_PER_SECOND)];
    const sender = lab.spawnOwn(from, ["probe", ...port, "--host", ADDRESSES[to][family], ...rate]);
    // It has begun: the probe is there, whatever happens from the flow's first byte on.
    await sender.nextLine();
    return new Probe(direction, sender, receiver);
  }

  /** Ends the sender, tells so, and waits for the packets that are still on their way. */
  async finish(onSent: () => void): Promise<ProbeRecord> {
    this.sender.closeInput();
    const { sent } = JSON.parse(await this.sender.nextLine()) as ProbeSent;
    onSent();
    let received = -1;
    let quiet = 0;
    while (received < sent && quiet < PROBE_PATIENCE_MILLIS) {
      const before = received;
      await Bun.sleep(50);
      received = this.reports.at(-1)?.received ?? 0;
      quiet = received === before ? quiet + 50 : 0;
    }
    return { direction: this.direction, sent, reports: this.reports };
  }
}

/** Lets the time pass and the events happen; when each of them was begun. */
async function pass(began: number, options: RecordOptions, running: () => void): Promise<number[]> {
  const until = async (seconds: number): Promise<void> => {
    const at = began + seconds * 1000;
    for (let left = at - clock(); left > 0; left = at - clock()) {
      await Bun.sleep(Math.min(left, 100));
      running();
    }
  };
  const happened: number[] = [];
  for (const event of options.events ?? []) {
    await until(event.at);
    happened.push(clock());
    await event.run();
  }
  await until(options.seconds);
  return happened;
}

function clock(): number {
  return performance.timeOrigin + performance.now();
}
