/** Facts of machines on which all is well; tests lay over them what is wrong. */
import type { Facts, PathFacts } from "../../src/doctor/judge/facts.ts";

export function pathFacts(name: string, over: Partial<PathFacts> = {}): PathFacts {
  return {
    interface: name,
    device: { up: true, carrier: true, mtu: 1500, kind: null },
    addresses: ["192.168.1.2/24"],
    way: { gateway: true, table: 254, mtu: 0 },
    preferred: false,
    rpFilter: { all: 0, own: 2 },
    exchange: {
      outcome: "answered",
      rttMs: 21.34,
      suite: "chacha20-poly1305",
      remoteSpeeds: [
        { name: "aes-256-gcm", mbit: 26_387 },
        { name: "chacha20-poly1305", mbit: 10_307 },
      ],
    },
    ping: { answered: true, largest: 1500 },
    ...over,
  };
}

const COMMON: Omit<Facts, "role" | "paths" | "remote" | "others" | "listen"> = {
  status: null,
  ownPublicKey: "OWN PUBLIC KEY",
  tunnel: { interface: "portal0", mtu: 1420, mtuFixed: true, ipv6: true, taken: false, clashes: [] },
  host: { forwarding: false, looseRpFilter: false, routes: true, problem: null, obstacles: [], left: 0 },
  kernel: {
    release: "6.1.0-rpi7",
    tun: "ok",
    tunOffloads: true,
    udpSegmentation: true,
    udpReceive: true,
    ipv6: true,
  },
  rights: { netAdmin: true, netRaw: true, netBindService: true, unprivilegedPort: 1024 },
  year: 2026,
  caps: false,
  conntrack: { count: 120, limit: 65_536 },
  speed: {
    missing: null,
    suites: [
      { name: "aes-256-gcm", library: "libcrypto", correct: true, sealMicros: 25, openMicros: 26 },
      { name: "chacha20-poly1305", library: "libcrypto", correct: true, sealMicros: 7, openMicros: 6 },
    ],
    ringMicros: 0.4,
    kernelMicros: 0.3,
    kernelSingleMicros: 2.2,
  },
  absent: [],
  takers: [{ interface: "eth0", kind: null, table: 254 }],
  policyRouting: true,
  rules: [],
};

export function localFacts(over: Partial<Facts> = {}): Facts {
  return {
    ...COMMON,
    role: "local",
    paths: [pathFacts("eth0", { preferred: true }), pathFacts("wwan0")],
    remote: { host: "portal.example.org", port: 51900, addresses: ["192.0.2.1"], problem: null, ipv6: false },
    others: [],
    listen: null,
    ...over,
  };
}

export function remoteFacts(over: Partial<Facts> = {}): Facts {
  return {
    ...COMMON,
    role: "remote",
    paths: [],
    remote: null,
    others: [],
    listen: { port: 51900, problem: null, forwardsIpv4: true, forwardsIpv6: true },
    ...over,
  };
}
