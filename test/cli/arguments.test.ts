import { describe, expect, test } from "bun:test";
import type { ArgsDef } from "citty";
import { parseArgs } from "citty";
import fc from "fast-check";
import { joinArguments } from "../../src/cli/arguments.ts";
import { Failure } from "../../src/cli/exit.ts";

const defs: ArgsDef = {
  toml: { type: "string" },
  socket: { type: "string", valueHint: "PATH" },
  json: { type: "boolean", alias: "j" },
  live: { type: "boolean", default: true },
  seconds: { type: "string", alias: ["s", "secs"], default: "10" },
  file: { type: "positional", required: false },
};

function refusal(args: readonly string[]): string {
  try {
    return `joined: ${joinArguments(args, defs, "portal test").join(" ")}`;
  } catch (error) {
    if (error instanceof Failure && error.exitCode === 2) return error.message;
    throw error;
  }
}

test.each([
  { args: [], joined: [] },
  { args: ["--toml"], joined: ["--toml="] },
  { args: ["--toml", "--json"], joined: ["--toml=", "--json"] },
  { args: ["--toml", "a.toml"], joined: ["--toml=a.toml"] },
  { args: ["--toml=a=b"], joined: ["--toml=a=b"] },
  { args: ["-j", "--no-live"], joined: ["--json", "--no-live"] },
  { args: ["-s", "5", "word"], joined: ["--seconds=5", "--", "word"] },
  { args: ["--secs=5"], joined: ["--seconds=5"] },
  { args: ["--", "-x"], joined: ["--", "-x"] },
  { args: ["-"], joined: ["--", "-"] },
])("$args", ({ args, joined }) => {
  expect(joinArguments(args, defs, "portal test")).toEqual([...joined]);
});

describe("refused", () => {
  test.each([
    { args: ["--jsno"], message: 'unknown flag "--jsno" of "portal test": did you mean "--json"?' },
    { args: ["-x"], message: 'unknown flag "-x" of "portal test": "portal test --help" lists all' },
    {
      args: ["--no-json"],
      message: 'unknown flag "--no-json" of "portal test": "portal test --help" lists all',
    },
    {
      args: ["--file", "a"],
      message: 'unknown flag "--file" of "portal test": "portal test --help" lists all',
    },
    { args: ["--json=1"], message: '--json of "portal test" takes no value: write --json alone' },
    { args: ["--socket"], message: '--socket of "portal test" needs a value: write --socket PATH' },
    { args: ["--socket", "--json"], message: '--socket of "portal test" needs a value: write --socket PATH' },
    { args: ["--seconds="], message: '--seconds of "portal test" needs a value: write --seconds SECONDS' },
    { args: ["a", "b"], message: 'unexpected "b": "portal test --help" shows what it takes' },
    { args: ["a", "b.toml"], message: 'unexpected "b.toml": write --toml b.toml' },
    {
      args: ["--constructor"],
      message: 'unknown flag "--constructor" of "portal test": "portal test --help" lists all',
    },
  ])("$args", ({ args, message }) => {
    expect(refusal(args)).toBe(message);
  });
});

test("citty reads what is joined as it was meant", () => {
  const read = (args: string[]) => parseArgs(joinArguments(args, defs, "portal test"), defs);
  expect(read(["--toml", "--json", "x"])).toMatchObject({
    toml: "",
    json: true,
    file: "x",
    live: true,
    seconds: "10",
  });
  expect(read(["--no-live", "-s", "3"])).toMatchObject({ live: false, seconds: "3" });
});

test("any arguments are joined or refused", () => {
  const word = fc.oneof(
    fc.string({ maxLength: 8 }),
    fc.constantFrom("--toml", "--json", "-s", "--", "-", "--no-live", "--socket=", "="),
  );
  fc.assert(
    fc.property(fc.array(word, { maxLength: 5 }), (args) => {
      const answer = refusal(args);
      expect(answer).not.toContain("undefined");
      if (answer.startsWith("joined: ")) parseArgs(joinArguments(args, defs, "portal test"), defs);
    }),
  );
});
