import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  COOKIE_REPLY_BYTES,
  carriesMacs,
  emitCookieReply,
  emitInitiation,
  emitInitiationPayload,
  emitResponse,
  emitResponsePayload,
  INITIATION_BYTES,
  LEASE_RESPONSE_BYTES,
  parseCookieReply,
  parseInitiation,
  parseInitiationPayload,
  parseResponse,
  parseResponsePayload,
  RESPONSE_BYTES,
  readPathId,
  readSenderIndex,
} from "../../src/wire/handshake.ts";

const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const byte = fc.integer({ min: 0, max: 255 });
const index = fc.integer({ min: 0, max: 0xffff_ffff });
/** A run of equal bytes, so that a table can say where a field stands. */
const run = (value: number, length: number) => new Uint8Array(length).fill(value);
const at = (message: Uint8Array, from: number, to: number) =>
  Buffer.from(message.subarray(from, to)).toString("hex");

describe("layout", () => {
  test("initiation", () => {
    const message = emitInitiation({
      pathId: 7,
      senderIndex: 0xfedcba98,
      ephemeral: run(0xe1, 32),
      sealedStatic: run(0x51, 48),
      sealedPayload: run(0x9a, 28),
    });
    expect(message.length).toBe(148);
    expect(at(message, 0, 8)).toBe("01070000fedcba98");
    expect(at(message, 8, 40)).toBe("e1".repeat(32));
    expect(at(message, 40, 88)).toBe("51".repeat(48));
    expect(at(message, 88, 116)).toBe("9a".repeat(28));
    expect(at(message, 116, 148)).toBe("00".repeat(32));
  });

  test("response", () => {
    const message = emitResponse({
      pathId: 3,
      senderIndex: 0x01020304,
      receiverIndex: 0xfffefdfc,
      ephemeral: run(0xe2, 32),
      sealedPayload: run(0x9b, 20),
    });
    expect(message.length).toBe(96);
    expect(at(message, 0, 12)).toBe("0203000001020304fffefdfc");
    expect(at(message, 12, 44)).toBe("e2".repeat(32));
    expect(at(message, 44, 64)).toBe("9b".repeat(20));
    expect(at(message, 64, 96)).toBe("00".repeat(32));
  });

  test("cookie reply", () => {
    const message = emitCookieReply({
      pathId: 255,
      receiverIndex: 0x80000001,
      nonce: run(0x22, 12),
      sealedCookie: run(0xcc, 32),
    });
    expect(Buffer.from(message).toString("hex")).toBe(`03ff000080000001${"22".repeat(12)}${"cc".repeat(32)}`);
  });

  test("payloads", () => {
    const sessionId = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
    const payload = emitInitiationPayload({
      sessionId,
      version: 1,
      suiteId: 2,
      aesSpeed: 14,
      chachaSpeed: 3,
      rekey: true,
      wantsLease: false,
    });
    expect(Buffer.from(payload).toString("hex")).toBe("0102030405060708010201e3");
    const speeds = { aesSpeed: 5, chachaSpeed: 10 };
    const response = emitResponsePayload({ resumed: true, refused: false, suiteId: 2, ...speeds, lease: [] });
    expect(Buffer.from(response).toString("hex")).toBe("01025a00");
    const refusal = emitResponsePayload({ resumed: false, refused: true, suiteId: 3, ...speeds, lease: [] });
    expect(Buffer.from(refusal).toString("hex")).toBe("02035a00");
    const lease = [
      { bytes: Uint8Array.of(10, 77, 0, 9), length: 24 },
      { bytes: run(0xfd, 16), length: 64 },
    ];
    const leasing = emitResponsePayload({ resumed: false, refused: false, suiteId: 2, ...speeds, lease });
    expect(Buffer.from(leasing).toString("hex")).toBe(`00025a00180a4d000940${"fd".repeat(16)}`);
    const asking = { sessionId, version: 1, suiteId: 2, ...speeds, rekey: false, wantsLease: true };
    expect(emitInitiationPayload(asking)[10]).toBe(2);
  });

  test("no answer is larger than what it answers", () => {
    expect(LEASE_RESPONSE_BYTES).toBeLessThanOrEqual(INITIATION_BYTES);
    expect(COOKIE_REPLY_BYTES).toBeLessThanOrEqual(RESPONSE_BYTES);
  });

  test("a field of the wrong length is our own bug", () => {
    const fields = { pathId: 0, receiverIndex: 0, nonce: run(0, 11), sealedCookie: run(0, 32) };
    expect(() => emitCookieReply(fields)).toThrow("field at 8: 11 bytes, not 12");
  });
});

