/** Facts in, findings out: what is well, and each thing that is not. */
import { describe, expect, test } from "bun:test";
import type { Exchange, Facts, OtherFacts, PathFacts, SuiteFacts } from "../../src/doctor/judge/facts.ts";
import type { Finding, Level } from "../../src/doctor/judge/finding.ts";
import { countOf, judge } from "../../src/doctor/judge/judge.ts";
import { ceilingMbit } from "../../src/doctor/judge/speed.ts";
import { renderFindings } from "../../src/doctor/judge/text.ts";
import { pathOf, reportOf, sessionOf } from "../ui/report.ts";
import { localFacts, pathFacts, remoteFacts } from "./facts.ts";

/** What is not well. */
function wrong(facts: Facts): Finding[] {
  return judge(facts).filter(({ level }) => level !== "ok");
}

test("a local portal's machine on which all is well", () => {
  const findings = judge(localFacts());
  expect(renderFindings(findings)).toMatchSnapshot();
  expect(countOf(findings, "fault")).toBe(0);
});

test("a remote portal's machine on which all is well", () => {
  expect(renderFindings(judge(remoteFacts()))).toMatchSnapshot();
});

test("every finding that is not well says what to do, and no other does", () => {
  const bad = localFacts({ paths: [pathFacts("eth0", { device: null }), pathFacts("wwan0")] });
  for (const { level, advice } of judge(bad)) expect(advice === null).toBe(level === "ok");
});

test("a remote that is not in use: what it answers, or why it cannot", () => {
  const [answered, silent] = [
    { outcome: "answered", rttMs: 20, suite: "aes-256-gcm", remoteSpeeds: [] },
    { outcome: "silent" },
  ] as const;
  const by = (...outcomes: Exchange[]) => outcomes.map((exchange, i) => ({ interface: `eth${i}`, exchange }));
  const found = (exchanges: OtherFacts["exchanges"], problem: string | null = null) => {
    const others = [{ host: "2001:db8::9", port: 51900, problem, exchanges }];
    const findings = judge(localFacts({ others })).filter(({ subject }) => subject === "other remote");
    return findings.map(({ level, message, advice }) => `${level} ${message} | ${advice}`);
  };
  expect([
    ...found(by(answered, answered)),
    ...found(by(answered, silent)),
    ...found(by(silent, silent)),
    ...found(by({ outcome: "unreadable" }, silent)),
    ...found([]),
    ...found([], "no name server knows it"),
  ]).toMatchSnapshot();
});

/** One thing laid over what is well, and the only finding that is to come of it. */
interface Row {
  readonly name: string;
  readonly over: Partial<Facts>;
  readonly level: Level;
  readonly subject: string;
  readonly message: string;
  readonly advice: string;
}

const { kernel, rights, speed, tunnel, host } = localFacts();
const [aes, chacha] = speed.suites as [SuiteFacts, SuiteFacts];

