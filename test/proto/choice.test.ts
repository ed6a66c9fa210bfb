/** Which remote is used, against remotes that come and go: by hand, and at random with a seed. */
import { describe, expect, test } from "bun:test";
import { type Random, seededRandom } from "../../src/lab/random.ts";
import { Choice, Standing } from "../../src/proto/choice.ts";
import {
  ASK_LONGEST,
  ASK_LONGEST_URGENT,
  REMOTE_FLAPS,
  REMOTE_GRACE,
  REMOTE_PATIENCE,
  REMOTE_PATIENCE_LONGEST,
  REMOTE_REST_LONGEST,
  SECOND,
} from "../../src/proto/limits.ts";

const SETTLE = 60 * SECOND;
/** A question without an answer takes so long; one with, a tick. */
const UNANSWERED = 3 * SECOND;

interface Turned {
  readonly at: number;
  readonly to: number;
  readonly why: string;
}

/** A local with so many remotes, in ticks of a second: each answers while `reachable`, and is up a second after it is used. */
class World {
  now = 0;
  readonly standings: Standing[];
  readonly reachable: boolean[];
  readonly choice: Choice;
  readonly turns: Turned[] = [];
  readonly asked: { readonly at: number; readonly which: number }[] = [];
  /** What each has been asked, and said, oldest first. */
  readonly answers: { readonly at: number; readonly which: number; readonly answers: boolean }[] = [];
  /** The local itself is connected at all; it has a way. */
  online = true;
  able = true;
  private readonly open: { readonly at: number; readonly which: number; readonly answers: boolean }[] = [];
  private upSince: number | null = null;

  constructor(count: number) {
    this.standings = Array.from({ length: count }, () => new Standing(SETTLE));
    this.reachable = this.standings.map(() => true);
    this.choice = new Choice(0, this.standings);
  }

  get used(): number {
    return this.standings.indexOf(this.choice.used);
  }

  get alive(): boolean {
    return this.upSince !== null && this.now >= this.upSince + SECOND;
  }

  tick(elapsed = SECOND): void {
    this.now += elapsed;
    const { now, choice } = this;
    for (const each of this.open.filter(({ at }) => at <= now)) {
      this.open.splice(this.open.indexOf(each), 1);
      this.answers.push({ ...each, at: now });
      const standing = this.standings[each.which]!;
      if (each.answers) choice.onAnswer(now, standing);
      else choice.onSilence(now, standing);
    }
    if (!this.online || !this.reachable[this.used]) this.upSince = null;
    else this.upSince ??= now;
    const turn = choice.onTick(now, this.alive, this.able);
    if (turn !== null) {
      this.turns.push({ at: now, to: this.standings.indexOf(turn.to), why: turn.why });
      this.upSince = null;
    }
    for (const due of choice.due(now)) {
      const which = this.standings.indexOf(due);
      const answers = this.online && this.reachable[which]!;
      this.asked.push({ at: now, which });
      this.open.push({ at: now + (answers ? SECOND : UNANSWERED), which, answers });
    }
  }

  run(seconds: number): void {
    for (let i = 0; i < seconds; i++) this.tick();
  }

  /** Ticks until the turn of that number; the seconds it took. */
  until(turns: number, within: number): number {
    for (let i = 0; i < within; i++) {
      if (this.turns.length >= turns) return i;
      this.tick();
    }
    throw new Error(`no turn within ${within} s`);
  }
}

/** Two, of which the first has just failed and the second is used. */
function failed(): World {
  const world = new World(2);
  world.run(20 * 60);
  world.reachable[0] = false;
  world.until(1, 20);
  return world;
}

test("the first is used while it answers, and nobody else is asked", () => {
  const world = new World(3);
  world.run(3600);
  expect([world.used, world.turns, world.asked]).toEqual([0, [], []]);
});

test("one that is silent is left after its time for the first of those that answer", () => {
  const world = new World(4);
  world.run(60);
  world.reachable[0] = false;
  world.reachable[1] = false;
  const took = world.until(1, 20);
  expect(world.turns.map(({ to, why }) => [to, why])).toEqual([[2, "silent"]]);
  // Silence, a tick for the answer, the grace.
  expect(took).toBe((REMOTE_PATIENCE + REMOTE_GRACE) / SECOND + 1);
});

