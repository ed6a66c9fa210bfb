/** A status report as a running local portal gives it, for tests. */
import type { PathReport, SessionReport, StatusReport } from "../../src/share/status.ts";

export function pathOf(changes: Partial<PathReport> = {}): PathReport {
  return {
    name: "eth0",
    id: 0,
    status: "up",
    carries: true,
    parked: false,
    reason: "answered",
    metric: 0,
    spill: false,
    endpoint: "192.0.2.1:51900",
    mtu: 1480,
    mtuSearch: "complete",
    congestion: "newreno",
    rttMs: 21.37,
    rttVarMs: 1.52,
    minRttMs: 20.04,
    loss: 0.0012,
    sendBitsPerSecond: 4_812_345,
    receiveBitsPerSecond: 48_200_000,
    windowBytes: 148_912,
    inFlightBytes: 12_048,
    sentBytes: 91_234_567,
    receivedBytes: 1_912_345_678,
    sentPackets: 812_345,
    receivedPackets: 1_412_345,
    lostPackets: 97,
    resentPackets: 95,
    ...changes,
  };
}

export function sessionOf(changes: Partial<SessionReport> = {}): SessionReport {
  return {
    peer: "remote",
    publicKey: "xM0rJ7Xw8bYQmSgq9o0b1v2c3d4e5f6g7h8i9j0kABE=",
    status: "up",
    suite: "AES-128-GCM",
    establishedSeconds: 3725,
    lastHandshakeSeconds: 84,
    addresses: ["0.0.0.0/0", "::/0"],
    mtu: 1420,
    paths: [
      pathOf(),
      pathOf({
        name: "wwan0",
        id: 1,
        status: "suspect",
        carries: false,
        reason: "silent for 80 ms; flapping: rests for 4 s once it answers",
        metric: 10,
        rttMs: 184.2,
        minRttMs: 61,
        loss: 0.0731,
        sendBitsPerSecond: 0,
        receiveBitsPerSecond: 950,
        sentBytes: 512,
        receivedBytes: 10_000,
        lostPackets: 12_000,
        resentPackets: 11_000,
      }),
    ],
    heldPackets: 3,
    reorderedPackets: 5123,
    givenUpPackets: 2,
    duplicatePackets: 7,
    drops: { badSource: 4, replayed: 1 },
    ...changes,
  };
}

export function reportOf(changes: Partial<StatusReport> = {}): StatusReport {
  return {
    version: "0.1.0",
    role: "local",
    interface: "portal0",
    mtu: 1420,
    uptimeSeconds: 90_061,
    addresses: ["10.77.0.2/24", "fd77::2/64"],
    publicKey: "aB0rJ7Xw8bYQmSgq9o0b1v2c3d4e5f6g7h8i9j0kABE=",
    offloads: { tun: true, udpSegmentation: true, udpReceive: true },
    cipher: "AES-128-GCM",
    threads: 1,
    sessions: [sessionOf()],
    remotes: [],
    asked: [],
    caps: [],
    drops: { notAuthentic: 12 },
    ...changes,
  };
}
