/** Credit under a data cap: both ends with a network between that loses, delays and reorders; and how the two sides share. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { seededRandom } from "../../src/lab/random.ts";
import { Calendar } from "../../src/proto/calendar.ts";
import { Cap } from "../../src/proto/cap.ts";
import { ACKS, ANSWERS, Credit, Grant, WORDS } from "../../src/proto/credit.ts";
import { ANSWER_BYTES, ChallengeMessage, CREDIT_CHALLENGE_BYTES } from "../../src/wire/control.ts";
import { MIN_DATAGRAM_BYTES } from "../../src/wire/datagram.ts";

const MILLISECOND = 1000;
const SECOND = 1_000_000;
const DATAGRAM = 1452;
const HEADER = 28;
const FULL = DATAGRAM + HEADER;
const STEP = 10 * MILLISECOND;
const CHALLENGE = MIN_DATAGRAM_BYTES + CREDIT_CHALLENGE_BYTES;
const ANSWER = MIN_DATAGRAM_BYTES + ANSWER_BYTES;

interface Plan {
  readonly seed: number;
  readonly limit: number;
  readonly loss: number;
  /** One way: the least, and so much more for some. */
  readonly delay: number;
  readonly jitter: number;
  /** Packets that each side would send in a step. */
  readonly up: number;
  readonly down: number;
  readonly sizes: number;
}

/** The local with its cap, and the remote, as far as credit goes. */
class Line {
  readonly meter = { sentWireBytes: 0, receivedWireBytes: 0, headerBytes: HEADER };
  readonly cap: Cap;
  now = 0;
  private readonly plan: Plan;
  private readonly random: () => number;
  private readonly sender = { sentBytes: 0, sentPackets: 0 };
  private readonly grant = new Grant();
  private readonly message = new ChallengeMessage();
  private events: { at: number; run: () => void }[] = [];
  private challenges = 0;
  private token = 0;
  private asked = false;
  private againAt = 0;
  private starvedAt = 0;

  constructor(plan: Plan) {
    this.plan = plan;
    this.random = seededRandom(plan.seed);
    const calendar = new Calendar("UTC", 1);
    this.cap = new Cap({ monthBytes: plan.limit, dayBytes: null, overBytesPerSecond: 0, calendar });
    this.cap.attach(this.meter);
    this.cap.begin(0, 0, DATAGRAM);
  }

  get used(): number {
    return this.meter.sentWireBytes + this.meter.receivedWireBytes;
  }

  /** Runs for so long, or until the cap is reached; and whatever happens, never beyond it. */
  run(micros: number): void {
    const end = this.now + micros;
    for (; this.now < end && !this.cap.rests; this.now += STEP) {
      this.arrivals(this.now);
      this.local();
      this.remote();
    }
    // What is under way, and what the remote sends that has not heard of it.
    for (let i = 0; i < 300; i++, this.now += STEP) {
      this.remote();
      this.arrivals(this.now);
    }
  }

  private arrivals(now: number): void {
    const due = this.events.filter(({ at }) => at <= now).sort((a, b) => a.at - b.at);
    this.events = this.events.filter(({ at }) => at > now);
    for (const { run } of due) run();
    expect(this.used).toBeLessThanOrEqual(this.plan.limit);
  }

  private local(): void {
    const { cap, now } = this;
    cap.credit.wanted = this.plan.up > 0;
    cap.credit.onTimeout(now);
    cap.check(DATAGRAM);
    if (cap.rests) return;
    if (!this.asked && (this.token === 0 || cap.isCreditDue)) this.ask(true);
    else if (this.asked && now >= this.againAt) this.ask(cap.credit.tries >= 3 && cap.affordsChallenge(true));
    for (let i = 0; i < this.plan.up && cap.affords(DATAGRAM + ACKS + WORDS); i++) this.send(DATAGRAM);
  }

  private ask(fresh: boolean): void {
    const { cap, now } = this;
    if (!cap.affordsChallenge(fresh)) {
      cap.onSilenced();
      return;
    }
    if (fresh) {
      cap.giveCredit();
      this.token++;
    }
    this.asked = true;
    this.againAt =
      now + (2 * (this.plan.delay + this.plan.jitter) + 250 * MILLISECOND) * 2 ** cap.credit.tries++;
    const said = { number: this.challenges++, token: this.token, credit: cap.credit.given };
    this.send(CHALLENGE, () => {
      Object.assign(this.message, { tokenLow: said.token, header: HEADER, credit: said.credit });
      this.grant.onChallenge(said.number, this.message, this.sender);
      if (this.grant.affords(ANSWER, this.sender)) this.sendBack(ANSWER, said.token);
    });
  }

