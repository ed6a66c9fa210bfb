import { expect, test } from "bun:test";
import fc from "fast-check";
import { encodeQuestion, readAnswer, TYPE_A, TYPE_AAAA } from "../../src/wire/dns.ts";

const hex = (text: string) => Uint8Array.from(Buffer.from(text.replace(/\s/g, ""), "hex"));

const question = encodeQuestion(0x1234, "www.example.org", TYPE_A)!;

test("a question, as RFC 1035 section 4.1 draws it", () => {
  const name = "03 777777 07 6578616d706c65 03 6f7267 00";
  expect(question).toEqual(hex(`1234 0100 0001 0000 0000 0000 ${name} 0001 0001`));
  expect(encodeQuestion(0x1234, "www.example.org.", TYPE_AAAA)).toEqual(
    hex(`1234 0100 0001 0000 0000 0000 ${name} 001c 0001`),
  );
  for (const wrong of ["", "a..b", `${"a".repeat(64)}.org`, "ä.org", "a b"]) {
    expect(encodeQuestion(1, wrong, TYPE_A)).toBeNull();
  }
});

/** An answer to `question` with these records, after some names have been changed to pointers. */
function answerWith(count: number, records: string, flags = "8180"): Uint8Array {
  const header = hex(`1234 ${flags} 0001 ${count.toString(16).padStart(4, "0")} 0000 0000`);
  return Uint8Array.from([...header, ...question.subarray(12), ...hex(records)]);
}

const ALIAS = "c00c 0005 0001 00000e10 0006 0361 6263 c010";
const ADDRESS = "0361 6263 c010 0001 0001 0000003c 0004 c0000201";

test("the addresses in an answer, also of another name that it leads to", () => {
  expect(readAnswer(question, answerWith(2, ALIAS + ADDRESS))).toEqual([Uint8Array.of(192, 0, 2, 1)]);
  const ipv6 = "c00c 001c 0001 0000003c 0010 20010db8000000000000000000000001";
  expect(readAnswer(question, answerWith(1, ipv6))).toEqual([hex("20010db8000000000000000000000001")]);
  expect(readAnswer(question, answerWith(1, ALIAS))).toEqual([]);
  expect(readAnswer(question, answerWith(0, "", "8183"))).toEqual([]);
  // A truncated one has what it has.
  expect(readAnswer(question, answerWith(3, `${ADDRESS}c00c0001`))).toEqual([Uint8Array.of(192, 0, 2, 1)]);
});

test("what answers another question is no answer", () => {
  const right = answerWith(1, ADDRESS);
  expect(readAnswer(question, right)).not.toBeNull();
  for (const at of [0, 1, 2, 5, 13, 20, question.length - 3]) {
    const wrong = right.slice();
    wrong[at]! ^= 0x80;
    expect(readAnswer(question, wrong)).toBeNull();
  }
  // Letters may come back in another case.
  const capitals = right.slice();
  capitals[13]! ^= 0x20;
  expect(readAnswer(question, capitals)).toEqual([Uint8Array.of(192, 0, 2, 1)]);
  expect(readAnswer(question, question)).toBeNull();
});

test("any bytes", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), fc.boolean(), (bytes, begun) => {
      const answer = begun ? Uint8Array.from([...answerWith(9, ""), ...bytes]) : bytes;
      for (const address of readAnswer(question, answer) ?? []) expect([4, 16]).toContain(address.length);
    }),
  );
});
