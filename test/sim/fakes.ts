/** What the simulator stands in for: the TUN device and the UDP socket. Each keeps a queue, as the kernel does. */
import type { Block } from "../../src/share/block.ts";
import { Endpoint } from "../../src/share/endpoint.ts";
import type {
  DatagramSocket,
  Gather,
  InterfaceState,
  Refreshed,
  SendResult,
  TunDevice,
} from "../../src/share/io.ts";
import { nativeBlock } from "../../src/sys/memory.ts";
import { endpointOf } from "../../src/sys/udp.ts";

const TUN_BYTES = 10 + 65_536;
/** Reads the kernel keeps for us (txqueuelen), and bytes a socket keeps (SO_RCVBUF). */
const TUN_QUEUE = 500;
const SOCKET_QUEUE_BYTES = 1 << 20;
const SEGMENTS = 64;

interface Waiting {
  readonly bytes: Uint8Array;
  readonly taken: (now: number) => void;
}

export class FakeTun implements TunDevice {
  readonly buffer: Block = nativeBlock(TUN_BYTES);
  readonly offloads: boolean;
  readonly udpOffloads: boolean;
  now = 0;
  /** Packets the kernel will not take from us next. */
  refuse = 0;
  private readonly queue: Waiting[] = [];
  private readonly deliver: (bytes: Uint8Array) => void;

  constructor(offloads: boolean, deliver: (bytes: Uint8Array) => void) {
    this.offloads = offloads;
    this.udpOffloads = offloads;
    this.deliver = deliver;
  }

  /** A host sends a packet into the TUN. False: the queue is full. `taken` is called when portal has read it. */
  push(bytes: Uint8Array, taken: (now: number) => void = () => {}): boolean {
    if (this.queue.length >= TUN_QUEUE) return false;
    this.queue.push({ bytes, taken });
    return true;
  }

  get waiting(): number {
    return this.queue.length;
  }

  read(): number {
    const next = this.queue.shift();
    if (next === undefined) return 0;
    this.buffer.bytes.set(next.bytes);
    next.taken(this.now);
    return next.bytes.length;
  }

  write(packet: Gather): boolean {
    if (this.refuse > 0) {
      this.refuse--;
      return false;
    }
    const bytes = new Uint8Array(packet.bytes);
    let at = 0;
    for (let i = 0; i < packet.count; i++) {
      const from = packet.offsets[i]!;
      const length = packet.lengths[i]!;
      bytes.set(packet.blocks[i]!.bytes.subarray(from, from + length), at);
      at += length;
    }
    this.deliver(bytes);
    return true;
  }
}

interface Arrived {
  readonly bytes: Uint8Array;
  readonly source: Endpoint;
}

/** Where a socket's datagrams go. */
export type Transmit = (bytes: Uint8Array, to: Endpoint, fragments: boolean) => void;

export class FakeSocket implements DatagramSocket {
  readonly segmentation: boolean;
  readonly peer: Endpoint | null;
  readonly source = endpointOf(new Uint8Array(4), 0);
  segment = 0;
  /** What the next sends answer, for faults: "sent" unless set. */
  answer: SendResult = "sent";
  /** An address the kernel will not send to. */
  refused: Endpoint | null = null;
  overflowed = 0;
  sentDatagrams = 0;
  sentWireBytes = 0;
  receivedWireBytes = 0;
  /** What its interface does: one that is not up hears nothing; only one without a carrier seems to send. */
  interfaceState: InterfaceState = "up";
  /** Its interface has another address, which the socket does not know of yet. */
  moved = false;
  /** Its interface has a route to its peer, and so to others. */
  routed = true;
  others: readonly Endpoint[] = [];
  /** Largest IP packet that its interface takes whole; and what ICMP has said of the way to a peer, by its address. */
  deviceMtu = Number.POSITIVE_INFINITY;
  readonly heardMtus = new Map<string, number>();
  readonly headerBytes: number;
  private readonly receivesBatches: boolean;
  private readonly transmit: Transmit;
  private readonly queue: Arrived[] = [];
  private queuedBytes = 0;

  constructor(peer: Endpoint | null, offloads: boolean, transmit: Transmit) {
    this.peer = peer;
    this.headerBytes = peer?.isIpv6 === true ? 48 : 28;
    this.segmentation = offloads;
    this.receivesBatches = offloads;
    this.transmit = transmit;
  }

