/**
 * The data caps of a local's paths while it runs: what they have used is read at the start, written ahead while they are
 * used, and exactly at the end; what is reached is told in the log.
 *
 * Written ahead: the file says more than was used, and is written again before so much is. So portal may be killed, or the
 * power fail, and too much is counted then, never too little: at most as much as was used since the start, and no more than 1/200 of the
 * cap, or 64 MB, or four seconds of traffic where that is more.
 */
import { dirname, join } from "node:path";
import type { CapConfig, Config } from "../config/config.ts";
import { Calendar } from "../proto/calendar.ts";
import { type Allowance, Cap, type Meter } from "../proto/cap.ts";
import { Clock } from "../proto/clock.ts";
import type { CapReport } from "../share/status.ts";
import { formatBytes, formatRate } from "../ui/units.ts";
import type { Log } from "./log.ts";
import { StateFile } from "./statefile.ts";
import { type Counted, formatUsage, newerOf, type PathUsage, parseUsage } from "./usage.ts";

const LEAST_AHEAD = 65_536;
const MOST_AHEAD = 64e6;
/** At most this share of a cap, so that a period takes a few hundred writes however large it is. */
const SHARE_AHEAD = 1 / 200;
const SECONDS_AHEAD = 4;
/** A disk that takes nothing is tried again after so many ticks. */
const RETRY_TICKS = 60;
/** Paths that are no longer configured are remembered, up to so many. */
const MOST_REMEMBERED = 64;

interface CappedPath {
  readonly name: string;
  readonly config: CapConfig;
  readonly cap: Cap;
  readonly months: Ahead | null;
  readonly days: Ahead | null;
}

/** One allowance, and what the file says of it. */
interface Ahead {
  readonly allowance: Allowance;
  /** Used when this portal started, and at the last tick. */
  start: number;
  atTick: number;
  perTick: number;
  /** What stands in the file, or is on its way there. */
  written: Counted | null;
  /** Per cent of the cap that the log has told of: 0, 80 or 100. */
  told: number;
}

export class Caps {
  private readonly paths: CappedPath[] = [];
  private readonly files: readonly StateFile[];
  private readonly log: Log;
  private readonly wall: () => number;
  private readonly clock = new Clock();
  /** Where what is counted is kept; null before there is a cap, and when it cannot be. */
  private file: StateFile | null = null;
  private opened = false;
  /** What interfaces without a path have used. */
  private remembered: PathUsage[] = [];
  private ticks = 0;
  private retryAt = 0;
  private toldOfDisk = false;
  private toldOfClock = false;

  /** `files`: where to keep what is counted, the best first. `wall`: the time of day, milliseconds since 1970. */
  constructor(files: readonly StateFile[], log: Log, wall: () => number) {
    this.files = files;
    this.log = log;
    this.wall = wall;
  }

  /**
   * The cap of the path on this interface, which from now on counts what `meter` does, and goes on from what was counted
   * before: in the file, or under other settings. Null for a path without.
   */
  of(name: string, config: CapConfig | null, meter: Meter): Cap | null {
    const known = this.paths.find((path) => path.name === name);
    if (known !== undefined && config !== null && sameConfig(known.config, config)) {
      known.cap.attach(meter);
      return known.cap;
    }
    this.drop(name);
    if (config === null) return null;
    if (!this.opened) this.open();
    const path = makePath(name, config);
    const entry = this.remembered.find((candidate) => candidate.interface === name);
    if (entry !== undefined) restorePath(path, entry);
    this.remembered = this.remembered.filter((other) => other !== entry);
    path.cap.attach(meter);
    this.paths.push(path);
    // Before anything is sent on it.
    if (this.file !== null) this.writeNow(this.file);
    return path.cap;
  }

  /** There is no such path any more: what it has used is remembered. */
  drop(name: string): void {
    const at = this.paths.findIndex((path) => path.name === name);
    if (at < 0) return;
    const [path] = this.paths.splice(at, 1);
    path!.cap.count();
    this.remembered.unshift(usageOf(path!, false));
    this.remembered.splice(MOST_REMEMBERED);
  }

  /** Once a second. True when a path that was over its cap no longer is. */
  onTick(now: number): boolean {
    this.clock.read(now, this.wall());
    if (!this.toldOfClock && this.paths.length > 0 && !this.clock.plausible) {
      this.toldOfClock = true;
      this.log.warn(
        "this machine's clock is wrong: data caps go on counting, and no month or day ends before it is set",
      );
    }
    this.ticks++;
    let lifted = false;
    for (const path of this.paths) {
      if (path.cap.onTick(this.clock)) lifted = true;
      for (const ahead of aheadsOf(path)) {
        ahead.perTick = Math.max(0, ahead.allowance.used - ahead.atTick);
        ahead.atTick = ahead.allowance.used;
        ahead.start = Math.min(ahead.start, ahead.allowance.used);
        this.tell(path, ahead);
      }
    }
    if (this.isDue()) this.write();
    return lifted;
  }