const MACHINE: Row[] = [
  {
    name: "no TUN",
    over: { kernel: { ...kernel, tun: "missing" } },
    level: "fault",
    subject: "kernel",
    message: "no /dev/net/tun",
    advice: "modprobe tun",
  },
  {
    name: "a TUN we may not open",
    over: { kernel: { ...kernel, tun: "denied" } },
    level: "fault",
    subject: "kernel",
    message: "no permission to open /dev/net/tun",
    advice: "chmod 666 /dev/net/tun",
  },
  {
    name: "no TUN offloads",
    over: { kernel: { ...kernel, tunOffloads: false } },
    level: "warning",
    subject: "kernel",
    message: "has no TUN offloads",
    advice: "slower",
  },
  {
    name: "no batches",
    over: { kernel: { ...kernel, udpSegmentation: false, udpReceive: false } },
    level: "warning",
    subject: "kernel",
    message: "no sending UDP in batches (UDP_SEGMENT, Linux 4.18), no receiving",
    advice: "newer kernel",
  },
  {
    name: "no right to make interfaces",
    over: { rights: { ...rights, netAdmin: false } },
    level: "fault",
    subject: "permissions",
    message: "CAP_NET_ADMIN",
    advice: "run as root",
  },
  {
    name: "an old kernel without the right to bind",
    over: { kernel: { ...kernel, release: "5.6.19" }, rights: { ...rights, netRaw: false } },
    level: "fault",
    subject: "permissions",
    message: "CAP_NET_RAW",
    advice: "run as root",
  },
  {
    name: "a full conntrack table",
    over: { conntrack: { count: 60_000, limit: 65_536 } },
    level: "warning",
    subject: "conntrack",
    message: "60000 of 65536",
    advice: "nf_conntrack_max=262144",
  },
  {
    name: "a broken cipher",
    over: { speed: { ...speed, suites: [aes, { ...chacha, correct: false }] } },
    level: "fault",
    subject: "cipher",
    message: "chacha20-poly1305 by libcrypto does not open what it sealed",
    advice: "libssl3",
  },
  {
    name: "no libcrypto",
    over: { speed: { ...speed, suites: [{ ...aes, library: "fallback" }] } },
    level: "warning",
    subject: "cipher",
    message: "no libcrypto.so.3",
    advice: "libssl3",
  },
  {
    name: "a suite that only libcrypto has",
    over: { speed: { ...speed, missing: "chacha20-poly1305" } },
    level: "fault",
    subject: "cipher",
    message: "this machine has no chacha20-poly1305",
    advice: "choose another cipher",
  },
  {
    name: "a slow processor",
    over: { speed: { ...speed, suites: [{ ...aes, sealMicros: 200 }] } },
    level: "warning",
    subject: "speed",
    message: "about 28 Mbit/s",
    advice: "privacy = false",
  },
  {
    name: "no IPv6 for the tunnel",
    over: { kernel: { ...kernel, ipv6: false } },
    level: "fault",
    subject: "kernel",
    message: "IPv6 is off or missing",
    advice: "sysctl -w net.ipv6.conf.default.disable_ipv6=0",
  },
  {
    name: "no policy routing",
    over: { policyRouting: false },
    level: "fault",
    subject: "kernel",
    message: "no policy routing",
    advice: "take routes out of [host]",
  },
  {
    name: "the tunnel's name taken",
    over: { tunnel: { ...tunnel, taken: true } },
    level: "fault",
    subject: "interface",
    message: "there is an interface portal0 already",
    advice: "ip -details link show portal0",
  },
  {
    name: "the tunnel's network at home already",
    over: {
      tunnel: {
        ...tunnel,
        clashes: [{ network: "192.168.1.0/24", other: "192.168.0.0/16", interface: "eth0" }],
      },
    },
    level: "warning",
    subject: "other networks",
    message: "the tunnel's network 192.168.1.0/24 is also that of eth0 (192.168.0.0/16)",
    advice: "write another network into [tunnel] addresses",
  },
  {
    name: "what a start could not change",
    over: {
      host: { ...host, problem: "neither nft nor iptables on this machine: install nftables, or: not" },
    },
    level: "fault",
    subject: "[host]",
    message: "neither nft nor iptables on this machine",
    advice: "install nftables, or: not",
  },
  {
    name: "a firewall that forwards nothing",
    over: { host: { ...host, obstacles: ["table ip filter, chain FORWARD"] } },
    level: "warning",
    subject: "firewall",
    message: "table ip filter, chain FORWARD: drops what is forwarded, and none of its rules names portal0",
    advice: "iptables -I FORWARD -i portal0 -j ACCEPT",
  },
  {
    name: "what a killed portal left",
    over: { host: { ...host, left: 7 } },
    level: "warning",
    subject: "[host]",
    message: "a portal that was killed left 7 changes",
    advice: "start portal, which undoes them first",
  },
  {
    name: "data caps and a clock that was never set",
    over: { caps: true, year: 1970 },
    level: "warning",
    subject: "clock",
    message: "no month or day of theirs ends",
    advice: "timedatectl set-ntp true",
  },
  {
    name: "a pattern without any interface",
    over: { absent: ["wwan*"] },
    level: "warning",
    subject: "path wwan*",
    message: "no interface has such a name now",
    advice: "ip link",
  },
  {
    name: "nothing but a pattern without any interface",
    over: { absent: ["wwan*"], paths: [] },
    level: "fault",
    subject: "path wwan*",
    message: "there is no other path",
    advice: "ip link",
  },
  {
    name: "a VPN",
    over: { takers: [{ interface: "wg0", kind: "wireguard", table: 51820 }] },
    level: "warning",
    subject: "other tunnels",
    message: "wg0 (wireguard) has a route for the whole Internet",
    advice: "let wg0 carry less",
  },
];

