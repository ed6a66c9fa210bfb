/**
 * What is sent to the homes of `npm run bench -- sessions`, and by them.
 *
 *     bun offering.ts burst COUNT PACKETS         sends so many full packets to every home (from behind the remote)
 *     bun offering.ts stream COUNT MBIT SECONDS   sends packets to the homes, in turn, so much together (from there)
 */
import { micros } from "../../src/run/loop.ts";
import type { Endpoint } from "../../src/share/endpoint.ts";
import { nativeBlock } from "../../src/sys/memory.ts";
import { endpointOf, UdpSocket } from "../../src/sys/udp.ts";
import { homeAddress, NOBODY } from "./homeplan.ts";

export const MTU = 1420;
/** As many as a moderately fast flow has in a segment. */
export const TURN_PACKETS = 16;

/** Whose turn it is, of homes that have so much together. */
export class Turns {
  packets = 0;
  private readonly homes: number;
  private readonly perMicro: number;
  private readonly micros: number;

  constructor(homes: number, mbit: number, seconds: number) {
    this.homes = homes;
    this.perMicro = mbit / 8 / MTU;
    this.micros = seconds * 1e6;
  }

  /** After so many microseconds: the home that is to have `TURN_PACKETS`; -1: none yet. */
  next(elapsed: number): number {
    if (this.packets + TURN_PACKETS > Math.min(elapsed, this.micros) * this.perMicro) return -1;
    const turn = this.packets / TURN_PACKETS;
    this.packets += TURN_PACKETS;
    return turn % this.homes;
  }

  over(elapsed: number): boolean {
    return elapsed >= this.micros;
  }
}

/** A full UDP packet from this address to nobody behind the remote. */
export function uploaded(from: Uint8Array): Uint8Array {
  const packet = new Uint8Array(MTU);
  const view = new DataView(packet.buffer);
  packet.set([0x45, 0, MTU >> 8, MTU & 255, 0, 0, 0x40, 0, 64, 17]);
  packet.set(from, 12);
  packet.set(NOBODY, 16);
  let sum = 0;
  for (let at = 0; at < 20; at += 2) sum += view.getUint16(at);
  view.setUint16(10, ~((sum & 0xffff) + (sum >> 16)) & 0xffff);
  // From port 9 to port 9, without a checksum.
  view.setUint16(20, 9);
  view.setUint16(22, 9);
  view.setUint16(24, MTU - 20);
  return packet;
}

/** Packets to the homes in turn. */
async function stream(count: number, mbit: number, seconds: number): Promise<void> {
  const socket = new UdpSocket({ ipv6: false, port: 0 });
  const payload = MTU - 28;
  const block = nativeBlock(65_536);
  const turns = new Turns(count, mbit, seconds);
  const addresses = Array.from({ length: count }, (_, home) => endpointOf(homeAddress(home), 9));
  const startedAt = micros();
  for (let now = 0; !turns.over(now); now = micros() - startedAt) {
    for (let home = turns.next(now); home >= 0; home = turns.next(now))
      socket.send(block, 0, TURN_PACKETS * payload, payload, addresses[home]!);
    await Bun.sleep(1);
  }
}

/** A burst to each home, in segments as a busy server's kernel sends them. */
async function burst(count: number, packets: number): Promise<void> {
  const socket = new UdpSocket({ ipv6: false, port: 0 });
  const payload = MTU - 28;
  const most = Math.floor(65_000 / payload);
  const block = nativeBlock(65_536);
  for (let sent = 0; sent < packets; sent += most) {
    for (let home = 0; home < count; home++) {
      const bytes = Math.min(most, packets - sent) * payload;
      const to: Endpoint = endpointOf(homeAddress(home), 9);
      // The TUN keeps a few hundred of them.
      while (socket.send(block, 0, bytes, payload, to) === "full") await Bun.sleep(1);
      if (home % 16 === 15) await Bun.sleep(1);
    }
  }
}

async function main([command, ...words]: readonly string[]): Promise<void> {
  const [homes, first, second] = words.map(Number);
  if (command === "burst") await burst(homes!, first!);
  if (command === "stream") await stream(homes!, first!, second!);
}

if (import.meta.main) await main(process.argv.slice(2));
