/**
 * Hundreds of homes in one process, for `npm run bench -- sessions` and `crowd`: each is a real local portal (src/run/engine.ts) with
 * keys and a session of its own, but has no TUN, and all share one socket. Each path of each home has an address of its
 * own, so that the remote sees as many hosts; the socket sends from them and tells from them whose a datagram is.
 *
 *     bun homes.ts COUNT       prints the homes' public keys as a JSON list; takes commands, a line each, on standard input:
 *       begin KEY              the homes dial the remote that has this public key; then prints `Progress`, ten times a second
 *       upload HOMES MBIT SECONDS    so many of the homes send packets through their tunnels, in turn, so much together;
 *                              prints how many
 *       flood RATE SECONDS     sends authentic initiations that nobody will ever prove, from an address of their own; prints
 *                              how many
 */

import { ADDRESSES, TUNNEL_PORT } from "../../src/lab/namespaces.ts";
import { Agenda, type Planned } from "../../src/proto/agenda.ts";
import { MacStamper } from "../../src/proto/cookie.ts";
import type { Environment } from "../../src/proto/environment.ts";
import { Initiator, type StaticKeys } from "../../src/proto/noise.ts";
import { Peer } from "../../src/proto/peer.ts";
import { Engine, type LocalPath } from "../../src/run/engine.ts";
import { micros } from "../../src/run/loop.ts";
import type { Block } from "../../src/share/block.ts";
import type { DatagramSocket, Gather, Refreshed, SendResult, TunDevice } from "../../src/share/io.ts";
import { chooseSuites } from "../../src/sys/aead.ts";
import { createNoiseCrypto } from "../../src/sys/crypto.ts";
import { nativeBlock, nativeCopy, releaseBlock, sharedBlock } from "../../src/sys/memory.ts";
import { Poller } from "../../src/sys/poll.ts";
import { endpointOf, UdpSocket } from "../../src/sys/udp.ts";
import { parseAddress } from "../../src/wire/address.ts";
import { emitInitiationPayload, VERSION } from "../../src/wire/handshake.ts";
import { VIRTIO_BYTES } from "../../src/wire/virtio.ts";
import { homeAddress, PATHS, pathAddress, pathOf } from "./homeplan.ts";
import { MTU, TURN_PACKETS, Turns, uploaded } from "./offering.ts";

export interface Progress {
  /** Homes all of whose paths are up. */
  readonly up: number;
  /** Of inner packets that came to any home. */
  readonly bytes: number;
}

const BATCH_BYTES = 65_536;
/** Blocks from this size on are used only within one turn of one home: all homes have the same ones. */
const LARGE = 4096;
const TUN_BYTES = VIRTIO_BYTES + 65_536;
const LOCAL_ADDRESS = 32;
const TICK = 100_000;
const EVENTS_EVERY = 20_000;
/** While homes send in turn. */
const TURN_EVERY = 1_000;

const crypto = createNoiseCrypto();
const suites = chooseSuites();
const remote = parseAddress(ADDRESSES.remoteEndpoint[4])!;
const large: Block[] = [];
const scratch = nativeBlock(TUN_BYTES);

/** One path of one home: its way through the socket that all share. */
class Carrier implements DatagramSocket {
  readonly sentWireBytes = 0;
  readonly receivedWireBytes = 0;
  readonly headerBytes = 28;
  readonly segmentation = true;
  readonly peer = endpointOf(remote, TUNNEL_PORT);
  readonly source = endpointOf(remote, TUNNEL_PORT);
  segment = 0;
  private readonly socket: UdpSocket;
  private pending: Block | null = null;
  private pendingBytes = 0;

  constructor(socket: UdpSocket, address: Uint8Array) {
    this.socket = socket;
    this.peer.block.bytes.set(address, LOCAL_ADDRESS);
  }

  /** What `receive` gives next. */
  take(block: Block, bytes: number, segment: number): void {
    this.pending = block;
    this.pendingBytes = bytes;
    this.segment = segment;
  }

  receive(into: Block): number {
    if (this.pending === null) return 0;
    nativeCopy(into, 0, this.pending, 0, this.pendingBytes);
    this.pending = null;
    return this.pendingBytes;
  }

  send(from: Block, offset: number, length: number, segment: number): SendResult {
    return this.socket.send(from, offset, length, segment, this.peer);
  }