test.each(MACHINE.map((row) => [row.name, row] as const))("a machine: %s", (_, row) => {
  const { over, level, subject, message, advice } = row;
  expect(wrong(localFacts(over))).toEqual([
    { level, subject, message: expect.stringContaining(message), advice: expect.stringContaining(advice) },
  ]);
});

test.each([
  [
    "another kernel's right to bind",
    { kernel: { ...kernel, release: "5.7.1" }, rights: { ...rights, netRaw: false } },
  ],
  [
    "a kernel of two figures",
    { kernel: { ...kernel, release: "5.15.0" }, rights: { ...rights, netRaw: false } },
  ],
  ["a clock that was never set", { year: 1970 }],
  ["no conntrack", { conntrack: null }],
  [
    "no IPv6 where the tunnel has none",
    { kernel: { ...kernel, ipv6: false }, tunnel: { ...tunnel, ipv6: false } },
  ],
  ["no policy routing where none is needed", { policyRouting: false, host: { ...host, routes: false } }],
  ["the tunnel's own routes", { takers: [{ interface: "portal0", kind: "tun", table: 254 }] }],
  ["policy rules", { rules: [{ priority: 5270, table: 52 }] }],
  ["an unknown speed of the kernel", { speed: { ...speed, kernelMicros: null } }],
] as [string, Partial<Facts>][])("no fault: %s", (_, over) => expect(wrong(localFacts(over))).toEqual([]));

test("a clock that was never set is told of", () => {
  const clock = judge(localFacts({ year: 1970 })).find(({ subject }) => subject === "clock")!;
  expect(clock.message).toBe(
    "it is not set (it shows 1970), but nothing depends on it, only the times in the log",
  );
});

test("the speed to be expected is what one thread does of a direction", () => {
  const ceiling = (sealMicros: number, openMicros: number, ringMicros: number, kernelMicros: number) =>
    ceilingMbit({ ...aes, sealMicros, openMicros }, { ...speed, ringMicros, kernelMicros }, 1420);
  expect(ceiling(2, 1, 0.5, 0.25)).toBe(1900);
  expect(ceiling(1, 15, 0.5, 2)).toBe(290);
  expect(ceiling(2000, 1, 1, 1)).toBe(3);
});

describe("the cipher suite", () => {
  const told = (over: Partial<Facts>) =>
    judge(localFacts(over)).find(({ subject }) => subject === "cipher")!.message;
  const speeds = "aes-256-gcm by libcrypto 440 Mbit/s, chacha20-poly1305 by libcrypto 1600 Mbit/s; ";
  const answered = (suite: string, names: readonly string[]) => ({
    paths: [
      pathFacts("eth0", {
        exchange: {
          outcome: "answered",
          rttMs: 20,
          suite,
          remoteSpeeds: names.map((name) => ({ name, mbit: 9_000 })),
        },
      }),
    ],
  });

  test("is the remote's choice, with its reason", () => {
    expect(told({})).toBe(
      `${speeds}the remote (about aes-256-gcm 26000 Mbit/s, chacha20-poly1305 10000 Mbit/s) chooses chacha20-poly1305, as the fastest for the slower of both portals`,
    );
    expect(told(answered("aes-256-gcm", ["aes-256-gcm"]))).toBe(`${speeds}the remote takes only aes-256-gcm`);
    expect(told(answered("aes-256-gcm", []))).toBe(`${speeds}the remote takes only aes-256-gcm`);
  });

  test("is what the session has while portal runs", () => {
    const status = reportOf({ sessions: [sessionOf({ suite: "aes-256-gcm", paths: [pathOf()] })] });
    expect(told({ status, paths: [] })).toBe(
      `${speeds}in use: aes-256-gcm, as the fastest for the slower of both portals`,
    );
  });

  test("is not known before anybody answers, and no choice where there is one", () => {
    expect(told({ paths: [] })).toEndWith("the remote's speeds are not known");
    expect(told({ speed: { ...speed, suites: [aes] } })).toBe(
      "aes-256-gcm by libcrypto 440 Mbit/s; the only one here",
    );
  });

  test("decides which speed is to be expected", () => {
    const expected = (over: Partial<Facts>) =>
      judge(localFacts(over)).find(({ subject }) => subject === "speed")!.message;
    expect(expected({})).toStartWith("about 710 Mbit/s to be expected with chacha20-poly1305 (");
    expect(expected(answered("aes-256-gcm", []))).toStartWith(
      "about 210 Mbit/s to be expected with aes-256-gcm (",
    );
    expect(expected({ paths: [] })).toStartWith("about 710 Mbit/s to be expected with chacha20-poly1305 (");
  });
});

