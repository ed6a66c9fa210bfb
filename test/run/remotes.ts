/**
 * A real local engine with its path manager, caps and remotes, and real remote engines, on one virtual clock and a network
 * that takes no time: what a change of the remote does to all of them.
 */
import type { RemoteConfig } from "../../src/config/config.ts";
import type { Environment } from "../../src/proto/environment.ts";
import type { StaticKeys } from "../../src/proto/noise.ts";
import { Peer } from "../../src/proto/peer.ts";
import { offerOf } from "../../src/proto/suites.ts";
import { Caps } from "../../src/run/caps.ts";
import { Detours } from "../../src/run/detours.ts";
import { Engine } from "../../src/run/engine.ts";
import { Knocks } from "../../src/run/knocks.ts";
import { createLog } from "../../src/run/log.ts";
import { pathOf } from "../../src/run/pathcommands.ts";
import { PathManager, type PathSocket } from "../../src/run/pathmanager.ts";
import { peerFor, Remotes } from "../../src/run/remotes.ts";
import type { Endpoint } from "../../src/share/endpoint.ts";
import type { RatedSuite, SendResult } from "../../src/share/io.ts";
import { chooseSuites } from "../../src/sys/aead.ts";
import { createNoiseCrypto } from "../../src/sys/crypto.ts";
import { nativeBlock, nativeCopy, releaseBlock, sharedBlock } from "../../src/sys/memory.ts";
import { endpointOf } from "../../src/sys/udp.ts";
import { copyOf, endpointKey, FakeSocket, FakeTun } from "../sim/fakes.ts";

export const MILLISECOND = 1000;
export const SECOND = 1_000_000;

const PORT = 51900;
const STEP = 10 * MILLISECOND;

const crypto = createNoiseCrypto();

function keysOf(seed: number): StaticKeys {
  const privateKey = new Uint8Array(32).fill(seed);
  return { privateKey, publicKey: crypto.publicKey(privateKey) };
}

const LOCAL = keysOf(1);

const { aes, blake2s } = chooseSuites();
const SUITES: readonly RatedSuite[] = [{ ...aes, speed: 1 }];
/** What a local of this network does not take. */
export const OTHER_SUITES: readonly RatedSuite[] = [{ ...blake2s, speed: 1 }];

class Socket extends FakeSocket implements PathSocket {
  closed = false;
  /** The kernel has no room for the next one. */
  fails = false;

  override send(...args: Parameters<FakeSocket["send"]>): SendResult {
    if (!this.fails) return super.send(...args);
    this.fails = false;
    return "failed";
  }

  close(): void {
    this.closed = true;
  }
}

/** A remote portal at 192.0.2.NUMBER, and at 2001:db8::NUMBER. */
export class Server {
  readonly keys: StaticKeys;
  readonly engine: Engine;
  readonly socket: FakeSocket;
  readonly endpoint: Endpoint;
  readonly endpoint6: Endpoint;
  /** By which address each who asked did. */
  private readonly askedAt = new Map<string, Endpoint>();
  /** It hears nobody, and nobody hears it. */
  dead = false;
  readonly log: string[] = [];
  /** Interfaces by which nothing reaches it; and those by which nothing does at its IPv6 address. */
  readonly blocked6 = new Set<string>();
  readonly blocked = new Set<string>();
  /** Another choice of its operator. */
  suites = SUITES;

  constructor(network: Network, number: number) {
    this.keys = keysOf(number + 1);
    this.endpoint = endpointOf(Uint8Array.of(192, 0, 2, number), PORT);
    this.endpoint6 = endpointOf(Uint8Array.of(32, 1, 13, 184, ...new Uint8Array(11), number), PORT);
    this.socket = new FakeSocket(null, true, (bytes, to) => {
      const from = this.askedAt.get(endpointKey(to))!;
      if (!this.dead && network.online) network.sockets.get(endpointKey(to))?.arrive(bytes, from);
    });
    this.engine = new Engine({
      environment: environmentOf(this.log, () => this.suites),
      statics: this.keys,
      role: "remote",
      peers: [new Peer("home", LOCAL.publicKey, new Uint8Array(32), [])],
      tun: new FakeTun(true, () => {}),
    });
  }

  /** Something is sent to one of its addresses, perhaps. */
  take(device: string, bytes: Uint8Array, from: Endpoint, to: Endpoint): void {
    const at = [this.endpoint, this.endpoint6].find((each) => each.samePeer(to));
    if (this.dead || at === undefined || this.blocked.has(device)) return;
    if (at.isIpv6 && this.blocked6.has(device)) return;
    this.askedAt.set(endpointKey(from), at);
    this.socket.arrive(bytes, from);
  }

  /** What the local's configuration says of it. */
  config(over: Partial<RemoteConfig> = {}): RemoteConfig {
    const host = `192.0.2.${this.endpoint.block.bytes[7]}`;
    const presharedKey = new Uint8Array(32);
    return { host, port: PORT, publicKey: this.keys.publicKey, presharedKey, returnSeconds: 20, ...over };
  }
}