  mtu(): number {
    return 0;
  }

  refresh(): Refreshed {
    return "same";
  }
}

/** A tunnel's end without a device: what comes is counted, and what it sends is one packet, as often as it may. */
class Tap implements TunDevice {
  readonly buffer = scratch;
  readonly offloads = true;
  readonly udpOffloads = false;
  bytes = 0;
  /** Packets to send. */
  due = 0;
  private readonly packet: Uint8Array;

  constructor(address: Uint8Array) {
    this.packet = uploaded(address);
  }

  read(): number {
    if (this.due === 0) return 0;
    this.due--;
    this.buffer.bytes.set(this.packet, VIRTIO_BYTES);
    return VIRTIO_BYTES + this.packet.length;
  }

  write(packet: Gather): boolean {
    this.bytes += packet.bytes - VIRTIO_BYTES;
    return true;
  }
}

class Home implements Planned {
  at = 0;
  place = -1;
  readonly tun: Tap;
  readonly carriers: readonly Carrier[];
  readonly engine: Engine;

  constructor(number: number, statics: StaticKeys, peer: Peer, socket: UdpSocket) {
    this.tun = new Tap(homeAddress(number));
    this.carriers = Array.from(
      { length: PATHS },
      (_, path) => new Carrier(socket, pathAddress(number, path)),
    );
    const paths = this.carriers.map(
      (socket, path): LocalPath => ({
        name: `path${path}`,
        socket,
        use: { metric: 0, spill: false, congestion: "bbr", sendRate: 0, receiveRate: 0 },
        state: "up",
        cap: null,
      }),
    );
    const environment = environmentOf();
    this.engine = new Engine({ environment, statics, role: "local", peers: [peer], tun: this.tun });
    for (const path of paths) this.engine.addPath(0, path);
  }

  get isUp(): boolean {
    const order = this.engine.portal.sessions[0]?.order ?? [];
    return order.length === PATHS && order.every(({ status }) => status === "up");
  }

  turn(now: number): void {
    this.engine.service(now);
    this.at = this.engine.nextAt;
  }
}

function environmentOf(): Environment {
  let made = 0;
  return {
    makeBlock: (length) => {
      if (length < LARGE) return nativeBlock(length);
      const block = large[made] ?? nativeBlock(Math.max(length, TUN_BYTES));
      large[made++] = block;
      return block;
    },
    makeSharedBlock: (length) => sharedBlock(new SharedArrayBuffer(length)),
    releaseBlock,
    copy: nativeCopy,
    crypto,
    suites: [{ ...suites.aes, speed: 1 }],
    mtu: MTU,
    log: () => {},
  };
}

class Homes {
  private readonly keys: readonly StaticKeys[];
  private readonly homes: Home[] = [];
  private readonly agenda = new Agenda<Home>();
  private readonly socket = new UdpSocket({ ipv6: false, port: TUNNEL_PORT, packetInfo: true });
  private readonly buffer = nativeBlock(BATCH_BYTES);
  private upload: Upload | null = null;
  private remoteKey = new Uint8Array(32);

  constructor(count: number) {
    this.keys = Array.from({ length: count }, () => {
      const privateKey = crypto.random(32);
      return { privateKey, publicKey: crypto.publicKey(privateKey) };
    });
  }

  get publicKeys(): string[] {
    return this.keys.map(({ publicKey }) => Buffer.from(publicKey).toString("base64"));
  }

  begin(remoteKey: Uint8Array): void {
    this.remoteKey = remoteKey.slice();
    const everywhere = [{ bytes: new Uint8Array(4), length: 0 }];
    for (const [number, statics] of this.keys.entries()) {
      const peer = new Peer("remote", remoteKey, new Uint8Array(32), everywhere);
      const home = new Home(number, statics, peer, this.socket);
      this.homes.push(home);
      this.agenda.add(home);
    }
  }

