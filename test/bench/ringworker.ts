/** A consumer of the ring benchmark: claims until all packets are gone. */
import { Ring } from "../../src/share/ring.ts";
import { nativeBlock, nativeCopy, sharedBlock } from "../../src/sys/memory.ts";

export interface Job {
  readonly buffer: SharedArrayBuffer;
  readonly slots: number;
  readonly slotBytes: number;
  readonly packets: number;
  readonly copies: boolean;
}

export interface Consumed {
  readonly claimed: number;
}

function consume({ buffer, slots, slotBytes, packets, copies }: Job): Consumed {
  const ring = new Ring(sharedBlock(buffer), slots, slotBytes);
  const packet = nativeBlock(slotBytes);
  let claimed = 0;
  for (;;) {
    const position = ring.claim();
    if (position < 0) {
      if (ring.nextPosition >= packets) return { claimed };
      continue;
    }
    const length = ring.lengthOf(position);
    if (copies) nativeCopy(packet, 0, ring.block, ring.offsetOf(position), length);
    if (ring.holds(position)) claimed++;
  }
}

declare const self: Worker;

self.onmessage = ({ data }: MessageEvent<Job>) => {
  postMessage("ready");
  postMessage(consume(data));
};
