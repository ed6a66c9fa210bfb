/**
 * Rules of this repository that neither the compiler nor the linter can hold: which layer may import which, what pure
 * code may not touch, which words are used, what lies at the top level. Every rule is shown to fail below.
 */
import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

process.chdir(join(import.meta.dir, ".."));

interface Layer {
  /** Layers it may import besides itself; "share types" allows only `import type` of it. */
  readonly layers: readonly string[];
  /** Packages and built-in modules it may import; a trailing * stands for any rest. */
  readonly packages: readonly string[];
  /** Reads no clock, no randomness, no Bun, no node: all that arrives as an argument. */
  readonly pure?: true;
}

/** The folders of src, and its single files. The longest name that fits a file is the file's layer. */
const LAYERS: Readonly<Record<string, Layer>> = {
  "src/wire/": { pure: true, layers: ["share types"], packages: [] },
  "src/share/": { pure: true, layers: [], packages: [] },
  "src/proto/": { pure: true, layers: ["wire", "share"], packages: ["@noble/hashes/*"] },
  "src/outbound.ts": { pure: true, layers: ["wire", "proto", "share"], packages: [] },
  "src/inbound.ts": { pure: true, layers: ["wire", "proto", "share", "outbound.ts types"], packages: [] },
  "src/config/": { layers: ["wire", "share"], packages: ["@noble/hashes/*", "smol-toml"] },
  "src/sys/": { layers: ["wire", "proto", "share"], packages: ["bun:ffi", "node:*", "@noble/hashes/*"] },
  "src/lab/line.ts": { pure: true, layers: ["wire", "share"], packages: [] },
  "src/lab/random.ts": { pure: true, layers: ["wire", "share"], packages: [] },
  "src/lab/ring.ts": { pure: true, layers: ["wire", "share"], packages: [] },
  "src/lab/": { layers: ["wire", "share", "sys"], packages: ["bun", "node:*"] },
  "src/host/": { layers: ["wire", "share", "config", "sys"], packages: ["node:*"] },
  "src/doctor/judge/": { pure: true, layers: ["wire", "share"], packages: [] },
  "src/doctor/": { layers: ["wire", "share", "proto", "config", "sys"], packages: ["node:*"] },
  "src/ui/": { layers: ["wire", "share"], packages: [] },
  "src/run/": {
    layers: ["wire", "share", "proto", "outbound.ts", "inbound.ts", "config", "sys", "host", "ui", "lab"],
    packages: ["bun", "node:*"],
  },
  "src/cli/": {
    layers: ["wire", "share", "proto", "config", "sys", "host", "doctor", "ui", "lab", "run"],
    packages: ["bun", "node:*", "citty", "smol-toml"],
  },
  "src/main.ts": { layers: ["cli", "run"], packages: ["citty"] },
};

/** What may be imported from outside src: the version. */
const PACKAGE_JSON = "package.json";

function layerNameOf(path: string): string | undefined {
  const names = Object.keys(LAYERS).filter((name) => path.startsWith(name));
  return names.sort((a, b) => b.length - a.length)[0];
}

/** `src/wire/` and `src/lab/line.ts` as an import rule writes them: `wire`, `lab`. */
function shortName(path: string): string {
  return path.split("/")[1] ?? path;
}

