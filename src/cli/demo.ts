/**
 * `portal demo`: two real portals, a client and a server in network namespaces of their own, and one TCP flow over
 * paths whose rate and delay are known; shows what the flow gets. Needs no second machine and no configuration, and
 * touches nothing of this one (lab/enter.ts): the program runs itself again inside, and that run does the work.
 */
import { defineCommand } from "citty";
import type { Direction } from "../lab/command.ts";
import { enterLab, insideLab } from "../lab/enter.ts";
import { LabError } from "../lab/failure.ts";
import { type FlowResult, measureFlow } from "../lab/measure.ts";
import { goodputShare } from "../lab/portals.ts";
import { selfCommand } from "../lab/self.ts";
import { type Lab, withLab } from "../lab/topology.ts";
import {
  type DemoCut,
  type DemoPath,
  type DemoPhase,
  type DemoReport,
  type DemoSample,
  liveLines,
  phaseLine,
  renderReport,
} from "../ui/demo.ts";
import { usage } from "./arguments.ts";
import { EXIT, Failure } from "./exit.ts";
import { complainLine, printLine } from "./print.ts";

const MOST_PATHS = 16;

/** What a path may be: by one that loses more, or takes longer, portals would hardly meet. */
const RATE = { least: 0.1, most: 10_000, text: "Mbit/s (0.1 to 10000)" };
const DELAY = { least: 0, most: 2000, text: "one-way ms (0 to 2000)" };
const LOSS = { least: 0, most: 30, text: "/loss in % (0 to 30)" };
const JITTER = { least: 0, most: 1000, text: "/jitter in ms (0 to 1000)" };

export interface DemoPlan {
  readonly paths: readonly DemoPath[];
  /** Length of each phase. */
  readonly seconds: number;
  readonly json: boolean;
}

export const demo = defineCommand({
  meta: {
    name: "demo",
    description: "Show one TCP flow over several paths, in a laboratory on this machine",
  },
  args: {
    json: { type: "boolean", description: "print the figures as one JSON object" },
    seconds: { type: "string", valueHint: "N", default: "5", description: "length of each phase" },
    paths: {
      type: "string",
      valueHint: "LIST",
      default: "50/20,20/40",
      description: `${RATE.text} and ${DELAY.text} of each path; also ${LOSS.text} and ${JITTER.text}`,
    },
  },
  run: async ({ args }) => {
    const plan = planOf(args);
    try {
      if (insideLab()) return await runInside(plan);
      const { paths, seconds, json } = args;
      const words = ["demo", `--seconds=${seconds}`, `--paths=${paths}`, ...(json ? ["--json"] : [])];
      return (await enterLab([...selfCommand(), ...words])).code;
    } catch (error) {
      throw error instanceof LabError ? new Failure(EXIT.failed, error.message) : error;
    }
  },
});

/** What the arguments ask for; a `Failure` when they make no sense. */
export function planOf(args: { paths: string; seconds: string; json?: boolean | undefined }): DemoPlan {
  const seconds = Number(args.seconds);
  if (!(seconds >= 2 && seconds <= 3600))
    throw usage(`--seconds is a number from 2 to 3600, not "${args.seconds}"`);
  const paths = args.paths.split(",").map(planPath);
  if (paths.length < 2 || paths.length > MOST_PATHS) {
    throw usage(`--paths needs 2 to ${MOST_PATHS} paths, as in --paths 50/20,20/40`);
  }
  return { paths, seconds, json: args.json ?? false };
}

function planPath(text: string, index: number): DemoPath {
  const numbers = text.trim().split("/");
  const [mbit, delayMs, loss = 0, jitterMs = 0] = numbers.map((word) =>
    word === "" ? Number.NaN : Number(word),
  );
  const fits = (value: number | undefined, { least, most }: { least: number; most: number }): boolean =>
    value !== undefined && value >= least && value <= most;
  const good = fits(mbit, RATE) && fits(delayMs, DELAY) && fits(loss, LOSS) && fits(jitterMs, JITTER);
  if (!good || numbers.length > 4) {
    const more = `with ${LOSS.text} and ${JITTER.text} as 50/20/1/5`;
    throw usage(`"${text}" in --paths is no path: write ${RATE.text} and ${DELAY.text} as 50/20, or ${more}`);
  }
  return {
    name: `path${index}`,
    mbit: mbit!,
    delayMs: delayMs!,
    jitterMs,
    loss: loss / 100,
    limitMbit: mbit! * goodputShare(4),
  };
}

async function runInside(plan: DemoPlan): Promise<number> {
  const lines = plan.paths.map(({ mbit, delayMs, jitterMs, loss }) => ({ mbit, delayMs, jitterMs, loss }));
  const report = await withLab({ paths: lines }, (lab) => new Demo(lab, plan).run());
  printLine(plan.json ? JSON.stringify(report, null, 2) : `\n${renderReport(report)}`);
  return EXIT.ok;
}

class Demo {
  private readonly lab: Lab;
  private readonly plan: DemoPlan;
  private readonly screen = new Screen();

