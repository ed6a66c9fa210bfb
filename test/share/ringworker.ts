/** A consumer of ring.test.ts: claims, reads, looks again, and says what it saw. */
import { Ring } from "../../src/share/ring.ts";

export interface Job {
  readonly buffer: SharedArrayBuffer;
  readonly slots: number;
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

function consume({ buffer, slots, slotBytes, packets }: Job): Consumed {
  const bytes = new Uint8Array(buffer);
  const ring = new Ring({ bytes, view: new DataView(buffer), address: 0 }, slots, slotBytes);
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
    copy.set(bytes.subarray(at, at + length));
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
