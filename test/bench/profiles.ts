/**
 * One flow over several paths: iperf3 with CUBIC or BBR inside, both directions, beside each path alone, all through
 * portal. The best path alone is measured before or after all together in every repeat, the others once; of paths that
 * are alike only the first. A ping goes beside the flow over all paths.
 */
import type { Direction } from "../../src/lab/command.ts";
import { LabError } from "../../src/lab/failure.ts";
import { Ping } from "../../src/lab/ping.ts";
import { type Lab, withLab } from "../../src/lab/topology.ts";
import { mustHave } from "./congestion.ts";
import { iperf } from "./iperf.ts";
import { withLateness } from "./late.ts";
import { bestPath, differentPaths } from "./limit.ts";
import { type Congestion, chosen, type Options } from "./options.ts";
import { packetsBetween, readPackets } from "./packets.ts";
import { PLANS, type Plan } from "./plans.ts";
import { type Flow, type Measured, reportProfiles } from "./profiletable.ts";
import { findQuic, HOW_TO_GET_QUIC, type QuicPrograms, quicFlow } from "./quic.ts";
import type { BenchResult, Say } from "./result.ts";
import { percentile } from "./sample.ts";
import { inTurn } from "./turn.ts";

/** A flow finds its rate within so many round trips of the slowest path. */
const WARM_UP_ROUND_TRIPS = 4;
/** A failed flow is tried again: there is no figure of what did not run. */
const TRIES = 2;

export async function profiles(options: Options, say: Say): Promise<BenchResult> {
  const plans = chosen(PLANS, options.profiles);
  const quic = findQuic(options.quic);
  if (quic === null) say(HOW_TO_GET_QUIC);
  const most = Math.max(...plans.map(({ paths }) => paths.length));
  const measured = await withLab({ paths: new Array(most).fill({}) }, async (lab) => {
    await mustHave(lab, options.inner);
    const results: Measured[] = [];
    for (const plan of plans) results.push(await new Bench(lab, plan, options, quic, say).run());
    return results;
  });
  return reportProfiles(measured);
}

/** One plan's measurements. */
class Bench {
  private readonly lab: Lab;
  private readonly plan: Plan;
  private readonly options: Options;
  private readonly quic: QuicPrograms | null;
  private readonly say: Say;
  private readonly measured: Measured;
  private readonly warmUp: number;
  private readonly best: number;

  constructor(lab: Lab, plan: Plan, options: Options, quic: QuicPrograms | null, say: Say) {
    this.lab = lab;
    this.plan = plan;
    this.options = options;
    this.quic = quic;
    this.say = say;
    this.measured = { plan, alone: [], all: [], quic: [] };
    const slowest = Math.max(...plan.paths.map(({ delayMs }) => 2 * delayMs));
    this.warmUp = Math.max(1, Math.ceil((WARM_UP_ROUND_TRIPS * slowest) / 1000));
    this.best = bestPath(plan.paths);
  }

  async run(): Promise<Measured> {
    const { plan, lab, options } = this;
    for (let repeat = 1; repeat <= options.repeats; repeat++) {
      this.say(`${plan.name}, ${repeat} of ${options.repeats}`);
      await inTurn(async () => {
        for (const [i, path] of plan.paths.entries()) await lab.line(i).set(path);
        const together = (): Promise<void> => this.together();
        const best = (): Promise<void> => this.alone(this.best, options.inner);
        // By turns, so that no trend of the machine favours either.
        for (const measure of repeat % 2 === 1 ? [best, together] : [together, best]) await measure();
        if (repeat === 1) await this.others();
        await lab.stopPortals();
      });
    }
    return this.measured;
  }

  /** The paths that should not be the best; one congestion control will do. */
  private async others(): Promise<void> {
    const { paths } = this.plan;
    for (const path of differentPaths(paths)) {
      if (JSON.stringify(paths[path]) !== JSON.stringify(paths[this.best]))
        await this.alone(path, this.options.inner.slice(0, 1));
    }
  }

  private async alone(path: number, inner: readonly Congestion[]): Promise<void> {
    await this.lab.startPortals({ paths: [path] });
    await this.each(inner, `path ${path} alone`, async (congestion, direction) => {
      const mbit = await this.flow(congestion, direction);
      this.measured.alone.push({ path, inner: congestion, direction, mbit });
      return mbit;
    });
  }

  private async together(): Promise<void> {
    const { lab, plan, quic, options } = this;
    await lab.startPortals({ paths: plan.paths.map((_, i) => i) });
    await this.each(options.inner, "all paths", async (inner, direction) => {
      const flow = await this.watched(inner, direction);
      this.measured.all.push(flow);
      return flow.mbit;
    });
    if (quic === null) return;
    for (const direction of options.directions) {
      const mbit = await this.tried(() => quicFlow(lab, quic, direction, options.quicSeconds));
      this.measured.quic.push({ direction, mbit });
      this.say(`  all paths, QUIC ${direction}: ${mbit.toFixed(1)} Mbit/s`);
    }
  }

  private async each(
    inner: readonly Congestion[],
    what: string,
    measure: (inner: Congestion, direction: Direction) => Promise<number>,
  ): Promise<void> {
    for (const congestion of inner) {
      for (const direction of this.options.directions) {
        const mbit = await this.tried(() => measure(congestion, direction));
        this.say(`  ${what}, ${congestion} ${direction}: ${mbit.toFixed(1)} Mbit/s`);
      }
    }
  }

  private async tried<Result>(measure: () => Promise<Result>): Promise<Result> {
    for (let left = TRIES - 1; ; left--) {
      try {
        return await measure();
      } catch (error) {
        if (!(error instanceof LabError) || left === 0) throw error;
        this.say(`  failed, and tried again: ${error.message}`);
      }
    }
  }

  private async flow(congestion: Congestion, direction: Direction): Promise<number> {
    const { seconds } = this.options;
    return await iperf(this.lab, { direction, seconds, warmUp: this.warmUp, congestion });
  }

  /** A flow with a ping beside it and all counters. */
  private async watched(inner: Congestion, direction: Direction): Promise<Flow> {
    const { lab } = this;
    const before = await readPackets(lab, direction);
    const ping = new Ping(lab);
    const began = Date.now();
    const { result: mbit, lateMs } = await withLateness(lab, () => this.flow(inner, direction));
    const ended = Date.now();
    const { answers } = await ping.stop();
    const packets = packetsBetween(before, await readPackets(lab, direction));
    // iperf3 talks before and after the flow; it does not say for how long each.
    const flowMillis = (this.warmUp + this.options.seconds) * 1000;
    const talk = Math.min(ended - began - flowMillis, flowMillis / 4);
    const from = began + talk + this.warmUp * 1000;
    const loaded = answers.filter(({ at }) => at > from && at < ended - talk).map(({ millis }) => millis);
    const shares = [0.5, 0.95, 0.99].map((share) => percentile(loaded, share) ?? Number.POSITIVE_INFINITY);
    const [p50, p95, p99] = shares as [number, number, number];
    return { inner, direction, mbit, ...packets, p50, p95, p99, lateMs };
  }
}
