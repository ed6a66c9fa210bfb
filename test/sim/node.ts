/** One portal of the simulator: the real engine between a fake TUN and fake sockets, and when it gets its turns. */
import { seededRandom } from "../../src/lab/random.ts";
import { Cap } from "../../src/proto/cap.ts";
import { Clock } from "../../src/proto/clock.ts";
import type { Environment } from "../../src/proto/environment.ts";
import type { StaticKeys } from "../../src/proto/noise.ts";
import { Peer } from "../../src/proto/peer.ts";
import { Engine, type LocalPath } from "../../src/run/engine.ts";
import type { Block } from "../../src/share/block.ts";
import type { InterfaceState } from "../../src/share/io.ts";
import { chooseSuites } from "../../src/sys/aead.ts";
import { createNoiseCrypto } from "../../src/sys/crypto.ts";
import { nativeBlock, nativeCopy, sharedBlock } from "../../src/sys/memory.ts";
import type { LeasedAddress } from "../../src/wire/handshake.ts";
import { type FakeSocket, FakeTun } from "./fakes.ts";
import { Violation } from "./inner.ts";
import type { LocalPlan, PathPlan, SuitePlan, World, WorldPlan } from "./world.ts";

const noiseCrypto = createNoiseCrypto();
const suites = chooseSuites();

/** Turns at one moment after which a portal is said to spin. */
const SPINNING = 1000;

export interface KeyRing {
  readonly remote: StaticKeys;
  readonly locals: readonly StaticKeys[];
  readonly strangers: StaticKeys;
  readonly presharedKeys: readonly Uint8Array[];
}

const pairs: StaticKeys[] = [];

function pair(index: number): StaticKeys {
  const privateKey = new Uint8Array(32).fill(index + 1);
  pairs[index] ??= { privateKey, publicKey: noiseCrypto.publicKey(privateKey) };
  return pairs[index];
}

/** Static keys, the same in every world. */
export function makeKeys(locals: number): KeyRing {
  const indices = Array.from({ length: locals }, (_, i) => i);
  return {
    remote: pair(0),
    strangers: pair(1),
    locals: indices.map((i) => pair(i + 2)),
    presharedKeys: indices.map((i) => new Uint8Array(32).fill(0xa0 + i)),
  };
}

/** Pages of packets, by their length: used again from world to world, as the collector is in no hurry to free them. */
const spareBlocks = new Map<number, Block[]>();
const PAGE_BYTES = 16_384;

function takeBlock(length: number): Block {
  // A ring's control block must be new: it counts from zero.
  const spare = length < PAGE_BYTES ? undefined : spareBlocks.get(length)?.pop();
  return spare ?? sharedBlock(new SharedArrayBuffer(length));
}

function giveBlocks(blocks: readonly Block[]): void {
  for (const block of blocks) {
    const { length } = block.bytes;
    if (length < PAGE_BYTES) continue;
    if (!spareBlocks.has(length)) spareBlocks.set(length, []);
    spareBlocks.get(length)!.push(block);
  }
}

/** Inner network of a local: 10.77.k.0/24 and fd77:0:0:k::/64. */
export function innerAddress(local: number, ipv6: boolean): Uint8Array {
  return ipv6
    ? Uint8Array.from([0xfd, 0x77, 0, 0, 0, 0, 0, local, 0, 0, 0, 0, 0, 0, 0, 2])
    : Uint8Array.of(10, 77, local, 2);
}

/** An address behind the remote. */
export function serverAddress(ipv6: boolean): Uint8Array {
  return ipv6
    ? Uint8Array.from([0x20, 1, 0xd, 0xb8, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1])
    : Uint8Array.of(192, 0, 2, 1);
}

export class Node {
  readonly name: string;
  readonly tun: FakeTun;
  readonly sockets: FakeSocket[];
  /** The local's paths that there are, by the index of their sockets. */
  readonly paths: (LocalPath | undefined)[] = [];
  /** The data caps of a local's paths; they outlive a restart. */
  readonly caps: readonly (Cap | null)[];
  private readonly clock = new Clock();
  /** What a local that asks was given, each time. */
  readonly given: (readonly LeasedAddress[])[] = [];
  engine: Engine;
  /** The suites that it takes from its next start on. */
  suites: readonly SuitePlan[];
  private readonly world: World;
  private readonly plan: WorldPlan;
  private readonly keys: KeyRing;
  private readonly index: number;
  private readonly local: LocalPlan | null;
  /** Bytes of blocks that the portal asked for. */
  askedBytes = 0;
  /** Bytes of the portal's blocks given back to the system; some may be in use again. */
  releasedBytes = 0;
  private readonly blocks: Block[] = [];
  /** What the kernel has to tell of interfaces. */
  private news: (() => void)[] = [];
  private wakeAt = Number.POSITIVE_INFINITY;
  private starts = 0;
  private lastTurn = -1;
  private turns = 0;
  private pausedUntil = 0;
  stopped = false;

