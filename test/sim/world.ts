/**
 * The simulator: real portals on a virtual clock. Each path is two lines (src/lab/line.ts) and a NAT; the kernel's part is
 * played by the fakes; everything else is what runs in production: engine, sessions, handshake, ciphers.
 *
 * One seed decides everything, so a run that failed can be run again.
 */

import { Line, type LineSettings } from "../../src/lab/line.ts";
import { type Random, seededRandom } from "../../src/lab/random.ts";
import type { CapSettings } from "../../src/proto/cap.ts";
import type { Endpoint } from "../../src/share/endpoint.ts";
import { endpointOf } from "../../src/sys/udp.ts";
import type { CongestionName } from "../../src/wire/control.ts";
import type { LeasedAddress } from "../../src/wire/handshake.ts";
import { Checker } from "./checker.ts";
import { endpointKey, FakeSocket } from "./fakes.ts";
import { Ledger } from "./inner.ts";
import { makeKeys, Node } from "./node.ts";

export const MILLISECOND = 1_000;
export const SECOND = 1_000_000;

/** IP and UDP around a datagram. */
const OUTER_V4 = 28;
const OUTER_V6 = 48;

export interface PathPlan {
  /** Both directions, unless `up` or `down` says otherwise. */
  readonly line?: Partial<LineSettings>;
  readonly up?: Partial<LineSettings>;
  readonly down?: Partial<LineSettings>;
  readonly metric?: number;
  readonly spill?: boolean;
  /** Default: bbr, or fixed where a rate is given. */
  readonly congestion?: CongestionName;
  /** Fixed rates, bytes per second. */
  readonly sendRate?: number;
  readonly receiveRate?: number;
  readonly ipv6?: boolean;
  readonly cap?: CapSettings;
  /** Largest IP packet that crosses whole. */
  readonly mtu?: number;
  /** A hop that sends no "packet too big"; and one that lets no fragments through either. */
  readonly silent?: boolean;
  readonly dropsFragments?: boolean;
}

export type SuitePlan = readonly [name: "aes" | "chacha" | "blake2s", speed: number];

export interface LocalPlan {
  readonly paths: readonly PathPlan[];
  /** Not the key the remote knows. */
  readonly wrongKey?: boolean;
  readonly wrongPresharedKey?: boolean;
  /** It has no addresses of its own, and asks the remote for them. */
  readonly asks?: boolean;
  /** The suites it takes, with their speeds; of speed 0 as a portal that knows of no speeds. */
  readonly suites?: readonly SuitePlan[];
  /** What the remote gives it when it asks. */
  readonly lease?: readonly LeasedAddress[];
}

export interface WorldPlan {
  readonly seed: number;
  readonly locals: readonly LocalPlan[];
  readonly privacy?: boolean;
  readonly remoteSuites?: readonly SuitePlan[];
  readonly mtu?: number;
  /** Kernel offloads, TUN and UDP, at locals and remote. */
  readonly offloads?: boolean;
  readonly remoteOffloads?: boolean;
  /** False: sockets send and receive one datagram at a time, whatever the TUN can. */
  readonly batches?: boolean;
  /** The time of day when it begins, milliseconds since 1970. */
  readonly wall?: number;
  /** Longest time between an arrival and the portal's turn. */
  readonly wakeMicros?: number;
}

interface Datagram {
  readonly bytes: Uint8Array;
  readonly source: Endpoint;
  readonly to: FakeSocket;
  readonly node: Node;
}

/** A datagram that left for an address no path has. */
export interface Stray {
  readonly to: string;
  readonly bytes: Uint8Array;
}

/** One path's network: two lines, and the address the remote sees. */
export interface Wire {
  readonly local: Node;
  readonly socket: FakeSocket;
  readonly up: Line<Datagram>;
  readonly down: Line<Datagram>;
  readonly ipv6: boolean;
  external: Endpoint;
  /** Largest IP packet that crosses whole; larger ones do in fragments, if they may and `dropsFragments` is not set. */
  mtu: number;
  readonly silent: boolean;
  readonly dropsFragments: boolean;
  /** Datagrams that were too big; and those that crossed in fragments. */
  tooBig: number;
  fragmented: number;
}

interface Timed {
  readonly at: number;
  readonly run: () => void;
}

/** What an eavesdropper sees. */
export type Tap = (wire: Wire, upwards: boolean, bytes: Uint8Array, source: Endpoint) => void;

