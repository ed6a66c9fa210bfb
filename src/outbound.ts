/**
 * Outbound: the packet's way from the TUN to the network.
 *
 *   1. `stage` reads the TUN: one packet, or up to 64 KB of one flow.
 *   2. It is cut into packets (wire/segment.ts).
 *   3. Its destination names the peer, and so the session. Larger than its paths carry, it goes back (wire/toobig.ts).
 *   4. While the ring has room it goes on at once, else it waits its flow's turn (proto/flowqueues.ts).
 *   5. It gets its data sequence (the ring position) and the distance to its flow's previous packet, and is published.
 *   6. `service` lets each path pull, best first, while its window and pacer allow: lost packets before new ones.
 *   7. The packet is sealed from the ring into the train of datagrams (proto/train.ts).
 *   8. The train leaves in one send.
 *
 * Steps 1 to 5 are the stager, 6 to 8 the senders; they share only the ring. Challenges, probes and acknowledgements
 * leave by 7 and 8 too.
 */

import { affords, affordsData, affordsWord, fillChallenge, onStarved } from "./proto/budget.ts";
import { random32 } from "./proto/environment.ts";
import { BLOCKED_FOR, MAX_JOINING } from "./proto/limits.ts";
import type { Path } from "./proto/path.ts";
import type { Portal } from "./proto/portal.ts";
import { Refusal } from "./proto/refusal.ts";
import { NO_POSITION, SIZE_PROBE } from "./proto/sentlog.ts";
import type { Session } from "./proto/session.ts";
import { sizeDue } from "./proto/sizeprobes.ts";
import { Train } from "./proto/train.ts";
import type { Block } from "./share/block.ts";
import type { Endpoint } from "./share/endpoint.ts";
import type { TunDevice } from "./share/io.ts";
import {
  ANSWER_BYTES,
  ChallengeMessage,
  PATH_END_BYTES,
  PATH_STATUS_BYTES,
  writeAnswer,
  writePathEnd,
  writePathStatus,
} from "./wire/control.ts";
import { DATA_HEADER_BYTES, DATA_OVERHEAD_BYTES, MIN_DATAGRAM_BYTES, Type } from "./wire/datagram.ts";
import { flowHash, neverForwarded } from "./wire/ip.ts";
import { Segmenter } from "./wire/segment.ts";
import { VIRTIO_BYTES } from "./wire/virtio.ts";

/** Reads of the TUN in one turn, so that senders and receivers get theirs. */
const READS_PER_TURN = 16;
/** A read below this is one packet: the kernel had nothing to put together. */
const SINGLE_PACKET = 2048;
/** An acknowledgement must fit into the smallest path. */
const ACK_ROOM = 512;

export class Outbound {
  /** The TUN gave packets one by one when it was read last, and those of the session serviced last wait for a path. */
  crowded = false;
  /** Bytes of a usual read in the last turn that read the TUN. */
  private readBytes = 0;
  /** In this service: paths that may send more, and what waits is for others. */
  private readonly passed: Path[] = [];
  private readonly portal: Portal;
  private readonly tun: TunDevice;
  private readonly segmenter: Segmenter;
  private readonly refusal: Refusal;
  private readonly asks = new ChallengeMessage();
  /** Body of the control datagram being made. */
  private readonly body: Block;
  /** Body of a probe of a path's MTU: zeros. */
  private readonly padding: Block;
  private readonly train: Train;

  constructor(portal: Portal, tun: TunDevice) {
    this.portal = portal;
    this.tun = tun;
    const { makeBlock, copy } = portal.environment;
    this.segmenter = new Segmenter(tun.buffer, copy);
    this.refusal = new Refusal(portal.environment, tun);
    this.body = makeBlock(ACK_ROOM);
    this.padding = makeBlock(portal.environment.mtu + DATA_OVERHEAD_BYTES);
    this.train = new Train(makeBlock);
  }

  // --- 1 to 5: the stager ---

  /** Moves what waits in the TUN into the sessions. True when it stopped with more to read. */
  stage(now: number): boolean {
    let total = 0;
    for (let reads = 1; reads <= READS_PER_TURN; reads++) {
      const bytes = this.tun.read();
      if (bytes === 0) return false;
      this.stageRead(now, bytes);
      total += bytes;
      this.readBytes = total / reads;
    }
    return true;
  }