  private remote(): void {
    // Before it was told anything there is no path.
    if (this.message.credit === null) return;
    const { down, sizes, delay, jitter } = this.plan;
    let starved = down > 0;
    for (let i = 0; i < down; i++) {
      const size = this.random() < sizes ? 40 + Math.floor(this.random() * 1400) : DATAGRAM;
      if (!this.grant.affords(size + ANSWERS, this.sender)) continue;
      this.sendBack(size);
      starved = false;
    }
    if (!starved) this.starvedAt = this.now;
    if (this.now < this.starvedAt + 2 * (delay + jitter) + 250 * MILLISECOND) return;
    this.starvedAt = this.now;
    if (!this.grant.affords(CHALLENGE + ANSWERS / 2, this.sender)) return;
    this.sendBack(CHALLENGE, 0, () => {
      if (!this.asked && !this.cap.rests) this.ask(true);
    });
  }

  private send(bytes: number, run: () => void = () => {}): void {
    this.meter.sentWireBytes += bytes + HEADER;
    expect(this.used).toBeLessThanOrEqual(this.plan.limit);
    this.deliver(run);
  }

  private sendBack(bytes: number, token = 0, run: () => void = () => {}): void {
    const number = this.sender.sentPackets++;
    this.sender.sentBytes += bytes;
    this.deliver(() => {
      this.meter.receivedWireBytes += bytes + HEADER;
      this.cap.credit.onPacket(number, bytes);
      run();
      if (token !== this.token || !this.asked) return;
      this.asked = false;
      this.cap.credit.onAnswer(this.now);
    });
  }

  private deliver(run: () => void): void {
    const { delay, jitter, loss } = this.plan;
    if (this.random() < loss) return;
    this.events.push({ at: this.now + delay + (this.random() < 0.2 ? this.random() * jitter : 0), run });
  }
}

const plans = fc.record({
  seed: fc.nat(1e6),
  limit: fc.integer({ min: 20_000, max: 3_000_000 }),
  delay: fc.integer({ min: 0, max: 700 * MILLISECOND }),
  jitter: fc.integer({ min: 0, max: 400 * MILLISECOND }),
  up: fc.constantFrom(0, 1, 10),
  down: fc.constantFrom(0, 1, 10, 40),
  sizes: fc.constantFrom(0, 0.5, 1),
});

/** Here all that the remote sends by its last credit overtakes the answer that began it. */
const OVERTAKEN = [
  { seed: 148_202, limit: 2_253_159, delay: 20_001, jitter: 384_922, up: 1, down: 40, sizes: 1 },
  { seed: 524_497, limit: 99_683, delay: 2192, jitter: 374_000, up: 0, down: 40, sizes: 0 },
  { seed: 167_258, limit: 229_403, delay: 16_121, jitter: 193_414, up: 0, down: 10, sizes: 1 },
] as const;

describe("whatever is sent, lost, late and out of order", () => {
  test("nothing goes beyond the cap", () => {
    fc.assert(
      fc.property(plans, fc.constantFrom(0, 0.01, 0.1, 0.5, 0.9), (plan, loss) => {
        new Line({ ...plan, loss }).run(60 * SECOND);
      }),
      { numRuns: 150 },
    );
  });

  test("without losses the last full-sized packet that fits is the last, whoever sends it", () => {
    fc.assert(
      fc.property(plans, (plan) => {
        fc.pre(plan.up + plan.down > 0);
        const line = new Line({ ...plan, loss: 0 });
        line.run(1200 * SECOND);
        expect(line.cap.rests).toBe(true);
        expect(line.used).toBeGreaterThan(plan.limit - FULL);
      }),
      { numRuns: 150, examples: OVERTAKEN.map((plan): [typeof plan] => [plan]) },
    );
  });
});