export class World {
  now = 0;
  /** The time of day when it began. */
  wallStart: number;
  readonly random: Random;
  readonly ledger = new Ledger();
  readonly remote: Node;
  readonly locals: Node[] = [];
  readonly nodes: Node[] = [];
  readonly wires: Wire[] = [];
  readonly strays: Stray[] = [];
  readonly checker: Checker;
  readonly log: string[] = [];
  tap: Tap | null = null;
  private readonly byExternal = new Map<string, Wire>();
  private readonly gone = new Set<string>();
  private readonly remoteEndpoints: readonly [v4: Endpoint, v6: Endpoint];
  private readonly timed: Timed[] = [];
  private hostCount = 0;

  constructor(plan: WorldPlan) {
    this.random = seededRandom(plan.seed);
    this.wallStart = plan.wall ?? Date.UTC(2026, 10, 15);
    this.checker = new Checker(this);
    this.remoteEndpoints = [
      endpointOf(Uint8Array.of(203, 0, 113, 1), 51820),
      endpointOf(Uint8Array.from([0x20, 1, 0xd, 0xb8, ...new Array(11).fill(0), 1]), 51820),
    ];
    const keys = makeKeys(plan.locals.length);
    const remoteSockets = [0, 1].map(
      () =>
        new FakeSocket(
          null,
          plan.batches ?? plan.remoteOffloads ?? plan.offloads ?? true,
          (b, to, fragments) => this.sendDown(b, to, fragments),
        ),
    );
    this.remote = new Node(this, plan, "remote", keys, -1, remoteSockets, null);
    this.nodes.push(this.remote);
    for (const [index, local] of plan.locals.entries()) this.addLocal(plan, local, index, keys);
  }

  private addLocal(
    plan: WorldPlan,
    local: LocalPlan,
    index: number,
    keys: ReturnType<typeof makeKeys>,
  ): void {
    const sockets: FakeSocket[] = [];
    const wires: Wire[] = [];
    for (const path of local.paths) {
      const ipv6 = path.ipv6 ?? false;
      const peer = this.remoteEndpoints[ipv6 ? 1 : 0];
      const socket = new FakeSocket(peer, plan.batches ?? plan.offloads ?? true, (bytes, _, fragments) =>
        this.sendUp(wire, bytes, fragments),
      );
      const wire: Wire = {
        local: null as unknown as Node,
        socket,
        up: new Line<Datagram>(this.random),
        down: new Line<Datagram>(this.random),
        ipv6,
        external: this.freshEndpoint(ipv6),
        mtu: path.mtu ?? Number.POSITIVE_INFINITY,
        silent: path.silent ?? false,
        dropsFragments: path.dropsFragments ?? false,
        tooBig: 0,
        fragmented: 0,
      };
      wire.up.set(0, { ...path.line, ...path.up });
      wire.down.set(0, { ...path.line, ...path.down });
      this.byExternal.set(endpointKey(wire.external), wire);
      sockets.push(socket);
      wires.push(wire);
    }
    const node = new Node(this, plan, `local${index}`, keys, index, sockets, local);
    for (const wire of wires) (wire as { local: Node }).local = node;
    this.wires.push(...wires);
    this.locals.push(node);
    this.nodes.push(node);
  }

  /** An address nobody has had before. */
  freshEndpoint(ipv6 = false): Endpoint {
    const n = ++this.hostCount;
    const address = ipv6
      ? Uint8Array.from([0x20, 1, 0xd, 0xb8, 0, 7, ...new Array(8).fill(0), n >> 8, n])
      : Uint8Array.of(198, 51, n >> 8, n);
    return endpointOf(address, 1024 + Math.floor(this.random() * 60_000));
  }

  // --- Time ---

  /** Runs `run` at a moment, now or later. */
  at(at: number, run: () => void): void {
    const { timed } = this;
    const when = Math.max(at, this.now);
    // The next comes last, and of one moment's the first asked for.
    let place = timed.length;
    while (place > 0 && timed[place - 1]!.at <= when) place--;
    timed.splice(place, 0, { at: when, run });
  }

  after(micros: number, run: () => void): void {
    this.at(this.now + micros, run);
  }

  /** Runs the world until a moment. */
  runUntil(end: number): void {
    for (;;) {
      const at = this.nextAt();
      if (at > end) break;
      this.now = Math.max(this.now, at);
      this.step();
    }
    this.now = end;
  }

  runFor(micros: number): void {
    this.runUntil(this.now + micros);
  }

  /** Runs until the condition holds. False: it did not, in time. */
  runTo(condition: () => boolean, within: number): boolean {
    const end = this.now + within;
    while (!condition()) {
      if (this.now >= end) return false;
      this.runUntil(Math.min(this.now + 10 * MILLISECOND, end));
    }
    return true;
  }

