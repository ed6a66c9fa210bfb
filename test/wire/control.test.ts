import { expect, test } from "bun:test";
import { plainBlock } from "../../src/share/block.ts";
import {
  ANSWER_BYTES,
  CHALLENGE_BYTES,
  CONGESTION,
  type CongestionName,
  congestionOf,
  writeAnswer,
  writeChallenge,
} from "../../src/wire/control.ts";

test("a challenge: token, metric, congestion control, rate in 1,000 bytes per second", () => {
  const block = plainBlock(20);
  block.bytes.fill(0xee);
  const length = writeChallenge(block, 2, 0x01020304, 0xfffefdfc, 0x1122, "fixed", 6_250_400);
  expect(length).toBe(CHALLENGE_BYTES);
  expect([...block.bytes]).toEqual([
    0xee, 0xee, 1, 2, 3, 4, 0xff, 0xfe, 0xfd, 0xfc, 0x11, 0x22, 2, 0, 0, 0, 0x18, 0x6a, 0xee, 0xee,
  ]);
});

test("the code of each congestion control is read back, any other is bbr", () => {
  for (const [name, code] of Object.entries(CONGESTION))
    expect(congestionOf(code)).toBe(name as CongestionName);
  for (const code of [4, 100, 255]) expect(congestionOf(code)).toBe("bbr");
});

test("no rate is 0", () => {
  const block = plainBlock(16);
  block.bytes.fill(0xee);
  writeChallenge(block, 0, 0, 0, 0, "bbr", 0);
  expect([...block.bytes]).toEqual(new Array(16).fill(0));
});

test("an answer: the token", () => {
  const block = plainBlock(10);
  expect(writeAnswer(block, 1, 0xfffffffe, 2)).toBe(ANSWER_BYTES);
  expect([...block.bytes]).toEqual([0, 0xff, 0xff, 0xff, 0xfe, 0, 0, 0, 2, 0]);
});