const COMMENT_OR_STRING = /\/\*[\s\S]*?\*\/|\/\/[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'/g;

function withoutComments(code: string): string {
  return code.replace(COMMENT_OR_STRING, (found) => (found.startsWith("/") ? " " : found));
}

function withoutCommentsAndStrings(code: string): string {
  return code.replace(COMMENT_OR_STRING, '""');
}

interface Import {
  readonly from: string;
  readonly typeOnly: boolean;
}

function importsOf(code: string): Import[] {
  const text = withoutComments(code);
  const statements = text.matchAll(/^(?:import|export)\s+(type\s)?[\w$\s{},*]*?\bfrom\s+["']([^"']+)["']/gm);
  const found = [...statements].map((match) => ({ from: match[2]!, typeOnly: match[1] !== undefined }));
  const others = text.matchAll(/(?:^import\s+|(?<![.\w])(?:import|require)\s*\(\s*)["']([^"']+)["']/gm);
  return [...found, ...[...others].map((match) => ({ from: match[1]!, typeOnly: false }))];
}

function mayImportPackage(layer: Layer, name: string): boolean {
  return layer.packages.some((allowed) =>
    allowed.endsWith("*") ? name.startsWith(allowed.slice(0, -1)) : name === allowed,
  );
}

function mayImportFile(path: string, layer: Layer, target: string, typeOnly: boolean): boolean {
  if (layer.pure && !LAYERS[layerNameOf(target) ?? ""]?.pure) return false;
  const name = shortName(target);
  if (shortName(path) === name || layer.layers.includes(name)) return true;
  return typeOnly && layer.layers.includes(`${name} types`);
}

function wrongImports(path: string, code: string): string[] {
  const name = layerNameOf(path);
  if (name === undefined) return [`${path}: belongs to no layer named in test/tidy.test.ts`];
  const layer = LAYERS[name]!;
  const faults: string[] = [];
  for (const { from, typeOnly } of importsOf(code)) {
    const target = from.startsWith(".") ? join(path, "..", from) : undefined;
    if (target === PACKAGE_JSON) continue;
    const allowed =
      target === undefined ? mayImportPackage(layer, from) : mayImportFile(path, layer, target, typeOnly);
    if (!allowed) faults.push(`${path}: may not import ${from}`);
  }
  return faults;
}

const IMPURE = [
  /\bDate\b(?=\s*[.(])/,
  /\bperformance\s*\./,
  /\bMath\s*\.\s*random\b/,
  /\bcrypto\s*\.\s*(?:getRandomValues|random\w+|subtle)\b/,
  /\bprocess\s*\./,
  /\bBun\s*\./,
  /\bglobalThis\b/,
  /\bconsole\s*\./,
  /\bimport\s*\.\s*meta\b/,
  /\b(?:setTimeout|setInterval|setImmediate|queueMicrotask|fetch)\s*\(/,
];

function impurities(path: string, code: string): string[] {
  if (!LAYERS[layerNameOf(path) ?? ""]?.pure) return [];
  const text = withoutCommentsAndStrings(code);
  const found = IMPURE.map((pattern) => pattern.exec(text)?.[0]).filter((word) => word !== undefined);
  return found.map((word) => `${path}: pure code may not use ${word}`);
}

/** The head comment: first in the file, or right after the imports, above what the file defines. */
function missingHead(path: string, code: string): string[] {
  const afterImports = code.replace(/^(?:\s*import\s[^;]*;)+/, "").trimStart();
  const begins = (text: string) => text.startsWith("/**") || text.startsWith("//") || text.startsWith("#!");
  return begins(code) || begins(afterImports) ? [] : [`${path}: begins with no comment that says what it is`];
}

/** One word for one thing: a "path" is no link, a "session" no tunnel connection, and nothing here is a proxy. */
function wrongWords(path: string, code: string): string[] {
  const faults: string[] = [];
  const anywhere = /\bsub[-_]?flows?\b|\btunnel[ _-]?connections?\b/i.exec(
    code.replace(/([a-z])([A-Z])/g, "$1_$2"),
  );
  if (anywhere) faults.push(`${path}: says "${anywhere[0]}"`);
  // The kernel and libraries have links and proxies of their own; so only names of our own making count.
  const own = /\b(?:class|interface|type|function|const|let)\s+(\w*(?:[lL]ink(?![a-z])|[pP]roxy)\w*)/;
  const name = own.exec(withoutCommentsAndStrings(code))?.[1];
  if (name && !/^src\/(?:sys|lab)\//.test(path))
    faults.push(`${path}: has a name with a word not used here: ${name}`);
  return faults;
}

function wrongFileName(path: string): string[] {
  const name = path.split("/").at(-1)!;
  if (/^(?:utils?|helpers?|common|misc|index)\.ts$/.test(name))
    return [`${path}: says nothing about what it is`];
  return /^[a-z][a-z0-9]*\.ts$/.test(name) ? [] : [`${path}: a file is named by one lower-case word`];
}

/** Absolute paths in papers must be such as every Linux machine has, not those of the author's. */
const COMMON_ROOTS = [
  "bin",
  "dev",
  "etc",
  "lib",
  "opt",
  "proc",
  "run",
  "sbin",
  "srv",
  "sys",
  "tmp",
  "usr",
  "var",
];

function foreignPaths(path: string, text: string): string[] {
  const paths = text.matchAll(/(?<![\w.~:/$)}\]*-])\/([a-z][\w.-]*)\/[\w.]/g);
  const foreign = [...paths].filter((match) => !COMMON_ROOTS.includes(match[1]!));
  return foreign.map((match) => `${path}: names a path of one machine: ${match[0]}`);
}

const TOP_LEVEL =
  /^(?:\.ci|\.gitignore|docs|src|test|[A-Z]+\.md|LICENSE|build\.ts|portal\.toml\.example|(?:package|package-lock|tsconfig|biome)\.json|bunfig\.toml)$/;

/** What lies at the top: the files of the commit, or without git whatever is there but for what is made. */
function topLevel(): string[] {
  const git = Bun.spawnSync(["git", "ls-files", "-z"]);
  if (git.exitCode === 0)
    return [
      ...new Set(
        git.stdout
          .toString()
          .split("\0")
          .map((path) => path.split("/")[0]!),
      ),
    ];
  return readdirSync(".").filter((name) => ![".git", "node_modules", "dist"].includes(name));
}

const sources = [...new Bun.Glob("src/**/*").scanSync(".")].sort();
const papers = [...new Bun.Glob("{,docs/}*.{md,example}").scanSync({ cwd: ".", dot: true })].sort();
const read = (path: string) => readFileSync(path, "utf8");
const each = (rule: (path: string, text: string) => string[], paths: readonly string[]) =>
  paths.flatMap((path) => rule(path, read(path)));

describe("the repository", () => {
  test("has sources to look at", () => expect(sources.length).toBeGreaterThan(10));
  test("holds the import rule of the layers", () => expect(each(wrongImports, sources)).toEqual([]));
  test("keeps pure code pure", () => expect(each(impurities, sources)).toEqual([]));
  test("says at the head of each file what it is", () => expect(each(missingHead, sources)).toEqual([]));
  test("uses one word for one thing", () => expect(each(wrongWords, [...sources, ...papers])).toEqual([]));
  test("names files by one word", () => expect(sources.flatMap(wrongFileName)).toEqual([]));
  test("names no path of one machine", () => expect(each(foreignPaths, [...papers, ...sources])).toEqual([]));
  test("has three packages at run time", () => {
    const { dependencies } = JSON.parse(read("package.json")) as { dependencies: Record<string, string> };
    expect(Object.keys(dependencies).sort()).toEqual(["@noble/hashes", "citty", "smol-toml"]);
  });
  test("pins every package to one version", () => {
    const { dependencies, devDependencies } = JSON.parse(read("package.json")) as Record<string, object>;
    const versions = Object.values({ ...dependencies, ...devDependencies });
    expect(versions.filter((version) => !/^\d+\.\d+\.\d+$/.test(String(version)))).toEqual([]);
  });
  test("locks packages without naming a registry", () =>
    expect(read("package-lock.json")).not.toContain('"resolved"'));
  test("has nothing unexpected at the top level", () => {
    expect(topLevel().filter((name) => name !== "" && !TOP_LEVEL.test(name))).toEqual([]);
  });
  test("has its papers", () => {
    const wanted = ["CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "README.md"];
    expect(wanted.filter((name) => !existsSync(name))).toEqual([]);
  });
});

describe("each rule can fail", () => {
  const imports: [path: string, code: string][] = [
    ["src/wire/a.ts", 'import { Ring } from "../share/ring.ts";'],
    ["src/wire/a.ts", 'import { Rtt } from "../proto/rtt.ts";'],
    ["src/share/a.ts", 'import type { Type } from "../wire/datagram.ts";'],
    ["src/proto/a.ts", 'import {\n  libc,\n} from "../sys/libc.ts";'],
    ["src/proto/a.ts", 'import "../run/loop.ts";'],
    ["src/proto/a.ts", 'import { hash } from "node:crypto";'],
    ["src/proto/a.ts", 'export { a } from "../cli/a.ts";'],
    ["src/outbound.ts", 'const a = await import("./run/loop.ts");'],
    ["src/run/a.ts", 'import { dlopen } from "bun:ffi";'],
    ["src/cli/a.ts", 'const ffi = require("bun:ffi");'],
    ["src/config/a.ts", 'import { open } from "node:fs";'],
    ["src/lab/line.ts", 'import { libc } from "../sys/libc.ts";'],
    ["src/lab/line.ts", 'import { topology } from "./topology.ts";'],
    ["src/run/a.ts", 'import { main } from "../cli/main.ts";'],
    ["src/new/a.ts", ""],
  ];
  test.each(imports)("import rule: %s, row %#", (path, code) =>
    expect(wrongImports(path, code)).not.toEqual([]),
  );

  const allowed: [path: string, code: string][] = [
    ["src/wire/a.ts", 'import type { Block } from "../share/block.ts";'],
    ["src/wire/a.ts", '// import { a } from "../cli/a.ts";\nconst b = "a // b";'],
    ["src/proto/a.ts", 'import { blake2s } from "@noble/hashes/blake2.js";'],
    ["src/sys/a.ts", 'import { dlopen } from "bun:ffi";'],
    ["src/cli/a.ts", 'import { version } from "../../package.json" with { type: "json" };'],
  ];
  test.each(allowed)("import rule allows: %s, row %#", (path, code) =>
    expect(wrongImports(path, code)).toEqual([]),
  );

  const impure = [
    "Date.now()",
    "new Date()",
    "performance.now()",
    "Math.random()",
    "crypto.getRandomValues(a)",
  ];
  impure.push("process.env.A", "Bun.nanoseconds()", "globalThis.a", "console.log(1)", "setTimeout(f, 1)");
  test.each(impure)("pure code: %s", (code) => {
    expect(impurities("src/proto/a.ts", `const a = ${code};`)).not.toEqual([]);
    expect(impurities("src/lab/line.ts", code)).not.toEqual([]);
    expect(impurities("src/run/a.ts", code)).toEqual([]);
    expect(impurities("src/proto/a.ts", `// ${code}\nconst a = "${code}";`)).toEqual([]);
  });

  test("head comment", () => {
    expect(missingHead("a", 'import { a } from "b";\n\nexport const c = a;')).not.toEqual([]);
    expect(missingHead("a", 'import { a } from "b";\n\n/** C. */\nexport const c = a;')).toEqual([]);
  });

  test.each(["// a subflow", "const subFlow = 1;", "a tunnel connection", "class TunnelConnection {}"])(
    "word: %s",
    (code) => expect(wrongWords("src/run/a.ts", code)).not.toEqual([]),
  );
  test.each(["class Link {}", "const linkId = 1;", "function proxy() {}"])("name: %s", (code) =>
    expect(wrongWords("src/run/a.ts", code)).not.toEqual([]),
  );
  test.each(["src/run/utils.ts", "src/run/Loop.ts", "src/run/my-loop.ts", "src/run/index.ts"])(
    "file name: %s",
    (path) => expect(wrongFileName(path)).not.toEqual([]),
  );
  test.each(["see /home/me/portal", "`/root/portal.toml`", "(/workspace/a)"])("path: %s", (text) =>
    expect(foreignPaths("a.md", text)).not.toEqual([]),
  );
  test.each([
    "https://example.org/home/a",
    "src/wire/ip.ts",
    "/etc/portal/portal.toml",
    "10.0.0.0/24",
    "10/s",
  ])("path allowed: %s", (text) => expect(foreignPaths("a.md", text)).toEqual([]));
  test.each(["notes.txt", "utils", "Dockerfile"])("top level: %s", (name) =>
    expect(name).not.toMatch(TOP_LEVEL),
  );
});