describe("what is given", () => {
  const rest = 10_000_000;

  function given(): Credit {
    const credit = new Credit();
    credit.begin(0, 0, FULL, HEADER, false);
    return credit;
  }

  /** What was given first was answered by packet 0, and other credit has been given. */
  function givenAgain(): Credit {
    const credit = given();
    credit.give(rest, 0, 0);
    credit.onPacket(0, ANSWER);
    credit.onAnswer(0);
    credit.give(rest, 0, 0);
    return credit;
  }

  test("is half at first, and then what was used since, but for an eighth", () => {
    const credit = given();
    credit.give(rest, 0, 0);
    expect(credit.given).toBeCloseTo(rest / 2, -3);
    credit.onPacket(0, ANSWER);
    credit.onAnswer(0);
    expect([credit.given, credit.tries]).toEqual([null, 0]);
    credit.give(rest, 0, 1_000_000);
    expect(credit.given! + credit.outstanding).toBeLessThan(2 * rest);
    expect(credit.outstanding).toBeLessThanOrEqual(rest);
    credit.onPacket(1, ANSWER);
    credit.onAnswer(0);
    credit.give(rest, 1_000_000, 1_000_000);
    expect(credit.given).toBeCloseTo(rest / 8, -3);
  });

  test("counts with what was given before until it is answered, and alone from then on", () => {
    const credit = given();
    credit.give(rest, 0, 0);
    const first = credit.given!;
    credit.onPacket(0, ANSWER);
    credit.onAnswer(0);
    credit.give(rest, 2_000_000, 0);
    const second = credit.given!;
    expect(credit.outstanding).toBe(first - ANSWER - HEADER + second);
    credit.onPacket(1, 1000);
    expect(credit.outstanding).toBe(first - ANSWER - 1000 - 2 * HEADER + second);
    credit.onPacket(2, ANSWER);
    credit.onAnswer(0);
    expect(credit.outstanding).toBe(second - ANSWER - HEADER);
  });

  test("what was lost under it counts as late for a second or two, and is then given again", () => {
    const credit = givenAgain();
    const { given: second } = credit;
    // Three are missing.
    credit.onPacket(4, ANSWER);
    credit.onAnswer(5 * SECOND);
    const alone = second! - ANSWER - HEADER;
    expect(credit.outstanding).toBe(alone + 3 * FULL);
    // One of them comes after all.
    credit.onPacket(2, DATAGRAM);
    expect(credit.outstanding).toBe(alone + 2 * FULL);
    credit.onTimeout(6 * SECOND - 1);
    credit.onTimeout(6 * SECOND);
    expect(credit.outstanding).toBe(alone + 2 * FULL);
    credit.onTimeout(7 * SECOND);
    expect([credit.outstanding, credit.settleAt]).toEqual([alone, Number.POSITIVE_INFINITY]);
  });

  test("what overtakes an answer was sent by the new credit, and what it overtook besides may still come", () => {
    const credit = givenAgain();
    const { given: second } = credit;
    // 1 is late; 2 is the answer; 3 and 4 come before it.
    credit.onPacket(4, DATAGRAM);
    credit.onPacket(3, 500);
    credit.onPacket(2, ANSWER);
    credit.onAnswer(0);
    const left = second! - ANSWER - DATAGRAM - 500 - 3 * HEADER;
    // And 1, a full-sized packet perhaps.
    expect(credit.outstanding).toBe(left + FULL);
    credit.onPacket(1, DATAGRAM);
    expect(credit.outstanding).toBe(left);
  });

  test("of a path that has ended may still come for a while, and so may the answer to a handshake", () => {
    const credit = given();
    credit.give(rest, 0, 0);
    const { given: first } = credit;
    credit.end(SECOND);
    credit.expect(SECOND, 500);
    credit.begin(1.5 * SECOND, 0, FULL, HEADER, false);
    expect(credit.outstanding).toBe(first! + 500);
    credit.onTimeout(4 * SECOND);
    expect(credit.outstanding).toBe(0);
  });

  test("another cap on a path that goes on knows nothing of what the remote may send before the first answer", () => {
    const credit = new Credit();
    credit.begin(0, 7, FULL, HEADER, true);
    credit.give(rest, 0, 0);
    const { given: first } = credit;
    credit.onPacket(7, DATAGRAM);
    expect(credit.outstanding).toBe(first!);
    credit.onPacket(8, ANSWER);
    credit.onAnswer(0);
    expect(credit.outstanding).toBe(first! - ANSWER - HEADER);
  });
});

describe("the remote", () => {
  const message = (fields: Partial<ChallengeMessage>) => Object.assign(new ChallengeMessage(), fields);

  test("may send anything before it is told, and what it is given from then on", () => {
    const grant = new Grant();
    const sender = { sentBytes: 5000, sentPackets: 10 };
    expect(grant.affords(1e12, sender)).toBe(true);
    expect(grant.onChallenge(3, message({ tokenLow: 1, header: HEADER, credit: 1000 }), sender)).toBe(true);
    expect([grant.affords(972, sender), grant.affords(973, sender)]).toEqual([true, false]);
    sender.sentBytes += 400;
    sender.sentPackets++;
    expect([grant.affords(544, sender), grant.affords(545, sender)]).toEqual([true, false]);
  });

  test("is given nothing by the same challenge again, nor by an older one", () => {
    const grant = new Grant();
    const sender = { sentBytes: 0, sentPackets: 0 };
    const first = message({ tokenLow: 1, credit: 1000 });
    const second = message({ tokenLow: 2, credit: 300 });
    grant.onChallenge(0, first, sender);
    sender.sentBytes += 600;
    expect(grant.onChallenge(1, first, sender)).toBe(true);
    expect(grant.affords(401, sender)).toBe(false);
    grant.onChallenge(3, second, sender);
    expect([grant.affords(300, sender), grant.affords(301, sender)]).toEqual([true, false]);
    expect(grant.onChallenge(2, first, sender)).toBe(false);
    expect(grant.affords(301, sender)).toBe(false);
    grant.onChallenge(4, message({ tokenLow: 3 }), sender);
    expect(grant.affords(1e12, sender)).toBe(true);
  });
});
