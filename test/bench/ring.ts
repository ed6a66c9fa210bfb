/**
 * The ring by itself: what it costs to publish a packet and to claim it, on one thread and between a producer and consumers
 * that are threads of their own. Packets of the usual size are written and read whole, or not touched at all.
 */
import { Ring } from "../../src/share/ring.ts";
import { PAGE_SLOTS, Store } from "../../src/share/store.ts";
import { nativeBlock, nativeCopy, sharedBlock } from "../../src/sys/memory.ts";
import type { Options } from "./options.ts";
import { type Figure, report } from "./report.ts";
import type { BenchResult, Say } from "./result.ts";
import type { Consumed, Job } from "./ringworker.ts";
import { inTurn } from "./turn.ts";

const SLOTS = 16_384;
const SLOT_BYTES = 1432;
const PACKET_BYTES = 1426;
/** Packets the producer may be ahead: as many as wait for a path of some 10 Gbit/s. */
const AHEAD = 2048;
const PACKETS = 2_000_000;
const WARM_UP_PACKETS = 200_000;
const MOST_CONSUMERS = 2;

const FIGURES = {
  mpps: { title: "million packets/s", digits: 2 },
  nanos: { title: "ns per packet", digits: 0 },
} satisfies Record<string, Figure>;

type Measured = Record<keyof typeof FIGURES, number>;

export async function ring(options: Options, say: Say): Promise<BenchResult> {
  const kinds = [false, true].flatMap((copies) =>
    [0, 1, MOST_CONSUMERS].map((consumers) => ({ copies, consumers })),
  );
  const runs = kinds.map(({ copies, consumers }) => ({
    name: `${consumers} consumers${copies ? ", copied" : ""}`,
    row: [
      consumers === 0 ? "one thread" : `${consumers + 1} threads`,
      copies ? "written and read" : "not touched",
    ],
    repeats: [] as Measured[],
  }));
  for (let repeat = 1; repeat <= options.repeats; repeat++) {
    await inTurn(async () => {
      for (const [i, { copies, consumers }] of kinds.entries()) {
        const measure = (packets: number): Promise<number> | number =>
          consumers === 0 ? alone(packets, copies) : between(packets, copies, consumers);
        await measure(WARM_UP_PACKETS);
        const nanos = (await measure(PACKETS)) / PACKETS;
        runs[i]!.repeats.push({ mpps: 1000 / nanos, nanos });
      }
    });
    say(`${repeat}/${options.repeats}`);
  }
  return report(["the ring, median (least-most)", "packets"], FIGURES, runs);
}

function controlBuffer(): SharedArrayBuffer {
  return new SharedArrayBuffer(Ring.bytesFor(SLOTS, PAGE_SLOTS));
}

/** Nothing is settled here, so nothing is given back. */
function makeStore(): Store {
  return new Store(
    (length) => sharedBlock(new SharedArrayBuffer(length)),
    () => {},
    SLOT_BYTES,
  );
}

/** Nanoseconds for so many packets, published and claimed in small batches. */
function alone(packets: number, copies: boolean): number {
  const store = makeStore();
  const shared = new Ring(sharedBlock(controlBuffer()), SLOTS, store);
  const packet = nativeBlock(PACKET_BYTES);
  const batch = 32;
  const begin = Bun.nanoseconds();
  for (let i = 0; i < packets; i += batch) {
    for (let n = 0; n < batch; n++) {
      const position = shared.reserve();
      if (copies) nativeCopy(shared.blockOf(position), shared.offsetOf(position), packet, 0, PACKET_BYTES);
      shared.publish(PACKET_BYTES, 0);
    }
    for (let n = 0; n < batch; n++) {
      const position = shared.claim();
      const length = shared.lengthOf(position);
      if (copies) nativeCopy(packet, 0, shared.blockOf(position), shared.offsetOf(position), length);
      if (!shared.holds(position)) throw new Error("the ring was lapped");
    }
  }
  return Bun.nanoseconds() - begin;
}

/** Nanoseconds until all consumers together have claimed so many packets. */
async function between(packets: number, copies: boolean, consumers: number): Promise<number> {
  const buffer = controlBuffer();
  const store = makeStore();
  // All pages that the ring may have: the workers must know them.
  const pages: SharedArrayBuffer[] = [];
  for (let i = 0; i < SLOTS / PAGE_SLOTS; i++) {
    pages.push(store.pages[store.take()]!.bytes.buffer as unknown as SharedArrayBuffer);
  }
  for (let i = 0; i < pages.length; i++) store.give(i);
  const shared = new Ring(sharedBlock(buffer), SLOTS, store);
  const packet = nativeBlock(PACKET_BYTES);
  const job: Job = { buffer, pages, slots: SLOTS, slotBytes: SLOT_BYTES, packets, copies };
  const workers: Worker[] = [];
  const results: Promise<Consumed>[] = [];
  // One after the other: several that open their libraries at once have crashed Bun.
  for (let i = 0; i < consumers; i++) {
    const worker = new Worker(new URL("./ringworker.ts", import.meta.url));
    const next = (): Promise<unknown> =>
      new Promise((resolve, reject) => {
        worker.onmessage = ({ data }) => resolve(data);
        worker.onerror = ({ message }) => reject(new Error(message));
      });
    const ready = next();
    worker.postMessage(job);
    await ready;
    workers.push(worker);
    results.push(next() as Promise<Consumed>);
  }
  const begin = Bun.nanoseconds();
  for (let i = 0; i < packets; i++) {
    while (shared.backlog >= AHEAD);
    const position = shared.reserve();
    if (copies) nativeCopy(shared.blockOf(position), shared.offsetOf(position), packet, 0, PACKET_BYTES);
    shared.publish(PACKET_BYTES, 0);
  }
  while (shared.backlog > 0);
  const nanos = Bun.nanoseconds() - begin;
  const claimed = (await Promise.all(results)).reduce((sum, each) => sum + each.claimed, 0);
  for (const worker of workers) worker.terminate();
  if (claimed !== packets) throw new Error(`${claimed} of ${packets} packets were claimed`);
  return nanos;
}
