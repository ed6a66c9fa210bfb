/**
 * Which of several remotes a local uses: the first of its list that answers, and without haste.
 *
 *   - One that is silent for a while is left only for another that does answer: as long as nobody does, the line is more
 *     likely to be dead than the remote, and its session is kept. All others are asked, around and around, with back-off.
 *   - One that stands before the one in use is asked now and then, and returned to once it has answered every time for as
 *     long as it must. After it has failed again soon after such a return, that is twice as long.
 *
 * It counts in ticks of a second or so. How a remote is asked, and what its use means, is not decided here.
 */
import {
  ASK_FIRST,
  ASK_LONGEST,
  ASK_LONGEST_URGENT,
  ASK_STEADY,
  ASKS_TO_RETURN,
  REMOTE_FLAPS,
  REMOTE_GRACE,
  REMOTE_PATIENCE,
  REMOTE_PATIENCE_LONGEST,
  REMOTE_REST_LONGEST,
  SECOND,
} from "./limits.ts";

/** A tick that comes later than this: the rest of the time we had no processor, and heard nobody. */
const LATE_TICK = 2 * SECOND;

/** How one remote stands. Owned by the choice; others read it. */
export class Standing {
  /** What came of asking it last; null before it was ever asked. */
  answers: boolean | null = null;
  /** Since when that is so. */
  since = 0;
  /** When it was asked last, and answered last. */
  askedAt = Number.NEGATIVE_INFINITY;
  heardAt = Number.NEGATIVE_INFINITY;
  /** How long it must have answered to be returned to: unless it flaps, and now. */
  settle: number;
  rest: number;
  /** It is being asked now; when it is to be asked next; and what is added then while it is silent. */
  asking = false;
  askAt = 0;
  interval = ASK_FIRST;
  /** It was left because it was silent. */
  failed = false;

  /** `settle`: microseconds. */
  constructor(settle: number) {
    this.settle = settle;
    this.rest = settle;
  }
}

/** A remote to be used from now on, and why. */
export interface Turn {
  readonly to: Standing;
  readonly why: "silent" | "steady";
}

export class Choice {
  used: Standing;
  /** When it began to be used. */
  usedSince: number;
  private list: readonly Standing[];
  private tickAt: number;
  /** How long the one in use has been silent, and how long that may be. */
  private silence = 0;
  private patience = REMOTE_PATIENCE;
  /** Since when all others are asked, and one of them has answered; null while they are not, or none has. */
  private urgentSince: number | null = null;
  private answeredAt: number | null = null;

  /** The first is used at first. There is one at least. */
  constructor(now: number, list: readonly Standing[]) {
    this.list = list;
    this.used = list[0]!;
    this.usedSince = now;
    this.tickAt = now;
  }

  /** The list has changed. Where the one in use stands in it no more, the first is used. */
  change(now: number, list: readonly Standing[]): void {
    this.list = list;
    if (!list.includes(this.used)) this.use(now, list[0]!);
  }

  /** True while the one in use is silent and all others are asked. */
  get urgent(): boolean {
    return this.urgentSince !== null;
  }

  /**
   * Every second or so. `alive`: the session with the one in use has a path that is up. `able`: there is some way by which
   * it could answer; without one nobody's silence means anything.
   */
  onTick(now: number, alive: boolean, able: boolean): Turn | null {
    const elapsed = Math.min(now - this.tickAt, LATE_TICK);
    this.tickAt = now;
    if (alive) {
      this.silence = 0;
      this.patience = REMOTE_PATIENCE;
    } else if (able) this.silence += elapsed;
    this.setUrgent(now, this.silence >= this.patience);
    const { urgentSince, answeredAt } = this;
    if (urgentSince === null) {
      const better = this.better(now);
      return better === null ? null : this.turn(now, better, "steady");
    }
    if (answeredAt === null || now < answeredAt + REMOTE_GRACE) return null;
    const other = this.list.find(
      (each) => each !== this.used && each.answers === true && each.heardAt >= urgentSince,
    );
    if (other !== undefined) return this.turn(now, other, "silent");
    this.answeredAt = null;
    return null;
  }

  /** Those that are to be asked now; each gets an `onAnswer` or `onSilence`. */
  due(now: number): Standing[] {
    const asked = this.urgent ? this.list.filter((each) => each !== this.used) : this.earlier;
    const due = asked.filter((each) => !each.asking && each.askAt <= now);
    for (const each of due) {
      each.asking = true;
      each.askedAt = now;
    }
    return due;
  }

  onAnswer(now: number, each: Standing): void {
    note(now, each, true);
    each.heardAt = now;
    each.interval = ASK_FIRST;
    each.askAt = now + Math.min(ASK_STEADY, each.rest / ASKS_TO_RETURN);
    if (this.urgent && each !== this.used) this.answeredAt ??= now;
  }

  onSilence(now: number, each: Standing): void {
    note(now, each, false);
    each.askAt = now + each.interval;
    each.interval = Math.min(2 * each.interval, this.urgent ? ASK_LONGEST_URGENT : ASK_LONGEST);
  }

  /** An earlier one that has answered for long enough; not if one before it soon will have: twice is worse than late. */
  private better(now: number): Standing | null {
    const answering = this.earlier.filter(({ answers }) => answers === true);
    const steady = answering.findIndex(({ heardAt, since, rest }) => heardAt - since >= rest);
    if (steady < 0) return null;
    const { settle } = answering[steady]!;
    const wait = answering.slice(0, steady).some(({ since, rest }) => since + rest - now <= settle);
    return wait ? null : answering[steady]!;
  }

  /** Those that stand before the one in use. */
  private get earlier(): readonly Standing[] {
    return this.list.slice(0, this.list.indexOf(this.used));
  }

  private setUrgent(now: number, urgent: boolean): void {
    if (urgent === this.urgent) return;
    this.urgentSince = urgent ? now : null;
    this.answeredAt = null;
    if (!urgent) return;
    for (const each of this.list) {
      each.askAt = now;
      each.interval = ASK_FIRST;
    }
  }

  private turn(now: number, to: Standing, why: Turn["why"]): Turn {
    const left = this.used;
    if (why === "silent") {
      const soon = left.failed && now < this.usedSince + REMOTE_FLAPS;
      left.rest = soon ? Math.max(Math.min(2 * left.rest, REMOTE_REST_LONGEST), left.settle) : left.settle;
      left.failed = true;
      // Until it has been up, the next one may be no better.
      this.patience = Math.min(2 * this.patience, REMOTE_PATIENCE_LONGEST);
    }
    // What it answered, it has to answer anew.
    note(now, left, why === "steady");
    left.since = now;
    left.askedAt = now;
    left.askAt = now + ASK_FIRST;
    left.interval = ASK_FIRST;
    this.use(now, to);
    return { to, why };
  }

  private use(now: number, to: Standing): void {
    this.used = to;
    this.usedSince = now;
    this.silence = 0;
    this.urgentSince = null;
    this.answeredAt = null;
  }
}

function note(now: number, each: Standing, answers: boolean): void {
  if (each.answers !== answers) each.since = now;
  each.answers = answers;
  each.asking = false;
}
