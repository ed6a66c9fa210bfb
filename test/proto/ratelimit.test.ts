import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { HandshakeLimiter, TokenBuckets } from "../../src/proto/ratelimit.ts";
import { plainBlock } from "../../src/share/block.ts";
import { Endpoint } from "../../src/share/endpoint.ts";

const SECOND = 1_000_000;

function ipv4(a: number, b: number, c: number, d: number): Endpoint {
  const endpoint = new Endpoint(plainBlock(Endpoint.size));
  endpoint.length = 16;
  endpoint.block.bytes.set([a, b, c, d], 4);
  return endpoint;
}

function ipv6(hex: string): Endpoint {
  const endpoint = new Endpoint(plainBlock(Endpoint.size));
  endpoint.length = 28;
  endpoint.block.bytes.set(Buffer.from(hex, "hex"), 8);
  return endpoint;
}

/** A token bucket as books describe it: tokens that come back with time, counted in millionths. */
class ModelBucket {
  readonly perSecond: number;
  readonly burst: number;
  tokens: number;
  last = 0;
  constructor(perSecond: number, burst: number) {
    this.perSecond = perSecond;
    this.burst = burst;
    this.tokens = burst * SECOND;
  }
  take(now: number): boolean {
    this.tokens = Math.min(this.burst * SECOND, this.tokens + (now - this.last) * this.perSecond);
    this.last = now;
    if (this.tokens < SECOND) return false;
    this.tokens -= SECOND;
    return true;
  }
}

describe("token buckets", () => {
  test("let through what the model lets through", () => {
    const step = fc.record({
      index: fc.integer({ min: 0, max: 2 }),
      wait: fc.integer({ min: 0, max: 700_000 }),
    });
    // Rates whose interval is a whole number of microseconds: then model and bucket agree to the last one.
    const rate = fc.constantFrom(1, 2, 5, 10, 100);
    fc.assert(
      fc.property(
        rate,
        fc.integer({ min: 1, max: 12 }),
        fc.array(step, { maxLength: 120 }),
        (perSecond, burst, steps) => {
          const buckets = new TokenBuckets(3, perSecond, burst);
          const models = [0, 1, 2].map(() => new ModelBucket(perSecond, burst));
          let now = 0;
          for (const { index, wait } of steps) {
            now += wait;
            const expected = models[index]!.take(now);
            expect(buckets.holdsToken(index, now)).toBe(expected);
            expect(buckets.take(index, now)).toBe(expected);
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  test("a burst at once, then one per interval; refused ones cost nothing", () => {
    const buckets = new TokenBuckets(1, 3, 4);
    const taken = (now: number) =>
      Array.from({ length: 10 }, () => buckets.take(0, now)).filter(Boolean).length;
    expect(taken(5 * SECOND)).toBe(4);
    expect(taken(5 * SECOND + 333_332)).toBe(0);
    expect(taken(5 * SECOND + 333_333)).toBe(1);
    expect(taken(500 * SECOND)).toBe(4);
  });
});

describe("handshake limiter", () => {
  const limits = { allPerSecond: 10, allBurst: 20, sourcePerSecond: 1, sourceBurst: 2, buckets: 512 };
  const secret = new Uint8Array(32).fill(3);

  /** A limiter whose common bucket is empty at `now`. */
  function loaded(now: number, buckets = limits.buckets): HandshakeLimiter {
    const limiter = new HandshakeLimiter(secret, { ...limits, buckets });
    for (let i = 0; i < limits.allBurst; i++) {
      expect(limiter.underLoad(now)).toBe(false);
      expect(limiter.admit(now, ipv4(10, 0, 0, 1))).toBe(true);
    }
    expect(limiter.underLoad(now)).toBe(true);
    return limiter;
  }

  const admitted = (limiter: HandshakeLimiter, now: number, source: Endpoint) =>
    Array.from({ length: 9 }, () => limiter.admit(now, source)).filter(Boolean).length;

  test("under load after the burst, and no longer when tokens have come back", () => {
    const limiter = loaded(SECOND);
    expect(limiter.underLoad(SECOND + 99_999)).toBe(true);
    expect(limiter.underLoad(SECOND + 100_000)).toBe(false);
  });

  test("under load each source has its own bucket, untouched by what came before", () => {
    const limiter = loaded(SECOND);
    expect(admitted(limiter, SECOND, ipv4(10, 0, 0, 1))).toBe(2);
    expect(admitted(limiter, SECOND, ipv4(10, 0, 0, 2))).toBe(2);
    expect(admitted(limiter, SECOND, ipv4(10, 0, 0, 1))).toBe(0);
  });

  test.each([
    ["the same IPv6 /64", "20010db8000000010000000000000001", "20010db800000001ffffffffffffffff", 0],
    ["another IPv6 /64", "20010db8000000010000000000000001", "20010db8000000020000000000000001", 2],
    [
      "another IPv4 address mapped into IPv6",
      "00000000000000000000ffff0a000001",
      "00000000000000000000ffff0a000002",
      2,
    ],
    [
      "the same IPv4 address mapped into IPv6",
      "00000000000000000000ffff0a000001",
      "00000000000000000000ffff0a000001",
      0,
    ],
  ])("%s", (_, first, second, expected) => {
    const limiter = loaded(SECOND);
    expect(admitted(limiter, SECOND, ipv6(first))).toBe(2);
    expect(admitted(limiter, SECOND, ipv6(second))).toBe(expected);
  });

  test("however many sources: never more than all buckets hold", () => {
    const limiter = loaded(SECOND, 8);
    let count = 0;
    for (let i = 0; i < 2000; i++) if (limiter.admit(SECOND, ipv4(10, 1, i >> 8, i & 255))) count++;
    expect(count).toBe(8 * limits.sourceBurst);
  });

  test("whose bucket a source shares depends on the secret", () => {
    const shares = (key: Uint8Array) => {
      const pairs: number[] = [];
      for (let i = 0; i < 200; i++) {
        const limiter = new HandshakeLimiter(key, { ...limits, allBurst: 0, sourceBurst: 1, buckets: 4 });
        limiter.admit(SECOND, ipv4(10, 0, 0, 1));
        if (!limiter.admit(SECOND, ipv4(10, 2, 0, i))) pairs.push(i);
      }
      return pairs;
    };
    expect(shares(secret)).toEqual(shares(secret.slice()));
    expect(shares(secret)).not.toEqual(shares(new Uint8Array(32).fill(4)));
  });

  test("any source bytes: never a throw", () => {
    const limiter = loaded(SECOND);
    fc.assert(
      fc.property(fc.uint8Array({ minLength: Endpoint.size, maxLength: Endpoint.size }), (raw) => {
        const endpoint = new Endpoint(plainBlock(Endpoint.size));
        endpoint.block.bytes.set(raw);
        expect(typeof limiter.admit(SECOND, endpoint)).toBe("boolean");
      }),
    );
  });
});