  private stageRead(now: number, bytes: number): void {
    const { portal, segmenter } = this;
    if (!segmenter.load(bytes)) {
      portal.drops.count("badInner");
      return;
    }
    const peer = portal.destinations.peerFor(this.tun.buffer, VIRTIO_BYTES);
    if (peer === null || neverForwarded(this.tun.buffer, VIRTIO_BYTES)) {
      portal.drops.count("noRoute", segmenter.packets);
      return;
    }
    const session = peer.session;
    if (session === null) {
      portal.drops.count("noSession", segmenter.packets);
      return;
    }
    const { largest } = segmenter;
    if (largest > session.mtu.value && this.refusal.refuses(now, session, bytes - VIRTIO_BYTES, largest)) {
      session.drops.count("tooBig", segmenter.packets);
      return;
    }
    const { ring, queues } = session;
    const hash = flowHash(this.tun.buffer, VIRTIO_BYTES, bytes - VIRTIO_BYTES);
    this.look(session, now, bytes - VIRTIO_BYTES, hash);
    const limit = session.backlogLimit;
    for (;;) {
      // Past the queues while nothing waits in them.
      if (queues.packets === 0 && ring.backlog < limit) {
        const position = ring.reserve();
        const slot = ring.offsetOf(position);
        const length = segmenter.next(ring.blockOf(position), slot + DATA_HEADER_BYTES);
        if (length === 0) break;
        this.publish(session, position, length, segmenter.flags, hash);
      } else {
        const slot = queues.reserve();
        const length = segmenter.next(queues.blockOf(slot), queues.offsetOf(slot));
        if (length === 0) break;
        queues.add(now, slot, length, segmenter.flags, hash);
      }
    }
    session.onUse(now);
    session.nextAt = 0;
  }

  /** Tells the filter of acknowledgements whether a flow's sender judges rightly by its round trips. */
  private look({ queues, scheduler, ackFilter }: Session, now: number, bytes: number, hash: number): void {
    const { first } = scheduler;
    if (first === undefined) return;
    ackFilter.misled = scheduler.misleads(now);
    // No more than what another path needs to join, or what makes sure that it is a queue and leaves time to stop growing.
    const joining = Math.min(scheduler.joiningQueue, MAX_JOINING);
    const most = Math.max(joining, queues.codel.target * (scheduler.varies ? 1 / 2 : 1 / 4));
    const queued = queues.waitOf(now, hash) > most;
    const { srtt } = first.recovery.rtt;
    ackFilter.onStaged(now, this.tun.buffer, VIRTIO_BYTES, bytes, scheduler.mayMislead, queued, srtt);
  }

  /** Moves packets from the queues to the ring, while there is room for them. */
  private refill(session: Session, now: number): void {
    const { ring, queues, backlogLimit } = session;
    while (ring.backlog < backlogLimit) {
      const queued = queues.take(now);
      if (queued < 0) return;
      const position = ring.reserve();
      queues.move(queued, ring.blockOf(position), ring.offsetOf(position) + DATA_HEADER_BYTES);
      this.publish(session, position, queues.lengthOf(queued), queues.flagsOf(queued), queues.hashOf(queued));
    }
  }

  /** Numbers the packet in the reserved slot, and lets the senders have it. */
  private publish(session: Session, sequence: number, length: number, flags: number, hash: number): void {
    const { ring, flows } = session;
    const { view } = ring.blockOf(sequence);
    const slot = ring.offsetOf(sequence);
    view.setUint32(slot, sequence);
    view.setUint16(slot + 4, flows.distance(hash, sequence));
    ring.publish(DATA_HEADER_BYTES + length, flags);
  }

  // --- 6 to 8: the senders ---

  /** Sends whatever a session's paths have to send and may send now, and notes when to look again. `unread`: there is more to read. */
  service(session: Session, now: number, unread = false): void {
    const { order } = session;
    if (session.keys.closed) {
      // It waits for new keys: nothing can be sealed.
      session.nextAt = session.onWaited(now);
      return;
    }
    for (let i = 0; i < order.length; i++) order[i]!.onTimeout(now, unread, session.hasWork);
    if (!session.isUp) session.onAllGivenUp(now);
    if (session.isUp) session.lastUpAt = now;
    for (let i = 0; i < order.length; i++) this.control(session, order[i]!, now);
    if (session.ids.nextAt <= now) this.tellEnds(session, now);
    session.scheduler.begin();
    session.mtu.follow(now, order, session.scheduler.lowestMetric);
    session.waits.set(now, session);
    session.onWaited(now);
    // What seems overdue while there is more to read may have arrived.
    if (order.length > 1 && !unread) this.rescue(session, now, true);
    for (let more = true; more; ) {
      this.refill(session, now);
      more = false;
      this.passed.length = 0;
      for (const path of session.scheduler.pulling) if (this.pull(session, path, now)) more = true;
      // What a path was to leave to another, which by now can send no more, it may take after all.
      more &&= session.queues.packets > 0 || (this.passed.length > 0 && session.hasWork);
      more ||= session.scheduler.decide(now, session.waiting);
    }
    if (session.scheduler.copying) this.copy(session, now);
    else session.copies.forget();
    const rescueAt =
      order.length > 1 && !session.hasWork ? this.rescue(session, now, false) : Number.POSITIVE_INFINITY;
    session.onTimeout(now);
    this.crowded = session.queues.packets > 0 && this.readBytes < SINGLE_PACKET;
    session.nextAt = Math.min(this.nextAt(session, now), rescueAt);
  }

