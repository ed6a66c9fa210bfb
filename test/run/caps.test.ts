/** What data caps count outlives a restart, a crash and a bad disk; and what the log tells of it. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import type { LocalConfig } from "../../src/config/config.ts";
import type { Cap } from "../../src/proto/cap.ts";
import { Caps, capFiles } from "../../src/run/caps.ts";
import { createLog } from "../../src/run/log.ts";
import type { StateFile } from "../../src/run/statefile.ts";
import { formatUsage, newerOf, type PathUsage, parseUsage } from "../../src/run/usage.ts";
import { but, configOf, LOCAL } from "../config/source.ts";

const SECOND = 1_000_000;
const MEGABYTE = 1_000_000;

let directory = "";

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "caps"));
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

function configWith(keys = 'cap_month = "100 MB"', more = ""): LocalConfig {
  const top = `control_socket = "${directory}/run/p.sock"\nstate_directory = "${directory}/state"\n${more}`;
  const config = configOf(top + but(LOCAL, '"wwan0"\n', `"wwan0"\n${keys}\n`));
  if (config.role !== "local") throw new Error("not local");
  return config;
}

class FakeMeter {
  sentWireBytes = 0;
  receivedWireBytes = 0;
  readonly headerBytes = 28;
}

/** A portal's caps from its start to its end. */
class Run {
  readonly lines: string[] = [];
  readonly meter = new FakeMeter();
  readonly caps: Caps;
  now = 0;
  wall: number;

  constructor(config = configWith(), wall = "2026-11-22T12:00:00Z") {
    this.wall = Date.parse(wall);
    const log = createLog("info", (line) => this.lines.push(line));
    this.caps = new Caps(capFiles(config), log, () => this.wall);
    this.use(config);
  }

  /** The path's cap of this configuration; the cap of wwan0. */
  use(config: LocalConfig): Cap {
    const caps = config.paths.map(({ interface: name, cap }) => this.caps.of(name, cap, this.meter));
    return caps.find((cap) => cap !== null)!;
  }

  /** Ticks, each of which uses so much; waits for the disk after each. */
  async pass(seconds: number, bytes = 0): Promise<void> {
    for (let s = 0; s < seconds; s++) {
      this.now += SECOND;
      this.wall += 1000;
      this.meter.receivedWireBytes += bytes;
      this.caps.onTick(this.now);
      while (this.writing) await Bun.sleep(1);
    }
  }

  /** As `pass`, without waiting, and without a disk that changes. */
  quickly(seconds: number): boolean {
    let lifted = false;
    for (let s = 0; s < seconds; s++) {
      this.now += SECOND;
      this.wall += 1000;
      if (this.caps.onTick(this.now)) lifted = true;
    }
    return lifted;
  }

  private get writing(): boolean {
    return (this.caps as unknown as { file: StateFile | null }).file?.writing === true;
  }

  get used(): number {
    return this.caps.report()[0]!.usedBytes;
  }
}

const file = () => join(directory, "state", "portal0.caps.json");
const inFile = () => parseUsage(readFileSync(file(), "utf8"))!;

describe("a restart", () => {
  test("after a clean end forgets nothing, and makes nothing up", async () => {
    const first = new Run();
    await first.pass(10, 123_457);
    first.caps.close();
    expect(inFile()[0]!.month!.usedBytes).toBe(1_234_570);
    const second = new Run();
    expect(second.used).toBe(1_234_570);
    second.caps.close();
    expect(new Run().used).toBe(1_234_570);
    expect(first.lines).toEqual([]);
  });

  test("after a crash has counted no less than was used, and no more than it says", async () => {
    for (const perSecond of [100, 50_000, 700_000]) {
      rmSync(join(directory, "state"), { recursive: true, force: true });
      const first = new Run(configWith('cap_month = "10 GB"'));
      for (let s = 1; s <= 40; s++) {
        await first.pass(1, perSecond);
        const { used } = first;
        const after = inFile()[0]!.month!.usedBytes;
        expect(after).toBeGreaterThanOrEqual(used);
        expect(after - used).toBeLessThanOrEqual(Math.max(65_536 * 2, used + 65_536, 4 * perSecond));
      }
    }
  });

  test("again and again, without traffic, costs little", () => {
    for (let i = 0; i < 10; i++) new Run();
    expect(new Run().used).toBe(10 * 65_536);
  });

  test("a reached cap stays reached, unless it is raised", async () => {
    const first = new Run();
    await first.pass(99, MEGABYTE);
    first.meter.sentWireBytes += MEGABYTE - 500;
    const cap = first.use(configWith());
    cap.check(1452);
    expect(cap.rests).toBe(true);
    first.caps.close();
    expect(new Run().caps.report()[0]!.reached).toBe(true);
    expect(new Run(configWith('cap_month = "200 MB"')).caps.report()[0]!.reached).toBe(false);
  });

  test("in the next month begins anew", async () => {
    const first = new Run();
    await first.pass(10, MEGABYTE);
    first.caps.close();
    const second = new Run(configWith(), "2026-12-01T00:00:00Z");
    expect(second.used).toBe(10 * MEGABYTE);
    second.quickly(302);
    expect(second.used).toBe(0);
    expect(second.caps.report()[0]).toMatchObject({
      resetsAt: "2027-01-01T00:00:00.000Z",
      resetsAtLocal: "2027-01-01 00:00",
    });
  });

  test("with another interface in the file remembers it for when it is back", async () => {
    const first = new Run();
    await first.pass(10, MEGABYTE);
    first.caps.close();
    const other = configWith();
    const renamed = {
      ...other,
      paths: other.paths.map((path) => ({ ...path, interface: `${path.interface}x` })),
    };
    const second = new Run(renamed);
    expect(second.used).toBe(0);
    second.caps.close();
    expect(new Run().used).toBe(10 * MEGABYTE);
  });
});

