/**
 * Two real engines on one thread, joined by a wire that loses nothing and allocates nothing, with a virtual clock: for
 * what the packet's way costs by itself. Each end's TUN has as many packets to read as it is told.
 */
import type { Environment } from "../../src/proto/environment.ts";
import { Peer } from "../../src/proto/peer.ts";
import { Engine } from "../../src/run/engine.ts";
import type { Block } from "../../src/share/block.ts";
import type { Endpoint } from "../../src/share/endpoint.ts";
import type { DatagramSocket, Gather, Refreshed, SendResult, TunDevice } from "../../src/share/io.ts";
import { chooseSuites } from "../../src/sys/aead.ts";
import { createNoiseCrypto } from "../../src/sys/crypto.ts";
import { nativeBlock, nativeCopy, releaseBlock, sharedBlock } from "../../src/sys/memory.ts";
import { endpointOf } from "../../src/sys/udp.ts";

const MTU = 1420;
const TRAINS = 64;
const TRAIN_BYTES = 65_536;
const MILLISECOND = 1000;

/** One direction of the wire: trains of datagrams, each in a place of its own. */
class Wire {
  private readonly places = Array.from({ length: TRAINS }, () => nativeBlock(TRAIN_BYTES));
  private readonly lengths = new Int32Array(TRAINS);
  private readonly segments = new Int32Array(TRAINS);
  private head = 0;
  private tail = 0;
  segment = 0;

  put(from: Block, offset: number, length: number, segment: number): SendResult {
    if (this.head - this.tail === TRAINS) return "full";
    const at = this.head++ % TRAINS;
    nativeCopy(this.places[at]!, 0, from, offset, length);
    this.lengths[at] = length;
    this.segments[at] = segment;
    return "sent";
  }

  take(into: Block): number {
    if (this.head === this.tail) return 0;
    const at = this.tail++ % TRAINS;
    nativeCopy(into, 0, this.places[at]!, 0, this.lengths[at]!);
    this.segment = this.segments[at]!;
    return this.lengths[at]!;
  }
}

class WireSocket implements DatagramSocket {
  readonly sentWireBytes = 0;
  readonly receivedWireBytes = 0;
  readonly headerBytes = 28;
  readonly segmentation = true;
  readonly peer: Endpoint | null;
  readonly source: Endpoint;
  private readonly out: Wire;
  private readonly into: Wire;

  constructor(out: Wire, into: Wire, peer: Endpoint, connected: boolean) {
    this.out = out;
    this.into = into;
    this.source = peer;
    this.peer = connected ? peer : null;
  }

  get segment(): number {
    return this.into.segment;
  }

  receive(into: Block): number {
    return this.into.take(into);
  }

  send(from: Block, offset: number, length: number, segment: number): SendResult {
    return this.out.put(from, offset, length, segment);
  }

  mtu(): number {
    return 0;
  }

  refresh(): Refreshed {
    return "same";
  }
}

/** Gives one and the same read again and again, and takes everything. */
export class EndlessTun implements TunDevice {
  readonly buffer = nativeBlock(66_000);
  readonly offloads = true;
  readonly udpOffloads = true;
  /** What a read gives, and how many there still are. */
  content: Block = nativeBlock(0);
  reads = 0;

  read(): number {
    if (this.reads === 0) return 0;
    this.reads--;
    const { length } = this.content.bytes;
    nativeCopy(this.buffer, 0, this.content, 0, length);
    return length;
  }

  write(_: Gather): boolean {
    return true;
  }
}

export class Pair {
  readonly tuns = [new EndlessTun(), new EndlessTun()] as const;
  /** Local and remote. */
  readonly engines: readonly Engine[];
  private readonly sockets: readonly WireSocket[];
  now = MILLISECOND;

  constructor() {
    const wires = [new Wire(), new Wire()] as const;
    const addresses = [
      endpointOf(Uint8Array.of(192, 0, 2, 2), 5000),
      endpointOf(Uint8Array.of(192, 0, 2, 1), 5001),
    ];
    const sockets = [
      new WireSocket(wires[0], wires[1], addresses[1]!, true),
      new WireSocket(wires[1], wires[0], addresses[0]!, false),
    ] as const;
    const crypto = createNoiseCrypto();
    const keys = [1, 2].map((seed) => {
      const privateKey = new Uint8Array(32).fill(seed);
      return { privateKey, publicKey: crypto.publicKey(privateKey) };
    });
    const preshared = new Uint8Array(32);
    const everywhere = [{ bytes: new Uint8Array(4), length: 0 }];
    const environment: Environment = {
      makeBlock: nativeBlock,
      makeSharedBlock: (length) => sharedBlock(new SharedArrayBuffer(length)),
      releaseBlock,
      copy: nativeCopy,
      crypto,
      suites: [{ ...chooseSuites().aes, speed: 1 }],
      mtu: MTU,
      log: () => {},
    };
    const use = { metric: 0, spill: false, congestion: "bbr", sendRate: 0, receiveRate: 0 } as const;
    this.engines = [0, 1].map(
      (side) =>
        new Engine({
          environment,
          statics: keys[side]!,
          peers: [new Peer("peer", keys[1 - side]!.publicKey, preshared, everywhere)],
          tun: this.tuns[side]!,
          role: side === 0 ? "local" : "remote",
        }),
    );
    this.sockets = sockets;
    this.engines[0]!.addPath(this.now, { name: "path", socket: sockets[0], use, state: "up", cap: null });
  }

  /** Both ends turn once; then `micros` pass. */
  turn(micros: number): void {
    for (const [side, engine] of this.engines.entries()) {
      while (engine.receive(this.now, this.sockets[side]!));
      while (engine.stage(this.now));
      engine.service(this.now);
    }
    this.now += micros;
  }

  /** Both ends have a session and a path that is up. */
  connect(): void {
    for (let turns = 0; turns < 10_000; turns++) {
      this.turn(MILLISECOND);
      if (this.engines.every(({ portal }) => portal.sessions[0]?.isUp === true)) return;
    }
    throw new Error("the two ends did not find each other");
  }

  /** Inner packets that came out at either end. */
  get delivered(): number {
    return this.engines.reduce((sum, { deliverer }) => sum + deliverer.packets, 0);
  }
}
