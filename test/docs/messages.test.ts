/** docs/troubleshooting.md has everything that the program may ask its operator to mend. */
import { expect, test } from "bun:test";
import { INTERFACE_IS, PEER_SAYS } from "../../src/proto/failure.ts";
import { DROPS } from "../../src/share/counters.ts";
import { renderStatus } from "../../src/ui/status.ts";
import { readPage } from "../page.ts";
import { reportOf } from "../ui/report.ts";
import { messagesOf } from "./messages.ts";

const page = readPage("docs/troubleshooting.md").replace(/\s+/g, " ");

/** Punctuation at either end belongs to what stands beside it. */
const bare = (text: string) => text.replace(/^[^\w/[]+|[^\w)]+$/g, "");

test("it finds the messages", () => {
  const texts = messagesOf().map(({ text }) => text);
  expect(texts.length).toBeGreaterThan(80);
  for (const known of ["no path: waiting for an interface", "neither nft nor iptables on this machine:"]) {
    expect(texts).toContain(known);
  }
});

test("each stands in the page", () => {
  const missing = messagesOf().filter(({ text }) => !page.includes(bare(text)));
  expect(missing).toEqual([]);
});

test("so does each reason why a path is not up", () => {
  const reasons = [...Object.values(PEER_SAYS), ...Object.values(INTERFACE_IS)];
  expect(reasons.filter((reason) => reason !== INTERFACE_IS.up && !page.includes(`\`${reason}\``))).toEqual(
    [],
  );
});

test("and each reason why a packet was dropped", () => {
  const words = DROPS.map((drop) => {
    const line = renderStatus(reportOf({ drops: { [drop]: 3 } }))
      .split("\n")
      .at(-1)!;
    return line.slice(line.indexOf(": 3 ") + 4);
  });
  expect(words).toContain("not authentic");
  expect(words.filter((each) => !page.includes(`\`${each}\``))).toEqual([]);
});
