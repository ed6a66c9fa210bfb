/**
 * What it costs to seal and to open one packet, by suite, implementation and size, beside a copy of as many bytes. In this
 * process and on one processor; nothing leaves it.
 */
import type { Block } from "../../src/share/block.ts";
import type { CipherSuite } from "../../src/share/io.ts";
import {
  aesGcmLibcrypto,
  aesGcmLibgcrypt,
  aesGcmNode,
  blake2sLibcrypto,
  blake2sNoble,
  chachaLibcrypto,
} from "../../src/sys/aead.ts";
import { nativeBlock, nativeCopy } from "../../src/sys/memory.ts";
import { DATA_HEADER_BYTES, HEADER_BYTES, TAG_BYTES } from "../../src/wire/datagram.ts";
import type { Options } from "./options.ts";
import { type Figure, report } from "./report.ts";
import type { BenchResult, Say } from "./result.ts";
import { inTurn } from "./turn.ts";

const FIGURES = {
  seal: { title: "seal ns", digits: 0 },
  open: { title: "open ns", digits: 0 },
  gbit: { title: "seal Gbit/s", digits: 2 },
} satisfies Record<string, Figure>;

type Measured = Partial<Record<keyof typeof FIGURES, number>>;

/** Sealed ahead and then opened one by one: opening is in place. */
const BATCH = 256;
const SECONDS_OF_EACH = 0.3;
const WARM_UP_SECONDS = 0.1;

type Measure = (bytes: number, seconds: number) => Measured;

interface Subject {
  readonly name: string;
  readonly title: string;
  readonly measure: Measure;
}

export async function crypto(options: Options, say: Say): Promise<BenchResult> {
  const subjects: Subject[] = [
    { name: "copy", title: "copy only", measure: copyOnly },
    ...subject("aes-256-gcm libcrypto", aesGcmLibcrypto),
    ...subject("aes-256-gcm libgcrypt", aesGcmLibgcrypt),
    ...subject("aes-256-gcm node:crypto", aesGcmNode),
    ...subject("chacha20-poly1305 libcrypto", chachaLibcrypto),
    ...subject("blake2s libcrypto", blake2sLibcrypto),
    ...subject("blake2s @noble/hashes", blake2sNoble),
  ];
  const kinds = options.sizes.flatMap((bytes) => subjects.map((each) => ({ ...each, bytes })));
  const runs = kinds.map(({ name, title, bytes }) => ({
    name: `${bytes} ${name}`,
    row: [String(bytes), title],
    repeats: [] as Measured[],
  }));
  for (let repeat = 1; repeat <= options.repeats; repeat++) {
    await inTurn(async () => {
      for (const [i, { measure, bytes }] of kinds.entries()) {
        measure(bytes, WARM_UP_SECONDS);
        runs[i]!.repeats.push(measure(bytes, SECONDS_OF_EACH));
      }
    });
    say(`${repeat}/${options.repeats}`);
  }
  return report(["IP bytes", "suite, median (least-most)"], FIGURES, runs);
}

function subject(name: string, suite: CipherSuite | null): Subject[] {
  if (suite === null) return [];
  return [{ name, title: name, measure: (bytes, seconds) => sealAndOpen(suite, bytes, seconds) }];
}

function sealAndOpen(suite: CipherSuite, bytes: number, seconds: number): Measured {
  const aead = suite.aead(new Uint8Array(32).fill(7));
  const length = DATA_HEADER_BYTES + bytes;
  const datagram = HEADER_BYTES + length + TAG_BYTES;
  const plain = randomBlock(length);
  const out = nativeBlock(BATCH * datagram);
  let number = 0;
  let sealed = 0;
  let opened = 0;
  let count = 0;
  while (sealed + opened < seconds * 1e9) {
    const first = number;
    const begin = Bun.nanoseconds();
    for (let i = 0; i < BATCH; i++) aead.seal(0, number++, out, i * datagram, HEADER_BYTES, plain, 0, length);
    const middle = Bun.nanoseconds();
    for (let i = 0; i < BATCH; i++) {
      if (!aead.open(0, first + i, out, i * datagram, datagram, HEADER_BYTES))
        throw new Error(`${suite.name}: what was sealed does not open`);
    }
    opened += Bun.nanoseconds() - middle;
    sealed += middle - begin;
    count += BATCH;
  }
  aead.close();
  return { seal: sealed / count, open: opened / count, gbit: (bytes * 8 * count) / sealed };
}

function copyOnly(bytes: number, seconds: number): Measured {
  const from = randomBlock(bytes);
  const to = nativeBlock(BATCH * bytes);
  let taken = 0;
  let count = 0;
  while (taken < seconds * 1e9) {
    const begin = Bun.nanoseconds();
    for (let i = 0; i < BATCH; i++) nativeCopy(to, i * bytes, from, 0, bytes);
    taken += Bun.nanoseconds() - begin;
    count += BATCH;
  }
  return { seal: taken / count, gbit: (bytes * 8 * count) / taken };
}

function randomBlock(length: number): Block {
  const block = nativeBlock(length);
  globalThis.crypto.getRandomValues(block.bytes);
  return block;
}
