/**
 * Tells senders inside the tunnel that their packets are larger than what the paths carry whole, those of each session at a
 * bounded rate. Each message makes a sender's packets smaller for minutes.
 */
import type { Block } from "../share/block.ts";
import { Gather, type TunDevice } from "../share/io.ts";
import { mayFragment, TOO_BIG_BYTES, writeTooBig } from "../wire/toobig.ts";
import { VIRTIO_BYTES } from "../wire/virtio.ts";
import type { Environment } from "./environment.ts";
import type { TokenBuckets } from "./ratelimit.ts";
import type { Session } from "./session.ts";

export class Refusal {
  private readonly environment: Environment;
  private readonly tun: TunDevice;
  private readonly message: Block;
  private readonly gather = new Gather(2);

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
  refuses(now: number, { mtu: inner }: Pick<Session, "mtu">, length: number, largest: number): boolean {
    const packet = this.tun.buffer;
    const mtu = inner.of(packet.bytes[VIRTIO_BYTES]! >> 4);
    if (largest <= mtu) return false;
    // There is no room for such a packet.
    const impossible = largest > this.environment.mtu;
    if (!impossible && mayFragment(packet, VIRTIO_BYTES)) return false;
    return this.tell(now, inner.tells, length, largest, mtu) || impossible;
  }

  private tell(now: number, bucket: TokenBuckets, length: number, largest: number, mtu: number): boolean {
    const { message, gather, tun } = this;
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
