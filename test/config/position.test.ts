import { expect, test } from "bun:test";
import fc from "fast-check";
import { parse, stringify } from "smol-toml";
import { type KeyPath, locate } from "../../src/config/position.ts";

/** Every path of a parsed document: tables, arrays, elements and values. */
function pathsOf(value: unknown, path: KeyPath = []): KeyPath[] {
  const here = path.length > 0 ? [path] : [];
  if (Array.isArray(value))
    return [...here, ...value.flatMap((element, i) => pathsOf(element, [...path, i]))];
  if (typeof value !== "object" || value === null || value instanceof Date) return here;
  return [...here, ...Object.entries(value).flatMap(([key, inner]) => pathsOf(inner, [...path, key]))];
}

function valueAt(root: unknown, path: KeyPath): unknown {
  return path.reduce((value, part) => (value as Record<string | number, unknown>)[part], root);
}

/** Both readers see the same keys, and the span of each value that is written in one place reads as that value. */
function agree(text: string): void {
  const root = parse(text, { integersAsBigInt: true });
  const positions = locate(text);
  const names = (paths: KeyPath[]) => paths.map((path) => JSON.stringify(path)).sort();
  expect(names(positions.paths())).toEqual(names(pathsOf(root)));
  for (const path of positions.paths()) {
    const key = positions.keyOf(path)!;
    const span = positions.valueOf(path);
    expect(key.length).toBeGreaterThan(0);
    const written = span === null ? "" : text.slice(span.offset, span.offset + span.length);
    const last = path.at(-1)!;
    if (typeof last === "string") {
      const keyText = text.slice(key.offset, key.offset + key.length);
      expect(Object.keys(parse(`${keyText} = 1`))).toEqual([last]);
    }
    if (span === null) continue;
    const value = valueAt(root, path);
    const header = Array.isArray(value)
      ? key.offset > span.offset
      : isTable(value) && written.startsWith("[");
    if (!header) expect(parse(`it = ${written}`, { integersAsBigInt: true }).it).toEqual(value as never);
  }
}

function isTable(value: unknown): boolean {
  return typeof value === "object" && !(value instanceof Date);
}

test.each([
  ["", 0],
  ["a = 1", 1],
  ["a.b.c = 1 # c.d = 2\n'x.y'.\"z\\u0041\" = 2", 5],
  ["[a]\nb = 1\n[a.c]\nd = 2\n", 4],
  ["[[a]]\nb = 1\n[[a]]\nb = 2\n[a.c]\nd = 3\n[[a.e]]\n[[a.e]]\n", 10],
  ["  [ a . b ]   # note\r\n\tc\t=\t'd'\r\n", 3],
  ['a = """one\n"two" \\""" three"""\nb = 1', 2],
  ["a = '''x''''\nb = '''\n[c]\n'''\nd = 1", 3],
  ['a = ["#", "]", \'[\', 1979-05-27 07:32:00, 07:32:00] # ]\nb = 1', 7],
  ["a = [ # one\n  1, # two\n  2, # three\n]\nb = true", 4],
  ["a = { b = 1, c.d = 'x', e = [{f = 1}, {}] }\ng = -0.5e3", 9],
  ["a = {\n  b = 1, # note\n  c = 2,\n}\nd = 1", 4],
  ["\ufeffa = 1", 1],
  ["matrix = [\n  [1, 2],\n  [3],\n]", 6],
  ["a = '\\'\nb = 1", 2],
  ["[a.b]\nc = 1\n[a]\nd = 2", 4],
])("%j", (text, count) => {
  agree(text);
  expect(locate(text).paths()).toHaveLength(count);
});

test("spans are those of the text", () => {
  const text = '[[path]]\n  interface = "eth0" # mine\n[[path]]\n metric=7 \t# x\n';
  const positions = locate(text);
  const slice = (span: { offset: number; length: number } | null) =>
    span && [span.offset, text.slice(span.offset, span.offset + span.length)];
  expect(slice(positions.valueOf(["path", 0, "interface"]))).toEqual([23, '"eth0"']);
  expect(slice(positions.keyOf(["path", 0, "interface"]))).toEqual([11, "interface"]);
  expect(slice(positions.valueOf(["path", 1]))).toEqual([37, "[[path]]"]);
  expect(slice(positions.valueOf(["path", 1, "metric"]))).toEqual([54, "7"]);
  expect(positions.valueOf(["path", 2])).toBeNull();
  expect(positions.keyOf(["interface"])).toBeNull();
});

