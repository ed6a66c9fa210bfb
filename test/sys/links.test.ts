/** What the kernel's messages say of interfaces, also when it is interrupted, or says more than can be kept. */
import { beforeEach, expect, test } from "bun:test";
import { plainBlock } from "../../src/share/block.ts";
import type { InterfaceNews } from "../../src/share/io.ts";
import { Links } from "../../src/sys/links.ts";

const DONE = 3;
const ERROR = 2;
const NEW = 16;
const DELETED = 17;
const MULTI = 2;
const INTERRUPTED = 0x10;
/** Up and running. */
const UP = 0x41;

const block = plainBlock(1024);
let links: Links;
let told: string[];
/** Requests for a list, by their numbers; `null` while the kernel takes none. */
let asked: number[];
let refuses: boolean;

const tell = ({ name, state }: InterfaceNews) => told.push(`${name} ${state}`);

function ask(): void {
  links.ask((sequence) => {
    if (!refuses) asked.push(sequence);
    return !refuses;
  });
}

beforeEach(() => {
  links = new Links(block);
  told = [];
  asked = [];
  refuses = false;
  ask();
});

function message(type: number, flags: number, sequence: number, body: Uint8Array): void {
  const { view, bytes } = block;
  view.setUint32(0, 16 + body.length, true);
  view.setUint16(4, type, true);
  view.setUint16(6, flags, true);
  view.setUint32(8, sequence, true);
  bytes.set(body, 16);
  links.take(16 + body.length, tell);
  ask();
}

/** As in RTM_NEWLINK: number, flags, and the name as an attribute. */
function link(number: number, flags = UP): Uint8Array {
  const name = new TextEncoder().encode(`eth${number}\0\0\0\0`);
  const body = new Uint8Array(16 + 4 + name.length);
  const view = new DataView(body.buffer);
  view.setInt32(4, number, true);
  view.setUint32(8, flags, true);
  view.setUint16(16, 4 + name.length, true);
  view.setUint16(18, 3, true);
  body.set(name, 20);
  return body;
}

/** A row of the list that was asked for last. */
function row(number: number, flags = 0): void {
  message(NEW, MULTI | flags, asked.at(-1)!, link(number));
}

function done(flags = 0): void {
  message(DONE, MULTI | flags, asked.at(-1)!, new Uint8Array(4));
}

/** What happens by itself; it bears whatever number the one who did it chose. */
function happens(type: number, number: number, flags = UP): void {
  message(type, 0, asked.at(-1)!, link(number, flags));
}

test("a list tells what there is, and the next what there is no more", () => {
  for (const number of [1, 2]) row(number);
  done();
  expect(told).toEqual(["eth1 up", "eth2 up"]);
  expect(links.unsure).toBe(false);
  links.onLost();
  ask();
  row(2);
  done();
  expect(told.slice(2)).toEqual(["eth1 missing"]);
  expect(asked).toEqual([1, 2]);
});

test.each([
  ["the first row", [1, 0, 0, 0]],
  ["a row in its midst", [0, 1, 0, 0]],
  ["its end", [0, 0, 0, 1]],
])("a list that is interrupted, as %s says, ends nothing, and is asked for again", (_, where) => {
  for (const number of [1, 2, 3]) row(number);
  done();
  links.onLost();
  ask();
  told = [];
  const flag = (i: number) => (where[i] === 1 ? INTERRUPTED : 0);
  // One of them is left out.
  row(1, flag(0));
  row(3, flag(1));
  expect(asked.length).toBe(2);
  done(flag(3));
  expect(told).toEqual([]);
  expect(asked.length).toBe(3);
  for (const number of [1, 2, 3]) row(number);
  done();
  expect(told).toEqual([]);
  expect(links.unsure).toBe(false);
});

test("when messages are lost in the midst of a list it ends nothing, and another follows it", () => {
  for (const number of [1, 2, 3]) row(number);
  done();
  links.onLost();
  ask();
  told = [];
  row(1);
  row(2);
  links.onLost();
  ask();
  // Not beside the first, which the kernel would refuse.
  expect(asked.length).toBe(2);
  row(3);
  done();
  expect(told).toEqual([]);
  expect(asked.length).toBe(3);
  row(1);
  row(3);
  done();
  expect(told).toEqual(["eth2 missing"]);
});

test("what happens beside a list counts, and is not taken for a part of it", () => {
  row(1);
  happens(NEW, 7);
  happens(NEW, 1, 0);
  message(DONE, MULTI, 99, new Uint8Array(4));
  happens(NEW, 8);
  happens(DELETED, 8);
  expect(links.unsure).toBe(true);
  done();
  expect(told).toEqual(["eth1 up", "eth7 up", "eth1 down", "eth8 up", "eth8 missing"]);
});

test("a list that is refused is asked for again, but not at once", () => {
  message(ERROR, 0, asked[0]!, Uint8Array.of(0xf0, 0xff, 0xff, 0xff));
  expect([asked.length, links.unsure]).toEqual([1, true]);
  refuses = true;
  links.onTick();
  ask();
  refuses = false;
  ask();
  expect(asked.length).toBe(1);
  links.onTick();
  ask();
  expect(asked.length).toBe(2);
  row(1);
  done();
  expect([told, links.unsure]).toEqual([["eth1 up"], false]);
});
