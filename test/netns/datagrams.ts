/**
 * UDP packets whose bytes are known, for clients and servers behind the tunnel.
 *
 *     bun test/netns/datagrams.ts echo FAMILY PORT       sends back what comes
 *     bun test/netns/datagrams.ts send HOST PORT COUNT   sends, checks what comes back, and tells as JSON
 *
 * Some leave one by one, some in trains of equal size in one system call (UDP_SEGMENT), some larger than any MTU.
 */
import type { Family } from "../../src/lab/namespaces.ts";
import { say } from "../../src/lab/say.ts";
import { nativeBlock } from "../../src/sys/memory.ts";
import { Poller } from "../../src/sys/poll.ts";
import { endpointOf, UdpSocket } from "../../src/sys/udp.ts";
import { parseAddress } from "../../src/wire/address.ts";
import type { DatagramResult } from "./traffic.ts";

/** Packets larger than the interface takes leave in fragments. */
const FRAGMENTS = 65_535;

/** From the smallest to what leaves in several fragments. */
const SIZES = [4, 5, 60, 61, 512, 1000, 1001, 1300, 1392, 1393, 1472, 1473, 2500, 4000];
const TRAIN_SIZES = [64, 500, 1200, 1300];
const TRAIN_PACKETS = 12;
/** Unanswered ones at a time: little enough for every queue on the way. */
const WINDOW = 48;
/** When nothing has come for so long, what is missing is lost. */
const PATIENCE_MILLIS = 2_000;

/** As they came, trains as trains. */
function echo(family: Family, port: number): void {
  const socket = new UdpSocket({ ipv6: family === 6, port, packetInfo: true });
  const block = nativeBlock(65_536);
  const poller = new Poller(1);
  poller.add(socket.fd);
  say({ listening: true });
  for (;;) {
    poller.wait(1_000_000);
    for (let bytes = socket.receive(block); bytes > 0; bytes = socket.receive(block)) {
      socket.send(block, 0, bytes, socket.segment, socket.source, FRAGMENTS);
    }
  }
}

/** Writes packet `number`: the number, then bytes that follow from it and from their place. */
function fill(bytes: Uint8Array, offset: number, length: number, number: number): void {
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(offset, number);
  for (let i = 4; i < length; i++) bytes[offset + i] = number * 31 + i * 7 + (i >> 8);
}

class Sender {
  readonly result: DatagramResult = { sent: 0, echoed: 0, duplicates: 0, damaged: 0 };
  private readonly socket: UdpSocket;
  private readonly out = nativeBlock(65_536);
  private readonly in = nativeBlock(65_536);
  private readonly expected = new Uint8Array(65_536);
  private readonly lengths: number[] = [];
  private readonly came = new Set<number>();

  constructor(host: string, port: number) {
    const address = parseAddress(host)!;
    this.socket = new UdpSocket({ ipv6: address.length === 16 });
    this.socket.connect(endpointOf(address, port));
  }

  async run(count: number): Promise<void> {
    let lastAt = performance.now();
    const deadline = (): boolean => performance.now() - lastAt > PATIENCE_MILLIS;
    for (let round = 0; this.result.sent < count || this.came.size < this.result.sent; round++) {
      if (this.receive()) lastAt = performance.now();
      if (this.result.sent < count && this.result.sent - this.came.size < WINDOW) this.send(round);
      else if (deadline()) return;
      else await Bun.sleep(1);
    }
  }

  private send(round: number): void {
    const size = round % 3 === 2 ? TRAIN_SIZES[round % TRAIN_SIZES.length]! : SIZES[round % SIZES.length]!;
    const packets = round % 3 === 2 ? TRAIN_PACKETS : 1;
    for (let i = 0; i < packets; i++) {
      fill(this.out.bytes, i * size, size, this.result.sent++);
      this.lengths.push(size);
    }
    const result = this.socket.send(this.out, 0, packets * size, size, null, FRAGMENTS);
    if (result !== "sent") throw new Error(`${packets} packets of ${size} bytes: ${result}`);
  }

  private receive(): boolean {
    const { result } = this;
    const before = result.echoed;
    for (let bytes = this.socket.receive(this.in); bytes > 0; bytes = this.socket.receive(this.in)) {
      const { segment } = this.socket;
      for (let at = 0; at < bytes; at += segment) this.check(at, Math.min(segment, bytes - at));
    }
    return result.echoed > before;
  }

  private check(at: number, length: number): void {
    const { result } = this;
    const number = this.in.view.getUint32(at);
    fill(this.expected, 0, length, number);
    const right = Buffer.from(this.in.bytes.subarray(at, at + length)).equals(
      this.expected.subarray(0, length),
    );
    if (!right || this.lengths[number] !== length) result.damaged++;
    else if (this.came.has(number)) result.duplicates++;
    else {
      this.came.add(number);
      result.echoed++;
    }
  }
}

const [what, ...args] = process.argv.slice(2);
if (what === "echo") echo(args[0] === "6" ? 6 : 4, Number(args[1]));
else {
  const sender = new Sender(args[0]!, Number(args[1]));
  await sender.run(Number(args[2]));
  say(sender.result);
}
