/** The pure parts of the benchmarks: options, limits, rates over time, what a record means. */
import { describe, expect, test } from "bun:test";
import { parseAnswer } from "../../src/lab/ping.ts";
import type { FlowRecord, ProbeRecord } from "../../src/lab/record.ts";
import type { StatusReport } from "../../src/share/status.ts";
import { judgePhases, SCENARIOS } from "./adapt.ts";
import { binRates, rateBetween, timeTo } from "./bins.ts";
import { judge as judgeFailover, lostBetween } from "./failover.ts";
import { pausesIn } from "./footprint.ts";
import { bestPath, deliverableMbit, differentPaths, limitMbit } from "./limit.ts";
import { chosen, parseOptions, UsageError } from "./options.ts";
import { countPackets, kernelCounter, packetsBetween } from "./packets.ts";
import { PLANS } from "./plans.ts";
import { type Figures, type Flow, reportProfiles } from "./profiletable.ts";
import { report } from "./report.ts";
import { percentile, showSummary, summarize, summarizeEach } from "./sample.ts";
import { judge } from "./traces.ts";

describe("options", () => {
  test("of nothing are those of throughput", () => {
    expect(parseOptions([])).toMatchObject({ name: "throughput", seconds: 5, repeats: 3, json: false });
  });
  test("of profiles: both congestion controls and directions, shorter when run once", () => {
    const both = { inner: ["cubic", "bbr"], directions: ["up", "down"], profiles: [], quic: null };
    expect(parseOptions(["profiles"])).toMatchObject({ seconds: 8, repeats: 3, ...both });
    expect(parseOptions(["profiles", "--repeats", "1"]).seconds).toBe(3);
    expect(parseOptions(["profiles", "--repeats", "1", "--seconds", "9"]).seconds).toBe(9);
  });
  test("of traces and fairness: lines as long as radio links and modems have them", () => {
    expect(parseOptions(["traces"])).toMatchObject({ traces: [], offset: 0, delayMs: 20, queuesMs: [1000] });
    expect(parseOptions(["fairness"])).toMatchObject({ queuesMs: [50, 200], beside: ["cubic", "bbr"] });
    const words = "traces --trace a:b --trace c --offset 9 --delay 5 --queue 30 --queue 40 --beside bbr";
    expect(parseOptions(words.split(" "))).toMatchObject({
      traces: ["a:b", "c"],
      offset: 9,
      delayMs: 5,
      queuesMs: [30, 40],
      beside: ["bbr"],
    });
  });
  test("are taken as given", () => {
    const words = "adapt --json --inner bbr --directions down --profile a --profile b --quic bin --plain";
    expect(parseOptions(words.split(" "))).toEqual({
      name: "adapt",
      json: true,
      seconds: 5,
      repeats: 3,
      inner: ["bbr"],
      directions: ["down"],
      profiles: ["a", "b"],
      plain: true,
      traces: [],
      offset: 0,
      delayMs: 20,
      queuesMs: [],
      beside: ["cubic", "bbr"],
      quicSeconds: 60,
      quic: "bin",
      ways: [],
      against: null,
      sizes: [64, 256, 512, 1400],
    });
    const more = "pps --way plain --way portal --against other --size 100 --size 1420";
    expect(parseOptions(more.split(" "))).toMatchObject({
      name: "pps",
      ways: ["plain", "portal"],
      against: "other",
      sizes: [100, 1420],
    });
  });
  const wrong: [words: string, message: string][] = [
    [
      "speed",
      'no benchmark "speed": there are throughput, pps, latency, crypto, ring, footprint, profiles, failover, adapt, traces, fairness, sessions, crowd',
    ],
    ["--size 20", '--size is a number from 48 to 1420, not "20"'],
    ["--size 99.5", "--size is a whole number"],
    ["adapt failover", "one benchmark at a time"],
    ["--repeats 0", '--repeats is a number from 1 to 100, not "0"'],
    ["--repeats 1.5", "--repeats is a whole number"],
    ["--seconds 601", '--seconds is a number from 2 to 600, not "601"'],
    ["--seconds x", '--seconds is a number from 2 to 600, not "x"'],
    ["--seconds=", '--seconds is a number from 2 to 600, not ""'],
    ["--queue 0", '--queue is a number from 1 to 10000, not "0"'],
    ["--delay 2001", '--delay is a number from 0 to 2000, not "2001"'],
    ["--beside reno", 'no --beside value "reno": there are cubic, bbr, both'],
    ["--inner vegas", 'no --inner value "vegas": there are cubic, bbr, both'],
    ["--directions left", 'no --directions value "left": there are up, down, both'],
    ["--fast", "Unknown option '--fast'"],
  ];
  test.each(wrong)("%s", (words, message) => {
    const parse = () => parseOptions(words.split(" "));
    expect(parse).toThrow(UsageError);
    expect(parse).toThrow(message);
  });
  test("profiles are chosen in their own order, and must exist", () => {
    const all = [{ name: "a" }, { name: "b" }, { name: "c" }];
    expect(chosen(all, [])).toEqual(all);
    expect(chosen(all, ["c", "a"])).toEqual([{ name: "a" }, { name: "c" }]);
    expect(() => chosen(all, ["d"])).toThrow('no profile "d": there are a, b, c');
  });
});

