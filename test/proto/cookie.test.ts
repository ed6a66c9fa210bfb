import { describe, expect, test } from "bun:test";
import { blake2s } from "@noble/hashes/blake2.js";
import fc from "fast-check";
import { COOKIE_LIFETIME, MacChecker, MacStamper } from "../../src/proto/cookie.ts";
import { plainBlock } from "../../src/share/block.ts";
import { Endpoint } from "../../src/share/endpoint.ts";
import { createNoiseCrypto } from "../../src/sys/crypto.ts";
import { emitInitiation, emitResponse, parseCookieReply } from "../../src/wire/handshake.ts";

const crypto = createNoiseCrypto();
const publicKey = crypto.publicKey(crypto.random(32));
const SECOND = 1_000_000;

function initiation(): Uint8Array {
  return emitInitiation({
    pathId: 9,
    senderIndex: 0xa1b2c3d4,
    ephemeral: crypto.random(32),
    sealedStatic: crypto.random(48),
    sealedPayload: crypto.random(28),
  });
}

function response(): Uint8Array {
  return emitResponse({
    pathId: 1,
    senderIndex: 2,
    receiverIndex: 3,
    ephemeral: crypto.random(32),
    sealedPayload: crypto.random(20),
  });
}

function ipv4(port: number, ...address: number[]): Endpoint {
  const endpoint = new Endpoint(plainBlock(Endpoint.size));
  endpoint.length = 16;
  endpoint.block.view.setUint16(2, port);
  endpoint.block.bytes.set(address, 4);
  return endpoint;
}

function ipv6(port: number, flow: number, lastByte: number): Endpoint {
  const endpoint = new Endpoint(plainBlock(Endpoint.size));
  endpoint.length = 28;
  endpoint.block.view.setUint16(2, port);
  endpoint.block.view.setUint32(4, flow);
  endpoint.block.bytes.set([0x20, 0x01, 0x0d, 0xb8], 8);
  endpoint.block.bytes[23] = lastByte;
  return endpoint;
}

const home = ipv4(40000, 192, 0, 2, 7);

/** A stamper that has been given a cookie for `source` at `now`. */
function withCookie(checker: MacChecker, source: Endpoint, now: number): MacStamper {
  const stamper = new MacStamper(crypto, publicKey);
  const message = initiation();
  stamper.stamp(now, message);
  expect(checker.check(now, message, source, true)).toBe("needsCookie");
  expect(stamper.readCookieReply(now, checker.cookieReply(now, message, source))).toBe(true);
  return stamper;
}

describe("mac1", () => {
  test("is keyed BLAKE2s-128 under BLAKE2s of label and receiver's public key", () => {
    const message = initiation();
    new MacStamper(crypto, publicKey).stamp(0, message);
    const key = blake2s(Buffer.concat([Buffer.from("portal mac1"), publicKey]));
    expect(message.slice(116, 132)).toEqual(blake2s(message.subarray(0, 116), { key, dkLen: 16 }));
    expect(message.slice(132)).toEqual(new Uint8Array(16));
  });

  test.each([
    ["initiation", initiation],
    ["response", response],
  ])("%s: passes when right, any flipped bit before mac2 is bad", (_, make) => {
    const checker = new MacChecker(crypto, publicKey);
    const message = make();
    new MacStamper(crypto, publicKey).stamp(0, message);
    expect(checker.check(0, message, home, false)).toBe("ok");
    for (let i = 0; i < message.length - 16; i++) {
      const forged = message.slice();
      forged[i]! ^= 1 << (i % 8);
      expect(checker.check(0, forged, home, false)).toBe("bad");
      expect(checker.check(0, forged, home, true)).toBe("bad");
    }
    expect(checker.check(0, message, home, false)).toBe("ok");
  });

  test.each([
    ["a cookie reply's type", 148, 3],
    ["a data datagram's type", 148, 4],
    ["a response as long as an initiation", 148, 2],
    ["an initiation as long as a response", 96, 1],
    ["one byte too long", 149, 1],
    ["nothing but MACs", 32, 1],
  ])("right, but on no handshake message: %s", (_, length, type) => {
    const message = new Uint8Array(length);
    message[0] = type;
    new MacStamper(crypto, publicKey).stamp(0, message);
    expect(new MacChecker(crypto, publicKey).check(0, message, home, false)).toBe("bad");
  });

  test("another receiver's mac1 is bad", () => {
    const message = initiation();
    new MacStamper(crypto, crypto.random(32)).stamp(0, message);
    expect(new MacChecker(crypto, publicKey).check(0, message, home, false)).toBe("bad");
  });
});

