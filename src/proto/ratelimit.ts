/**
 * How many handshakes we work on. All together fill one bucket; while it is empty we are under load, which makes
 * proto/cookie.ts ask for cookies, and then each source, whose address is proved by then, has a bucket of its own.
 *
 * A source is an IPv4 address or an IPv6 /64. Its bucket is found by a keyed hash among a fixed number of them; two
 * sources may share one. So memory is bounded, nothing is ever evicted, and however many addresses somebody
 * owns, no more is worked on than all buckets let through.
 */
import { blake2s } from "@noble/hashes/blake2.js";
import type { Endpoint } from "../share/endpoint.ts";

export interface RateLimits {
  /** Handshakes per second beyond which we are under load. */
  readonly allPerSecond: number;
  /** As many may come at once before that. */
  readonly allBurst: number;
  /** Under load, handshakes per second of one source. */
  readonly sourcePerSecond: number;
  readonly sourceBurst: number;
  /** Buckets for sources. */
  readonly buckets: number;
}

/**
 * The remote's side of a handshake costs about 0.3 ms on x64 (2 cores, Bun 1.4.5), so 100 per second are 3 % of a core.
 * The most that can get through under load is 512 buckets of 5 per second, and takes hundreds of addresses.
 */
export const DEFAULT_RATE_LIMITS: RateLimits = {
  allPerSecond: 100,
  allBurst: 100,
  sourcePerSecond: 5,
  sourceBurst: 10,
  buckets: 512,
};

/**
 * Token buckets of one size, without tokens: each remembers only when it will be full again. A packet moves that moment
 * on by one interval, and may do so while it stays within burst x interval of now.
 */
export class TokenBuckets {
  readonly #fullAt: Float64Array;
  readonly #interval: number;
  readonly #span: number;

  /** All buckets begin full. */
  constructor(count: number, perSecond: number, burst: number) {
    this.#fullAt = new Float64Array(count).fill(Number.NEGATIVE_INFINITY);
    // Whole microseconds, so that sums of intervals are exact.
    this.#interval = Math.round(1_000_000 / perSecond);
    this.#span = burst * this.#interval;
  }

  /** False when `take` would say false. */
  holdsToken(index: number, now: number): boolean {
    return this.#afterTaking(index, now) - now <= this.#span;
  }

  /** Takes a token. False: there is none. `now` in microseconds. */
  take(index: number, now: number): boolean {
    const fullAt = this.#afterTaking(index, now);
    if (fullAt - now > this.#span) return false;
    this.#fullAt[index] = fullAt;
    return true;
  }

  #afterTaking(index: number, now: number): number {
    return Math.max(this.#fullAt[index]!, now) + this.#interval;
  }
}

/** Ask `underLoad` first, check the MACs with the answer, and `admit` what passed. */
export class HandshakeLimiter {
  readonly #all: TokenBuckets;
  readonly #sources: TokenBuckets;
  readonly #buckets: number;
  readonly #secret: Uint8Array;

  /** `secret`: 32 random bytes, so that nobody can choose whose bucket to share. */
  constructor(secret: Uint8Array, limits: RateLimits = DEFAULT_RATE_LIMITS) {
    this.#secret = secret;
    this.#buckets = limits.buckets;
    this.#all = new TokenBuckets(1, limits.allPerSecond, limits.allBurst);
    this.#sources = new TokenBuckets(limits.buckets, limits.sourcePerSecond, limits.sourceBurst);
  }

  underLoad(now: number): boolean {
    return !this.#all.holdsToken(0, now);
  }

  /** Counts a handshake about to be worked on. False: drop it as overloaded. */
  admit(now: number, source: Endpoint): boolean {
    // Only under load does the source's own bucket count: before that anybody could drain it with forged addresses.
    return this.#all.take(0, now) || this.#sources.take(this.#bucketOf(source), now);
  }

  #bucketOf(source: Endpoint): number {
    const hash = blake2s(sourcePrefix(source), { key: this.#secret, dkLen: 4 });
    return new DataView(hash.buffer, hash.byteOffset).getUint32(0) % this.#buckets;
  }
}

/** The bytes of an IPv4 address, mapped into IPv6 or not, or the first half of an IPv6 address. */
function sourcePrefix(source: Endpoint): Uint8Array {
  const bytes = source.block.bytes;
  if (!source.isIpv6) return bytes.subarray(4, 8);
  return isMapped(bytes) ? bytes.subarray(20, 24) : bytes.subarray(8, 16);
}

/** ::ffff:0:0/96 in a sockaddr_in6 (RFC 4291, section 2.5.5.2). */
function isMapped(address: Uint8Array): boolean {
  for (let i = 8; i < 18; i++) if (address[i] !== 0) return false;
  return address[18] === 0xff && address[19] === 0xff;
}