test("while nobody answers it is kept, all others are asked with back-off, and it goes on when the line is back", () => {
  const world = new World(3);
  world.run(60);
  world.online = false;
  world.run(600);
  expect(world.turns).toEqual([]);
  for (const which of [1, 2]) {
    const times = world.asked.filter((each) => each.which === which).map(({ at }) => at);
    const gaps = times.slice(1).map((at, i) => (at - times[i]!) / SECOND);
    expect(gaps.slice(0, 5)).toEqual([1, 2, 4, 8, 16].map((gap) => gap + UNANSWERED / SECOND));
    expect(Math.max(...gaps)).toBe((ASK_LONGEST_URGENT + UNANSWERED) / SECOND);
  }
  world.online = true;
  const asked = world.asked.length;
  world.run(600);
  expect([world.used, world.turns]).toEqual([0, []]);
  // What was under way, and nothing after it.
  expect(world.asked.length - asked).toBeLessThanOrEqual(4);
});

test("silence without a way, or without a processor, is nobody's", () => {
  const world = new World(2);
  world.run(60);
  world.reachable[0] = false;
  world.able = false;
  world.run(600);
  expect([world.turns, world.asked]).toEqual([[], []]);
  world.able = true;
  world.tick(3600 * SECOND);
  expect(world.asked).toEqual([]);
});

describe("an earlier one", () => {
  test("is returned to once it has answered for long enough without a break", () => {
    const world = failed();
    world.run(300);
    world.reachable[0] = true;
    const back = world.now;
    world.until(2, 300);
    const { at, to, why } = world.turns[1]!;
    expect([to, why]).toEqual([0, "steady"]);
    expect(at - back).toBeGreaterThanOrEqual(SETTLE);
    expect(at - back).toBeLessThanOrEqual(SETTLE + ASK_LONGEST + UNANSWERED + 12 * SECOND);
  });

  test("that misses an answer begins anew", () => {
    const world = failed();
    world.reachable[0] = true;
    for (let i = 0; i < 40; i++) {
      world.run(50);
      world.reachable[0] = false;
      world.run(15);
      world.reachable[0] = true;
    }
    expect(world.turns.length).toBe(1);
    world.until(2, 200);
  });

  test("that is silent is asked once a minute or so", () => {
    const world = failed();
    world.run(600);
    const before = world.asked.length;
    world.run(24 * 3600);
    expect(world.asked.length - before).toBeLessThanOrEqual(
      (24 * 3600 * SECOND) / (ASK_LONGEST + UNANSWERED) + 1,
    );
    expect(world.asked.length - before).toBeGreaterThan(1300);
  });

  test("that fails soon after each return rests for twice as long each time, up to an hour", () => {
    const world = failed();
    const rests: number[] = [];
    for (let i = 0; i < 9; i++) {
      world.reachable[0] = true;
      const since = world.now;
      world.until(world.turns.length + 1, 4000);
      expect(world.used).toBe(0);
      rests.push(world.standings[0]!.rest / SECOND);
      expect(world.now - since).toBeGreaterThanOrEqual(rests.at(-1)! * SECOND);
      world.run(10);
      world.reachable[0] = false;
      world.until(world.turns.length + 1, 20);
      expect(world.used).toBe(1);
    }
    expect(rests).toEqual([60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]);
    // Used for long, it has no past.
    world.reachable[0] = true;
    world.until(world.turns.length + 1, 4000);
    world.run(REMOTE_FLAPS / SECOND + 1);
    world.reachable[0] = false;
    world.until(world.turns.length + 1, 20);
    expect(world.standings[0]!.rest).toBe(SETTLE);
  });
});

test("of two that come back one after the other, only the first is returned to", () => {
  const world = new World(3);
  world.run(60);
  world.reachable.splice(0, 2, false, false);
  world.until(1, 20);
  world.reachable[1] = true;
  world.run(30);
  world.reachable[0] = true;
  world.run(300);
  expect(world.turns.map(({ to }) => to)).toEqual([2, 0]);
});

