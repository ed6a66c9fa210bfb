/** What `portal status` shows: a snapshot of the engine, with rates measured from one second's tick to the next. */
import type { Path } from "../proto/path.ts";
import type { Session } from "../proto/session.ts";
import type { Endpoint } from "../share/endpoint.ts";
import type { AskedReport, PathReport, SessionReport, StatusReport } from "../share/status.ts";
import { formatAddress } from "../wire/address.ts";
import type { Engine } from "./engine.ts";

/** What a report tells of the portal itself. */
export type PortalFacts = Omit<StatusReport, "sessions" | "asked" | "drops" | "uptimeSeconds">;

interface Sample {
  at: number;
  sentBytes: number;
  receivedBytes: number;
  lost: number;
  acked: number;
  sendBitsPerSecond: number;
  receiveBitsPerSecond: number;
  loss: number;
}

/** Weight of the newest second in the loss shown: about the last four. */
const LOSS_WEIGHT = 0.25;

export class Reporter {
  private readonly engine: Engine;
  private readonly facts: PortalFacts;
  private readonly startedAt: number;
  private readonly paths: { report(): AskedReport[] } | undefined;
  private readonly samples = new WeakMap<Path, Sample>();

  /** `paths`: what is asked for, on a local. */
  constructor(engine: Engine, facts: PortalFacts, now: number, paths?: { report(): AskedReport[] }) {
    this.engine = engine;
    this.facts = facts;
    this.startedAt = now;
    this.paths = paths;
  }

  /** Measures rates since the last tick. */
  onTick(now: number): void {
    for (const session of this.engine.portal.sessions) {
      for (const path of session.order) this.sample(path, now);
    }
  }

  report(now: number): StatusReport {
    const { portal } = this.engine;
    const sessions = portal.peers.map((peer) =>
      peer.session === null
        ? waitingReport(peer.name, peer.publicKey, this.facts.role)
        : this.sessionReport(peer.session, now),
    );
    return {
      ...this.facts,
      uptimeSeconds: seconds(now - this.startedAt),
      sessions,
      asked: this.paths?.report() ?? [],
      drops: portal.drops.entries(),
    };
  }

  private sessionReport(session: Session, now: number): SessionReport {
    const { resequencer, peer } = session;
    return {
      peer: peer.name,
      publicKey: base64(peer.publicKey),
      status: session.isUp ? "up" : "down",
      suite: session.keys.suite.name,
      establishedSeconds: seconds(now - session.startedAt),
      lastHandshakeSeconds: seconds(now - session.keys.createdAt),
      addresses: peer.addresses.map((prefix) => `${formatAddress(prefix.bytes)}/${prefix.length}`),
      mtu: session.mtu.value,
      paths: session.paths.filter((path) => path !== undefined).map((path) => this.pathReport(path, now)),
      heldPackets: resequencer.held,
      reorderedPackets: resequencer.reordered,
      givenUpPackets: resequencer.givenUp,
      duplicatePackets: resequencer.duplicates,
      drops: session.drops.entries(),
    };
  }

  private pathReport(path: Path, now: number): PathReport {
    const { recovery, reception } = path;
    const { rtt, log, congestion } = recovery;
    const sample = this.samples.get(path);
    const parked = path.status === "up" && !path.carries ? path.parking.reason(now) : null;
    return {
      name: path.name,
      id: path.id,
      status: path.status,
      carries: path.carries,
      parked: parked !== null,
      reason: parked ?? path.reason,
      metric: path.metric,
      spill: path.spill,
      endpoint: endpointText(path.connected ? path.socket.peer : path.endpoint),
      mtu: recovery.mtu.packet,
      mtuSearch: recovery.mtu.state,
      congestion: congestion.name,
      rttMs: rtt.sampled ? millis(rtt.srtt) : null,
      rttVarMs: rtt.sampled ? millis(rtt.rttvar) : null,
      minRttMs: rtt.sampled ? millis(rtt.min) : null,
      loss: sample?.loss ?? 0,
      sendBitsPerSecond: sample?.sendBitsPerSecond ?? 0,
      receiveBitsPerSecond: sample?.receiveBitsPerSecond ?? 0,
      windowBytes: Math.round(congestion.window),
      inFlightBytes: log.inFlight,
      sentBytes: recovery.sentBytes,
      receivedBytes: reception.bytes,
      sentPackets: recovery.sentPackets,
      receivedPackets: reception.packets,
      lostPackets: recovery.lostPackets,
      resentPackets: path.resentPackets,
    };
  }

  private sample(path: Path, now: number): void {
    const { recovery, reception } = path;
    let sample = this.samples.get(path);
    if (sample === undefined) {
      sample = newSample();
      this.samples.set(path, sample);
    } else if (now > sample.at) {
      const bitsPerByte = 8_000_000 / (now - sample.at);
      sample.sendBitsPerSecond = Math.round((recovery.sentBytes - sample.sentBytes) * bitsPerByte);
      sample.receiveBitsPerSecond = Math.round((reception.bytes - sample.receivedBytes) * bitsPerByte);
      const lost = recovery.lostPackets - sample.lost;
      const settled = lost + recovery.ackedPackets - sample.acked;
      if (settled > 0) sample.loss += LOSS_WEIGHT * (lost / settled - sample.loss);
    }
    // The same object for as long as the path lives: there may be thousands of paths.
    sample.at = now;
    sample.sentBytes = recovery.sentBytes;
    sample.receivedBytes = reception.bytes;
    sample.lost = recovery.lostPackets;
    sample.acked = recovery.ackedPackets;
  }
}

function newSample(): Sample {
  return {
    at: 0,
    sentBytes: 0,
    receivedBytes: 0,
    lost: 0,
    acked: 0,
    sendBitsPerSecond: 0,
    receiveBitsPerSecond: 0,
    loss: 0,
  };
}

function waitingReport(name: string, publicKey: Uint8Array, role: StatusReport["role"]): SessionReport {
  return {
    peer: name,
    publicKey: base64(publicKey),
    status: role === "local" ? "connecting" : "down",
    suite: null,
    establishedSeconds: null,
    lastHandshakeSeconds: null,
    addresses: [],
    mtu: null,
    paths: [],
    heldPackets: 0,
    reorderedPackets: 0,
    givenUpPackets: 0,
    duplicatePackets: 0,
    drops: {},
  };
}

/** `192.0.2.1:51900` or `[2001:db8::1]:51900`; null for none. */
export function endpointText(endpoint: Endpoint | null): string | null {
  if (endpoint === null || endpoint.length === 0) return null;
  const { bytes } = endpoint.block;
  if (endpoint.isIpv6) return `[${formatAddress(bytes.slice(8, 24))}]:${endpoint.port}`;
  return `${formatAddress(bytes.slice(4, 8))}:${endpoint.port}`;
}

export function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64");
}

function seconds(micros: number): number {
  return Math.round(micros / 1_000_000);
}

function millis(micros: number): number {
  return Math.round(micros / 10) / 100;
}
