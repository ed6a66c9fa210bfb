/** A consumer of ring.test.ts: claims, reads, looks again, and says what it saw. */
import type { Block } from "../../src/share/block.ts";
import { Ring } from "../../src/share/ring.ts";
import { Store } from "../../src/share/store.ts";

export interface Job {
  readonly buffer: SharedArrayBuffer;
  readonly slots: number;
  /** The pages of the producer's store. */
  readonly pages: readonly SharedArrayBuffer[];
  readonly pageSlots: number;
  readonly slotBytes: number;
  readonly packets: number;
}

export interface Consumed {
  readonly positions: number[];
  /** Packets that were not what the producer wrote, though the ring said they were whole. */
  readonly torn: number;
  /** Packets the ring said were overwritten. */
  readonly lapped: number;
}

function blockOver(buffer: SharedArrayBuffer): Block {
  return { bytes: new Uint8Array(buffer), view: new DataView(buffer), address: 0 };
}

function consume({ buffer, slots, pages, pageSlots, slotBytes, packets }: Job): Consumed {
  const none = (): never => {
    throw new Error("a consumer takes no pages");
  };
  const store = new Store(none, none, slotBytes, pageSlots, pages.map(blockOver));
  const ring = new Ring(blockOver(buffer), slots, store);
  const copy = new Uint8Array(slotBytes);
  const positions: number[] = [];
  let torn = 0;
  let lapped = 0;
  for (;;) {
    const position = ring.claim();
    if (position < 0) {
      if (ring.nextPosition >= packets) return { positions, torn, lapped };
      continue;
    }
    positions.push(position);
    const length = ring.lengthOf(position);
    const at = ring.offsetOf(position);
    copy.set(ring.blockOf(position).bytes.subarray(at, at + length));
    if (!ring.holds(position)) lapped++;
    else if (!isWhole(copy, position, length)) torn++;
  }
}

function isWhole(packet: Uint8Array, position: number, length: number): boolean {
  if (length !== 16 + (position % 200)) return false;
  if (new DataView(packet.buffer).getUint32(0) !== position) return false;
  for (let i = 4; i < length; i++) if (packet[i] !== ((position * 7) & 0xff)) return false;
  return true;
}

declare const self: Worker;

self.onmessage = ({ data }: MessageEvent<Job>) => {
  postMessage("ready");
  postMessage(consume(data));
};