describe("limit", () => {
  const fast = { mbit: 50, delayMs: 10 };
  test("is the sum of the rates less headers: 1388 of 1500 bytes in the tunnel, 1448 without", () => {
    expect(limitMbit([fast, { mbit: 25, delayMs: 60 }])).toBeCloseTo((75 * 1388) / 1500);
    expect(limitMbit([fast], null)).toBeCloseTo((50 * 1448) / 1500);
  });
  test("what is lost at random cannot be delivered", () => {
    const paths = [fast, { ...fast, loss: 0.02 }];
    expect(deliverableMbit(paths) / limitMbit(paths)).toBeCloseTo(0.99);
  });
  test("the best path carries most; of equal ones it is the shortest, then the first", () => {
    expect(bestPath([{ mbit: 10, delayMs: 1 }, fast])).toBe(1);
    expect(bestPath([{ mbit: 50, delayMs: 60 }, fast])).toBe(1);
    expect(bestPath([fast, fast])).toBe(0);
    expect(
      bestPath([
        { ...fast, loss: 0.01 },
        { ...fast, delayMs: 90 },
      ]),
    ).toBe(1);
  });
  test("of paths that are alike only the first is measured", () => {
    expect(differentPaths([fast, { mbit: 1, delayMs: 1 }, fast, { ...fast }])).toEqual([0, 1]);
  });
});

test("over recorded links, the share is of all alone, the ping's p95 beside that of the better one alone", () => {
  const run = (mbit: number, p95: number) => ({ mbit, p50: 0, p95, unanswered: 0, lateMs: 0 });
  const kind = { inner: "cubic", direction: "up", queueMs: 1000, from: [0, 0], carriable: [0, 0] } as const;
  const judged = judge({ ...kind, alone: [run(2, 50), run(6, 400)], all: run(6, 200) });
  expect(judged.share).toBeCloseTo(0.75);
  expect(judged.p95ToBetter).toBeCloseTo(0.5);
});

/** 100 ms reports of a flow of so many Mbit/s per report, as a sink gives them. */
function totals(rates: readonly number[]): { at: number; bytes: number }[] {
  const reports = [{ at: 0, bytes: 0 }];
  for (const mbit of rates) {
    const { at, bytes } = reports.at(-1)!;
    reports.push({ at: at + 100, bytes: bytes + mbit * 12_500 });
  }
  return reports;
}

function ramp(...parts: [mbit: number, bins: number][]): number[] {
  return parts.flatMap(([mbit, bins]) => new Array<number>(bins).fill(mbit));
}

