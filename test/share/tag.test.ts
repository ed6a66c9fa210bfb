import { expect, test } from "bun:test";
import { sameTag } from "../../src/share/tag.ts";

test("tags are compared over all sixteen bytes and no more", () => {
  const tag = Uint8Array.from({ length: 16 }, (_, i) => i);
  const inside = new Uint8Array(20).fill(0xff);
  inside.set(tag, 3);
  expect(sameTag(tag, 0, inside, 3)).toBe(true);
  for (let i = 0; i < 16; i++) {
    const other = inside.slice();
    other[3 + i]! ^= 0x80;
    expect(sameTag(tag, 0, other, 3)).toBe(false);
  }
});
