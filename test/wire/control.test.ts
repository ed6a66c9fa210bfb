import { expect, test } from "bun:test";
import fc from "fast-check";
import { plainBlock } from "../../src/share/block.ts";
import {
  ANSWER_BYTES,
  CHALLENGE_BYTES,
  CONGESTION,
  type CongestionName,
  congestionOf,
  PATH_END_BYTES,
  PATH_SEEN,
  PATH_STATUS_BYTES,
  PathEndMessage,
  type PathSeen,
  PathStatusMessage,
  spillOf,
  writeAnswer,
  writeChallenge,
  writePathEnd,
  writePathStatus,
} from "../../src/wire/control.ts";

test("a challenge: token, metric, congestion control, no flags, rate in 1,000 bytes per second", () => {
  const block = plainBlock(20);
  block.bytes.fill(0xee);
  const length = writeChallenge(block, 2, 0x01020304, 0xfffefdfc, 0x1122, false, "fixed", 6_250_400);
  expect(length).toBe(CHALLENGE_BYTES);
  expect([...block.bytes]).toEqual([
    0xee, 0xee, 1, 2, 3, 4, 0xff, 0xfe, 0xfd, 0xfc, 0x11, 0x22, 2, 0, 0, 0, 0x18, 0x6a, 0xee, 0xee,
  ]);
});

test("spill is the lowest bit of a challenge's flags, the one byte it changes, and the others say nothing", () => {
  fc.assert(
    fc.property(
      fc.nat(0xffff),
      fc.constantFrom(...(Object.keys(CONGESTION) as CongestionName[])),
      (metric, name) => {
        const [without, with_] = [false, true].map((spill) => {
          const block = plainBlock(CHALLENGE_BYTES);
          block.bytes.fill(0xee);
          writeChallenge(block, 0, 1, 2, metric, spill, name, 8000);
          return [...block.bytes];
        });
        expect([without![11], with_![11]]).toEqual([0, 1]);
        expect(with_!.with(11, 0)).toEqual(without!);
      },
    ),
  );
  for (let flags = 0; flags < 256; flags++) expect(spillOf(flags)).toBe(flags % 2 === 1);
});

test("the code of each congestion control is read back, any other is bbr", () => {
  for (const [name, code] of Object.entries(CONGESTION))
    expect(congestionOf(code)).toBe(name as CongestionName);
  for (const code of [4, 100, 255]) expect(congestionOf(code)).toBe("bbr");
});

test("no rate is 0", () => {
  const block = plainBlock(16);
  block.bytes.fill(0xee);
  writeChallenge(block, 0, 0, 0, 0, false, "bbr", 0);
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
