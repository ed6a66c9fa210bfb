/** Data caps: what is counted, when a path rests or is slowed, and what happens when the clock is wrong. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Calendar } from "../../src/proto/calendar.ts";
import { Cap, type CapSettings } from "../../src/proto/cap.ts";
import { Clock } from "../../src/proto/clock.ts";

const SECOND = 1_000_000;
const DATAGRAM = 1452;
const HEADER = 28;

const from = (text: string) => Date.parse(text);

class FakeMeter {
  sentWireBytes = 0;
  receivedWireBytes = 0;
  readonly headerBytes = HEADER;
}

/** A cap with its meter, and time that passes for it. */
class Setup {
  readonly meter = new FakeMeter();
  readonly clock = new Clock();
  readonly cap: Cap;
  now = 0;
  wall: number;

  constructor(settings: Partial<CapSettings>, wall: string) {
    this.wall = from(wall);
    this.cap = new Cap({
      monthBytes: null,
      dayBytes: null,
      overBytesPerSecond: 0,
      calendar: new Calendar("UTC", 1),
      ...settings,
    });
    this.cap.attach(this.meter);
  }

  /** Ticks once a second; true when a cap was lifted in one of them. */
  pass(seconds: number): boolean {
    let lifted = false;
    for (let s = 0; s < seconds; s++) {
      this.now += SECOND;
      this.wall += 1000;
      this.clock.read(this.now, this.wall);
      if (this.cap.onTick(this.clock)) lifted = true;
    }
    return lifted;
  }

  /** As `pass`, for long times: by steps of a minute. */
  skip(seconds: number): void {
    for (let s = 0; s < seconds; s += 60) {
      this.now += 60 * SECOND;
      this.wall += 60_000;
      this.clock.read(this.now, this.wall);
      this.cap.onTick(this.clock);
    }
  }

  used(kind: "month" | "day"): number {
    this.cap.count();
    return this.cap.allowances.find((each) => each.kind === kind)!.used;
  }
}

const settled = (settings: Partial<CapSettings>, wall = "2026-11-22T12:00:00Z"): Setup => {
  const setup = new Setup(settings, wall);
  setup.pass(301);
  return setup;
};

describe("counting", () => {
  test("both directions, in the month and in the day", () => {
    const setup = settled({ monthBytes: 1e9, dayBytes: 1e8 });
    setup.meter.sentWireBytes += 1000;
    setup.meter.receivedWireBytes += 500;
    expect([setup.used("month"), setup.used("day")]).toEqual([1500, 1500]);
    setup.pass(10);
    expect([setup.used("month"), setup.used("day")]).toEqual([1500, 1500]);
  });

  test("what a meter had before it was attached is not the cap's, and another one goes on where the first ended", () => {
    const setup = settled({ monthBytes: 1e9 });
    setup.meter.sentWireBytes += 1000;
    const other = new FakeMeter();
    other.sentWireBytes = 77_000;
    setup.cap.attach(other);
    other.receivedWireBytes += 10;
    expect(setup.used("month")).toBe(1010);
  });

  test("begins anew with the next day and the next month", () => {
    const setup = settled({ monthBytes: 1e9, dayBytes: 1e9 }, "2026-11-29T23:50:00Z");
    setup.meter.sentWireBytes += 1000;
    setup.pass(600);
    expect([setup.used("month"), setup.used("day")]).toEqual([1000, 0]);
    setup.meter.sentWireBytes += 10;
    setup.skip(86_400);
    expect([setup.used("month"), setup.used("day")]).toEqual([0, 0]);
  });
});

