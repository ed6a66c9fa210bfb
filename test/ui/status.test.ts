import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { DROPS } from "../../src/share/counters.ts";
import type { CapReport } from "../../src/share/status.ts";
import { renderStatus } from "../../src/ui/status.ts";
import {
  formatBytes,
  formatCount,
  formatDuration,
  formatMillis,
  formatRate,
  formatShare,
} from "../../src/ui/units.ts";
import { pathOf, reportOf, sessionOf } from "./report.ts";

describe("the table", () => {
  test("of a local portal with two paths", () => {
    expect(renderStatus(reportOf())).toMatchSnapshot();
  });

  test("of a remote portal, one peer there and one not", () => {
    const absent = sessionOf({
      peer: "boat",
      status: "down",
      suite: null,
      establishedSeconds: null,
      lastHandshakeSeconds: null,
      addresses: [],
      paths: [],
      heldPackets: 0,
      reorderedPackets: 0,
      givenUpPackets: 0,
      duplicatePackets: 0,
      drops: {},
    });
    const present = sessionOf({
      peer: "home",
      paths: [pathOf({ name: "path 0", rttMs: null, rttVarMs: null, minRttMs: null, endpoint: null })],
    });
    const offloads = { tun: false, udpSegmentation: false, udpReceive: false };
    const threads = 4;
    expect(
      renderStatus(reportOf({ role: "remote", sessions: [present, absent], offloads, threads, drops: {} })),
    ).toMatchSnapshot();
  });

  test("of a session that was up says so no more", () => {
    const text = renderStatus(reportOf({ sessions: [sessionOf({ status: "down", paths: [] })] }));
    expect(text).toContain("session with remote: down, last handshake 1 min 24 s ago, AES-128-GCM\n");
  });

  test("says why a path is not up, and nothing of one that is or has only begun", () => {
    const paths = [
      pathOf({ name: "a", reason: "answers again" }),
      pathOf({ name: "b", status: "down", reason: "its interface is gone" }),
      pathOf({ name: "c", status: "joining", reason: null }),
    ];
    const lines = renderStatus(reportOf({ sessions: [sessionOf({ paths })] })).split("\n");
    expect(lines.filter((line) => / is /.test(line))).toEqual(["  b is down: its interface is gone"]);
  });

  test("shows how several remotes stand, and of one nothing", () => {
    const used = { endpoint: "second.example.org:51900", status: "in use", sinceSeconds: 75 } as const;
    const rest = { askedSeconds: null, returnSeconds: 60 };
    const silent = {
      ...rest,
      endpoint: "[2001:db8::1]:51900",
      status: "silent",
      sinceSeconds: 4000,
    } as const;
    const unknown = {
      ...rest,
      endpoint: "192.0.2.9:51900",
      status: "not asked",
      sinceSeconds: null,
    } as const;
    const remotes = [{ ...silent, askedSeconds: 12, returnSeconds: 3600 }, { ...used, ...rest }, unknown];
    const text = renderStatus(reportOf({ sessions: [], drops: {}, remotes }));
    expect(text).toMatchSnapshot();
    expect(renderStatus(reportOf({ remotes: [{ ...used, ...rest }] }))).toBe(renderStatus(reportOf()));
  });

  test("shows data caps, also without a session", () => {
    const cap: CapReport = {
      path: "wwan0",
      period: "month",
      limitBytes: 50e9,
      usedBytes: 42.1e9,
      reached: false,
      resetsAt: "2026-11-30T23:00:00.000Z",
      resetsAtLocal: "2026-12-01 00:00",
      timeZone: "Europe/Berlin",
      overBitsPerSecond: 0,
    };
    const day = { ...cap, period: "day", limitBytes: 2e9, usedBytes: 2e9, reached: true } as const;
    const unknown = { resetsAt: null, resetsAtLocal: null, overBitsPerSecond: 256_000 };
    const text = renderStatus(reportOf({ sessions: [], drops: {}, caps: [cap, { ...day, ...unknown }] }));
    expect(text.split("\n").slice(-3)).toEqual([
      "data cap of  a         used       of           share  over it     until",
      "wwan0        month  42.1 GB  50.0 GB            84 %  off         2026-12-01 00:00 Europe/Berlin",
      "wwan0        day    2.00 GB  2.00 GB  100 %, reached  256 kbit/s  unknown: the clock is wrong",
    ]);
  });

  test("says which paths carry, and why one that is up is parked", () => {
    const paths = [
      pathOf({ name: "a" }),
      pathOf({ name: "b", carries: false }),
      pathOf({ name: "c", carries: false, parked: true, reason: "parked for 4 s: with it, less arrived" }),
    ];
    const lines = renderStatus(reportOf({ sessions: [sessionOf({ paths })] })).split("\n");
    const table = lines.filter((line) => /^ {2}(path|[abc]) {2}/.test(line));
    expect(table.map((line) => line.trim().split(/ {2,}/).slice(0, 3))).toEqual([
      ["path", "status", "carries"],
      ["a", "up", "yes"],
      ["b", "up", "no"],
      ["c", "up", "no"],
    ]);
    expect(lines.filter((line) => / is /.test(line))).toEqual([
      "  c is up, but parked for 4 s: with it, less arrived",
    ]);
  });

  test("says what is asked for and is not, and what commands have changed", () => {
    const waits = "waits for its interface";
    const asked = [
      { interface: "eth0", exclude: [], by: "configuration", state: "up", paths: ["eth0"], why: null },
      { interface: "wwan*", exclude: ["wwan9"], by: "configuration", state: "up", paths: [], why: waits },
      { interface: "wlan0", exclude: [], by: "command", state: "up", paths: [], why: waits },
      { interface: "usb0", exclude: [], by: "command", state: "up", paths: ["usb0"], why: null },
      { interface: "wwan0", exclude: [], by: "command", state: "down", paths: [], why: null },
    ] as const;
    const report = reportOf({
      asked: asked.map((each) => ({ ...each, exclude: [...each.exclude], paths: [...each.paths] })),
    });
    expect(
      renderStatus(report)
        .split("\n")
        .filter((line) => line.startsWith("path ")),
    ).toEqual([
      "path wwan* without wwan9 waits for its interface",
      "path wlan0 waits for its interface; added by command, until portal reload or a restart",
      "path usb0 was added by command, until portal reload or a restart",
      "path wwan0 is held down by command, until portal reload or a restart",
    ]);
  });

  test("of a portal nobody has spoken to", () => {
    expect(renderStatus(reportOf({ sessions: [], drops: {} }))).toMatchSnapshot();
  });

  test("names every drop reason, the most frequent first", () => {
    const drops = Object.fromEntries(DROPS.map((name, i) => [name, i + 1]));
    const lines = renderStatus(reportOf({ sessions: [], drops })).split("\n");
    expect(lines.at(-1)!.split(", ")).toHaveLength(DROPS.length);
    expect(lines.at(-1)!).toStartWith(
      "dropped outside any session: 20 lost too often, 19 queued too long, 18 beyond a full queue",
    );
    const unknown = { surprising: 5 } as never;
    expect(renderStatus(reportOf({ sessions: [], drops: unknown }))).toEndWith("5 surprising");
  });
});

