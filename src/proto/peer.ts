/** A portal we know by its public key: what it may use, and the session with it, if any. */
import type { Block } from "../share/block.ts";
import { addressBytes, sourceOffset } from "../wire/ip.ts";
import type { Keys } from "./keys.ts";
import { REPLACED_OFTEN, REPLACED_QUIET, REPLACED_WITHIN } from "./limits.ts";
import type { Session } from "./session.ts";

/** Inner addresses: network bytes (4 or 16) and prefix length. */
export interface InnerPrefix {
  readonly bytes: Uint8Array;
  readonly length: number;
}

/** The name of a local's peer that is its only remote; others have their endpoint's. */
export const ONLY_REMOTE = "remote";

export class Peer {
  name: string;
  readonly publicKey: Uint8Array;
  /** Used by the next handshake. */
  presharedKey: Uint8Array;
  addresses: readonly InnerPrefix[];
  /** What it is told when it asks for addresses: at most one of each family, with the length of its network. */
  lease: readonly InnerPrefix[];
  session: Session | null = null;
  /** Handshakes answered (remote) that the peer has not proved yet, oldest first. */
  readonly pending: Keys[] = [];
  /** When its last sessions were replaced, oldest first. */
  private readonly replacedAt: number[] = [];
  private quietUntil = 0;

  constructor(
    name: string,
    publicKey: Uint8Array,
    presharedKey: Uint8Array,
    addresses: readonly InnerPrefix[],
    lease: readonly InnerPrefix[] = [],
  ) {
    this.name = name;
    this.publicKey = publicKey;
    this.presharedKey = presharedKey;
    this.addresses = addresses;
    this.lease = lease;
  }

  /** The operator has changed what there is to know of it. */
  become(
    name: string,
    presharedKey: Uint8Array,
    addresses: readonly InnerPrefix[],
    lease: readonly InnerPrefix[],
  ): void {
    this.name = name;
    this.presharedKey = presharedKey;
    this.addresses = addresses;
    this.lease = lease;
  }

  /**
   * Its session has given way to another of its own. True when that is to be told: it happens again and again, as when
   * two machines have its key and take turns.
   */
  onReplaced(now: number): boolean {
    this.replacedAt.push(now);
    if (this.replacedAt.length < REPLACED_OFTEN) return false;
    if (this.replacedAt.shift()! + REPLACED_WITHIN < now || now < this.quietUntil) return false;
    this.quietUntil = now + REPLACED_QUIET;
    return true;
  }

  /** True when a whole inner packet's source is one of the peer's addresses. */
  allowsSource(packet: Block, offset: number): boolean {
    const version = packet.bytes[offset]! >> 4 === 4 ? 4 : 6;
    const at = offset + sourceOffset(version);
    const bytes = addressBytes(version);
    for (let i = 0; i < this.addresses.length; i++) {
      const prefix = this.addresses[i]!;
      if (prefix.bytes.length === bytes && inPrefix(packet.bytes, at, prefix)) return true;
    }
    return false;
  }
}

function inPrefix(bytes: Uint8Array, at: number, prefix: InnerPrefix): boolean {
  const whole = prefix.length >> 3;
  for (let i = 0; i < whole; i++) if (bytes[at + i] !== prefix.bytes[i]) return false;
  const rest = prefix.length & 7;
  return rest === 0 || ((bytes[at + whole]! ^ prefix.bytes[whole]!) & (0xff << (8 - rest))) === 0;
}
