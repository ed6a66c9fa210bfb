/**
 * For allocation.test.ts, as a process of its own: lets a million inner packets pass after a warm-up and says on standard
 * error where they begin and end, between what the runtime says there of its garbage collections.
 */
import { writeSync } from "node:fs";
import { nativeBlock } from "../../src/sys/memory.ts";
import { ipPacket, pattern, withVirtio } from "../wire/packets.ts";
import { Pair } from "./pair.ts";

const WARM_UP = 400_000;
const MILLION = 1_000_000;
const TURN_MICROS = 100;
const MOST_TURNS = 1_000_000;

/** Small UDP packets, and reads of up to 64 KB of one TCP flow. */
const small = asRead(
  withVirtio(ipPacket({ protocol: 17, payload: pattern(36), checksum: "partial" }), {
    flags: 1,
    start: 20,
    offset: 6,
  }),
);
const large = asRead(
  withVirtio(ipPacket({ protocol: 6, payload: pattern(1380 * 20), checksum: "partial" }), {
    flags: 1,
    type: 1,
    segment: 1380,
    headerLength: 40,
    start: 20,
    offset: 16,
  }),
);

function asRead(bytes: Uint8Array) {
  const block = nativeBlock(bytes.length);
  block.bytes.set(bytes);
  return block;
}

const pair = new Pair();
pair.connect();

function pass(packets: number): void {
  const end = pair.delivered + packets;
  for (let turns = 0; pair.delivered < end; turns++) {
    if (turns === MOST_TURNS) throw new Error("the packets do not pass");
    const bulk = turns % 4 === 0;
    for (const tun of pair.tuns) {
      tun.content = bulk ? large : small;
      tun.reads = bulk ? 1 : 16;
    }
    pair.turn(TURN_MICROS);
  }
}

/** "allocate" for seeing the test fail: one small object per packet. */
const kept: object[] = [];
if (process.argv[2] === "allocate") {
  for (const { deliverer } of pair.engines) {
    const deliver = deliverer.deliver.bind(deliverer);
    deliverer.deliver = (...packet) => {
      kept[0] = { packet: packet[1] };
      deliver(...packet);
    };
  }
}

pass(WARM_UP);
Bun.gc(true);
writeSync(2, "begin\n");
pass(MILLION);
writeSync(2, "end\n");