  constructor(
    world: World,
    plan: WorldPlan,
    name: string,
    keys: KeyRing,
    index: number,
    sockets: FakeSocket[],
    local: LocalPlan | null,
  ) {
    this.world = world;
    this.plan = plan;
    const ordinary: SuitePlan = [plan.privacy === false ? "blake2s" : "aes", 1];
    this.suites = (local === null ? plan.remoteSuites : local.suites) ?? [ordinary];
    this.name = name;
    this.keys = keys;
    this.index = index;
    this.sockets = sockets;
    this.local = local;
    const offloads = (local === null ? plan.remoteOffloads : undefined) ?? plan.offloads ?? true;
    this.tun = new FakeTun(offloads, (bytes) => world.ledger.deliver(world.now, name, bytes));
    this.caps = (local?.paths ?? []).map((path, i) => {
      const cap = path.cap === undefined ? null : new Cap(path.cap);
      cap?.attach(sockets[i]!);
      return cap;
    });
    if (this.caps.some((cap) => cap !== null)) this.tick();
    this.engine = this.start();
    this.addPaths();
  }

  /** Once a second: the data caps look at the clock. */
  private tick(): void {
    const { world, clock } = this;
    clock.read(world.now, world.wallStart + world.now / 1000);
    let lifted = false;
    for (const cap of this.caps) if (cap?.onTick(clock)) lifted = true;
    if (lifted) this.engine.onCapLifted(world.now);
    world.after(1_000_000, () => this.tick());
  }

  /** When this portal wants its turn. */
  get dueAt(): number {
    return this.stopped
      ? Number.POSITIVE_INFINITY
      : Math.max(this.pausedUntil, Math.min(this.wakeAt, Math.max(this.engine.nextAt, this.lastTurn)));
  }

  /** The process gets no processor for so long. */
  pause(micros: number): void {
    this.pausedUntil = this.world.now + micros;
  }

  /** The interface of a path changes. `silently`: nobody tells the portal. */
  setInterface(index: number, state: InterfaceState, silently = false): void {
    const socket = this.sockets[index]!;
    socket.interfaceState = state;
    if (silently) return;
    this.news.push(() => this.onInterface(index, state));
    this.wake();
  }

  /** The interface of a path has another address. */
  renumber(index: number): void {
    this.sockets[index]!.moved = true;
    this.news.push(() => this.onInterface(index, "up"));
    this.wake();
  }

  /** What run/pathmanager.ts does. */
  private onInterface(index: number, state: InterfaceState): void {
    const { now } = this.world;
    const path = this.paths[index];
    if (state === "missing") {
      if (path !== undefined) this.engine.removePath(now, path);
      this.paths[index] = undefined;
    } else if (path === undefined) this.addPath(index, state);
    else this.engine.onInterface(now, path, state);
  }

  private addPath(index: number, state: InterfaceState): void {
    const [plan, socket, cap] = [this.local!.paths[index]!, this.sockets[index]!, this.caps[index]!];
    this.paths[index] = localPath(plan, index, socket, cap, state);
    this.engine.addPath(this.world.now, this.paths[index]);
  }

  /** Something arrived: the portal runs a little later, as a scheduler would have it. */
  wake(): void {
    const latest = this.plan.wakeMicros ?? 200;
    this.wakeAt = Math.min(this.wakeAt, this.world.now + this.world.random() * latest);
  }

  /** A host behind this portal sends a packet. False: the kernel dropped it. */
  send(bytes: Uint8Array, taken?: (now: number) => void): boolean {
    if (this.stopped || !this.tun.push(bytes, taken)) {
      this.world.ledger.refuse(bytes);
      return false;
    }
    this.wake();
    return true;
  }

  turn(): void {
    const { world, engine, tun } = this;
    const { now } = world;
    this.watchSpinning(now);
    this.wakeAt = Number.POSITIVE_INFINITY;
    tun.now = now;
    for (let more = true; more; ) {
      more = false;
      for (const tell of this.news.splice(0)) tell();
      for (const socket of this.sockets) {
        if (socket.waiting > 0 && engine.receive(now, socket)) more = true;
      }
      if (tun.waiting > 0 && engine.stage(now)) more = true;
      world.checker.before(this);
      engine.service(now);
      world.checker.after(this);
      if (tun.waiting > 0) more = true;
    }
  }

