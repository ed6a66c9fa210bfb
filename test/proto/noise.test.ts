import { describe, expect, test } from "bun:test";
import { blake2s } from "@noble/hashes/blake2.js";
import fc from "fast-check";
import { Initiator, Responder, type StaticKeys } from "../../src/proto/noise.ts";
import type { NoiseCrypto } from "../../src/proto/noisecrypto.ts";
import { createNoiseCrypto } from "../../src/sys/crypto.ts";
import { parseInitiation, parseResponse } from "../../src/wire/handshake.ts";

const crypto = createNoiseCrypto();
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const counting = (from: number) => Uint8Array.from({ length: 32 }, (_, i) => from + i);

function statics(privateKey: Uint8Array): StaticKeys {
  return { privateKey, publicKey: crypto.publicKey(privateKey) };
}

/** The same primitives with one chosen value in place of randomness. */
function fixedRandom(value: Uint8Array): NoiseCrypto {
  return { ...crypto, random: () => value.slice() };
}

const local = statics(counting(1));
const remote = statics(counting(33));
const presharedKey = new Uint8Array(32).fill(0x55);
const noPresharedKey = new Uint8Array(32);
const initiationPayload = Buffer.from("a0a1a2a3a4a5a6a701010100", "hex");
const responsePayload = Buffer.from("01010000", "hex");

/** A handshake up to where the response has been made. */
function shakeHands(initiatorKey: Uint8Array, responderKey: Uint8Array) {
  const initiator = new Initiator(fixedRandom(counting(65)), local, remote.publicKey, initiatorKey);
  const initiation = initiator.initiation(5, 0x11223344, initiationPayload);
  const responder = Responder.initiation(fixedRandom(counting(97)), remote, initiation)!;
  const response = responder.response(responderKey, 6, 0x55667788, responsePayload);
  return { initiator, initiation, responder, response };
}

describe("vectors", () => {
  // Made with the Python package noiseprotocol 0.3.1 (on cryptography 50.0.2): Noise_IKpsk2_25519_AESGCM_BLAKE2s,
  // prologue "portal v1", private keys 01..20 (initiator static), 21..40 (responder static), 41..60 (initiator ephemeral),
  // 61..80 (responder ephemeral), pre-shared key as named, the payloads above.
  const initiationHex =
    "64b101b1d0be5a8704bd078f9895001fc03e8e9f9522f188dd128d9846d48466932687d84a6f7adc754a48a3eb86467eb8920582aaf966ef8095fff13d9d5f9040e9fa2b19420cf128613f7a4bc493f13966fd47c8b5453747703e4c062a382ae0193ce20baed4827497961b";
  test.each([
    {
      name: "a pre-shared key, 55 repeated",
      key: presharedKey,
      response:
        "244fe3b963e899dd295baffce248d3530f3a9a7479ba063002680ebfe7adad493ce65861e325179f5b05d180addd256e7c4445e7",
      toResponder: "be3ffa8854f820d4e3a8940ceec15e4615383753c343b441fd893a5336fb4755",
      toInitiator: "d97461638f13e92e4eb805d5b2349ece07b81419ee298d57b7d589b738830d10",
    },
    {
      name: "no pre-shared key",
      key: noPresharedKey,
      response:
        "244fe3b963e899dd295baffce248d3530f3a9a7479ba063002680ebfe7adad49891d9504b86e8b6b6e3f96ad6a5df19b2dfe8d43",
      toResponder: "e2b21b45217b10c0968160b1a1b620f4bb8def4aea2e326d145e428b727043ab",
      toInitiator: "ab4d43dd576c3cfbfed23fdeefd41ac7edad9c8d4d0ca62e9b17cf058903db0c",
    },
  ])("$name", ({ key, response, toResponder, toInitiator }) => {
    const hands = shakeHands(key, key);
    expect(hex(hands.initiation.subarray(8, 116))).toBe(initiationHex);
    expect(hex(hands.response.message.subarray(12, 64))).toBe(response);
    expect(hex(hands.response.keys.receiveKey)).toBe(toResponder);
    expect(hex(hands.response.keys.sendKey)).toBe(toInitiator);
    const result = hands.initiator.response(hands.response.message)!;
    expect(hex(result.keys.sendKey)).toBe(toResponder);
    expect(hex(result.keys.receiveKey)).toBe(toInitiator);
  });

  test("BLAKE2s (RFC 7693, appendix B)", () => {
    expect(hex(blake2s(Buffer.from("abc")))).toBe(
      "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982",
    );
  });
});