describe("cookie", () => {
  test("a message is stamped, refused under load, and passes with the cookie", () => {
    const checker = new MacChecker(crypto, publicKey);
    const stamper = withCookie(checker, home, SECOND);
    for (const message of [initiation(), response()]) {
      stamper.stamp(2 * SECOND, message);
      expect(checker.check(2 * SECOND, message, home, true)).toBe("ok");
      message[message.length - 1]! ^= 1;
      expect(checker.check(2 * SECOND, message, home, true)).toBe("needsCookie");
      expect(checker.check(2 * SECOND, message, home, false)).toBe("ok");
    }
  });

  test("the reply goes back on the same path, to the sender's index, and is smaller", () => {
    const checker = new MacChecker(crypto, publicKey);
    const message = initiation();
    new MacStamper(crypto, publicKey).stamp(0, message);
    const reply = checker.cookieReply(0, message, home);
    expect(parseCookieReply(reply)).toMatchObject({ pathId: 9, receiverIndex: 0xa1b2c3d4 });
    expect(reply.length).toBe(52);
    const again = checker.cookieReply(0, message, home);
    expect(parseCookieReply(again)!.nonce).not.toEqual(parseCookieReply(reply)!.nonce);
  });

  test.each([
    ["another port", home, ipv4(40001, 192, 0, 2, 7)],
    ["another address", home, ipv4(40000, 192, 0, 2, 8)],
    ["another IPv6 address", ipv6(1, 0, 5), ipv6(1, 0, 6)],
    ["another IPv6 port", ipv6(1, 0, 5), ipv6(2, 0, 5)],
    ["another family", home, ipv6(40000, 0, 7)],
  ])("does not serve %s", (_, source, other) => {
    const checker = new MacChecker(crypto, publicKey);
    const stamper = withCookie(checker, source, 0);
    const message = initiation();
    stamper.stamp(0, message);
    expect(checker.check(0, message, source, true)).toBe("ok");
    expect(checker.check(0, message, other, true)).toBe("needsCookie");
  });

  test("the flow label, which the kernel may fill in, does not matter", () => {
    const checker = new MacChecker(crypto, publicKey);
    const stamper = withCookie(checker, ipv6(7, 0, 5), 0);
    const message = initiation();
    stamper.stamp(0, message);
    expect(checker.check(0, message, ipv6(7, 0xabcde, 5), true)).toBe("ok");
  });

  test("is used by the stamper for 120 s and not longer", () => {
    const stamper = withCookie(new MacChecker(crypto, publicKey), home, SECOND);
    const message = initiation();
    stamper.stamp(SECOND + COOKIE_LIFETIME - 1, message);
    expect(message.slice(132)).not.toEqual(new Uint8Array(16));
    stamper.stamp(SECOND + COOKIE_LIFETIME, message);
    expect(message.slice(132)).toEqual(new Uint8Array(16));
  });

  // The secret is made at 0 s by the first cookie. Later checks under load turn it over at 120 s.
  test.each([
    { issued: 0, used: 119, verdict: "ok" },
    { issued: 119, used: 121, verdict: "ok" }, // by the previous secret
    { issued: 119, used: 238, verdict: "ok" },
    { issued: 121, used: 240, verdict: "ok" }, // by the secret made at 121 s
    { issued: 119, used: 240, verdict: "needsCookie" }, // two turns, even if nobody asked in between
    { issued: 119, used: 1000, verdict: "needsCookie" },
  ])("issued at $issued s, used at $used s: $verdict", ({ issued, used, verdict }) => {
    const checker = new MacChecker(crypto, publicKey);
    withCookie(checker, home, 0);
    const stamper = withCookie(checker, home, issued * SECOND);
    const message = initiation();
    stamper.stamp(issued * SECOND, message);
    expect(checker.check(used * SECOND, message, home, true)).toBe(verdict as "ok");
  });
});

describe("a cookie reply", () => {
  function stampedAndReply() {
    const stamper = new MacStamper(crypto, publicKey);
    const message = initiation();
    stamper.stamp(0, message);
    return { stamper, reply: new MacChecker(crypto, publicKey).cookieReply(0, message, home) };
  }

  test("with any sealed bit flipped is refused, and the genuine one still taken, once", () => {
    const { stamper, reply } = stampedAndReply();
    for (let i = 8; i < reply.length; i++) {
      const forged = reply.slice();
      forged[i]! ^= 1 << (i % 8);
      expect(stamper.readCookieReply(0, forged)).toBe(false);
    }
    expect(stamper.readCookieReply(0, reply)).toBe(true);
    expect(stamper.readCookieReply(0, reply)).toBe(false);
  });

  test("to an older message is refused", () => {
    const { stamper, reply } = stampedAndReply();
    stamper.stamp(0, initiation());
    expect(stamper.readCookieReply(0, reply)).toBe(false);
  });

  test("nobody asked for is refused", () => {
    // Forged for the mac1 of a stamper that has stamped nothing: sixteen zero bytes.
    const reply = new MacChecker(crypto, publicKey).cookieReply(0, initiation(), home);
    expect(new MacStamper(crypto, publicKey).readCookieReply(0, reply)).toBe(false);
  });
});

test("any bytes from any source are bad and never throw", () => {
  const checker = new MacChecker(crypto, publicKey);
  const stamper = withCookie(checker, home, 0);
  stamper.stamp(0, initiation());
  const anyBytes = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc.constantFrom([1, 148], [2, 96], [3, 52]).chain(([type, length]) =>
      fc.uint8Array({ minLength: length!, maxLength: length! }).map((message) => {
        message.set([type!, 0, 0, 0]);
        return message;
      }),
    ),
  );
  const anySource = fc.uint8Array({ minLength: Endpoint.size, maxLength: Endpoint.size }).map((raw) => {
    const endpoint = new Endpoint(plainBlock(Endpoint.size));
    endpoint.block.bytes.set(raw);
    return endpoint;
  });
  fc.assert(
    fc.property(anyBytes, anySource, fc.boolean(), (message, source, underLoad) => {
      expect(checker.check(0, message, source, underLoad)).toBe("bad");
      expect(stamper.readCookieReply(0, message)).toBe(false);
    }),
  );
});