describe("a path that rests", () => {
  test("sends the last datagram that fits, and no other", () => {
    const { cap, meter } = settled({ monthBytes: 1_000_000 });
    let sent = 0;
    for (; cap.affords(DATAGRAM); sent++) meter.sentWireBytes += DATAGRAM + HEADER;
    expect(sent).toBe(Math.floor(1_000_000 / (DATAGRAM + HEADER)));
    expect(cap.rests).toBe(false);
    cap.check(DATAGRAM);
    expect(cap.rests).toBe(true);
    expect(cap.affords(1)).toBe(false);
    expect(cap.fits(1)).toBe(true);
  });

  test("counts what waits to leave", () => {
    const { cap } = settled({ monthBytes: 10_000 });
    expect(cap.affords(1000, 10_000 - 1000 - HEADER)).toBe(true);
    expect(cap.affords(1000, 10_000 - 1000 - HEADER + 1)).toBe(false);
  });

  test("leaves room for what the peer was given", () => {
    const { cap, meter } = settled({ monthBytes: 1_000_000 });
    cap.begin(0, 0, DATAGRAM);
    cap.giveCredit();
    const given = cap.credit.given!;
    expect(given).toBeGreaterThan(100_000);
    const room = 1_000_000 - given;
    expect([cap.affords(room - HEADER), cap.affords(room - HEADER + 1)]).toEqual([true, false]);
    cap.credit.onPacket(0, 34);
    meter.receivedWireBytes += 34 + HEADER;
    cap.credit.onAnswer(0);
    expect(cap.credit.outstanding).toBe(given - 34 - HEADER);
    expect([cap.affords(room - HEADER), cap.affords(room - HEADER + 1)]).toEqual([true, false]);
    // The peer uses all of it: what is left is ours as before.
    cap.credit.onPacket(1, given);
    meter.receivedWireBytes += given - 34 - HEADER;
    expect([cap.affords(room - HEADER), cap.affords(room - HEADER + 1)]).toEqual([true, false]);
    meter.sentWireBytes += room - DATAGRAM - HEADER;
    cap.check(DATAGRAM);
    expect(cap.rests).toBe(false);
    meter.sentWireBytes += 1;
    cap.check(DATAGRAM);
    expect(cap.rests).toBe(true);
  });

  test("says why and until when, and is used again then", () => {
    const settings = { dayBytes: 10_000, monthBytes: 1e9, calendar: new Calendar("Europe/Berlin", 1) };
    const setup = settled(settings, "2026-11-22T22:50:00Z");
    setup.meter.sentWireBytes += 9_999;
    setup.cap.check(DATAGRAM);
    expect(setup.cap.reason).toBe(
      "its data cap of a day is reached: rests until 2026-11-23 00:00 Europe/Berlin",
    );
    expect(setup.pass(298)).toBe(false);
    expect(setup.cap.rests).toBe(true);
    expect(setup.pass(1)).toBe(true);
    expect(setup.cap.rests).toBe(false);
    expect(setup.cap.affords(DATAGRAM)).toBe(true);
  });

  test("the month's cap outlasts the day's", () => {
    const setup = settled({ dayBytes: 10_000, monthBytes: 15_000 });
    setup.meter.sentWireBytes += 9_999;
    setup.cap.check(DATAGRAM);
    setup.skip(86_400);
    expect(setup.cap.rests).toBe(false);
    setup.meter.sentWireBytes += 5_000;
    setup.cap.check(DATAGRAM);
    expect(setup.cap.reason).toStartWith("its data cap of a month is reached: rests until 2026-12-01 00:00");
    setup.skip(86_400);
    expect(setup.cap.rests).toBe(true);
  });
});

test("with a rate, a path goes on at it over the cap until the next period", () => {
  const setup = settled({ monthBytes: 10_000, overBytesPerSecond: 32_000 }, "2026-11-30T23:50:00Z");
  setup.meter.sentWireBytes += 9_999;
  setup.cap.check(DATAGRAM);
  expect([setup.cap.rests, setup.cap.rate]).toEqual([false, 0]);
  setup.meter.sentWireBytes += 1;
  setup.cap.check(DATAGRAM);
  expect([setup.cap.rests, setup.cap.rate]).toEqual([false, 32_000]);
  expect(setup.cap.affords(DATAGRAM, 1e9)).toBe(true);
  setup.meter.receivedWireBytes += 5_000;
  expect(setup.used("month")).toBe(15_000);
  expect(setup.pass(300)).toBe(true);
  expect(setup.cap.rate).toBe(0);
});

