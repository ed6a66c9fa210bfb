/**
 * A UDP socket of the portal's own thread that workers seal, send, receive and open for: trains go to one over a lane, batches
 * come from one over another (run/handiwork.ts, run/worker.ts). What is told by the kernel of a train that was sent is
 * told with a later one.
 */

import { Bell } from "../share/bell.ts";
import type { Block } from "../share/block.ts";
import { Endpoint } from "../share/endpoint.ts";
import type { Refreshed, SendResult } from "../share/io.ts";
import { Lane } from "../share/lane.ts";
import { EventFd } from "../sys/eventfd.ts";
import { nativeBlock, nativeCopy, sharedBlock } from "../sys/memory.ts";
import { Poller } from "../sys/poll.ts";
import { type UdpSocket, wireBytes } from "../sys/udp.ts";
import {
  ADDRESSED,
  BATCHES,
  FAILED,
  FRAGMENTS,
  FRAGMENTS_BEFORE,
  FULL,
  GENERATION,
  isHandshake,
  LENGTH,
  NUMBER,
  PLACE,
  RESULT,
  SEGMENT,
  setNumber,
  TOO_BIG,
  TRAINS,
  UNSEGMENTED,
} from "./handiwork.ts";
import type { Desk } from "./laneaead.ts";
import type { PathSocket } from "./pathmanager.ts";

/** A socket of the loop: readable by its descriptor. */
export interface PortalSocket extends PathSocket {
  readonly fd: number;
  /** True when one `receive` may bring several datagrams (UDP_GRO). */
  readonly receivesBatches: boolean;
}

/** So many datagrams are sealed and sent here, while nothing is ahead of them: waking a worker would take longer. */
const SMALL_TRAIN = 2;

export class LaneSocket implements PortalSocket {
  readonly fd: number;
  readonly source = new Endpoint(nativeBlock(Endpoint.size));
  segment = 0;
  receivedWireBytes = 0;
  /** What the workers are given: the lanes' memory, and that of the bell which rings here. */
  readonly trainsMemory = new SharedArrayBuffer(Lane.bytesFor(TRAINS));
  readonly batchesMemory = new SharedArrayBuffer(Lane.bytesFor(BATCHES));
  readonly bellMemory = new SharedArrayBuffer(Bell.bytes);
  /** No worker looks at it any more. */
  ended = false;
  readonly trains = new Lane(sharedBlock(this.trainsMemory), TRAINS);
  private readonly batches = new Lane(sharedBlock(this.batchesMemory), BATCHES);
  private readonly waker = new EventFd();
  private readonly bell = new Bell(this.bellMemory, this.waker);
  private readonly udp: UdpSocket;
  private readonly arrivals = new Poller(1);
  private readonly desk: Desk;
  private readonly sender: Bell;
  private readonly receiver: Bell;
  private readonly onClose: () => void;
  private handedBytes = 0;
  private unsegmented = false;
  /** What the descriptor's last send was told of fragments, or will have been. */
  private fragments = 0;
  /** Trains whose outcome has been looked at, and those that left by a connection that is no more. */
  private looked = 0;
  private forgiven = 0;

  /** `bells`: of the workers that send and that receive. Throws SysError when there are too many descriptors. */
  constructor(
    udp: UdpSocket,
    desk: Desk,
    bells: { readonly sender: Bell; readonly receiver: Bell },
    onClose: () => void,
  ) {
    this.udp = udp;
    this.desk = desk;
    this.sender = bells.sender;
    this.receiver = bells.receiver;
    this.onClose = onClose;
    this.fd = this.waker.fd;
    this.arrivals.add(udp.fd);
  }

  get adopted() {
    return this.udp.adopted;
  }

  get segmentation(): boolean {
    return this.udp.segmentation && !this.unsegmented;
  }

  get receivesBatches(): boolean {
    return this.udp.receivesBatches;
  }

  get peer(): Endpoint | null {
    return this.udp.peer;
  }

  get routed(): boolean {
    return this.udp.routed;
  }

  reaches(remote: Endpoint): boolean {
    return this.udp.reaches(remote);
  }

  get headerBytes(): number {
    return this.udp.headerBytes;
  }

  /** As soon as they are on their way to the socket. */
  get sentWireBytes(): number {
    return this.udp.sentWireBytes + this.handedBytes;
  }

  /** One train may be in the making. */
  get full(): boolean {
    return this.trains.room < 2;
  }

