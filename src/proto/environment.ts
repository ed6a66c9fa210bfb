/** What the protocol is given by whoever runs it: memory, randomness, cryptography, and where to report. */
import type { Copy, MakeBlock } from "../share/block.ts";
import type { RatedSuite } from "../share/io.ts";
import type { ReleaseBlock } from "../share/store.ts";
import type { NoiseCrypto } from "./noisecrypto.ts";

export type LogLevel = "error" | "warn" | "info" | "debug";

export interface Environment {
  readonly makeBlock: MakeBlock;
  /** Memory that other threads may map: for rings and the packets in them. */
  readonly makeSharedBlock: MakeBlock;
  readonly releaseBlock: ReleaseBlock;
  readonly copy: Copy;
  readonly crypto: NoiseCrypto;
  /** Those to use, of which the handshake chooses one; the first is for peers that know of no choice. Ids differ. */
  readonly suites: readonly RatedSuite[];
  /** MTU of the TUN: the largest inner packet. */
  readonly mtu: number;
  log(level: LogLevel, message: string): void;
}

/** 32 unpredictable bits, for indices and tokens. */
export function random32({ crypto }: Pick<Environment, "crypto">): number {
  const bytes = crypto.random(4);
  return ((bytes[0]! << 24) | (bytes[1]! << 16) | (bytes[2]! << 8) | bytes[3]!) >>> 0;
}

/** Bytes of a slot: what a packet of the usual 1,500 bytes needs, or of a larger MTU. A peer's MTU may be larger than ours. */
export function slotBytesFor(mtu: number, header: number): number {
  return Math.max(1536, (mtu + header + 63) & ~63);
}
