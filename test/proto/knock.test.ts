/** A handshake that goes no further, against a responder; and every message that is none of its answers. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { MacChecker, MacStamper } from "../../src/proto/cookie.ts";
import { Knock } from "../../src/proto/knock.ts";
import { Responder } from "../../src/proto/noise.ts";
import { createNoiseCrypto } from "../../src/sys/crypto.ts";
import { endpointOf } from "../../src/sys/udp.ts";
import { emitResponsePayload, parseInitiationPayload } from "../../src/wire/handshake.ts";

const crypto = createNoiseCrypto();
const [local, remote] = [1, 2].map((seed) => {
  const privateKey = new Uint8Array(32).fill(seed);
  return { privateKey, publicKey: crypto.publicKey(privateKey) };
}) as [{ privateKey: Uint8Array; publicKey: Uint8Array }, { privateKey: Uint8Array; publicKey: Uint8Array }];

const KEY = new Uint8Array(32).fill(7);
const HERE = endpointOf(Uint8Array.of(198, 51, 100, 1), 5000);
const THERE = endpointOf(Uint8Array.of(192, 0, 2, 1), 51900);
const OFFER = { suiteId: 3, aesSpeed: 4, chachaSpeed: 5 };

function knockOf(presharedKey = KEY): Knock {
  return new Knock({ crypto, statics: local, offer: OFFER }, { publicKey: remote.publicKey, presharedKey });
}

/** What the remote would answer. */
function answerTo(initiation: Uint8Array): Uint8Array {
  const responder = Responder.initiation(crypto, remote, initiation)!;
  const payload = emitResponsePayload({ resumed: false, refused: false, ...OFFER, lease: [] });
  const { message } = responder.response(KEY, 0, 99, payload);
  new MacStamper(crypto, local.publicKey).stamp(0, message);
  return message;
}

test("asks for a session of its own, and for no addresses", () => {
  const responder = Responder.initiation(crypto, remote, knockOf().initiation(0))!;
  expect(responder.remotePublicKey).toEqual(local.publicKey);
  expect(parseInitiationPayload(responder.payload)).toMatchObject({
    ...{ ...OFFER, rekey: false, wantsLease: false },
  });
});

test("knows the answer to its last message, and no other", () => {
  const knock = knockOf();
  const first = answerTo(knock.initiation(0));
  const second = answerTo(knock.initiation(1));
  expect(knock.onMessage(2, first, THERE)).toBe("foreign");
  const forged = second.map((byte, i) => (i === second.length - 40 ? byte ^ 1 : byte));
  expect(knock.onMessage(2, forged, THERE)).toBe("foreign");
  expect(knock.onMessage(2, second, THERE)).toBe("answered");
});

test("tells another pre-shared key from no answer", () => {
  const knock = knockOf(new Uint8Array(32));
  expect(knock.onMessage(1, answerTo(knock.initiation(0)), THERE)).toBe("unreadable");
});

test("sends the cookie that it was told to", () => {
  const knock = knockOf();
  const checker = new MacChecker(crypto, remote.publicKey);
  const first = knock.initiation(0);
  expect(checker.check(0, first, HERE, true)).toBe("needsCookie");
  expect(knock.onMessage(1, checker.cookieReply(0, first, HERE), THERE)).toBe("cookie");
  expect(checker.check(2, knock.initiation(2), HERE, true)).toBe("ok");
});

test("takes any bytes", () => {
  const knock = knockOf();
  knock.initiation(0);
  const bytes = fc.uint8Array({ maxLength: 300 });
  fc.assert(fc.property(bytes, (message) => knock.onMessage(1, message, THERE) === "foreign"));
});

test("a remote that takes none of the suites has answered, but is of no use", () => {
  const knock = knockOf();
  const responder = Responder.initiation(crypto, remote, knock.initiation(0))!;
  const refusal = emitResponsePayload({ resumed: false, refused: true, ...OFFER, lease: [] });
  const { message } = responder.response(KEY, 0, 9, refusal);
  new MacStamper(crypto, local.publicKey).stamp(0, message);
  expect(knock.onMessage(1, message, THERE)).toBe("refused");
  expect(knock.said).toMatchObject({ refused: true, suiteId: 3 });
});