describe("a clock that is wrong", () => {
  const NOVEMBER = { since: from("2026-11-01T00:00Z"), until: from("2026-12-01T00:00Z") };

  function restored(wall: string, used = 500_000): Setup {
    const setup = new Setup({ monthBytes: 1_000_000 }, wall);
    setup.cap.allowances[0]!.restore(used, NOVEMBER, false, false);
    return setup;
  }

  test("1970 at boot resets nothing, nor does the jump to the same month", () => {
    const setup = restored("1970-01-01T00:00:00Z");
    setup.pass(1000);
    setup.wall = from("2026-11-22T12:00:00Z");
    setup.pass(1000);
    expect(setup.used("month")).toBe(500_000);
    expect(setup.cap.allowances[0]!.period).toEqual(NOVEMBER);
  });

  test("what was counted before the jump to a later month is that month's", () => {
    const setup = restored("1970-01-01T00:00:00Z");
    setup.pass(1000);
    setup.meter.sentWireBytes += 300;
    setup.wall = from("2026-12-05T12:00:00Z");
    setup.pass(299);
    setup.meter.sentWireBytes += 20;
    expect(setup.used("month")).toBe(500_320);
    setup.pass(2);
    expect(setup.used("month")).toBe(320);
    expect(setup.cap.allowances[0]!.period!.until).toBe(from("2027-01-01T00:00Z"));
  });

  test("a clock that shows a far year for a moment resets nothing", () => {
    const setup = restored("2026-11-22T12:00:00Z");
    setup.pass(1000);
    setup.wall = from("2038-01-01T00:00:00Z");
    setup.pass(200);
    setup.wall = from("2026-11-22T12:20:00Z");
    setup.pass(1000);
    expect(setup.used("month")).toBe(500_000);
    expect(setup.cap.allowances[0]!.period).toEqual(NOVEMBER);
  });

  test("one that goes back resets nothing, and the period becomes the one it shows", () => {
    const setup = restored("2026-10-10T12:00:00Z");
    setup.pass(299);
    expect(setup.cap.allowances[0]!.period).toEqual(NOVEMBER);
    setup.pass(10);
    expect(setup.used("month")).toBe(500_000);
    expect(setup.cap.allowances[0]!.period!.since).toBe(from("2026-10-01T00:00Z"));
  });

  test("a period that ended while portal was off ends once the clock has been right for a while", () => {
    const setup = restored("2026-12-01T10:00:00Z", 1_000_000);
    expect(setup.pass(300)).toBe(false);
    expect(setup.cap.rests).toBe(true);
    expect(setup.pass(1)).toBe(true);
    expect(setup.used("month")).toBe(0);
  });

  test("without a date there is no period, and the bytes count", () => {
    const setup = new Setup({ monthBytes: 1_000_000 }, "1970-01-01T00:00:00Z");
    setup.meter.sentWireBytes += 999_999;
    setup.pass(1);
    setup.cap.check(DATAGRAM);
    expect(setup.cap.allowances[0]!.period).toBeNull();
    expect(setup.cap.reason).toBe("its data cap of a month is reached: rests");
    setup.wall = from("2026-11-22T12:00:00Z");
    setup.pass(400);
    expect(setup.cap.rests).toBe(true);
    expect(setup.cap.reason).toEndWith("until 2026-12-01 00:00 UTC");
  });
});

test("another reset day keeps what was counted, up to the new end", () => {
  const setup = new Setup({ monthBytes: 1e6, calendar: new Calendar("UTC", 15) }, "2026-11-22T12:00:00Z");
  const period = { since: from("2026-11-01T00:00Z"), until: from("2026-12-01T00:00Z") };
  setup.cap.allowances[0]!.restore(500_000, period, false, true);
  setup.pass(400);
  expect(setup.used("month")).toBe(500_000);
  expect(setup.cap.allowances[0]!.period!.until).toBe(from("2026-12-15T00:00Z"));
});

test("whatever happens, a datagram that is afforded keeps within every cap, and all that was counted is somewhere", () => {
  const bytes = fc.integer({ min: 1, max: 200_000 });
  const step = fc.oneof(
    fc.record({ send: bytes }),
    fc.record({ receive: bytes }),
    fc.record({ pass: fc.integer({ min: 1, max: 400 }) }),
    fc.record({ jump: fc.integer({ min: -40, max: 40 }) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const setup = settled({ monthBytes: 1_000_000, dayBytes: 300_000 });
      const { cap, meter } = setup;
      for (const each of steps) {
        if ("send" in each && cap.affords(each.send)) {
          meter.sentWireBytes += each.send + HEADER;
          expect(setup.used("day") <= 300_000 && setup.used("month") <= 1_000_000).toBe(true);
        }
        if ("receive" in each) meter.receivedWireBytes += each.receive;
        if ("pass" in each) setup.pass(each.pass);
        if ("jump" in each) setup.wall += each.jump * 86_400_000;
        cap.check(DATAGRAM);
        expect(setup.used("day")).toBeLessThanOrEqual(meter.sentWireBytes + meter.receivedWireBytes);
        for (const { limit, used } of cap.allowances) if (used >= limit) expect(cap.rests).toBe(true);
      }
    }),
    { numRuns: 100 },
  );
});