  /** Says goodbye on every path that is up. */
  close(session: Session, now: number): void {
    for (const path of session.order) {
      if (path.status !== "up" || !affords(path, MIN_DATAGRAM_BYTES)) continue;
      this.train.seal(session, path, now, Type.close, this.body, 0, 0, NO_POSITION, false);
      this.train.flush(path, path.destination, now);
    }
  }

  /** Answers a peer's challenge where it came from. */
  answer(session: Session, path: Path, now: number, high: number, low: number, to: Endpoint | null): void {
    if (!affordsWord(path, MIN_DATAGRAM_BYTES + ANSWER_BYTES)) return;
    const length = writeAnswer(this.body, 0, high, low);
    this.train.seal(session, path, now, Type.answer, this.body, 0, length, NO_POSITION, false);
    this.train.flush(path, to, now);
  }

  /** Answers the local's word that a path has ended, on the path it came by. */
  noteEnd(session: Session, path: Path, now: number, id: number, ended: number, from: number): void {
    if (!affords(path, MIN_DATAGRAM_BYTES + PATH_END_BYTES)) return;
    const length = writePathEnd(this.body, 0, id, true, ended, from);
    this.train.seal(session, path, now, Type.pathEnd, this.body, 0, length, NO_POSITION, false);
    this.train.flush(path, path.destination, now);
  }

  /** Tells the remote, over every path that is up, of paths that have ended. */
  private tellEnds(session: Session, now: number): void {
    const { order, ids } = session;
    let told = false;
    for (let i = 0; i < order.length; i++) {
      const path = order[i]!;
      if (path.status !== "up") continue;
      for (const { id, ended } of ids.endings) {
        if (!affords(path, MIN_DATAGRAM_BYTES + PATH_END_BYTES, this.train.unsent(path))) break;
        const length = writePathEnd(this.body, 0, id, false, ended, 0);
        // Of one size, so that they leave together.
        this.train.seal(session, path, now, Type.pathEnd, this.body, 0, length, NO_POSITION, false);
        if (this.train.isFull) this.train.flush(path, path.destination, now);
        told = true;
      }
      this.train.flush(path, path.destination, now);
    }
    if (told) ids.onTold(now);
  }

  /** Sends what one path may send now. True when that was something. */
  private pull(session: Session, path: Path, now: number): boolean {
    const { ring, scheduler, copies } = session;
    let sent = false;
    while (path.maySend(now) && affordsData(path, this.train.unsent(path))) {
      if (path.socket.full === true) {
        path.blockedUntil = now + BLOCKED_FOR;
        break;
      }
      const position = session.take(now, path);
      if (position < 0) {
        this.passed.push(path);
        // What is left is for other paths.
        if (session.queues.packets === 0 || session.ring.backlog > 0) path.recovery.onAppLimited();
        break;
      }
      const bytes = ring.lengthOf(position);
      this.train.add(session, path, now, position);
      scheduler.onSent(bytes);
      copies.earn(bytes);
      if (scheduler.copying) copies.onSent(position, path);
      sent = true;
      if (path.blockedUntil > now) break;
    }
    this.train.flush(path, path.destination, now);
    return sent;
  }

  /** What left by one path leaves by others as well, where that is of use. */
  private copy(session: Session, now: number): void {
    const { order, scheduler, copies } = session;
    const idle = !session.hasWork;
    for (let i = 0; i < order.length; i++) {
      const path = order[i]!;
      while (path.maySend(now) && scheduler.mayCopy(path, idle) && path.socket.full !== true) {
        const position = copies.take(now, path, !scheduler.varies);
        if (position < 0) break;
        // The flow, not the path, says how much leaves.
        path.recovery.onAppLimited();
        this.train.add(session, path, now, position);
      }
      this.train.flush(path, path.destination, now);
    }
  }