  /** A datagram reaches this machine. A connected socket hears its peer only. */
  arrive(bytes: Uint8Array, source: Endpoint): void {
    if (this.peer !== null && !this.peer.samePeer(source)) return;
    if (this.interfaceState !== "up") return;
    if (this.queuedBytes + bytes.length > SOCKET_QUEUE_BYTES) {
      this.overflowed++;
      return;
    }
    this.queue.push({ bytes, source });
    this.queuedBytes += bytes.length;
  }

  get waiting(): number {
    return this.queue.length;
  }

  clear(): void {
    this.queue.length = 0;
    this.queuedBytes = 0;
  }

  receive(into: Block): number {
    const first = this.queue.shift();
    if (first === undefined) return 0;
    this.source.copyFrom(first.source);
    this.segment = first.bytes.length;
    into.bytes.set(first.bytes);
    let length = first.bytes.length;
    this.queuedBytes -= length;
    this.receivedWireBytes += length + this.headerBytes;
    // UDP_GRO: more of the same sender and size, and at most one shorter behind them.
    for (let count = 1; this.receivesBatches && count < SEGMENTS; count++) {
      const next = this.queue[0];
      if (next === undefined || next.bytes.length > this.segment || next.source !== first.source) break;
      if (length + next.bytes.length > into.bytes.length) break;
      this.queue.shift();
      into.bytes.set(next.bytes, length);
      length += next.bytes.length;
      this.queuedBytes -= next.bytes.length;
      this.receivedWireBytes += next.bytes.length + this.headerBytes;
      if (next.bytes.length < this.segment) break;
    }
    return length;
  }

  mtu(to: Endpoint | null): number {
    const heard = this.heardMtus.get(endpointKey(to ?? this.peer!)) ?? 0;
    const device = Number.isFinite(this.deviceMtu) ? this.deviceMtu : 0;
    return heard > 0 && device > 0 ? Math.min(heard, device) : heard + device;
  }

  send(
    from: Block,
    offset: number,
    length: number,
    segment: number,
    to: Endpoint | null,
    fragments = 0,
  ): SendResult {
    if (!(length > 0 && segment > 0)) throw new Error("send: nothing to send");
    if (length > segment && !this.segmentation)
      return this.sendEach(from, offset, length, segment, to, fragments);
    if (Math.ceil(length / segment) > SEGMENTS || length > 65_507)
      throw new Error("send: more than UDP_SEGMENT takes");
    return this.sendEach(from, offset, length, segment, to, fragments);
  }

  reaches(remote: Endpoint): boolean {
    return this.routed || this.others.some((other) => other.samePeer(remote));
  }

  refresh(ifMoved: boolean): Refreshed {
    if (ifMoved && !this.moved) return "same";
    this.moved = false;
    return "moved";
  }

  private sendEach(
    from: Block,
    offset: number,
    length: number,
    segment: number,
    to: Endpoint | null,
    fragments: number,
  ): SendResult {
    const destination = to ?? this.peer;
    if (destination === null || destination.length === 0) throw new Error("send: no destination");
    if (this.answer !== "sent") return this.answer;
    if (this.interfaceState === "no carrier") return "sent";
    if (this.moved || this.interfaceState !== "up") return "failed";
    if (this.refused?.samePeer(destination) === true) return "failed";
    if (fragments === 0 && Math.min(segment, length) + this.headerBytes > this.deviceMtu) return "tooBig";
    for (let at = 0; at < length; at += segment) {
      const end = offset + Math.min(at + segment, length);
      this.sentDatagrams++;
      this.sentWireBytes += end - offset - at + this.headerBytes;
      this.transmit(from.bytes.slice(offset + at, end), destination, fragments > 0);
    }
    return "sent";
  }
}

/** An endpoint's text, for tables: two endpoints of the same peer have the same. */
export function endpointKey(endpoint: Endpoint): string {
  const { bytes } = endpoint.block;
  const address = endpoint.isIpv6 ? bytes.subarray(8, 24) : bytes.subarray(4, 8);
  return `${Buffer.from(address).toString("hex")}:${endpoint.port}`;
}

export function copyOf(endpoint: Endpoint): Endpoint {
  const copy = new Endpoint(nativeBlock(Endpoint.size));
  copy.copyFrom(endpoint);
  return copy;
}