/** What is wrong with the second of two paths, and the only finding that is to come of it. */
interface PathRow {
  readonly name: string;
  readonly over: Partial<PathFacts>;
  readonly level: Level;
  readonly message: string;
  readonly advice: string;
}

const device = pathFacts("wwan0").device!;
const silent = { outcome: "silent" } as const;

const PATHS: PathRow[] = [
  {
    name: "no interface",
    over: { device: null, way: null },
    level: "fault",
    message: "no such interface",
    advice: "ip link",
  },
  {
    name: "down",
    over: { device: { ...device, up: false } },
    level: "fault",
    message: "is down",
    advice: "ip link set wwan0 up",
  },
  {
    name: "no carrier",
    over: { device: { ...device, carrier: false } },
    level: "fault",
    message: "no carrier",
    advice: "cable",
  },
  {
    name: "no address",
    over: { addresses: [] },
    level: "fault",
    message: "no IPv4 address",
    advice: "ip addr add",
  },
  {
    name: "no way",
    over: { way: null },
    level: "fault",
    message: "no route",
    advice: "ip route add default via GATEWAY dev wwan0",
  },
  {
    name: "no route, but the kernel's luck",
    over: { way: { gateway: false, table: 0, mtu: 0 } },
    level: "fault",
    message: "no route",
    advice: "ip route add default",
  },
  {
    name: "a strict filter on all",
    over: { rpFilter: { all: 1, own: 0 }, exchange: silent },
    level: "fault",
    message: "net.ipv4.conf.all.rp_filter is 1",
    advice: "sysctl -w net.ipv4.conf.all.rp_filter=2",
  },
  {
    name: "a strict filter of its own",
    over: { rpFilter: { all: 0, own: 1 }, exchange: silent },
    level: "fault",
    message: "net.ipv4.conf.wwan0.rp_filter is 1",
    advice: "sysctl -w net.ipv4.conf.all.rp_filter=2",
  },
  {
    name: "a strict filter on the preferred one",
    over: { rpFilter: { all: 1, own: 0 }, preferred: true },
    level: "warning",
    message: "dropped when another one is preferred",
    advice: "rp_filter=2",
  },
  {
    name: "a strict filter that lets answers pass for now",
    over: { rpFilter: { all: 1, own: 0 } },
    level: "warning",
    message: "dropped when another one is preferred",
    advice: "rp_filter=2",
  },
  {
    name: "nobody listens",
    over: { exchange: { outcome: "refused" } },
    level: "fault",
    message: "nothing listens at its port 51900",
    advice: "start portal there",
  },
  {
    name: "another cipher",
    over: { exchange: { outcome: "other cipher", theirs: "blake2s" } },
    level: "fault",
    message: "the remote portal takes only blake2s",
    advice: "the same cipher",
  },
  {
    name: "another pre-shared key",
    over: { exchange: { outcome: "unreadable" } },
    level: "fault",
    message: "another pre-shared key",
    advice: "preshared_key",
  },
  {
    name: "a firewall of ours",
    over: { exchange: { outcome: "unsent", problem: "EPERM" } },
    level: "fault",
    message: "nothing can be sent by it: EPERM",
    advice: "firewall",
  },
  {
    name: "silence",
    over: { exchange: silent, ping: { answered: false, largest: 0 } },
    level: "fault",
    message: "nothing comes back",
    advice: "by another path it answers",
  },
  {
    name: "silence but for pings",
    over: { exchange: silent },
    level: "fault",
    message: "answers pings, but no portal",
    advice: "drops UDP",
  },
  {
    name: "a small interface MTU",
    over: { device: { ...device, mtu: 1400 }, ping: null },
    level: "warning",
    message: "its MTU is 1400, and datagrams have up to 1480",
    advice: "remove [tunnel] mtu, or set it to 1340",
  },
  {
    name: "a small MTU of the route",
    over: { way: { gateway: true, table: 254, mtu: 1450 }, ping: null },
    level: "warning",
    message: "its MTU is 1450",
    advice: "set it to 1390",
  },
  {
    name: "a small MTU on the way",
    over: { ping: { answered: true, largest: 1420 } },
    level: "warning",
    message: "its MTU is 1420",
    advice: "set it to 1360",
  },
  {
    name: "an MTU on the way that is too small for IPv6 inside",
    over: { ping: { answered: true, largest: 1330 } },
    level: "warning",
    message: "datagrams with IPv6 inside may have 1340 bytes",
    advice: "only IPv4",
  },
];