describe("handshake", () => {
  test("each side learns of the other what it should", () => {
    const { initiator, initiation, responder, response } = shakeHands(presharedKey, presharedKey);
    expect(parseInitiation(initiation)).toMatchObject({ pathId: 5, senderIndex: 0x11223344 });
    expect(responder.remotePublicKey).toEqual(local.publicKey);
    expect(responder.pathId).toBe(5);
    expect(responder.senderIndex).toBe(0x11223344);
    expect(hex(responder.payload)).toBe(hex(initiationPayload));
    expect(responder.ephemeral).toEqual(crypto.publicKey(counting(65)));
    expect(parseResponse(response.message)).toMatchObject({
      pathId: 6,
      senderIndex: 0x55667788,
      receiverIndex: 0x11223344,
    });
    expect(hex(initiator.response(response.message)!.payload)).toBe(hex(responsePayload));
  });

  test("what the responder keeps does not change with the datagram's memory", () => {
    const initiator = new Initiator(crypto, local, remote.publicKey, presharedKey);
    const initiation = initiator.initiation(0, 1, initiationPayload);
    const responder = Responder.initiation(crypto, remote, initiation)!;
    initiation.fill(0xaa);
    const response = responder.response(presharedKey, 0, 2, responsePayload);
    expect(initiator.response(response.message)!.keys.sendKey).toEqual(response.keys.receiveKey);
  });

  test("two handshakes of the same pair share no key", () => {
    const keys = new Set<string>();
    for (let i = 0; i < 2; i++) {
      const initiator = new Initiator(crypto, local, remote.publicKey, presharedKey);
      const responder = Responder.initiation(crypto, remote, initiator.initiation(0, 1, initiationPayload))!;
      const { sendKey, receiveKey } = responder.response(presharedKey, 0, 2, responsePayload).keys;
      keys.add(hex(sendKey)).add(hex(receiveKey));
    }
    expect(keys.size).toBe(4);
  });

  test("another pre-shared key: the response is refused", () => {
    const { initiator, response } = shakeHands(presharedKey, noPresharedKey);
    expect(initiator.response(response.message)).toBeNull();
  });

  test("meant for another responder: the initiation is refused", () => {
    const initiator = new Initiator(crypto, local, crypto.publicKey(counting(7)), presharedKey);
    expect(Responder.initiation(crypto, remote, initiator.initiation(0, 1, initiationPayload))).toBeNull();
  });

  test("a remote key of small order is refused before anything is sent", () => {
    const initiator = new Initiator(crypto, local, new Uint8Array(32), presharedKey);
    expect(() => initiator.initiation(0, 1, initiationPayload)).toThrow("not a usable X25519 key");
  });

  test("an initiator makes one initiation and takes one response", () => {
    const { initiator, response } = shakeHands(presharedKey, presharedKey);
    expect(() => initiator.initiation(0, 1, initiationPayload)).toThrow("one initiation");
    expect(initiator.response(response.message)).not.toBeNull();
    expect(initiator.response(response.message)).toBeNull();
  });

  test("a response before the initiation is refused", () => {
    const { response } = shakeHands(presharedKey, presharedKey);
    const initiator = new Initiator(fixedRandom(counting(65)), local, remote.publicKey, presharedKey);
    expect(initiator.response(response.message)).toBeNull();
  });
});

describe("what a stranger sends", () => {
  test("an initiation with any sealed bit flipped is refused", () => {
    const { initiation } = shakeHands(presharedKey, presharedKey);
    for (let offset = 8; offset < 116; offset++) {
      const forged = initiation.slice();
      forged[offset]! ^= 1 << (offset % 7);
      expect(Responder.initiation(crypto, remote, forged)).toBeNull();
    }
  });

  test("a response with any sealed bit flipped is refused, and the genuine one still taken", () => {
    const { initiator, response } = shakeHands(presharedKey, presharedKey);
    for (let offset = 12; offset < 64; offset++) {
      const forged = response.message.slice();
      forged[offset]! ^= 1 << (offset % 7);
      expect(initiator.response(forged)).toBeNull();
    }
    expect(initiator.response(response.message)!.keys.sendKey).toEqual(response.keys.receiveKey);
  });

  test("an ephemeral key of small order is refused", () => {
    const { initiator, initiation, response } = shakeHands(presharedKey, presharedKey);
    expect(Responder.initiation(crypto, remote, initiation.slice().fill(0, 8, 40))).toBeNull();
    expect(initiator.response(response.message.slice().fill(0, 12, 44))).toBeNull();
    expect(initiator.response(response.message)).not.toBeNull();
  });

  test("any bytes are refused and never throw", () => {
    const { initiator, response } = shakeHands(presharedKey, presharedKey);
    const anyBytes = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.uint8Array({ minLength: 148, maxLength: 148 }).map((message) => {
        message.set([1, 0, 0, 0]);
        return message;
      }),
      fc.uint8Array({ minLength: 96, maxLength: 96 }).map((message) => {
        message.set([2, 0, 0, 0]);
        return message;
      }),
    );
    fc.assert(
      fc.property(anyBytes, (message) => {
        expect(Responder.initiation(crypto, remote, message)).toBeNull();
        expect(initiator.response(message)).toBeNull();
      }),
    );
    expect(initiator.response(response.message)).not.toBeNull();
  });
});