  async run(): Promise<void> {
    const poller = new Poller(1);
    poller.add(this.socket.fd);
    let tickAt = 0;
    let eventsAt = 0;
    for (;;) {
      const before = micros();
      const longest = this.upload === null ? EVENTS_EVERY : TURN_EVERY;
      poller.wait(Math.min(Math.max(this.agenda.nextAt - before, 0), longest));
      const now = micros();
      this.receive(now);
      this.send(now);
      for (let home = this.agenda.due(now); home !== null; home = this.agenda.due(now)) {
        home.turn(now);
        this.agenda.add(home);
      }
      if (now >= tickAt && this.homes.length > 0) {
        tickAt = now + TICK;
        const up = this.homes.filter((home) => home.isUp).length;
        const bytes = this.homes.reduce((sum, { tun }) => sum + tun.bytes, 0);
        say({ up, bytes } satisfies Progress);
      }
      if (now >= eventsAt) {
        await new Promise<void>((resolve) => setImmediate(resolve));
        eventsAt = micros() + EVENTS_EVERY;
      }
    }
  }

  beginUpload(homes: number, mbit: number, seconds: number): void {
    this.upload = { turns: new Turns(homes, mbit, seconds), startedAt: micros() };
  }

  /** What is due of an upload. */
  private send(now: number): void {
    if (this.upload === null) return;
    const { turns, startedAt } = this.upload;
    for (let number = turns.next(now - startedAt); number >= 0; number = turns.next(now - startedAt)) {
      const home = this.homes[number]!;
      home.tun.due += TURN_PACKETS;
      while (home.engine.stage(now));
      this.agenda.move(home, 0);
    }
    if (!turns.over(now - startedAt)) return;
    this.upload = null;
    say(turns.packets);
  }

  private receive(now: number): void {
    const { socket, buffer } = this;
    for (let i = 0; i < 64; i++) {
      const bytes = socket.receive(buffer);
      if (bytes === 0) return;
      const at = pathOf(socket.source.block.bytes.subarray(LOCAL_ADDRESS, LOCAL_ADDRESS + 4));
      const home = at === null ? undefined : this.homes[at.home];
      if (home === undefined) continue;
      const carrier = home.carriers[at!.path]!;
      carrier.take(buffer, bytes, socket.segment);
      home.engine.receive(now, carrier);
      this.agenda.move(home, 0);
    }
  }

  /** The messages are made first, so that sending them costs little. */
  async flood(perSecond: number, seconds: number): Promise<number> {
    const peers = this.keys.map((statics) => ({
      statics,
      stamper: new MacStamper(crypto, this.remoteKey),
    }));
    const count = perSecond * seconds;
    const messages = Array.from({ length: count }, (_, i) => {
      const { statics, stamper } = peers[i % peers.length]!;
      const initiator = new Initiator(crypto, statics, this.remoteKey, new Uint8Array(32));
      const sessionId = crypto.random(8);
      const payload = emitInitiationPayload({
        sessionId,
        version: VERSION,
        suiteId: suites.aes.id,
        aesSpeed: 0,
        chachaSpeed: 0,
        rekey: false,
        wantsLease: false,
      });
      const message = initiator.initiation(0, i + 1, payload);
      stamper.stamp(0, message);
      return message;
    });
    say("ready");
    // Nobody has the last address; what is answered there is lost.
    const to = endpointOf(remote, TUNNEL_PORT);
    to.block.bytes.set(pathAddress(0xffff, 0), LOCAL_ADDRESS);
    const block = nativeBlock(512);
    const startedAt = micros();
    for (let sent = 0; sent < count; ) {
      const due = Math.min(count, ((micros() - startedAt) * perSecond) / 1e6);
      for (; sent < due; sent++) {
        const message = messages[sent]!;
        block.bytes.set(message);
        this.socket.send(block, 0, message.length, message.length, to);
      }
      await Bun.sleep(1);
    }
    return count;
  }
}

interface Upload {
  readonly turns: Turns;
  readonly startedAt: number;
}

function say(what: unknown): void {
  process.stdout.write(`${JSON.stringify(what)}\n`);
}

async function main(words: readonly string[]): Promise<void> {
  const homes = new Homes(Number(words[0]));
  say(homes.publicKeys);
  process.stdin.on("data", async (bytes) => {
    const [command, first, second, third] = bytes.toString().trim().split(" ");
    if (command === "begin") homes.begin(Buffer.from(first!, "base64"));
    if (command === "upload") homes.beginUpload(Number(first), Number(second), Number(third));
    if (command === "flood") say(await homes.flood(Number(first), Number(second)));
  });
  await homes.run();
}

await main(process.argv.slice(2));