test.each(PATHS.map((row) => [row.name, row] as const))(
  "a path: %s",
  (_, { over, level, message, advice }) => {
    const facts = localFacts({ paths: [pathFacts("eth0", { preferred: true }), pathFacts("wwan0", over)] });
    expect(wrong(facts)).toEqual([
      {
        level,
        subject: "path wwan0",
        message: expect.stringContaining(message),
        advice: expect.stringContaining(advice),
      },
    ]);
  },
);

test("a path through a VPN is told of, and no fault", () => {
  const facts = localFacts({ paths: [pathFacts("wg0", { device: { ...device, kind: "wireguard" } })] });
  expect(wrong(facts)).toEqual([]);
  const told = judge(facts).find(({ subject }) => subject === "other tunnels")!;
  expect(told.message).toBe("none takes the paths' packets; path wg0 goes through one (wireguard)");
});

test("a filter that drops answers is the one reason why there are none", () => {
  const blind = pathFacts("wwan0", { rpFilter: { all: 1, own: 0 }, exchange: silent });
  const findings = wrong(localFacts({ paths: [pathFacts("eth0"), blind] }));
  expect(findings.map(({ message }) => message)).toEqual([
    "net.ipv4.conf.all.rp_filter is 1: answers that come in by this interface are dropped",
  ]);
});

test("a strict filter that portal loosens is told of, no fault, and why nothing comes back for now", () => {
  const blind = pathFacts("wwan0", { rpFilter: { all: 1, own: 0 }, exchange: silent });
  const paths = [pathFacts("eth0", { preferred: true }), blind];
  const host = { ...localFacts().host, looseRpFilter: true };
  expect(wrong(localFacts({ paths, host }))).toEqual([]);
  const told = judge(localFacts({ paths, host })).find(({ subject }) => subject === "path wwan0")!;
  expect(told.message).toBe(
    "net.ipv4.conf.all.rp_filter is 1; for this interface portal sets it to 2 while it runs",
  );
  // Not why the best way back is silent.
  const preferred = [pathFacts("eth0"), { ...blind, preferred: true }];
  expect(wrong(localFacts({ paths: preferred, host })).map(({ subject }) => subject)).toEqual(["path wwan0"]);
  // One that runs should have done it.
  const status = reportOf({ sessions: [sessionOf({ paths: [] })] });
  const strict = wrong(localFacts({ paths: [{ ...blind, exchange: null }], host, status }));
  expect(strict[0]!.message).toStartWith("net.ipv4.conf.all.rp_filter is 1: answers");
});

test("a loose filter of the interface is stronger than a strict one of all", () => {
  expect(
    wrong(localFacts({ paths: [pathFacts("eth0"), pathFacts("wwan0", { rpFilter: { all: 1, own: 2 } })] })),
  ).toEqual([]);
});

test("a strict filter harms nobody who has one path", () => {
  const only = pathFacts("eth0", { preferred: true, rpFilter: { all: 1, own: 1 } });
  expect(wrong(localFacts({ paths: [only] }))).toEqual([]);
});