  private watchSpinning(now: number): void {
    this.turns = now === this.lastTurn ? this.turns + 1 : 0;
    this.lastTurn = now;
    if (this.turns > SPINNING) throw new Violation(`${this.name} spins at ${now}`);
  }

  /** The process dies without a word and is started again, with the same configuration. */
  restart(): void {
    this.kill();
    this.engine = this.start();
    this.addPaths();
    this.stopped = false;
  }

  kill(): void {
    this.destroy();
    this.world.checker.onDeath(this);
    this.stopped = true;
    for (const socket of this.sockets) socket.clear();
    while (this.tun.waiting > 0) this.world.ledger.refuse(this.tun.buffer.bytes.slice(0, this.tun.read()));
  }

  /** Ends as SIGTERM does. */
  stop(): void {
    this.engine.close(this.world.now);
    this.kill();
  }

  /** Frees native memory, sends nothing. */
  destroy(): void {
    for (const session of [...this.engine.portal.sessions])
      this.engine.portal.closeSession(session, "the world ends");
    giveBlocks(this.blocks.splice(0));
  }

  private addPaths(): void {
    for (const [index, socket] of this.sockets.entries()) {
      if (this.local === null || socket.interfaceState === "missing") this.paths[index] = undefined;
      else this.addPath(index, socket.interfaceState);
    }
  }

  private start(): Engine {
    const { world, plan, keys, local } = this;
    const seed = plan.seed * 64 + this.index * 8 + this.starts++;
    const random = seededRandom(seed + 1);
    const environment: Environment = {
      makeBlock: (length) => {
        this.askedBytes += length;
        return nativeBlock(length);
      },
      makeSharedBlock: (length) => {
        this.askedBytes += length;
        const block = takeBlock(length);
        this.blocks.push(block);
        return block;
      },
      releaseBlock: (block) => {
        this.releasedBytes += block.bytes.length;
      },
      copy: nativeCopy,
      crypto: {
        ...noiseCrypto,
        random: (length) => Uint8Array.from({ length }, () => Math.floor(random() * 256)),
      },
      suites: this.suites.map(([name, speed]) => ({ ...suites[name]!, speed })),
      mtu: plan.mtu ?? 1420,
      log: (level, message) =>
        world.log.push(`${(world.now / 1e6).toFixed(6)} ${this.name} ${level}: ${message}`),
    };
    const statics =
      local === null ? keys.remote : local.wrongKey === true ? keys.strangers : keys.locals[this.index]!;
    return new Engine({
      environment,
      statics,
      role: local === null ? "remote" : "local",
      peers: local === null ? this.remotePeers() : [this.localPeer(local)],
      tun: this.tun,
      onLease: local?.asks === true ? (lease) => this.given.push(lease) : null,
    });
  }

  private remotePeers(): Peer[] {
    return this.keys.locals.map(({ publicKey }, k) => {
      const addresses = [
        { bytes: innerAddress(k, false), length: 24 },
        { bytes: innerAddress(k, true), length: 64 },
      ];
      const { lease = [] } = this.plan.locals[k]!;
      return new Peer(`local${k}`, publicKey, this.keys.presharedKeys[k]!, addresses, lease);
    });
  }

  private localPeer(local: LocalPlan): Peer {
    const key = this.keys.presharedKeys[this.index]!;
    const presharedKey = local.wrongPresharedKey === true ? key.map((byte) => byte ^ 1) : key;
    return new Peer("remote", this.keys.remote.publicKey, presharedKey, [
      { bytes: new Uint8Array(4), length: 0 },
      { bytes: new Uint8Array(16), length: 0 },
    ]);
  }
}

function localPath(
  path: PathPlan,
  index: number,
  socket: FakeSocket,
  cap: Cap | null,
  state: InterfaceState,
): LocalPath {
  return {
    name: `path${index}`,
    socket,
    cap,
    state,
    use: {
      metric: path.metric ?? 0,
      spill: path.spill ?? false,
      congestion: path.congestion ?? ((path.sendRate ?? path.receiveRate ?? 0) > 0 ? "fixed" : "bbr"),
      sendRate: path.sendRate ?? 0,
      receiveRate: path.receiveRate ?? 0,
    },
  };
}
