import { expect, test } from "bun:test";
import fc from "fast-check";
import { plainBlock } from "../../src/share/block.ts";
import {
  ANSWER_BYTES,
  CHALLENGE_BYTES,
  ChallengeMessage,
  CONGESTION,
  type CongestionName,
  CREDIT_CHALLENGE_BYTES,
  MAX_CREDIT,
  PATH_END_BYTES,
  PATH_SEEN,
  PATH_STATUS_BYTES,
  PathEndMessage,
  type PathSeen,
  PathStatusMessage,
  writeAnswer,
  writePathEnd,
  writePathStatus,
} from "../../src/wire/control.ts";

function challenge(fields: Partial<ChallengeMessage>): ChallengeMessage {
  return Object.assign(new ChallengeMessage(), fields);
}

test("a challenge: token, metric, congestion control, no flags, rate in 1,000 bytes per second", () => {
  const block = plainBlock(20);
  block.bytes.fill(0xee);
  const token = { tokenHigh: 0x01020304, tokenLow: 0xfffefdfc };
  const message = challenge({ ...token, metric: 0x1122, congestion: "fixed", rate: 6_250_400 });
  expect(message.write(block, 2)).toBe(CHALLENGE_BYTES);
  expect([...block.bytes]).toEqual([
    0xee, 0xee, 1, 2, 3, 4, 0xff, 0xfe, 0xfd, 0xfc, 0x11, 0x22, 2, 0, 0, 0, 0x18, 0x6a, 0xee, 0xee,
  ]);
});

test("a challenge that gives credit has the header and 48 bits of bytes behind that", () => {
  const block = plainBlock(CREDIT_CHALLENGE_BYTES);
  block.bytes.fill(0xee);
  const message = challenge({ header: 28, credit: 0x1234_89ab_cdef });
  expect(message.write(block, 0)).toBe(CREDIT_CHALLENGE_BYTES);
  expect([...block.bytes].slice(CHALLENGE_BYTES)).toEqual([0, 28, 0x12, 0x34, 0x89, 0xab, 0xcd, 0xef]);
  challenge({ credit: 1e18 }).write(block, 0);
  expect([...block.bytes].slice(CHALLENGE_BYTES + 2)).toEqual(new Array(6).fill(0xff));
});

test("a challenge is read as it was written, and no other length is one", () => {
  const names = fc.constantFrom(...(Object.keys(CONGESTION) as CongestionName[]));
  const credits = fc.option(fc.record({ header: fc.nat(0xffff), credit: fc.maxSafeNat() }));
  fc.assert(
    fc.property(
      fc.nat(0xffff),
      fc.boolean(),
      names,
      fc.nat(1e6),
      credits,
      (metric, spill, congestion, rate, last) => {
        const block = plainBlock(CREDIT_CHALLENGE_BYTES + 1);
        block.bytes.fill(0xee);
        const message = challenge({
          tokenHigh: 1,
          tokenLow: 2,
          metric,
          spill,
          congestion,
          rate: rate * 1000,
        });
        if (last !== null) Object.assign(message, last);
        const length = message.write(block, 1);
        // Into one that has been used.
        const read = challenge({ header: 1, credit: 1, spill: !spill });
        expect(read.read(block, 1, length)).toBe(true);
        const credit = last === null ? null : Math.min(last.credit, MAX_CREDIT);
        expect(read).toEqual(challenge({ ...message, credit }));
        for (const other of [0, length - 1, length + 1, 23, 25])
          expect(read.read(block, 0, other)).toBe(false);
      },
    ),
  );
});

test("spill is the lowest bit of a challenge's flags, and the others say nothing", () => {
  const block = plainBlock(CHALLENGE_BYTES);
  const message = new ChallengeMessage();
  for (let flags = 0; flags < 256; flags++) {
    block.bytes[11] = flags;
    message.read(block, 0, CHALLENGE_BYTES);
    expect(message.spill).toBe(flags % 2 === 1);
  }
});