describe("what is emitted parses to the same", () => {
  test("initiation", () => {
    const fields = fc.record({
      pathId: byte,
      senderIndex: index,
      ephemeral: bytes(32),
      sealedStatic: bytes(48),
      sealedPayload: bytes(28),
    });
    fc.assert(
      fc.property(fields, (initiation) => {
        const message = emitInitiation(initiation);
        expect(parseInitiation(message)).toEqual(initiation);
        expect(carriesMacs(message)).toBe(true);
        expect(readPathId(message)).toBe(initiation.pathId);
        expect(readSenderIndex(message)).toBe(initiation.senderIndex);
      }),
    );
  });

  test("response", () => {
    const fields = fc.record({
      pathId: byte,
      senderIndex: index,
      receiverIndex: index,
      ephemeral: bytes(32),
      sealedPayload: fc.constantFrom(20, 42).chain((length) => bytes(length)),
    });
    fc.assert(
      fc.property(fields, (response) => {
        const message = emitResponse(response);
        expect(parseResponse(message)).toEqual(response);
        expect(carriesMacs(message)).toBe(true);
        expect(readSenderIndex(message)).toBe(response.senderIndex);
      }),
    );
  });

  test("cookie reply", () => {
    const fields = fc.record({
      pathId: byte,
      receiverIndex: index,
      nonce: bytes(12),
      sealedCookie: bytes(32),
    });
    fc.assert(
      fc.property(fields, (reply) => {
        const message = emitCookieReply(reply);
        expect(parseCookieReply(message)).toEqual(reply);
        expect(carriesMacs(message)).toBe(false);
      }),
    );
  });

  test("payloads", () => {
    const speed = fc.integer({ min: 0, max: 15 });
    const initiation = fc.record({
      sessionId: bytes(8),
      version: byte,
      suiteId: byte,
      aesSpeed: speed,
      chachaSpeed: speed,
      rekey: fc.boolean(),
      wantsLease: fc.boolean(),
    });
    const ipv4 = fc.record({ bytes: bytes(4), length: fc.integer({ min: 1, max: 32 }) });
    const ipv6 = fc.record({ bytes: bytes(16), length: fc.integer({ min: 1, max: 128 }) });
    const lease = fc.oneof(fc.constant([]), fc.tuple(ipv4), fc.tuple(ipv6), fc.tuple(ipv4, ipv6));
    const response = fc.record({
      resumed: fc.boolean(),
      refused: fc.boolean(),
      suiteId: byte,
      aesSpeed: speed,
      chachaSpeed: speed,
      lease,
    });
    fc.assert(
      fc.property(initiation, response, (one, two) => {
        expect(parseInitiationPayload(emitInitiationPayload(one))).toEqual(one);
        expect(parseResponsePayload(emitResponsePayload(two))).toEqual(two);
      }),
    );
  });
});

describe("what a stranger sends", () => {
  const lengths = [0, 1, 3, 4, 8, 12, 51, 52, 53, 95, 96, 97, 117, 118, 119, 147, 148, 149];
  const anyBytes = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc.constantFrom(...lengths).chain((length) => bytes(length)),
    // Close to genuine: the right head on any length.
    fc.tuple(fc.integer({ min: 0, max: 4 }), fc.constantFrom(...lengths)).map(([type, length]) => {
      const message = new Uint8Array(length);
      message[0] = type;
      return message;
    }),
  );

  test("any bytes parse only at the one right type and length, and never throw", () => {
    fc.assert(
      fc.property(anyBytes, (message) => {
        const head = (type: number, length: number) =>
          message.length === length && message[0] === type && message[2] === 0 && message[3] === 0;
        expect(parseInitiation(message) !== null).toBe(head(1, 148));
        expect(parseResponse(message) !== null).toBe(head(2, 96) || head(2, 118));
        expect(parseCookieReply(message) !== null).toBe(head(3, 52));
        expect(carriesMacs(message)).toBe(head(1, 148) || head(2, 96) || head(2, 118));
        expect(parseInitiationPayload(message) !== null).toBe(message.length === 12);
        expect(parseResponsePayload(message) !== null).toBe(message.length === 4 || message.length === 26);
      }),
      { numRuns: 500 },
    );
  });

  test.each([
    ["flags in the type byte", 0, 0x11],
    ["the first zero byte", 2, 1],
    ["the second zero byte", 3, 1],
  ])("refused: %s", (_, offset, value) => {
    const message = new Uint8Array(INITIATION_BYTES);
    message[0] = 1;
    expect(parseInitiation(message)).not.toBeNull();
    message[offset] = value;
    expect(parseInitiation(message)).toBeNull();
  });

  test("reserved bytes of the payloads are not looked at", () => {
    const initiation = run(0xff, 12);
    expect(parseInitiationPayload(initiation)).toMatchObject({ version: 255, rekey: true });
    initiation[10] = 0xfe;
    expect(parseInitiationPayload(initiation)).toMatchObject({ rekey: false });
    expect(parseResponsePayload(Uint8Array.of(0xfc, 9, 0x12, 255))).toEqual({
      resumed: false,
      refused: false,
      suiteId: 9,
      aesSpeed: 1,
      chachaSpeed: 2,
      lease: [],
    });
  });
});