export class Network {
  now = SECOND;
  online = true;
  readonly servers: readonly Server[];
  readonly log: string[] = [];
  readonly paths: PathManager<PathSocket>;
  readonly engine: Engine;
  readonly caps: Caps;
  readonly remotes: Remotes;
  readonly knocks: Knocks;
  /** The local's sockets, by the address that remotes see. */
  readonly sockets = new Map<string, Socket>();
  /** Those that were for asking. */
  readonly knocking: { readonly device: string; readonly socket: Socket }[] = [];
  /** Interfaces without a route to anyone, for asking. */
  readonly routeless = new Set<string>();
  /** The next socket for asking cannot send at first. */
  failing = false;
  /** What names mean: addresses with spaces between them. */
  readonly names = new Map<string, string>();
  private readonly detours: Detours;
  private hosts = 0;
  private tickAt = 0;

  /** `paths`: settings of [[path]], each by an interface of its own. */
  constructor(
    servers: number,
    paths: readonly Readonly<Record<string, unknown>>[],
    configs: (servers: readonly Server[]) => readonly RemoteConfig[] = (all) =>
      all.map((each) => each.config()),
  ) {
    this.servers = Array.from({ length: servers }, (_, i) => new Server(this, i + 1));
    const remotes = configs(this.servers);
    const environment = environmentOf(this.log);
    this.engine = new Engine({
      environment,
      statics: LOCAL,
      role: "local",
      peers: [peerFor(remotes[0]!, remotes.length > 1)],
      tun: new FakeTun(true, () => {}),
    });
    const log = createLog("info", (line) => this.log.push(line));
    this.caps = new Caps([], log, () => Date.UTC(2026, 0, 1) + this.now / 1000);
    const open = (device: string, to: readonly Endpoint[]) => this.open(device, to[0]!, true);
    this.paths = new PathManager(this.engine, "portal0", open, this.caps, log);
    const knock = (device: string, to: readonly Endpoint[]): PathSocket | null => {
      if (this.routeless.has(device)) return null;
      const socket = this.open(device, to[0]!, false);
      socket.fails = this.failing;
      this.failing = false;
      this.knocking.push({ device, socket });
      return socket;
    };
    const knocker = { crypto, statics: LOCAL, offer: offerOf(environment.suites) };
    this.knocks = new Knocks(knocker, knock, nativeBlock(2048));
    this.detours = new Detours(this.engine, this.paths, this.knocks);
    this.remotes = new Remotes(remotes, {
      engine: this.engine,
      paths: this.paths,
      knocks: this.knocks,
      log,
      resolve: async (host) => {
        const address = this.names.get(host);
        if (address === undefined) throw new Error("nobody knows it");
        return address.split(" ");
      },
      clock: () => this.now,
    });
    this.paths.configure(
      this.now,
      paths.map((path, i) => pathOf({ interface: `eth${i}`, ...path })) as never,
    );
    for (const [i] of paths.entries())
      this.paths.onInterface(this.now, { name: `eth${i}`, state: "up", outward: true });
    this.remotes.begin();
  }

  private open(device: string, to: Endpoint, offloads: boolean): Socket {
    const from = endpointOf(Uint8Array.of(198, 51, 100, 1), ++this.hosts);
    const socket = new Socket(copyOf(to), offloads, (bytes, destination) => {
      if (this.online) for (const server of this.servers) server.take(device, bytes, from, destination);
    });
    socket.others = this.servers.flatMap(({ endpoint, endpoint6 }) => [endpoint, endpoint6]);
    this.sockets.set(endpointKey(from), socket);
    return socket;
  }

  /** Which of the servers has a session that is up with the local, and the local with it. */
  get used(): number {
    const session = this.engine.portal.sessions[0];
    if (session?.isUp !== true) return -1;
    return this.servers.findIndex(({ keys }) => keys.publicKey.join() === session.peer.publicKey.join());
  }

  /** The standing of each, in words. */
  get standings(): string[] {
    return this.remotes.report(this.now).map(({ status }) => status);
  }

  async runFor(micros: number): Promise<void> {
    for (const end = this.now + micros; this.now < end; ) await this.step();
  }

  /** Runs until the condition holds; the seconds it took. */
  async until(condition: () => boolean, within: number): Promise<number> {
    const start = this.now;
    while (!condition()) {
      if (this.now > start + within * SECOND)
        throw new Error(`not within ${within} s:\n${this.log.join("\n")}`);
      await this.step();
    }
    return (this.now - start) / SECOND;
  }

  private async step(): Promise<void> {
    const { now, engine } = this;
    for (const socket of this.paths.sockets) while (engine.receive(now, socket));
    engine.service(now);
    for (const { dead, engine: remote, socket } of this.servers) {
      if (dead) socket.clear();
      while (remote.receive(now, socket));
      remote.service(now);
    }
    if (now >= this.tickAt) {
      this.tickAt = now + SECOND;
      this.caps.onTick(now);
      this.paths.onTick(now);
      this.remotes.onTick(now);
      this.detours.onTick(now);
      // Names are looked up beside the loop.
      await Bun.sleep(0);
    }
    this.now += STEP;
  }
}

function environmentOf(log: string[], suites: () => typeof SUITES = () => SUITES): Environment {
  return {
    makeBlock: nativeBlock,
    makeSharedBlock: (length) => sharedBlock(new SharedArrayBuffer(length)),
    releaseBlock,
    copy: nativeCopy,
    crypto,
    get suites() {
      return suites();
    },
    mtu: 1420,
    log: (level, message) => log.push(`${level} ${message}`),
  };
}