  constructor(lab: Lab, plan: DemoPlan) {
    this.lab = lab;
    this.plan = plan;
  }

  async run(): Promise<DemoReport> {
    const { lab } = this;
    const { paths, seconds } = this.plan;
    const singles: Record<Direction, number[]> = { up: [], down: [] };
    for (const [i, { name }] of paths.entries()) {
      await lab.startPortals({ paths: [i] });
      for (const direction of ["up", "down"] as const) {
        singles[direction].push((await this.phase(`${name} alone, ${direction}`, [i], direction)).mbit);
      }
    }
    await lab.startPortals();
    const all = paths.map((_, i) => i);
    const up = await this.phase(`${together(all)}, up`, all, "up");
    const down = await this.phase(`${together(all)}, down`, all, "down");
    const cutUp = await this.cutPhase(all, "up");
    const cutDown = await this.cutPhase(all, "down");

    const limitMbit = paths.reduce((sum, path) => sum + path.limitMbit, 0);
    const probed = [up.probe, down.probe, cutUp.probe, cutDown.probe];
    const round = (value: number): number => Math.round(value * 100) / 100;
    return {
      seconds,
      paths: paths.map((path) => ({ ...path, limitMbit: round(path.limitMbit) })),
      limitMbit: round(limitMbit),
      singleMbit: all.map((i) => round(Math.max(singles.up[i]!, singles.down[i]!))),
      singleUpMbit: singles.up.map(round),
      singleDownMbit: singles.down.map(round),
      bothUpMbit: round(up.mbit),
      bothDownMbit: round(down.mbit),
      shareUp: round(up.mbit / limitMbit),
      shareDown: round(down.mbit / limitMbit),
      cutStallMs: round(
        Math.max(...[cutUp, cutDown].flatMap(({ stallMs, probe }) => [stallMs, probe.stallMs])),
      ),
      probeSent: probed.reduce((sum, { sent }) => sum + sent, 0),
      probeLost: probed.reduce((sum, { lost }) => sum + lost, 0),
      cutUp: cutReport(cutUp, round),
      cutDown: cutReport(cutDown, round),
    };
  }

  /** All paths, the first of which is cut for the second third of the time. */
  private async cutPhase(all: readonly number[], direction: Direction): Promise<FlowResult> {
    const { lab, screen } = this;
    const { name } = this.plan.paths[0]!;
    const { seconds } = this.plan;
    // The path that the phase before cut is back by itself, or this fails.
    await lab.portals?.up();
    const cut = async (): Promise<void> => {
      screen.note = `${name} is cut`;
      await lab.line(0).cut();
    };
    const restore = async (): Promise<void> => {
      screen.note = `${name} is restored`;
      await lab.line(0).restore();
    };
    return await this.phase(`${together(all)}, ${direction}, ${name} cut`, all, direction, [
      { at: seconds / 3, run: cut },
      { at: (seconds * 2) / 3, run: restore },
    ]);
  }

  private async phase(
    title: string,
    used: readonly number[],
    direction: Direction,
    events: readonly { at: number; run(): Promise<void> }[] = [],
  ): Promise<FlowResult> {
    const { lab, plan, screen } = this;
    const limitMbit = used.reduce((sum, i) => sum + plan.paths[i]!.limitMbit, 0);
    const phase: DemoPhase = { title, limitMbit, paths: used };
    screen.begin();
    const onSample = (sample: DemoSample): void => screen.show(phase, sample, plan.paths);
    const result = await measureFlow(lab, { direction, seconds: plan.seconds, events, onSample });
    screen.end(phaseLine(phase, result.mbit));
    return result;
  }
}

function together(all: readonly number[]): string {
  return all.length === 2 ? "both paths" : `all ${all.length} paths`;
}

function cutReport({ mbit, stallMs, probe }: FlowResult, round: (value: number) => number): DemoCut {
  return {
    mbit: round(mbit),
    flowStallMs: round(stallMs),
    probeStallMs: round(probe.stallMs),
    probeSent: probe.sent,
    probeLost: probe.lost,
  };
}

/** Standard error: bars drawn over each other on a terminal, nothing but a line per phase elsewhere. */
class Screen {
  /** What has just been done to a path. */
  note = "";
  private drawn = 0;

  begin(): void {
    this.note = "";
  }

  show(phase: DemoPhase, sample: DemoSample, paths: readonly DemoPath[]): void {
    if (!process.stderr.isTTY) return;
    // A line that wraps could not be drawn over.
    const columns = process.stderr.columns || 80;
    const lines = liveLines(phase, sample, paths, this.note).map((line) => line.slice(0, columns - 1));
    complainLine(`${this.erasure()}${lines.join("\n")}`);
    this.drawn = lines.length;
  }

  end(line: string): void {
    complainLine(`${this.erasure()}${line}`);
    this.drawn = 0;
  }

  /** Goes up to where the last lines began and clears from there. */
  private erasure(): string {
    return this.drawn === 0 ? "" : `\x1b[${this.drawn}A\x1b[J`;
  }
}