test.each([
  [formatRate, 0, "0 bit/s"],
  [formatRate, 999, "999 bit/s"],
  [formatRate, 999.6, "1.00 kbit/s"],
  [formatRate, 9_994, "9.99 kbit/s"],
  [formatRate, 9_996, "10.0 kbit/s"],
  [formatRate, 48_200_000, "48.2 Mbit/s"],
  [formatRate, 99_960_000, "100 Mbit/s"],
  [formatRate, 999_600_000, "1.00 Gbit/s"],
  [formatRate, 2.5e15, "2500 Tbit/s"],
  [formatBytes, 1_912_345_678, "1.91 GB"],
  [formatCount, 99_999, "99999"],
  [formatCount, 812_345, "812 k"],
  [formatCount, 12_345_678, "12.3 M"],
  [formatMillis, 0.04, "0.0 ms"],
  [formatMillis, 21.37, "21.4 ms"],
  [formatMillis, 99.96, "100 ms"],
  [formatMillis, 12_345, "12.3 s"],
  [formatDuration, 0, "0 s"],
  [formatDuration, 59.6, "1 min"],
  [formatDuration, 125, "2 min 5 s"],
  [formatDuration, 3_600, "1 h"],
  [formatDuration, 3_605, "1 h"],
  [formatDuration, 90_061, "1 d 1 h"],
  [formatDuration, -1, "0 s"],
  [formatShare, 0, "0 %"],
  [formatShare, 0.0012, "0.12 %"],
  [formatShare, 0.0731, "7.3 %"],
  [formatShare, 0.5, "50 %"],
  [formatShare, 1, "100 %"],
])("%p of %d is %j", (format, value, text) => {
  expect(format(value)).toBe(text);
});

test("scaled numbers stay short and true to a hundredth", () => {
  fc.assert(
    fc.property(fc.double({ min: 0, max: 9.99e14, noNaN: true }), (value) => {
      const text = formatBytes(value);
      expect(text.length).toBeLessThanOrEqual("99.99 MB".length);
      const [number, unit] = text.split(" ");
      const read = Number(number) * { B: 1, kB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12 }[unit!]!;
      expect(Math.abs(read - value)).toBeLessThanOrEqual(Math.max(0.5, value * 0.006));
    }),
  );
});