test("no portal answers by any path: the keys may be the reason, and ours is shown", () => {
  const paths = ["eth0", "wwan0"].map((name) => pathFacts(name, { exchange: silent }));
  const [remote, ...rest] = wrong(localFacts({ paths }));
  expect(remote).toMatchObject({
    level: "fault",
    subject: "remote",
    message: "no portal answers by any path",
  });
  expect(remote!.advice).toContain("public_key of a [[peer]] there is OWN PUBLIC KEY");
  expect(rest.map(({ advice }) => advice)).toEqual(["see: remote", "see: remote"]);
});

test("over IPv6 a datagram's header is longer, and there is no such filter", () => {
  const remote = { ...localFacts().remote!, ipv6: true };
  const paths = [pathFacts("eth0", { rpFilter: null, ping: { answered: true, largest: 1492 } })];
  expect(wrong(localFacts({ remote, paths }))).toEqual([
    expect.objectContaining({
      message: expect.stringContaining("datagrams have up to 1500"),
      advice: expect.stringContaining("set it to 1412"),
    }),
  ]);
});

test("a small MTU is no fault where the tunnel's follows the paths", () => {
  const tunnel = { ...localFacts().tunnel, mtuFixed: false };
  const paths = [pathFacts("eth0", { ping: { answered: true, largest: 1420 } })];
  expect(wrong(localFacts({ tunnel, paths }))).toEqual([]);
});

test("a name without address is told of once, and the paths are not blamed for it", () => {
  const remote = { ...localFacts().remote!, addresses: null, problem: "no name server knows it" };
  const paths = [pathFacts("eth0", { way: null, exchange: null, ping: null })];
  expect(wrong(localFacts({ remote, paths }))).toEqual([
    expect.objectContaining({
      level: "fault",
      subject: "remote",
      message: "portal.example.org has no address: no name server knows it",
    }),
  ]);
});

test("a portal that runs is believed", () => {
  const paths = ["eth0", "wwan0"].map((name) => pathFacts(name, { exchange: null }));
  const down = pathOf({
    name: "wwan0",
    status: "suspect",
    carries: false,
    reason: "silent for 80 ms",
    rttMs: null,
  });
  const status = reportOf({ sessions: [sessionOf({ paths: [pathOf(), down] })] });
  const findings = judge(localFacts({ status, paths }));
  expect(
    findings.find(({ message }) => message === "up in the portal that runs, round trip 21.4 ms"),
  ).toBeDefined();
  expect(findings.filter(({ level }) => level !== "ok")).toEqual([
    expect.objectContaining({
      level: "fault",
      subject: "path wwan0",
      message: "suspect in the portal that runs: silent for 80 ms",
    }),
  ]);
});

test("a portal that runs without a session", () => {
  const paths = [pathFacts("eth0", { exchange: null })];
  const status = reportOf({ sessions: [sessionOf({ status: "connecting", paths: [] })] });
  expect(wrong(localFacts({ status, paths })).map(({ subject }) => subject)).toEqual(["remote", "path eth0"]);
});

test("what the portal that runs has not up is tried", () => {
  const answered = { outcome: "answered", rttMs: 20, suite: "AES-256-GCM", remoteSpeeds: [] } as const;
  const pathsBy = (exchange: PathFacts["exchange"]) => [
    pathFacts("eth0", { exchange: null }),
    pathFacts("wwan0", { exchange }),
  ];
  const down = pathOf({ name: "wwan0", status: "joining", carries: false, reason: null, rttMs: null });
  const status = reportOf({ sessions: [sessionOf({ paths: [pathOf(), down] })] });
  expect(wrong(localFacts({ status, paths: pathsBy({ outcome: "silent" }) }))).toEqual([
    expect.objectContaining({
      subject: "path wwan0",
      message: "the remote machine answers pings, but no portal answers at UDP port 51900",
      advice: expect.stringContaining("drops UDP"),
    }),
  ]);
  expect(wrong(localFacts({ status, paths: pathsBy(answered) }))).toEqual([
    expect.objectContaining({
      subject: "path wwan0",
      message: "joining in the portal that runs, and the remote portal answers by it now",
    }),
  ]);

  const nothing = reportOf({ sessions: [sessionOf({ status: "connecting", paths: [] })] });
  const all = (exchange: PathFacts["exchange"]) => [pathFacts("eth0", { exchange })];
  const subjects = (exchange: PathFacts["exchange"]) =>
    wrong(localFacts({ status: nothing, paths: all(exchange) })).map(
      ({ subject, message }) => `${subject}: ${message}`,
    );
  expect(subjects({ outcome: "silent" })).toEqual([
    "remote: no portal answers by any path",
    "path eth0: the remote machine answers pings, but no portal answers at UDP port 51900",
  ]);
  expect(subjects({ outcome: "refused" })).toEqual([
    "path eth0: the remote machine says that nothing listens at its port 51900",
  ]);
  expect(subjects(answered)).toEqual([
    "path eth0: the portal that runs has no session by it, and the remote portal answers by it now",
  ]);
});