  /** What a worker has not done yet: trains, and what is still in the kernel or has just come from it. */
  get behind(): boolean {
    return this.trains.backlog > 0 || this.batches.backlog > 0 || this.arrivals.wait(0) > 0;
  }

  receive(into: Block): number {
    const slot = this.batches.next(this.bell);
    if (slot === null) return 0;
    const { words } = slot;
    const bytes = words[LENGTH]!;
    nativeCopy(into, 0, slot.block, 0, bytes);
    this.desk.findings.note(slot, into);
    this.source.copyFrom(slot.endpoint);
    this.segment = words[SEGMENT]!;
    this.receivedWireBytes += wireBytes(bytes, this.segment, this.headerBytes);
    if (this.batches.release()) this.receiver.ring();
    return bytes;
  }

  send(
    from: Block,
    offset: number,
    length: number,
    segment: number,
    to: Endpoint | null,
    fragments = 0,
  ): SendResult {
    const trouble = this.look(segment, to, fragments);
    // What the kernel had no room for is lost. This train need not be.
    if (trouble !== "sent" && trouble !== "full") return trouble;
    const { trains, desk } = this;
    // Never beside a worker that still has something to send: whatever is sent keeps its order.
    const here = trains.backlog === 0 && length <= SMALL_TRAIN * segment;
    const place = this.seal(from, offset, length, segment, here);
    const slot = here ? null : trains.reserve();
    if (!here && slot === null) return "full";
    const before = this.fragments;
    this.fragments = fragments;
    if (slot === null) {
      this.udp.assume(before);
      const result = this.udp.send(from, offset, length, segment, to, fragments);
      return result === "sent" ? trouble : result;
    }
    const { words } = slot;
    words[LENGTH] = length;
    words[SEGMENT] = segment;
    words[PLACE] = place;
    words[GENERATION] = place < 0 ? 0 : desk.keys.generationOf(place);
    setNumber(words, NUMBER, desk.packetNumber);
    words[ADDRESSED] = to === null ? 0 : 1;
    words[FRAGMENTS] = fragments;
    words[FRAGMENTS_BEFORE] = before;
    if (to !== null) slot.endpoint.copyFrom(to);
    nativeCopy(slot.block, 0, from, offset, length);
    trains.publish();
    this.sender.ring();
    this.handedBytes += wireBytes(length, length > segment ? segment : 0, this.headerBytes);
    return trouble;
  }

  mtu(to: Endpoint | null): number {
    return this.udp.mtu(to);
  }

  refresh(ifMoved: boolean): Refreshed {
    const refreshed = this.udp.refresh(ifMoved);
    this.forgiven = this.trains.head;
    return refreshed;
  }

  close(): void {
    this.onClose();
  }

  /** Once no worker uses it. */
  release(): void {
    this.ended = true;
    this.udp.close();
    this.waker.close();
  }

  /** The place of the key by which a worker is to seal the train; -1: it is sealed, by us now, or as a handshake message is. */
  private seal(from: Block, offset: number, length: number, segment: number, here: boolean): number {
    if (isHandshake(from.bytes[offset]!)) return -1;
    const { sealer, packetNumber } = this.desk;
    if (sealer === null) throw new Error("a train that nobody has sealed");
    if (!here && sealer.share(null)) return sealer.place;
    sealer.sealHere(packetNumber, from, offset, length, segment);
    return -1;
  }

  /**
   * What became of the trains that have left, as far as it is of interest to who sends there now: one that was too big says
   * something of those that are as large, and leave like it.
   */
  private look(segment: number, to: Endpoint | null, fragments: number): SendResult {
    const { trains } = this;
    let worst: SendResult = "sent";
    for (const { tail } = trains; this.looked !== tail; this.looked = (this.looked + 1) | 0) {
      const { words, endpoint } = trains.at(this.looked);
      const result = words[RESULT]!;
      if ((result & UNSEGMENTED) !== 0) this.unsegmented = true;
      if (((this.looked - this.forgiven) | 0) < 0 || (to !== null && !endpoint.samePeer(to))) continue;
      const alike = segment >= words[SEGMENT]! && fragments === words[FRAGMENTS];
      if ((result & FAILED) !== 0) worst = "failed";
      else if ((result & TOO_BIG) !== 0 && alike && worst !== "failed") worst = "tooBig";
      else if ((result & FULL) !== 0 && worst === "sent") worst = "full";
    }
    return worst;
  }
}