  report(): CapReport[] {
    return this.paths.flatMap(({ name, config, cap, ...path }) => {
      cap.count();
      return aheadsOf(path).map(({ allowance }) => ({
        path: name,
        period: allowance.kind,
        limitBytes: allowance.limit,
        usedBytes: allowance.used,
        reached: allowance.reached,
        resetsAt: allowance.period === null ? null : new Date(allowance.period.until).toISOString(),
        resetsAtLocal: allowance.period === null ? null : cap.settings.calendar.text(allowance.period.until),
        timeZone: config.timeZone,
        overBitsPerSecond: config.overBytesPerSecond * 8,
      }));
    });
  }

  /** Writes what was counted, exactly. */
  close(): void {
    const { file } = this;
    if (file === null) return;
    for (const { cap } of this.paths) cap.count();
    const problem = problemIn(() => file.finish(this.text(false)));
    if (problem !== null) this.log.warn(`cannot write ${file.path}: ${problem}`);
  }

  private tell(path: CappedPath, ahead: Ahead): void {
    const { allowance } = ahead;
    const share = allowance.reached ? 1 : allowance.used / allowance.limit;
    const level = share >= 1 ? 100 : share >= 0.8 ? 80 : 0;
    const was = ahead.told;
    ahead.told = level;
    if (level === was) return;
    const { calendar } = path.cap.settings;
    const until =
      allowance.period === null ? "" : ` until ${calendar.text(allowance.period.until)} ${calendar.timeZone}`;
    const whole = `${formatBytes(allowance.limit)} a ${allowance.kind}`;
    if (level < was)
      this.log.info(
        `path ${path.name}: a new ${allowance.kind} has begun, with ${formatBytes(allowance.limit)}`,
      );
    else if (level === 80)
      this.log.warn(`path ${path.name} has used ${formatBytes(allowance.used)} of its ${whole}${until}`);
    else {
      const over = path.config.overBytesPerSecond;
      const then = over === 0 ? "rests" : `is limited to ${formatRate(over * 8)}`;
      this.log.warn(`path ${path.name} has used its ${whole}: it ${then}${until}`);
    }
  }

  // --- The file ---

  /** Reads what was counted before from all files, and keeps it from now on in the first that can be read and written. */
  private open(): void {
    this.opened = true;
    const problems = this.files.map((file) => problemIn(() => this.read(file)));
    for (const [i, file] of this.files.entries()) {
      const problem = problems[i] ?? problemIn(() => file.writeNow(this.text(true)));
      if (problem === null) {
        this.file = file;
        // What they say stands in this one now, and is not to count again when it is deleted.
        for (const other of this.files.slice(i + 1)) other.remove();
        return;
      }
      const next = this.files[i + 1];
      const instead =
        next === undefined
          ? "it is lost when portal ends"
          : `it is kept in ${next.path}, which a reboot may empty`;
      const advice = "run portal as root, or change state_directory";
      this.log.warn(
        `cannot keep what the data caps count in ${file.path} (${problem}): ${instead}; ${advice}`,
      );
    }
  }

  /** Takes what a file says was counted. Throws when it cannot be read. */
  private read(file: StateFile): void {
    const text = file.read();
    if (text === null) return;
    const usage = parseUsage(text);
    if (usage === null) {
      const aside = file.setAside();
      this.log.warn(
        `${file.path} is not what portal writes: kept as ${aside}, and data caps count from zero`,
      );
      return;
    }
    for (const entry of usage) {
      const at = this.remembered.findIndex((other) => other.interface === entry.interface);
      if (at < 0) this.remembered.push(entry);
      else this.remembered[at] = newerOf(this.remembered[at]!, entry);
    }
    this.remembered.splice(MOST_REMEMBERED);
  }

  private writeNow(file: StateFile): void {
    const problem = problemIn(() => file.writeNow(this.text(true)));
    if (problem !== null) this.onDiskProblem(file, problem);
  }

  /** True when what stands in the file is soon no longer enough, or of another period. */
  private isDue(): boolean {
    for (const path of this.paths) {
      for (const ahead of aheadsOf(path)) {
        const { allowance, written } = ahead;
        if (written === null || written.reached !== allowance.reached) return true;
        if (written.until !== (allowance.period?.until ?? null)) return true;
        const short = written.usedBytes - allowance.used < aheadOf(ahead) / 2;
        if (short && reserved(ahead) > written.usedBytes) return true;
      }
    }
    return false;
  }