test("the code of each congestion control is read back, any other is bbr", () => {
  const block = plainBlock(CHALLENGE_BYTES);
  const message = new ChallengeMessage();
  const codes: [number, string][] = Object.entries(CONGESTION).map(([name, code]) => [code, name]);
  for (const [code, name] of [...codes, ...[4, 100, 255].map((code): [number, string] => [code, "bbr"])]) {
    block.bytes[10] = code;
    message.read(block, 0, CHALLENGE_BYTES);
    expect(message.congestion).toBe(name as CongestionName);
  }
});

test("no rate is 0", () => {
  const block = plainBlock(16);
  block.bytes.fill(0xee);
  challenge({}).write(block, 0);
  expect([...block.bytes]).toEqual(new Array(16).fill(0));
});

test("an answer: the token", () => {
  const block = plainBlock(10);
  expect(writeAnswer(block, 1, 0xfffffffe, 2)).toBe(ANSWER_BYTES);
  expect([...block.bytes]).toEqual([0, 0xff, 0xff, 0xff, 0xfe, 0, 0, 0, 2, 0]);
});

test("a path status: path, what was seen, low half of a packet number", () => {
  const block = plainBlock(10);
  block.bytes.fill(0xee);
  expect(writePathStatus(block, 1, 5, "interfaceDown", 0x1_89ab_cdef)).toBe(PATH_STATUS_BYTES);
  expect([...block.bytes]).toEqual([0xee, 5, 3, 0, 0, 0x89, 0xab, 0xcd, 0xef, 0xee]);
});

test("a path status is read as it was written, and what is not known is as silent", () => {
  const message = new PathStatusMessage();
  const block = plainBlock(PATH_STATUS_BYTES);
  for (const seen of Object.keys(PATH_SEEN) as PathSeen[]) {
    writePathStatus(block, 0, 31, seen, 0xffff_ffff);
    expect(message.read(block, 0, PATH_STATUS_BYTES)).toBe(true);
    expect({ ...message }).toEqual({ pathId: 31, seen, heard: 0xffff_ffff });
  }
  block.bytes[1] = 200;
  message.read(block, 0, PATH_STATUS_BYTES);
  expect(message.seen).toBe("silent");
});

test("any bytes are a path status at the one right length only, and never throw", () => {
  const message = new PathStatusMessage();
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), fc.nat(8), (bytes, offset) => {
      const block = plainBlock(offset + bytes.length);
      block.bytes.set(bytes, offset);
      const taken = message.read(block, offset, bytes.length);
      expect(taken).toBe(bytes.length === PATH_STATUS_BYTES);
      if (!taken) return;
      expect(message.pathId).toBe(bytes[0]!);
      expect(message.heard).toBe(Buffer.from(bytes).readUInt32BE(4));
      expect(Object.keys(PATH_SEEN)).toContain(message.seen);
    }),
  );
});

test("a path end: path, whether it is noted, low halves of two packet numbers", () => {
  const block = plainBlock(14);
  block.bytes.fill(0xee);
  expect(writePathEnd(block, 1, 255, true, 0x1_89ab_cdef, 0x2_0000_0007)).toBe(PATH_END_BYTES);
  expect([...block.bytes]).toEqual([0xee, 255, 1, 0, 0, 0x89, 0xab, 0xcd, 0xef, 0, 0, 0, 7, 0xee]);
});

test("any bytes are a path end at the one right length only, and never throw", () => {
  const message = new PathEndMessage();
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), fc.nat(8), (bytes, offset) => {
      const block = plainBlock(offset + bytes.length);
      block.bytes.set(bytes, offset);
      const taken = message.read(block, offset, bytes.length);
      expect(taken).toBe(bytes.length === PATH_END_BYTES);
      if (!taken) return;
      const { pathId, noted, ended, from } = message;
      const read = Buffer.from(bytes);
      expect({ pathId, noted, ended, from }).toEqual({
        pathId: bytes[0]!,
        noted: bytes[1] === 1,
        ended: read.readUInt32BE(4),
        from: read.readUInt32BE(8),
      });
    }),
  );
});