test("two that answer when asked and never come up are not exchanged in haste", () => {
  const world = new World(2);
  Object.defineProperty(world, "alive", { value: false });
  world.run(3600);
  const gaps = world.turns.slice(1).map(({ at }, i) => at - world.turns[i]!.at);
  expect(Math.max(...gaps)).toBeGreaterThanOrEqual(REMOTE_PATIENCE_LONGEST);
  expect(world.turns.length).toBeLessThanOrEqual(65);
  expect(world.turns.length).toBeGreaterThan(10);
});

test("another list keeps the one in use wherever it stands, and takes the first where it does not", () => {
  const world = failed();
  const [first, second] = world.standings as [Standing, Standing];
  const third = new Standing(SETTLE);
  world.choice.change(world.now, [third, first, second]);
  expect(world.choice.used).toBe(second);
  world.choice.change(world.now, [third, first]);
  expect(world.choice.used).toBe(third);
});

/** Each is there and away for random times, between seconds and an hour; now and then the local itself is offline. */
function weather(world: World, random: Random): () => void {
  const until = world.standings.map(() => 0);
  let offlineUntil = 0;
  return () => {
    for (const [i, at] of until.entries()) {
      if (world.now < at) continue;
      world.reachable[i] = !world.reachable[i];
      until[i] = world.now + SECOND * 10 ** (0.5 + 3 * random());
    }
    if (world.now < offlineUntil) return;
    world.online = random() > 0.1;
    offlineUntil = world.now + SECOND * 10 ** (0.5 + 2 * random());
  };
}

describe.each(Array.from({ length: 20 }, (_, seed) => seed))("at random, seed %i", (seed) => {
  const random = seededRandom(seed);
  const world = new World(2 + (seed % 4));
  const change = weather(world, random);
  /** How long another one has answered while the one in use did not. */
  let without = 0;
  let longest = 0;
  let usedFor = 0;
  const faults: string[] = [];
  for (let tick = 0; tick < 24 * 3600; tick++) {
    change();
    const turns = world.turns.length;
    const used = world.used;
    const wasAlive = world.alive;
    world.tick();
    usedFor = world.used === used ? usedFor + SECOND : 0;
    const turn = turns < world.turns.length ? world.turns.at(-1)! : null;
    if (
      turn?.why === "silent" &&
      (wasAlive ||
        !world.answers.some(({ at, which, answers }) => {
          return which === turn.to && answers && at > world.now - REMOTE_PATIENCE_LONGEST;
        }))
    )
      faults.push(`${world.now}: left one that answers, or for one that does not`);
    if (turn?.why === "steady") {
      const { rest } = world.standings[turn.to]!;
      const lately = world.answers.filter(({ at, which }) => which === turn.to && at >= world.now - rest);
      const whole = lately.every(({ answers }) => answers) && lately.length >= 5;
      if (!whole || rest < SETTLE || turn.to >= used) faults.push(`${world.now}: returned too early`);
    }
    const other = world.online && world.reachable.some((each, i) => each && i !== world.used);
    without = other && !world.reachable[world.used] && turn === null ? without + SECOND : 0;
    longest = Math.max(longest, without);
  }

  test("leaves only one that is silent, for one that answers, and returns only to one that is steady", () => {
    expect(faults).toEqual([]);
    expect(world.turns.some(({ why }) => why === "silent")).toBe(true);
  });

  test("is never long with one that is silent while another answers", () => {
    const bound = REMOTE_PATIENCE_LONGEST + ASK_LONGEST_URGENT + UNANSWERED + REMOTE_GRACE + 3 * SECOND;
    expect(longest).toBeLessThanOrEqual(bound);
    expect(longest).toBeGreaterThanOrEqual(REMOTE_PATIENCE);
  });

  test("changes no more often than the rests allow", () => {
    for (const [i, { at, to, why }] of world.turns.entries()) {
      if (why !== "steady") continue;
      const before = world.turns.slice(0, i).findLast((turn) => turn.why === why && turn.to === to);
      expect(at - (before?.at ?? Number.NEGATIVE_INFINITY)).toBeGreaterThanOrEqual(SETTLE);
      if (world.turns[i - 1]?.why === why) expect(at - world.turns[i - 1]!.at).toBeGreaterThanOrEqual(SETTLE);
    }
    expect(Math.max(...world.standings.map(({ rest }) => rest))).toBeLessThanOrEqual(REMOTE_REST_LONGEST);
  });
});