  /**
   * What is overdue on one path leaves by others: all of it while they have nothing to do, or at any rate what is `small`. When
   * more of it may leave; Infinity: nothing is left.
   */
  private rescue(session: Session, now: number, small: boolean): number {
    const { order, scheduler, copies } = session;
    const { pulling } = scheduler;
    let at = Number.POSITIVE_INFINITY;
    for (let i = 0; i < order.length; i++) {
      const late = order[i]!;
      const before = scheduler.overdueUntil(now, late);
      if (before === Number.NEGATIVE_INFINITY) continue;
      for (let j = 0; j < pulling.length && (small || !session.hasWork); j++) {
        const path = pulling[j]!;
        if (!scheduler.mayRescue(path, late, small) || path.socket.full === true) continue;
        let position = 0;
        while (position >= 0 && path.maySend(now)) {
          position = copies.takeOverdue(now, path, late, before, small);
          if (!session.hasWork) path.recovery.onAppLimited();
          if (position >= 0) this.train.add(session, path, now, position);
        }
        this.train.flush(path, path.destination, now);
        if (position >= 0) at = Math.min(at, path.sendAt(now));
      }
    }
    return at;
  }

  /** Challenges, probes and acknowledgements that are due. */
  private control(session: Session, path: Path, now: number): void {
    if (path.status === "capped") {
      if (path.report.due) this.report(session, path, now);
      return;
    }
    // What the data cap has no room for is as if it were lost on the way.
    if (path.reception.ackAt(path.recovery.rtt.srtt) <= now) {
      const length = path.reception.writeAck(now, this.body, 0, ACK_ROOM);
      if (affords(path, MIN_DATAGRAM_BYTES + length)) {
        this.train.seal(session, path, now, Type.ack, this.body, 0, length, NO_POSITION, false);
        this.train.flush(path, path.destination, now);
      }
    }
    if (path.challengeDue(now)) this.challenge(session, path, now);
    if (path.probeDue(now)) {
      path.onProbeSent(now);
      // Probes alone say nothing of the rate.
      if (!path.carries || !session.hasWork) path.recovery.onAppLimited();
      if (affords(path, MIN_DATAGRAM_BYTES)) {
        this.train.seal(session, path, now, Type.probe, this.body, 0, 0, NO_POSITION, true);
        this.train.flush(path, path.destination, now);
      }
    }
    const size = sizeDue(now, path);
    if (size > 0) {
      path.recovery.mtu.onProbeSent();
      if (!path.carries || !session.hasWork) path.recovery.onAppLimited();
      const padding = size - MIN_DATAGRAM_BYTES;
      this.train.seal(session, path, now, Type.probe, this.padding, 0, padding, SIZE_PROBE, true);
      this.train.flush(path, path.destination, now, true);
    }
    if (path.report.due) this.report(session, path, now);
  }

  private challenge(session: Session, path: Path, now: number): void {
    const { environment } = this.portal;
    path.onChallengeSent(now, random32(environment), random32(environment));
    fillChallenge(path, this.asks);
    const length = this.asks.write(this.body, 0);
    this.train.seal(session, path, now, Type.challenge, this.body, 0, length, NO_POSITION, false);
    this.train.flush(path, path.challenge.toCandidate ? path.candidate : path.destination, now);
  }

  /** Tells the peer, over every path that is up, that another one was given up or rests; the latter, if there is none, on itself. */
  private report(session: Session, about: Path, now: number): void {
    const { order } = session;
    let told = false;
    const bytes = MIN_DATAGRAM_BYTES + PATH_STATUS_BYTES;
    const itself = about.status === "capped" && !session.isUp && about.cap?.fits(bytes) === true;
    for (let i = 0; i < order.length; i++) {
      const path = order[i]!;
      if (path === about ? !itself : path.status !== "up" || !affords(path, bytes)) continue;
      const length = writePathStatus(this.body, 0, about.id, about.report.seen, about.heard);
      this.train.seal(session, path, now, Type.pathStatus, this.body, 0, length, NO_POSITION, false);
      this.train.flush(path, path.destination, now);
      told = true;
    }
    if (told) about.report.onSent();
  }

  /** When this session must be serviced again, if nothing arrives before. */
  private nextAt(session: Session, now: number): number {
    let at = session.waitsUntil;
    // A path that comes up has this session looked at, and there is nobody to tell before.
    if (session.isUp) at = Math.min(at, session.ids.nextAt);
    const waiting = session.hasWork;
    for (let i = 0; i < session.order.length; i++) {
      const path = session.order[i]!;
      if (waiting && path.starved) at = Math.min(at, onStarved(now, path));
      else path.starvedSince = now;
      at = Math.min(at, path.nextAt, session.scheduler.overdueAt(now, path));
      if (waiting && path.carries && !this.passed.includes(path)) at = Math.min(at, path.sendAt(now));
    }
    return at;
  }
}