describe("while it runs", () => {
  test("a path that goes and comes back, or gets another socket, goes on counting", async () => {
    const run = new Run();
    await run.pass(5, MEGABYTE);
    run.caps.drop("wwan0");
    expect(run.caps.report()).toEqual([]);
    run.meter.sentWireBytes += MEGABYTE;
    run.use(configWith());
    expect(run.used).toBe(5 * MEGABYTE);
    run.use(configWith());
    await run.pass(5, MEGABYTE);
    expect(run.used).toBe(10 * MEGABYTE);
    run.caps.drop("wwan0");
    run.caps.close();
    expect(new Run().used).toBe(10 * MEGABYTE);
  });

  test("a cap that is changed keeps what was counted; one that is taken away is remembered", async () => {
    const run = new Run();
    await run.pass(5, MEGABYTE);
    run.use(configWith('cap_month = "6 MB"\ncap_reset_day = 7'));
    expect(run.caps.report()[0]).toMatchObject({ limitBytes: 6e6, usedBytes: 5e6, reached: false });
    run.caps.of("wwan0", null, run.meter);
    expect(run.caps.report()).toEqual([]);
    expect(run.use(configWith('cap_month = "4 MB"')).rests).toBe(true);
  });

  test("without any cap there is no file", () => {
    const run = new Run({ ...configWith(), paths: [] });
    run.quickly(3);
    run.caps.close();
    expect(readdirSync(directory)).toEqual([]);
  });
});

test("the disk is written every 32 MB, or every two seconds, or not at all", async () => {
  const run = new Run(configWith('cap_month = "12.5 GB"'));
  let writes = 0;
  let last = "";
  for (let s = 0; s < 1000; s++) {
    await run.pass(1, 12.5 * MEGABYTE);
    const text = readFileSync(file(), "utf8");
    if (text !== last) writes++;
    last = text;
  }
  expect(run.used).toBe(12.5e9);
  expect(writes).toBeLessThan(12.5e9 / 31e6 + 20);
  const idle = new Run(configWith('cap_month = "1 TB"'));
  await idle.pass(2);
  const before = readFileSync(file(), "utf8");
  // An idle path's probes of ten minutes.
  await idle.pass(600, 48);
  expect(readFileSync(file(), "utf8")).toBe(before);
});

