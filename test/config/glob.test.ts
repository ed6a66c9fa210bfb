/** Patterns for interface names, beside a slow model of them. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { isGlob, matchesGlob } from "../../src/config/glob.ts";

test.each([
  ["wwan*", "wwan0", true],
  ["wwan*", "wwan", true],
  ["wwan*", "wwa", false],
  ["wwan*", "awwan0", false],
  ["wwan?", "wwan0", true],
  ["wwan?", "wwan", false],
  ["wwan?", "wwan10", false],
  ["*p*s0", "enp3s0", true],
  ["*p*s0", "enp3s0s", false],
  ["en*u*", "enx0u", true],
  ["eth0", "eth0", true],
  ["eth.", "eth0", false],
])("%s and %s: %p", (glob, name, matches) => expect(matchesGlob(glob, name)).toBe(matches));

test("only * and ? make a pattern", () => {
  expect(["wwan*", "wwan?", "wwan0", "wwan[0]", ""].map(isGlob)).toEqual([true, true, false, false, false]);
});

/** By definition, character by character. */
function slowly(glob: string, name: string): boolean {
  if (glob === "") return name === "";
  if (glob[0] === "*") return slowly(glob.slice(1), name) || (name !== "" && slowly(glob, name.slice(1)));
  return name !== "" && (glob[0] === "?" || glob[0] === name[0]) && slowly(glob.slice(1), name.slice(1));
}

test("matches as the slow model does", () => {
  const word = (letters: string) =>
    fc.array(fc.constantFrom(...letters), { maxLength: 9 }).map((chosen) => chosen.join(""));
  fc.assert(
    fc.property(word("ab*?"), word("ab"), (glob, name) => {
      expect(matchesGlob(glob, name)).toBe(slowly(glob, name));
    }),
    { numRuns: 2000 },
  );
});
