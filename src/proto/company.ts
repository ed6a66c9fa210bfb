/** What a path is told when it is made, and what it knows of the session around it (proto/path.ts). */
import type { Endpoint } from "../share/endpoint.ts";
import type { DatagramSocket } from "../share/io.ts";
import type { PathStatus } from "../share/status.ts";
import type { CongestionName } from "../wire/control.ts";
import type { Cap } from "./cap.ts";
import type { Congestion } from "./congestion.ts";
import type { Path } from "./path.ts";

export interface PathSettings {
  readonly id: number;
  readonly name: string;
  readonly metric: number;
  readonly spill: boolean;
  readonly socket: DatagramSocket;
  readonly congestion: Congestion;
  /** What to tell the peer for its side: the congestion control, and its rate in bytes per second when it is fixed. */
  readonly peerCongestion: CongestionName;
  readonly peerRate: number;
  /** The path's data caps; null where there are none, and on the remote. */
  readonly cap: Cap | null;
  /** Bytes of a full-sized datagram. */
  readonly datagram: number;
  /** The peer's proved address, a candidate for it, and whether the first is known from the start (a connected socket). */
  readonly endpoint: Endpoint;
  readonly candidate: Endpoint;
  readonly connected: boolean;
  /** The first packet numbers, ours and the peer's; 0 unless the id had another path before. */
  readonly sendsFrom?: number;
  readonly receivesFrom?: number;
}

/** What a path knows of the session's others. */
export interface Company {
  /** True while some path is up. */
  readonly isUp: boolean;
  /** When we sent the newest packet, on whichever path, that the peer has answered. */
  readonly peerAliveAt: number;
  onStatus(path: Path, from: PathStatus, to: PathStatus, reason: string): void;
  /** A path does not answer: does the peer, on the others? */
  onDoubt(now: number, path: Path): void;
}