const word = fc.oneof(
  fc.string({ unit: fc.constantFrom(..."abz09_-"), minLength: 1, maxLength: 6 }),
  fc.string({ maxLength: 6 }),
  fc.constantFrom("a.b", "[x]", "#", "=", '"', "'", "\\", "\n"),
);
const scalar = fc.oneof(
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.boolean(),
  fc.string({ unit: "grapheme", maxLength: 12 }),
  fc.constantFrom("a # b", "[x]\n[y]", '"""', "'''", "\\", "a = 1\nb = 2"),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
);
const { tree } = fc.letrec<{ tree: Record<string, unknown>; value: unknown }>((tie) => ({
  tree: fc.dictionary(word, tie("value"), { maxKeys: 5 }),
  value: fc.oneof(
    { depthSize: "small" },
    scalar,
    fc.array(scalar, { maxLength: 3 }),
    tie("tree"),
    fc.array(tie("tree"), { maxLength: 3 }),
  ),
}));

test("documents as smol-toml writes them", () => {
  fc.assert(
    fc.property(tree, (values) => {
      const text = stringify(values);
      fc.pre(parses(text));
      agree(text);
    }),
    { numRuns: 500 },
  );
});

/** Pieces of documents in every way of writing; most joins of them parse. */
const key = fc.constantFrom("a", "b", "c", "d-e", "1", '"q r"', "'s.t'", "u.v", "u . w", '"\\u0041"');
const written = fc.constantFrom(
  "1",
  "-2.5",
  "true",
  '"x # y"',
  "'z'",
  '"""a\n[b]\nc = 1"""',
  "'''d'''''",
  "[1, [2], {e = 3}]",
  "[\n  'f', # g\n  'h'\n]",
  "{i = 1, j.k = [ ] }",
  "{ }",
  "1979-05-27 07:32:00Z",
  "0xff",
);
const line = fc.oneof(
  { arbitrary: fc.tuple(key, written).map(([k, v]) => `${k} = ${v}`), weight: 4 },
  { arbitrary: fc.tuple(key, written).map(([k, v]) => ` \t${k}=${v} # note = [1]`), weight: 2 },
  { arbitrary: key.map((k) => `[${k}]`), weight: 1 },
  { arbitrary: key.map((k) => `[[ ${k} ]] # [x]`), weight: 2 },
  { arbitrary: fc.tuple(key, key).map(([k, l]) => `[${k}.${l}]`), weight: 1 },
  { arbitrary: fc.constantFrom("", "# comment = 1", "   "), weight: 1 },
);
const document = fc
  .tuple(fc.array(line, { maxLength: 8 }), fc.constantFrom("\n", "\r\n"))
  .map(([lines, end]) => lines.join(end));

test("documents written by hand in every way", () => {
  let parsed = 0;
  fc.assert(
    fc.property(document, (text) => {
      if (!parses(text)) return;
      parsed++;
      agree(text);
    }),
    { numRuns: 3000 },
  );
  expect(parsed).toBeGreaterThan(500);
});

test("any text is walked to its end", () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string({ unit: "binary" }),
        fc.string({ unit: fc.constantFrom(..."[]{}=.\"'\\#,\n a1"), maxLength: 200 }),
      ),
      (text) => {
        const positions = locate(text);
        for (const path of positions.paths()) {
          const span = positions.keyOf(path)!;
          expect(span.offset + span.length).toBeLessThanOrEqual(text.length);
        }
      },
    ),
    { numRuns: 500 },
  );
  locate("[".repeat(100_000));
  locate(`a=${"[".repeat(100_000)}`);
  locate(`a=${"{b=".repeat(100_000)}`);
});

function parses(text: string): boolean {
  try {
    parse(text, { integersAsBigInt: true });
    return true;
  } catch {
    return false;
  }
}
