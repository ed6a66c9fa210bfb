/** docs/troubleshooting.md has everything that the program may ask its operator to mend. */
import { expect, test } from "bun:test";
import { readPage } from "../page.ts";
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