  private nextAt(): number {
    let at = this.timed.at(-1)?.at ?? Number.POSITIVE_INFINITY;
    for (const wire of this.wires) at = Math.min(at, wire.up.nextAt(), wire.down.nextAt());
    for (const node of this.nodes) at = Math.min(at, node.dueAt);
    return at;
  }

  private step(): void {
    const { now } = this;
    for (let next = this.timed.at(-1); next !== undefined && next.at <= now; next = this.timed.at(-1)) {
      this.timed.pop();
      next.run();
    }
    for (const wire of this.wires) {
      if (wire.up.nextAt() <= now) this.drain(wire.up);
      if (wire.down.nextAt() <= now) this.drain(wire.down);
    }
    for (const node of this.nodes) if (node.dueAt <= now) node.turn();
  }

  private drain(line: Line<Datagram>): void {
    for (let item = line.poll(this.now); item !== undefined; item = line.poll(this.now)) {
      let { bytes } = item;
      if (line.corrupted) {
        bytes = bytes.slice();
        const bit = Math.floor(this.random() * bytes.length * 8);
        bytes[bit >> 3]! ^= 1 << (bit & 7);
      }
      item.to.arrive(bytes, item.source);
      item.node.wake();
    }
  }

  // --- The network ---

  private sendUp(wire: Wire, bytes: Uint8Array, fragments: boolean): void {
    this.tap?.(wire, true, bytes, wire.external);
    const to = this.remote.sockets[wire.ipv6 ? 1 : 0]!;
    const size = bytes.length + (wire.ipv6 ? OUTER_V6 : OUTER_V4);
    if (!this.passes(wire, size, fragments, wire.socket, wire.socket.peer!)) return;
    wire.up.offer(this.now, size, { bytes, source: wire.external, to, node: this.remote });
  }

  /** False: too big to cross, of which the sender's kernel may hear. */
  private passes(wire: Wire, size: number, fragments: boolean, from: FakeSocket, to: Endpoint): boolean {
    if (size <= wire.mtu) return true;
    if (fragments && !wire.dropsFragments) {
      wire.fragmented++;
      return true;
    }
    wire.tooBig++;
    if (!wire.silent) this.after(MILLISECOND, () => from.heardMtus.set(endpointKey(to), wire.mtu));
    return false;
  }

  private sendDown(bytes: Uint8Array, to: Endpoint, fragments: boolean): void {
    const key = endpointKey(to);
    const wire = this.byExternal.get(key);
    if (wire === undefined) {
      // The former address of a path leads nowhere; any other is a stranger's.
      if (!this.gone.has(key)) this.strays.push({ to: key, bytes });
      return;
    }
    const source = this.remoteEndpoints[wire.ipv6 ? 1 : 0];
    this.tap?.(wire, false, bytes, source);
    const size = bytes.length + (wire.ipv6 ? OUTER_V6 : OUTER_V4);
    if (!this.passes(wire, size, fragments, this.remote.sockets[wire.ipv6 ? 1 : 0]!, wire.external)) return;
    wire.down.offer(this.now, size, { bytes, source, to: wire.socket, node: wire.local });
  }

  /** The NAT forgets the path's mapping: the remote sees another address from now on. */
  rebind(wire: Wire): void {
    const key = endpointKey(wire.external);
    this.byExternal.delete(key);
    this.gone.add(key);
    wire.external = this.freshEndpoint(wire.ipv6);
    this.byExternal.set(endpointKey(wire.external), wire);
  }

  setLine(wire: Wire, change: Partial<LineSettings>, direction: "up" | "down" | "both" = "both"): void {
    if (direction !== "down") wire.up.set(this.now, change);
    if (direction !== "up") wire.down.set(this.now, change);
  }

  /** Anybody sends the remote a datagram from any address. */
  injectRemote(bytes: Uint8Array, source: Endpoint, ipv6 = false): void {
    this.remote.sockets[ipv6 ? 1 : 0]!.arrive(bytes, source);
    this.remote.wake();
  }

  /** Anybody sends a local's path a datagram in the remote's name. */
  injectLocal(wire: Wire, bytes: Uint8Array): void {
    wire.socket.arrive(bytes, this.remoteEndpoints[wire.ipv6 ? 1 : 0]);
    wire.local.wake();
  }

  /** Frees what is native. */
  close(): void {
    for (const node of this.nodes) node.destroy();
  }
}
