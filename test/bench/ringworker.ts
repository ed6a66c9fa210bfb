/** A consumer of the ring benchmark: claims until all packets are gone. */
import { Ring } from "../../src/share/ring.ts";
import { PAGE_SLOTS, Store } from "../../src/share/store.ts";
import { nativeBlock, nativeCopy, sharedBlock } from "../../src/sys/memory.ts";

export interface Job {
  readonly buffer: SharedArrayBuffer;
  /** The pages of the producer's store. */
  readonly pages: readonly SharedArrayBuffer[];
  readonly slots: number;
  readonly slotBytes: number;
  readonly packets: number;
  readonly copies: boolean;
}

export interface Consumed {
  readonly claimed: number;
}

function consume({ buffer, pages, slots, slotBytes, packets, copies }: Job): Consumed {
  const none = (): never => {
    throw new Error("a consumer takes no pages");
  };
  const store = new Store(none, none, slotBytes, PAGE_SLOTS, pages.map(sharedBlock));
  const ring = new Ring(sharedBlock(buffer), slots, store);
  const packet = nativeBlock(slotBytes);
  let claimed = 0;
  for (;;) {
    const position = ring.claim();
    if (position < 0) {
      if (ring.nextPosition >= packets) return { claimed };
      continue;
    }
    const length = ring.lengthOf(position);
    if (copies) nativeCopy(packet, 0, ring.blockOf(position), ring.offsetOf(position), length);
    // One that was kept from its processor while others went on finds its packet overwritten: claimed it was all the same.
    ring.holds(position);
    claimed++;
  }
}

declare const self: Worker;

self.onmessage = ({ data }: MessageEvent<Job>) => {
  postMessage("ready");
  postMessage(consume(data));
};