  private write(): void {
    const { file } = this;
    if (file === null || file.writing || this.ticks < this.retryAt) return;
    file.write(this.text(true)).then(
      () => {
        this.toldOfDisk = false;
      },
      (error) => this.onDiskProblem(file, problemOf(error)),
    );
  }

  private onDiskProblem(file: StateFile, problem: string): void {
    for (const path of this.paths) for (const ahead of aheadsOf(path)) ahead.written = null;
    this.retryAt = this.ticks + RETRY_TICKS;
    if (this.toldOfDisk) return;
    this.toldOfDisk = true;
    const what = "if portal is killed now, data caps forget what was used since the last time";
    this.log.warn(`cannot write ${file.path} (${problem}): ${what}`);
  }

  /** The file's content; `ahead`: with more than was used. */
  private text(ahead: boolean): string {
    return formatUsage([...this.paths.map((path) => usageOf(path, ahead)), ...this.remembered]);
  }
}

function usageOf({ name, config, months, days }: CappedPath, ahead: boolean): PathUsage {
  const { timeZone, resetDay } = config;
  return { interface: name, timeZone, resetDay, month: counted(months, ahead), day: counted(days, ahead) };
}

function sameConfig(a: CapConfig, b: CapConfig): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

function makePath(name: string, config: CapConfig): CappedPath {
  const { monthBytes, dayBytes, overBytesPerSecond, timeZone, resetDay } = config;
  const calendar = new Calendar(timeZone, resetDay);
  const cap = new Cap({ monthBytes, dayBytes, overBytesPerSecond, calendar });
  const of = (kind: string): Ahead | null => {
    const allowance = cap.allowances.find((each) => each.kind === kind);
    return allowance === undefined
      ? null
      : { allowance, start: 0, atTick: 0, perTick: 0, written: null, told: 0 };
  };
  return { name, config, cap, months: of("month"), days: of("day") };
}

function aheadsOf({ months, days }: Pick<CappedPath, "months" | "days">): Ahead[] {
  return [months, days].filter((each) => each !== null);
}

function restorePath({ config, months, days }: CappedPath, entry: PathUsage): void {
  const foreign = entry.timeZone !== config.timeZone;
  restore(months, entry.month, foreign || entry.resetDay !== config.resetDay);
  restore(days, entry.day, foreign);
}

function restore(ahead: Ahead | null, entry: Counted | null, foreign: boolean): void {
  if (ahead === null || entry === null) return;
  const { allowance } = ahead;
  const { since, until, usedBytes } = entry;
  const period = since === null || until === null ? null : { since, until };
  // A cap that has been raised since is not reached.
  allowance.restore(usedBytes, period, entry.reached && entry.limitBytes >= allowance.limit, foreign);
  ahead.start = usedBytes;
  ahead.atTick = usedBytes;
}

/** How much more than was used the file is to say. */
function aheadOf({ allowance, start, perTick }: Ahead): number {
  const slowly = Math.min(allowance.used - start, allowance.limit * SHARE_AHEAD, MOST_AHEAD);
  return Math.max(slowly, SECONDS_AHEAD * perTick, LEAST_AHEAD);
}

/** What the file is to say; not that the cap is reached when it is not. */
function reserved(ahead: Ahead): number {
  const { used, limit } = ahead.allowance;
  const wanted = used + aheadOf(ahead);
  return used < limit ? Math.min(wanted, limit) : wanted;
}

function counted(ahead: Ahead | null, more: boolean): Counted | null {
  if (ahead === null) return null;
  const { limit, used, period, reached } = ahead.allowance;
  ahead.written = {
    limitBytes: limit,
    usedBytes: more ? reserved(ahead) : used,
    since: period?.since ?? null,
    until: period?.until ?? null,
    reached,
  };
  return ahead.written;
}

/** The files of a portal: where the operator wants them, and beside its control socket, which is lost at a reboot. */
export function capFiles({ tunnel, stateDirectory, controlSocket }: Config): StateFile[] {
  const places = new Set([stateDirectory, dirname(controlSocket)]);
  return [...places].map((place) => new StateFile(join(place, `${tunnel.interface}.caps.json`)));
}

/** Null when it went well. */
function problemIn(attempt: () => void): string | null {
  try {
    attempt();
    return null;
  } catch (error) {
    return problemOf(error);
  }
}

function problemOf(error: unknown): string {
  return error instanceof Error ? error.message.split("\n")[0]! : String(error);
}