describe("rates over time", () => {
  const flow = totals(ramp([10, 10], [50, 10]));
  test("between two instants", () => {
    expect(rateBetween(flow, 0, 1000)).toBeCloseTo(10);
    expect(rateBetween(flow, 500, 1500)).toBeCloseTo(30);
    expect(rateBetween(flow, 950, 1050)).toBeCloseTo(30);
    expect(rateBetween(flow, 1000, 1000)).toBe(0);
  });
  test("after the end nothing comes", () => expect(rateBetween(flow, 1900, 2100)).toBeCloseTo(25));
  test("in bins, wherever they begin", () => {
    const rates = binRates(flow, 850, 1250).map((rate) => Math.round(rate));
    expect(rates).toEqual([10, 30, 50, 50]);
  });
  test("reached when half a second has it", () => {
    expect(timeTo(ramp([10, 10], [50, 10]), 45)).toBe(1000);
    expect(timeTo(ramp([50, 5]), 50)).toBe(0);
  });
  test("a burst reaches nothing", () => expect(timeTo(ramp([10, 5], [120, 1], [10, 10]), 45)).toBe(Infinity));
  test("four bins do not do", () => expect(timeTo(ramp([60, 4]), 45)).toBe(Infinity));
});

/** Reports of a probe: how far it got and what arrived of that. */
function probe(
  direction: "up" | "down",
  sent: number,
  counts: [at: number, reached: number, received: number][],
) {
  const reports = counts.map(([at, reached, received]) => ({
    at,
    reached,
    received,
    duplicates: 0,
    gapMs: at / 100,
  }));
  return { direction, sent, reports } satisfies ProbeRecord;
}

describe("a probe", () => {
  const record = probe("up", 40, [
    [100, 10, 10],
    [200, 20, 18],
    [300, 30, 27],
    [400, 38, 35],
  ]);
  test("loses what was overtaken between two instants", () => {
    expect(lostBetween(record, 100, 200)).toBe(2);
    expect(lostBetween(record, 200, 300)).toBe(1);
    expect(lostBetween(record, 0, 350)).toBe(3);
  });
  test("at its end loses what never came", () => expect(lostBetween(record, 300, Infinity)).toBe(2));
});

function recordOf(rates: readonly number[], happened: readonly number[]): FlowRecord {
  const flow = totals(rates).map((total) => ({ ...total, gapMs: 1, intact: true, ended: false }));
  const probes = (["up", "down"] as const).map((way) =>
    probe(
      way,
      1,
      way === "up"
        ? [
            [5100, 1, 1],
            [9000, 1, 1],
          ]
        : [[8100, 1, 1]],
    ),
  );
  return { began: 0, end: rates.length * 100, happened, flow, probes };
}

test("failover: each return is measured against the rate before its own path went", () => {
  // 90 before; cut at 5 s; back at 8 s and full after 1 s; only 60 before the interface goes at 13 s; back at 16 s.
  const rates = ramp([90, 50], [40, 30], [40, 10], [90, 10], [60, 30], [40, 30], [60, 20]);
  const events = judgeFailover(recordOf(rates, [5000, 8000, 13_000, 16_000]));
  expect(events.map(({ before }) => Math.round(before))).toEqual([90, 90, 60, 60]);
  expect(events.map(({ mbit }) => Math.round(mbit))).toEqual([40, 62, 40, 60]);
  expect(events.map(({ gapUp, gapDown }) => [gapUp, gapDown])).toEqual([
    [51, 0],
    [90, 81],
    [0, 0],
    [0, 0],
  ]);
  expect([events[1]!.until90, events[3]!.until90]).toEqual([1000, 0]);
});

test("adapt: each phase against its own limit, with its own pings", () => {
  const record = recordOf(ramp([50, 20], [20, 10], [10, 10]), [2000]);
  const answers = [1000, 2500, 3000].map((at) => ({ at, millis: at / 100 }));
  const [first, second] = judgePhases(record, [50, 20], answers);
  expect(first).toEqual({ until90: 0, mbit: 50, meanwhile: 50, p50: 10, p95: 10 });
  expect(second!.mbit).toBeCloseTo(15);
  expect(second).toMatchObject({ until90: 0, p50: 25, p95: 30 });
  expect(judgePhases(record, [50, 40], answers)[1]).toMatchObject({ until90: Infinity, meanwhile: 15 });
});

