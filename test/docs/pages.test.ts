/** What the pages for people say is so: their configurations, their commands, and where their references lead. */
import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { accept } from "../../src/cli/main.ts";
import { configOf, keyText } from "../config/source.ts";
import { addTo, blocksOf, type CodeBlock, commandsIn, PAGES, placeOf, readPage } from "../page.ts";

const blocks = PAGES.flatMap(blocksOf);
const configurations = blocks.filter(({ language }) => language === "toml");

/** The role of who owns a configuration. */
const ROLES: Readonly<Record<string, "local" | "remote">> = { pi: "local", laptop: "local", vps: "remote" };

const KEY_FILE = { "/etc/portal/private.key": { text: keyText(1), mode: 0o600 } };

/** What only the reader knows. */
function fillIn(text: string): string {
  return text.replaceAll(/"THE \S+ PUBLIC KEY"/g, `"${keyText(9)}"`).replaceAll("VPS ADDRESS", "192.0.2.1");
}

/** Configurations to which a part can be added: those of docs/gateway.md, which have all that parts refer to. */
function baseOf(owner: string): string {
  const ofRole = (page: string) =>
    blocksOf(page).filter((block) => block.language === "toml" && ROLES[block.owner] === ROLES[owner]);
  if (ROLES[owner] === "local") return fillIn(ofRole("docs/gateway.md")[0]!.text);
  return addTo(fillIn(ofRole("docs/setup.md")[0]!.text), ofRole("docs/gateway.md")[0]!.text);
}

describe("each configuration is right", () => {
  test("there are some", () => expect(configurations.length).toBeGreaterThan(10));
  test.each(configurations.map((block) => [placeOf(block), block] as const))("%s", (_, block) => {
    expect(Object.keys(ROLES)).toContain(block.owner);
    const text = fillIn(block.text);
    const whole = /^role = /m.test(text);
    const config = configOf(whole ? text : addTo(baseOf(block.owner), text), KEY_FILE);
    expect(config.role).toBe(ROLES[block.owner]!);
  });
  test("one with a fault would be found", () => {
    expect(() => configOf(addTo(baseOf("pi"), '[[path]]\ninterfce = "a"'), KEY_FILE)).toThrow("unknown key");
    expect(() => configOf(addTo(baseOf("vps"), "[listen]\nport = 0"), KEY_FILE)).toThrow("port");
  });
});

/** Each call of portal in a line of shell. */
function callsIn(line: string): string[][] {
  const calls = line.matchAll(/(?:^|[;(|&]\s*)portal\b([^;<>|&)]*)/g);
  return [...calls].map((call) =>
    call[1]!
      .trim()
      .split(/\s+/)
      .filter((word) => word !== ""),
  );
}

/** `portal ...` within a sentence: words in capitals and brackets as its reader would write them. */
function quoted(page: string): string[] {
  const prose = readPage(page).replace(/^ *```[\s\S]*?^ *```/gm, "");
  return [...prose.matchAll(/`(portal [^`]+)`/g)].map((match) =>
    match[1]!
      .replace(/[[\]]/g, "")
      .replace(/\bKIND\b/, "systemd")
      .replace(/\b(?:NAME|FILE|PATH|ADDRESS|N)\b/g, "7"),
  );
}

/** Programs of the machine that the pages use beside portal. */
const PROGRAMS =
  "apt-get cp curl install ip iptables mkdir nmcli npm ping scp ssh sudo systemctl sysctl ufw umask".split(
    " ",
  );

describe("each command is one", () => {
  const typed = blocks.flatMap((block) =>
    commandsIn(block).map((command): [string, string] => [placeOf(block), command]),
  );
  test("there are some", () => expect(typed.length).toBeGreaterThan(40));
  test.each(typed)("%s: %s", async (_, command) => {
    const program = command.replace(/^\(/, "").split(/[ ;]/)[0]!;
    expect([...PROGRAMS, "portal"]).toContain(program);
    for (const call of callsIn(command)) await accept(call);
  });
  test.each(PAGES.flatMap((page) => quoted(page).map((call): [string, string] => [page, call])))(
    "%s: %s",
    async (_, call) => {
      // A sentence may name a command without what it is to be done with.
      const named = (error: Error) => expect(error.message).toMatch(/^Missing required|needs a command/);
      const [words] = callsIn(call);
      await accept(words!).catch(named);
      expect(words).not.toEqual([]);
    },
  );
  test("a wrong one would be found", async () => {
    expect(callsIn("(umask 077; portal keygen > a)")).toEqual([["keygen"]]);
    expect(accept(["path", "set"])).rejects.toThrow("NAME");
    expect(accept(["doctor", "--jsn"])).rejects.toThrow("--json");
    expect(accept(["path", "add", "a", "b"])).rejects.toThrow("unexpected");
  });
});

/** As GitHub makes it of a heading. */
function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\w\- ]/g, "")
    .replaceAll(" ", "-");
}

function anchorsOf(page: string): string[] {
  return [...readPage(page).matchAll(/^#+ (.*)$/gm)].map((match) => anchorOf(match[1]!));
}

describe("each reference leads somewhere", () => {
  const pages = [...PAGES, "CONTRIBUTING.md"];
  const references = pages.flatMap((page) =>
    [...readPage(page).matchAll(/\]\((?!https?:)([^)]+)\)/g)].map((match): [string, string] => [
      page,
      match[1]!,
    ]),
  );
  test("there are some", () => expect(references.length).toBeGreaterThan(20));
  test.each(references)("%s: %s", (page, reference) => {
    const [file = "", anchor] = reference.split("#");
    const target = file === "" ? page : join(dirname(page), file);
    expect(existsSync(join(import.meta.dir, "../..", target))).toBe(true);
    if (anchor !== undefined) expect(anchorsOf(target)).toContain(anchor);
  });
  test("README names every page", () => {
    const named = references
      .filter(([page]) => page === "README.md")
      .map(([, reference]) => reference.split("#")[0]);
    expect(PAGES.filter((page) => page !== "README.md" && !named.includes(page))).toEqual([]);
  });
});

test("every page with commands is followed by a test", () => {
  const tests = readPage("test/netns/pages.test.ts");
  const typed = (block: CodeBlock) => block.owner !== "" && commandsIn(block).length > 0;
  const pages = PAGES.filter((page) => blocksOf(page).some(typed));
  expect(pages.filter((page) => !tests.includes(`await follow("${page}"`))).toEqual([]);
});