describe("the file", () => {
  test.each([
    ["not JSON", "{"],
    ["empty", ""],
    ["another's", '{"name": "x"}'],
    ["of another version", '{"portal": "data caps", "version": 2, "paths": []}'],
    ["with a negative amount", formatUsage([]).replace('"paths": []', '"paths": [{"interface":"a"}]')],
  ])("%s is kept aside, told of, and no harm", (_, text) => {
    mkdirSync(join(directory, "state"));
    writeFileSync(file(), text);
    const run = new Run();
    expect(run.used).toBe(0);
    expect(run.lines).toEqual([
      `warn ${file()} is not what portal writes: kept as ${file()}.broken, and data caps count from zero`,
    ]);
    expect(readFileSync(`${file()}.broken`, "utf8")).toBe(text);
    expect(inFile()[0]!.interface).toBe("wwan0");
  });

  test("is read whatever stands in it", () => {
    const text = fc.oneof(
      fc.string(),
      fc.json(),
      fc.constant(formatUsage([])).map((each) => each.slice(0, 20)),
    );
    fc.assert(fc.property(text, (each) => void parseUsage(each)));
    const amount = fc.integer({ min: 0, max: 1e15 });
    const moment = fc.integer({ min: 0, max: 4e12 });
    const counted = fc.option(
      fc.record({ limitBytes: amount, usedBytes: amount, since: moment, reached: fc.boolean() }),
    );
    const path = fc.record({
      interface: fc.string(),
      timeZone: fc.string(),
      resetDay: fc.integer({ min: 1, max: 31 }),
      month: counted.map((each) => each && { ...each, until: each.since + 1 }),
      day: counted.map((each) => each && { ...each, since: null, until: null }),
    });
    fc.assert(fc.property(fc.array(path), (paths) => expect(parseUsage(formatUsage(paths))).toEqual(paths)));
  });

  test("of two for one interface the newer period counts, and of one period the one with more", () => {
    const entry = (since: number | null, usedBytes: number): PathUsage => {
      const until = since === null ? null : since + 1;
      const month = { limitBytes: 1e6, usedBytes, since, until, reached: false };
      return { interface: "wwan0", timeZone: "UTC", resetDay: 1, month, day: null };
    };
    const [old, newer, more, never] = [entry(1, 9), entry(2, 3), entry(2, 4), entry(null, 50)];
    for (const [a, b, right] of [
      [old, newer, newer],
      [newer, more, more],
      [never, old, old],
      [old, { ...old, month: null }, old],
    ] as const) {
      expect(newerOf(a, b)).toBe(right);
      expect(newerOf(b, a)).toBe(right);
    }
  });

  test("leaves nothing else behind after a clean end", async () => {
    const run = new Run();
    await run.pass(10, MEGABYTE);
    run.caps.close();
    expect(readdirSync(join(directory, "state"))).toEqual(["portal0.caps.json"]);
  });

  test("that cannot be where it should is kept beside the control socket, and what both say counts", async () => {
    writeFileSync(join(directory, "state"), "a file where a directory should be");
    const first = new Run();
    expect(first.lines.length).toBe(1);
    expect(first.lines[0]).toMatch(
      /^warn cannot keep what the data caps count in .*state.*: it is kept in .*run/,
    );
    await first.pass(10, MEGABYTE);
    first.caps.close();
    expect(existsSync(join(directory, "run", "portal0.caps.json"))).toBe(true);
    rmSync(join(directory, "state"));
    const second = new Run();
    expect(second.used).toBe(10 * MEGABYTE);
    expect(second.lines).toEqual([]);
    second.caps.close();
    expect(inFile()[0]!.month!.usedBytes).toBe(10 * MEGABYTE);
    // And only there: deleted, nothing has been counted.
    expect(existsSync(join(directory, "run", "portal0.caps.json"))).toBe(false);
  });

  test("that can be nowhere costs no more than itself", async () => {
    writeFileSync(join(directory, "state"), "");
    writeFileSync(join(directory, "run"), "");
    const run = new Run();
    expect(run.lines.map((line) => line.includes("it is lost when portal ends"))).toEqual([false, true]);
    await run.pass(10, MEGABYTE);
    expect(run.used).toBe(10 * MEGABYTE);
    run.caps.close();
  });

  test("a disk that is full while portal runs is told of once, and tried again", async () => {
    const run = new Run();
    await run.pass(2, MEGABYTE);
    const state = join(directory, "state");
    rmSync(state, { recursive: true });
    writeFileSync(state, "");
    await run.pass(30, MEGABYTE);
    expect(run.lines.length).toBe(1);
    expect(run.lines[0]).toMatch(/^warn cannot write .*: if portal is killed now, data caps forget/);
    rmSync(state);
    mkdirSync(state);
    await run.pass(61);
    expect(inFile()[0]!.month!.usedBytes).toBeGreaterThanOrEqual(32 * MEGABYTE);
    chmodSync(state, 0o700);
  });
});

describe("the log", () => {
  test("tells of 80 % and of the end, once each, and of the new month", async () => {
    const run = new Run(
      configWith('cap_month = "100 MB"\ncap_time_zone = "Europe/Berlin"'),
      "2026-11-30T22:50:00Z",
    );
    await run.pass(99, MEGABYTE);
    expect(run.lines).toEqual([
      "warn path wwan0 has used 80.0 MB of its 100 MB a month until 2026-12-01 00:00 Europe/Berlin",
    ]);
    run.meter.sentWireBytes += MEGABYTE;
    run.quickly(10);
    expect(run.lines.slice(1)).toEqual([
      "warn path wwan0 has used its 100 MB a month: it rests until 2026-12-01 00:00 Europe/Berlin",
    ]);
    run.quickly(600);
    expect(run.lines.slice(2)).toEqual(["info path wwan0: a new month has begun, with 100 MB"]);
  });

  test("tells of the rate over the cap", async () => {
    const run = new Run(configWith('cap_day = "1 MB"\nover_cap = "256 kbit"'));
    await run.pass(2, MEGABYTE);
    expect(run.lines).toEqual([
      "warn path wwan0 has used its 1.00 MB a day: it is limited to 256 kbit/s until 2026-11-23 00:00 UTC",
    ]);
  });

  test("tells of a clock that is wrong", () => {
    const run = new Run(configWith(), "1970-01-01T00:00:00Z");
    run.quickly(2);
    expect(run.lines).toEqual([
      "warn this machine's clock is wrong: data caps go on counting, and no month or day ends before it is set",
    ]);
    expect(run.caps.report()[0]).toMatchObject({ resetsAt: null, resetsAtLocal: null });
  });
});