test("samples: medians, percentiles, words", () => {
  expect(summarize([3, 1, 2])).toEqual({ median: 2, least: 1, most: 3 });
  expect(summarizeEach([{ a: 1 }, { a: 3 }])).toEqual({ a: { median: 2, least: 1, most: 3 } });
  const hundred = Array.from({ length: 100 }, (_, i) => 100 - i);
  expect([0.5, 0.95, 0.99, 1].map((share) => percentile(hundred, share))).toEqual([50, 95, 99, 100]);
  expect(percentile([], 0.5)).toBeNull();
  expect(showSummary(summarize([1000, 1100, 1200]))).toBe("1,100 (1,000-1,200)");
  expect(showSummary(summarize([4, 4.2]), 0)).toBe("4");
  expect(showSummary(summarize([400, Infinity, Infinity]))).toBe("∞ (400-∞)");
});

test("a line of ping", () => {
  const line = "[1700000000.250000] 64 bytes from 10.30.0.2: icmp_seq=1 ttl=62 time=20.4 ms";
  expect(parseAnswer(line)).toEqual({ at: 1_700_000_000_250, millis: 20.4 });
  expect(parseAnswer("64 bytes from 10.30.0.2: icmp_seq=1 ttl=62 time=20.4 ms")).toBeNull();
  expect(
    parseAnswer("[1700000000.250000] From 10.10.0.1 icmp_seq=1 Destination Host Unreachable"),
  ).toBeNull();
});

test("plans and scenarios have names of their own", () => {
  for (const all of [PLANS, SCENARIOS]) expect(new Set(all.map(({ name }) => name)).size).toBe(all.length);
  expect(PLANS.filter(({ published }) => published !== null).length).toBe(16);
});

describe("figures of a profile", () => {
  const plan = PLANS.find(({ name }) => name === "bw_4to1")!;
  const counts = {
    lateMs: 0.25,
    needless: 7,
    dropped: 6,
    sent: 900,
    lost: 3,
    resent: 2,
    held: 40,
    givenUp: 0,
  };
  const flow: Flow = {
    inner: "cubic",
    direction: "up",
    mbit: 50,
    retransmits: 1,
    p50: 45,
    p95: 60,
    p99: 62,
    ...counts,
  };
  const alone = { inner: "cubic", direction: "up" } as const;
  const { figures, text } = reportProfiles([
    {
      plan,
      alone: [
        { ...alone, path: 0, mbit: 40 },
        { ...alone, path: 1, mbit: 10 },
        { ...alone, path: 0, mbit: 44 },
        { ...alone, path: 0, direction: "down", mbit: 99 },
        { ...alone, path: 0, inner: "bbr", mbit: 99 },
      ],
      all: [flow, { ...flow, mbit: 54 }, { ...flow, mbit: 55 }],
      quic: [{ direction: "up", mbit: 48 }],
    },
  ]);
  const [tcp, quic] = (figures as { profiles: Figures[] }).profiles;
  test("compare what was measured alike", () => {
    expect(tcp!.bestAloneMbit).toBe(42);
    expect(tcp!.shareOfBest).toBeCloseTo(54 / 42);
    expect(tcp!.shareOfLimit).toBeCloseTo(54 / ((62 * 1388) / 1500));
    expect(tcp!.beside?.lost.median).toBe(3);
    expect(quic).toMatchObject({ inner: "quic", mbit: { median: 48 }, bestAloneMbit: null });
  });
  test("stand in two tables", () => {
    expect(text).toMatch(
      /^bw_4to1\s+cubic\s+up\s+57\.4\s+42\.0 10\.0\s+54\.0 \(50\.0-55\.0\)\s+0\.94\s+1\.29\s+40\.6 39\.9$/m,
    );
    expect(text).toMatch(/^bw_4to1\s+quic\s+up\s+57\.4\s+-\s+48\.0\s+0\.84\s+-\s+40\.6 39\.9$/m);
    expect(text).toMatch(/^bw_4to1\s+cubic\s+up\s+45\s+60\s+62\s+900\s+3\s+2\s+6\s+40\s+0\s+1\s+7\s+0\.3$/m);
  });
});

