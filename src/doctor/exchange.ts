/** Asks a remote portal by each path alone whether it answers (proto/knock.ts), and pings it. */
import type { LocalConfig, RemoteConfig } from "../config/config.ts";
import { Knock, type Knocker } from "../proto/knock.ts";
import { AES_256_GCM, CHACHA20_POLY1305, namesIn, speedOfClass, suiteName } from "../proto/suites.ts";
import type { Endpoint } from "../share/endpoint.ts";
import { ECONNREFUSED, SysError } from "../sys/errno.ts";
import { Pinger } from "../sys/icmp.ts";
import { errno } from "../sys/libc.ts";
import { nativeBlock } from "../sys/memory.ts";
import { Poller } from "../sys/poll.ts";
import { UdpSocket } from "../sys/udp.ts";
import type { ResponsePayload } from "../wire/handshake.ts";
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

export interface Asker extends Knocker {
  readonly config: LocalConfig;
  /** The one of its remotes that is asked. */
  readonly known: RemoteConfig;
}

/** One outcome for each device. */
export function exchangeBy(devices: readonly string[], remote: Endpoint, asker: Asker): Exchange[] {
  const { crypto, statics, known } = asker;
  if (crypto.sharedSecret(statics.privateKey, known.publicKey) === null) {
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
  private readonly knock: Knock;
  private readonly block = nativeBlock(MESSAGE_BYTES);
  private sentAt = 0;
  private retryAt = 0;

  constructor(device: string, remote: Endpoint, asker: Asker) {
    this.knock = new Knock(asker, asker.known);
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
    const message = this.knock.initiation(now);
    this.retryAt = now + RETRY;
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
    const reply = this.knock.onMessage(now, this.block.bytes.slice(0, length), this.socket!.source);
    const { said } = this.knock;
    if (reply === "cookie") this.retryAt = now;
    else if (reply === "unreadable") this.outcome = { outcome: reply };
    else if (said !== null && reply !== "foreign") this.outcome = outcomeOf(said, now - this.sentAt);
  }
}

/** What the remote's own words mean. */
function outcomeOf(fields: ResponsePayload, rtt: number): Exchange {
  if (fields.refused) return { outcome: "other cipher", theirs: namesIn(fields) };
  const speeds = [
    [AES_256_GCM, fields.aesSpeed],
    [CHACHA20_POLY1305, fields.chachaSpeed],
  ] as const;
  return {
    outcome: "answered",
    rttMs: rtt / 1000,
    suite: suiteName(fields.suiteId),
    remoteSpeeds: speeds
      .filter(([, speed]) => speed > 0)
      .map(([id, speed]) => ({ name: suiteName(id), mbit: speedOfClass(speed) })),
  };
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