test("a portal that runs has the rights that we lack", () => {
  const status = reportOf({ sessions: [sessionOf({ paths: [pathOf()] })] });
  const over = {
    status,
    rights: { ...rights, netAdmin: false },
    kernel: { ...kernel, tun: "denied" as const },
  };
  const findings = wrong(localFacts({ ...over, paths: [pathFacts("eth0", { exchange: null })] }));
  expect(findings).toEqual([expect.objectContaining({ level: "warning", subject: "permissions" })]);
});

const listen = remoteFacts().listen!;

test.each([
  [{ listen: { ...listen, problem: "in use" } }, "fault", "port", "UDP port 51900 is in use"],
  [{ listen: { ...listen, problem: "not permitted" } }, "fault", "port", "UDP port 51900 is not permitted"],
  [
    { listen: { ...listen, problem: "no such address" } },
    "fault",
    "port",
    "does not have one of [listen] addresses",
  ],
  [{ listen: { ...listen, forwardsIpv4: false } }, "warning", "forwarding", "net.ipv4.ip_forward is 0"],
  [
    { listen: { ...listen, forwardsIpv6: false } },
    "warning",
    "forwarding",
    "net.ipv6.conf.all.forwarding is 0",
  ],
  [
    { listen: { ...listen, port: 443 }, rights: { ...rights, netBindService: false } },
    "fault",
    "permissions",
    "CAP_NET_BIND_SERVICE, for port 443",
  ],
] as [Partial<Facts>, Level, string, string][])(
  "a remote portal's machine, row %#",
  (over, level, subject, message) => {
    expect(wrong(remoteFacts(over))).toEqual([
      expect.objectContaining({ level, subject, message: expect.stringContaining(message) }),
    ]);
  },
);

test("without IPv6 in the tunnel its forwarding does not matter", () => {
  const over = { listen: { ...listen, forwardsIpv6: false }, tunnel: { ...tunnel, ipv6: false } };
  expect(wrong(remoteFacts(over))).toEqual([]);
});

test("forwarding that portal turns on is told of, and a fault of one that runs without it", () => {
  const facts = {
    listen: { ...listen, forwardsIpv4: false },
    host: { ...localFacts().host, forwarding: true, looseRpFilter: true },
  };
  expect(wrong(remoteFacts(facts))).toEqual([]);
  const told = judge(remoteFacts(facts)).find(({ subject }) => subject === "forwarding")!;
  expect(told.message).toBe("off; portal turns it on while it runs");
  const status = reportOf({ role: "remote", sessions: [sessionOf({ peer: "home" })] });
  expect(wrong(remoteFacts({ ...facts, status }))).toEqual([
    expect.objectContaining({ level: "warning", subject: "forwarding" }),
  ]);
});

test("a remote that runs tells of its peers, and one that is away is no fault", () => {
  const sessions = [sessionOf({ peer: "home" }), sessionOf({ peer: "office", status: "down", paths: [] })];
  const findings = judge(remoteFacts({ status: reportOf({ role: "remote", sessions }) }));
  const peers = findings.filter(({ subject }) => subject.startsWith("peer "));
  expect(peers.map(({ subject, level, message }) => [subject, level, message])).toEqual([
    ["peer home", "ok", "its session is up"],
    ["peer office", "ok", "it has no session now"],
  ]);
});

test("what is printed counts faults and warnings", () => {
  const facts = localFacts({ conntrack: { count: 9, limit: 10 }, kernel: { ...kernel, tun: "missing" } });
  expect(renderFindings(judge(facts))).toEndWith("\n\n1 fault, 1 warning");
});
