/**
 * Asks the remote portal for a handshake by each path alone, and pings it. A handshake that is never proved changes
 * nothing at the remote: whoever has a session with it keeps that (proto/acceptor.ts).
 */
import type { LocalConfig } from "../config/config.ts";
import { MacChecker, MacStamper } from "../proto/cookie.ts";
import { Initiator, type StaticKeys } from "../proto/noise.ts";
import type { NoiseCrypto } from "../proto/noisecrypto.ts";
import type { Endpoint } from "../share/endpoint.ts";
import { ECONNREFUSED, SysError } from "../sys/errno.ts";
import { Pinger } from "../sys/icmp.ts";
import { errno } from "../sys/libc.ts";
import { nativeBlock } from "../sys/memory.ts";
import { Poller } from "../sys/poll.ts";
import { UdpSocket } from "../sys/udp.ts";
import { emitInitiationPayload, parseResponse, SESSION_ID_BYTES, VERSION } from "../wire/handshake.ts";
import type { Exchange, PathFacts } from "./judge/facts.ts";

/** Microseconds. */
const RETRY = 700_000;
const PATIENCE = 2_500_000;
const PING_RETRY = 400_000;
const PING_PATIENCE = 1_000_000;

const MESSAGE_BYTES = 2048;

/** Microseconds of a clock that never goes back. */
function micros(): number {
  return Bun.nanoseconds() / 1000;
}

export interface Asker {
  readonly config: LocalConfig;
  readonly crypto: NoiseCrypto;
  readonly statics: StaticKeys;
  readonly suiteId: number;
}

/** One outcome for each device. */
export function exchangeBy(devices: readonly string[], remote: Endpoint, asker: Asker): Exchange[] {
  const { crypto, statics, config } = asker;
  if (crypto.sharedSecret(statics.privateKey, config.remote.publicKey) === null) {
    return devices.map(() => ({
      outcome: "unsent",
      problem: "[remote] public_key belongs to no private key",
    }));
  }
  const attempts = devices.map((device) => new Attempt(device, remote, asker));
  const open = attempts.filter((attempt) => attempt.socket !== null);
  const poller = new Poller(open.length);
  for (const attempt of open) poller.add(attempt.socket!.fd);
  const end = micros() + PATIENCE;
  while (micros() < end && open.some((attempt) => attempt.outcome === null)) {
    for (const attempt of open) attempt.onTimeout(micros());
    poller.wait(20_000);
    const now = micros();
    for (const [i, attempt] of open.entries()) if (poller.readable(i)) attempt.onReadable(now);
  }
  for (const attempt of attempts) attempt.socket?.close();
  return attempts.map((attempt) => attempt.outcome ?? { outcome: "silent" });
}

/** One path's handshake: begun anew, with keys of its own, until it is answered. */
class Attempt {
  outcome: Exchange | null = null;
  readonly socket: UdpSocket | null = null;
  private readonly asker: Asker;
  private readonly stamper: MacStamper;
  private readonly checker: MacChecker;
  private readonly block = nativeBlock(MESSAGE_BYTES);
  private initiator: Initiator | null = null;
  private index = 0;
  private sentAt = 0;
  private retryAt = 0;

  constructor(device: string, remote: Endpoint, asker: Asker) {
    this.asker = asker;
    this.stamper = new MacStamper(asker.crypto, asker.config.remote.publicKey);
    this.checker = new MacChecker(asker.crypto, asker.statics.publicKey);
    try {
      const socket = new UdpSocket({ ipv6: remote.isIpv6, device, offloads: false });
      socket.connect(remote);
      this.socket = socket;
    } catch (error) {
      if (!(error instanceof SysError)) throw error;
      this.outcome = { outcome: "unsent", problem: error.message };
    }
  }

  onTimeout(now: number): void {
    if (this.outcome !== null || now < this.retryAt) return;
    const { crypto, statics, config, suiteId } = this.asker;
    const random = crypto.random(4);
    this.index = new DataView(random.buffer).getUint32(0);
    this.initiator = new Initiator(crypto, statics, config.remote.publicKey, config.remote.presharedKey);
    const sessionId = crypto.random(SESSION_ID_BYTES);
    const payload = emitInitiationPayload({
      sessionId,
      version: VERSION,
      suiteId,
      rekey: false,
      wantsLease: false,
    });
    const message = this.initiator.initiation(0, this.index, payload);
    this.retryAt = now + RETRY;
    this.stamper.stamp(now, message);
    this.block.bytes.set(message);
    this.sentAt = micros();
    if (this.socket!.send(this.block, 0, message.length, message.length, null) === "sent") return;
    this.outcome = { outcome: "unsent", problem: new SysError("send", errno()).message };
  }

  onReadable(now: number): void {
    const length = this.socket!.receive(this.block);
    if (length === 0) {
      if (errno() === ECONNREFUSED) this.outcome = { outcome: "refused" };
      return;
    }
    const message = this.block.bytes.slice(0, length);
    const response = parseResponse(message);
    if (response === null) {
      // It wants a cookie first: it gets one with the next initiation.
      if (this.stamper.readCookieReply(now, message)) this.retryAt = now;
      return;
    }
    if (response.receiverIndex !== this.index) return;
    if (this.checker.check(now, message, this.socket!.source, false) !== "ok") return;
    const answer = this.initiator!.response(message);
    this.outcome =
      answer === null
        ? { outcome: "unreadable" }
        : { outcome: "answered", rttMs: (now - this.sentAt) / 1000 };
  }
}

/** Sizes of the packets that are tried besides the interface's own MTU: those of common lines and tunnels. */
const SIZES = [
  1500, 1492, 1488, 1480, 1472, 1460, 1450, 1440, 1430, 1420, 1400, 1380, 1360, 1340, 1300, 1280, 1000, 576,
  100,
];

/** For each device what its pings brought; null where none could be sent. */
export function pingBy(
  devices: readonly { readonly name: string; readonly mtu: number }[],
  remote: Endpoint,
  id: number,
): PathFacts["ping"][] {
  const pingers = devices.map(({ name }, i) => openPinger(name, remote, id + i));
  const largest = devices.map(() => 0);
  const poller = new Poller(devices.length);
  const indices = pingers.map((pinger) => (pinger === null ? -1 : poller.add(pinger.fd)));
  const start = micros();
  let sendAt = start;
  const settled = () =>
    pingers.every((pinger, i) => pinger === null || largest[i] === sizesFor(devices[i]!.mtu)[0]);
  while (micros() < start + PING_PATIENCE && !settled()) {
    if (micros() >= sendAt) {
      sendAt += PING_RETRY;
      for (const [i, pinger] of pingers.entries()) {
        for (const size of sizesFor(devices[i]!.mtu)) if (size > largest[i]!) pinger?.send(size);
      }
    }
    poller.wait(20_000);
    for (const [i, pinger] of pingers.entries()) {
      if (pinger === null || !poller.readable(indices[i]!)) continue;
      for (let size = pinger.receive(); size > 0; size = pinger.receive())
        largest[i] = Math.max(largest[i]!, size);
    }
  }
  for (const pinger of pingers) pinger?.close();
  return pingers.map((pinger, i) =>
    pinger === null ? null : { answered: largest[i]! > 0, largest: largest[i]! },
  );
}

function openPinger(device: string, remote: Endpoint, id: number): Pinger | null {
  try {
    return new Pinger(device, remote, id);
  } catch (error) {
    if (error instanceof SysError) return null;
    throw error;
  }
}

/** The largest first. */
function sizesFor(mtu: number): number[] {
  return [mtu, ...SIZES.filter((size) => size < mtu)];
}
