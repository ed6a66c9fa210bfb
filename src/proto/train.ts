/**
 * The train: sealed datagrams of one path on their way into its socket by one send. They are of one size but for the last,
 * which may be smaller (UDP GSO).
 */
import type { Block } from "../share/block.ts";
import type { Endpoint } from "../share/endpoint.ts";
import { HEADER_BYTES, TAG_BYTES, Type, writeHeader } from "../wire/datagram.ts";
import { BLOCKED_FOR, TRAIN_BYTES, TRAIN_PACKETS } from "./limits.ts";
import type { Path } from "./path.ts";
import type { Session } from "./session.ts";
import { onTooBig } from "./sizeprobes.ts";

export class Train {
  private readonly block: Block;
  private bytes = 0;
  private segment = 0;
  private packets = 0;
  private closed = false;

  constructor(makeBlock: (bytes: number) => Block) {
    this.block = makeBlock(TRAIN_BYTES + 2048);
  }

  get isFull(): boolean {
    return this.packets === TRAIN_PACKETS;
  }

  /** Bytes of IP packets in the train. */
  unsent(path: Path): number {
    return this.bytes + this.packets * path.socket.headerBytes;
  }

  /** Seals one datagram onto the train. */
  seal(
    session: Session,
    path: Path,
    now: number,
    type: number,
    plain: Block,
    offset: number,
    length: number,
    position: number,
    ackEliciting: boolean,
  ): void {
    const { keys } = session;
    const bytes = HEADER_BYTES + length + TAG_BYTES;
    const packetNumber = path.recovery.onSent(now, bytes, position, ackEliciting);
    writeHeader(this.block, this.bytes, type, path.id, packetNumber, keys.remoteIndex);
    keys.send.seal(path.id, packetNumber, this.block, this.bytes, HEADER_BYTES, plain, offset, length);
    keys.sealed++;
    if (this.packets === 0) this.segment = bytes;
    else if (bytes < this.segment) this.closed = true;
    this.bytes += bytes;
    this.packets++;
  }

  /** True when a datagram of this size may join the train: none is larger than the first, only the last is smaller. */
  private fits(bytes: number): boolean {
    if (this.packets === 0) return true;
    if (this.closed || this.packets >= TRAIN_PACKETS || bytes > this.segment) return false;
    return this.bytes + bytes <= TRAIN_BYTES;
  }

  /**
   * Sends the train. What the socket does not take is lost, and found lost by the acknowledgements that do not come. Only
   * the proved address says something of the path: any other may be one that somebody on the way made up. `whole`: it must
   * not be fragmented.
   */
  flush(path: Path, to: Endpoint | null, now: number, whole = false): void {
    if (this.bytes > 0) {
      const segment = this.segment;
      const fragments = whole ? 0 : path.recovery.mtu.fragmentsOf(segment);
      const result = path.socket.send(this.block, 0, this.bytes, segment, to, fragments);
      if (result === "full") path.blockedUntil = now + BLOCKED_FOR;
      else if (result === "tooBig") onTooBig(now, path, segment);
      else if (result === "failed" && to === path.destination) path.onSendFailed(now);
    }
    this.bytes = 0;
    this.packets = 0;
    this.closed = false;
  }

  /** Seals a packet of the ring onto the train, which leaves before if there is no room in it. */
  add(session: Session, path: Path, now: number, position: number): void {
    const { ring } = session;
    const length = ring.lengthOf(position);
    if (!this.fits(HEADER_BYTES + length + TAG_BYTES)) {
      this.flush(path, path.destination, now);
      // The kernel took nothing, and with what was under way there this one is given up.
      if (!ring.holds(position)) return;
    }
    const before = this.bytes;
    const type = Type.data | ring.flagsOf(position);
    const block = ring.blockOf(position);
    this.seal(session, path, now, type, block, ring.offsetOf(position), length, position, true);
    // Lapped while it was sealed: what is in the train is torn. The packet number counts as lost.
    if (!ring.holds(position)) this.bytes = before;
    else path.onSent(now);
  }
}
