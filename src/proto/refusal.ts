/**
 * Tells senders inside the tunnel that their packets are larger than what the paths carry whole, at a bounded rate. Each
 * message makes a sender's packets smaller for minutes.
 */
import type { Block } from "../share/block.ts";
import { Gather, type TunDevice } from "../share/io.ts";
import { mayFragment, TOO_BIG_BYTES, writeTooBig } from "../wire/toobig.ts";
import { VIRTIO_BYTES } from "../wire/virtio.ts";
import type { Environment } from "./environment.ts";
import { TokenBuckets } from "./ratelimit.ts";
import type { Session } from "./session.ts";

/** Somewhat less than what Linux sends of all ICMP (icmp_msgs_per_sec, icmp_msgs_burst). */
const PER_SECOND = 200;
const BURST = 50;

export class Refusal {
  private readonly environment: Environment;
  private readonly tun: TunDevice;
  private readonly message: Block;
  private readonly gather = new Gather(2);
  private readonly bucket = new TokenBuckets(1, PER_SECOND, BURST);

  constructor(environment: Environment, tun: TunDevice) {
    this.environment = environment;
    this.tun = tun;
    // A virtio header of zeros, then the message.
    this.message = environment.makeBlock(VIRTIO_BYTES + TOO_BIG_BYTES);
  }

  /**
   * The TUN has given an IP packet of `length` bytes, or one that becomes several of up to `largest`. True: it is larger than
   * what the session's paths carry, its sender was told, and it goes no further. Where the sender allows fragments, or cannot
   * be told now, it goes on, as fragments of the datagram if need be.
   */
  refuses(now: number, session: Session, length: number, largest: number): boolean {
    const packet = this.tun.buffer;
    const mtu = session.mtu.of(packet.bytes[VIRTIO_BYTES]! >> 4);
    if (largest <= mtu) return false;
    // There is no room for such a packet.
    const impossible = largest > this.environment.mtu;
    if (!impossible && mayFragment(packet, VIRTIO_BYTES)) return false;
    return this.tell(now, length, largest, mtu) || impossible;
  }

  private tell(now: number, length: number, largest: number, mtu: number): boolean {
    const { message, gather, tun, bucket } = this;
    if (!bucket.holdsToken(0, now)) return false;
    const { copy } = this.environment;
    const bytes = writeTooBig(message, VIRTIO_BYTES, tun.buffer, VIRTIO_BYTES, length, largest, mtu, copy);
    if (bytes === 0) return false;
    bucket.take(0, now);
    gather.clear();
    gather.add(message, 0, VIRTIO_BYTES);
    gather.add(message, VIRTIO_BYTES, bytes);
    return tun.write(gather);
  }
}