describe("a report", () => {
  const figures = { rate: { title: "rate", digits: 0 }, cpu: { title: "CPU", digits: 1 } };
  const plain = { name: "plain", row: ["64", "plain"], repeats: [{ rate: 5 }, { rate: 9 }, { rate: 7 }] };
  const portal = { name: "portal", row: ["64", "portal"], repeats: [{ rate: 4, cpu: 2.5 }] };

  test("has medians and spread of each thing, and says where there is no figure", () => {
    const { figures: found, text } = report(["bytes", "over"], figures, [plain, portal]);
    expect(found).toEqual({
      plain: { rate: { median: 7, least: 5, most: 9 } },
      portal: { rate: { median: 4, least: 4, most: 4 }, cpu: { median: 2.5, least: 2.5, most: 2.5 } },
    });
    expect(text.split("\n").map((line) => line.split(/ {2,}/))).toEqual([
      ["bytes", "over", "rate", "CPU"],
      ["64", "plain", "7 (5-9)", "-"],
      ["64", "portal", "4", "2.5"],
    ]);
  });

  test("leaves out a column that nothing has", () => {
    expect(report(["bytes", "over"], figures, [plain]).text).not.toContain("CPU");
  });
});

test("the stops of garbage collections are read from what the runtime says", () => {
  const log = [
    "12:00:01 info session with home established",
    "[GC<0x2>: START M 9kb => EdenCollection, i#1:N<Cs> 5+3 p=2.13ms (max 2.13)...]",
    "[GC<0x2>: M a=1kb i#5:P<Msm(0)>Pbc => 8948kb, p=0.5ms (max 2.13), cycle 5.1ms END]",
    "GC END!",
  ];
  expect(pausesIn(log.join("\n"))).toEqual([2.13, 0.5]);
});

describe("packets", () => {
  test("of a run are those after less those before", () => {
    const before = {
      sent: 10,
      lost: 1,
      resent: 1,
      dropped: 2,
      held: 5,
      givenUp: 0,
      retransmits: 4,
      needless: 3,
    };
    const after = {
      sent: 110,
      lost: 3,
      resent: 2,
      dropped: 5,
      held: 9,
      givenUp: 1,
      retransmits: 9,
      needless: 4,
    };
    const between = {
      sent: 100,
      lost: 2,
      resent: 1,
      dropped: 3,
      held: 4,
      givenUp: 1,
      retransmits: 5,
      needless: 1,
    };
    expect(packetsBetween(before, after)).toEqual(between);
  });
  test("are counted where they happen: sent and dropped by one side, put in order by the other", () => {
    const path = { sentPackets: 10, lostPackets: 3, resentPackets: 2 };
    const report = (held: number, paths: object[], drops: object) =>
      ({
        sessions: [{ paths, drops, reorderedPackets: held, givenUpPackets: held / 2 }],
      }) as unknown as StatusReport;
    const sender = report(100, [path, path], { queueDelay: 4, overflow: 1, duplicate: 50 });
    const receiver = report(8, [{ ...path, sentPackets: 1 }], { queueDelay: 70 });
    expect(countPackets(sender, receiver)).toEqual({
      sent: 20,
      lost: 6,
      resent: 4,
      dropped: 5,
      held: 8,
      givenUp: 4,
    });
  });
  test("that the kernel counts stand below their names", () => {
    const text = "Ip: A B\nIp: 1 2\nTcp: A RetransSegs\nTcp: 3 40\nTcpExt: RetransSegs\nTcpExt: 5\n";
    expect(kernelCounter(text, "Tcp", "RetransSegs")).toBe(40);
    expect(kernelCounter(text, "Tcp", "B")).toBeNaN();
  });
});
