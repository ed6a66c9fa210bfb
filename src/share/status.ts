import type { Drop } from "./counters.ts";

/** What a running portal tells of itself: the body of `portal status --json`. Rates in bit/s of datagrams, times in milliseconds. */

export type PathStatus = "joining" | "up" | "suspect" | "down" | "capped";

export interface PathReport {
  name: string;
  id: number;
  status: PathStatus;
  /** It carries inner packets now; the others that are up rest until there is more to send. */
  carries: boolean;
  /** It is up, but carries nothing for a while, because with it less arrived than without. */
  parked: boolean;
  /** Why it is so, in words, and of one that is parked why that is; null while it joins. */
  reason: string | null;
  metric: number;
  /** It may carry also while paths of a lower metric are up. */
  spill: boolean;
  /** The peer's address and port, or null while unknown. */
  endpoint: string | null;
  /** The largest IP packet that it carries whole from here to the peer; null until that is known. */
  mtu: number | null;
  /** How the search for it stands (RFC 8899); "error": not even 1280 bytes. */
  mtuSearch: "base" | "searching" | "complete" | "error";
  congestion: string;
  rttMs: number | null;
  rttVarMs: number | null;
  minRttMs: number | null;
  /** Share of packets we sent that were lost, over the last seconds, 0..1. */
  loss: number;
  sendBitsPerSecond: number;
  receiveBitsPerSecond: number;
  windowBytes: number;
  inFlightBytes: number;
  sentBytes: number;
  receivedBytes: number;
  sentPackets: number;
  receivedPackets: number;
  lostPackets: number;
  /** Packets this path lost that were sent again. */
  resentPackets: number;
}

/** A data cap of a path. */
export interface CapReport {
  path: string;
  period: "month" | "day";
  limitBytes: number;
  /** IP packets, both directions. */
  usedBytes: number;
  reached: boolean;
  /** When the next period begins, or null while the date is not known; and the same in the cap's time zone, for people. */
  resetsAt: string | null;
  resetsAtLocal: string | null;
  timeZone: string;
  /** What the path may do over it, either way; 0 = nothing. */
  overBitsPerSecond: number;
}

export interface SessionReport {
  /** Name of the peer from the config; the local portal calls its peer "remote", or of several by its endpoint. */
  peer: string;
  publicKey: string;
  status: "connecting" | "up" | "down";
  /** Cipher suite in use, or null before the first handshake. */
  suite: string | null;
  establishedSeconds: number | null;
  lastHandshakeSeconds: number | null;
  addresses: string[];
  /** The largest packet that all its paths in use carry to the peer; null without a session. */
  mtu: number | null;
  paths: PathReport[];
  /** Packets held for their predecessor right now. */
  heldPackets: number;
  /** Packets that arrived before their flow's predecessor and were put in order. */
  reorderedPackets: number;
  /** Predecessors given up after the bounded wait. */
  givenUpPackets: number;
  duplicatePackets: number;
  drops: Partial<Record<Drop, number>>;
}

/** One of a local's remotes. */
export interface RemoteReport {
  /** As the configuration has it. */
  endpoint: string;
  /** Of one that is not in use: what came of asking it last, if it was ever asked. */
  status: "in use" | "answers" | "other cipher" | "other pre-shared key" | "silent" | "not asked";
  /** For how long; null of one that was never asked. */
  sinceSeconds: number | null;
  /** How long ago it was asked; null of the one in use too. */
  askedSeconds: number | null;
  /** For how long it must have answered to be used again in place of a later one; longer than configured after it has failed often. */
  returnSeconds: number;
}

/** What is asked for on a local: a `[[path]]`, or what a command says. Whether it is so is in the session's paths. */
export interface AskedReport {
  /** The name of an interface, or a pattern. */
  interface: string;
  exclude: string[];
  by: "configuration" | "command";
  /** Down: a command holds it down. */
  state: "up" | "down";
  /** The interfaces that are paths by it now. */
  paths: string[];
  /** What it does without any, or why it lacks one that it should have, in words; null when it has all, or is held down. */
  why: string | null;
}

/** What `portal path` asks for. */
export interface PathCommand {
  action: "add" | "remove" | "up" | "down" | "set";
  /** An interface, or a pattern. */
  name: string;
  /** As in `[[path]]`. */
  settings: {
    exclude?: string[];
    metric?: number;
    spill?: boolean;
    congestion?: string;
    up?: string;
    down?: string;
  };
}

/** What `portal reload` did. */
export interface Reloaded {
  /** In words. */
  applied: string[];
  /** Keys that wait for a restart. */
  waiting: string[];
  /** What is wrong with the configuration, as `portal check` shows it; null when nothing is. */
  faults: string | null;
}

export interface StatusReport {
  version: string;
  role: "local" | "remote";
  interface: string;
  /** Of the interface. */
  mtu: number;
  uptimeSeconds: number;
  publicKey: string;
  /** This portal's own in the tunnel. */
  addresses: string[];
  offloads: { tun: boolean; udpSegmentation: boolean; udpReceive: boolean };
  cipher: string;
  /** The portal's own and its workers. */
  threads: number;
  sessions: SessionReport[];
  /** A local's, in the order in which they are preferred; none on a remote. */
  remotes: RemoteReport[];
  /** The paths that are asked for; none on a remote. */
  asked: AskedReport[];
  /** Of a local's paths; with or without a session. */
  caps: CapReport[];
  /** Packets from strangers, and packets no session would take. */
  drops: Partial<Record<Drop, number>>;
}
