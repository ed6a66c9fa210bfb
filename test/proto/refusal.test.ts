/** Who is told that a packet is too big for the tunnel, and how often. */
import { expect, test } from "bun:test";
import type { Environment } from "../../src/proto/environment.ts";
import { InnerMtu } from "../../src/proto/innermtu.ts";
import { SECOND } from "../../src/proto/limits.ts";
import { Refusal } from "../../src/proto/refusal.ts";
import { plainBlock } from "../../src/share/block.ts";
import type { Gather, TunDevice } from "../../src/share/io.ts";
import { VIRTIO_BYTES } from "../../src/wire/virtio.ts";
import { ipPacket } from "../wire/packets.ts";

const MTU = 1420;
const parts: Partial<Environment> = {
  mtu: MTU,
  makeBlock: plainBlock,
  copy: (to, at, from, offset, length) => to.bytes.set(from.bytes.subarray(offset, offset + length), at),
  log: () => {},
};
const environment = parts as Environment;

/** A TUN that has just given a packet of so many bytes, with Don't Fragment. */
function tunWith(length: number): TunDevice & { told: number } {
  const buffer = plainBlock(66_000);
  buffer.bytes.set(ipPacket({ protocol: 17, payload: new Uint8Array(length - 28) }), VIRTIO_BYTES);
  const write = (packet: Gather) => {
    if (packet.bytes > 0) tun.told++;
    return true;
  };
  const tun = { buffer, told: 0, offloads: true, udpOffloads: true, read: () => 0, write };
  return tun as unknown as TunDevice & { told: number };
}

function session(name: string, mtu: number): { mtu: InnerMtu } {
  const inner = new InnerMtu(environment, name);
  inner.value = mtu;
  return { mtu: inner };
}

test("a sender is told, and its packet goes no further", () => {
  const tun = tunWith(1400);
  const refusal = new Refusal(environment, tun);
  expect(refusal.refuses(0, session("a", 1400), 1400, 1400)).toBe(false);
  expect(tun.told).toBe(0);
  expect(refusal.refuses(0, session("a", 1399), 1400, 1400)).toBe(true);
  expect(tun.told).toBe(1);
});

test("what cannot be told now goes on, unless it is larger than there is room for", () => {
  const tun = tunWith(1400);
  const refusal = new Refusal(environment, tun);
  const narrow = session("a", 1300);
  let refused = 0;
  while (refusal.refuses(0, narrow, 1400, 1400)) refused++;
  expect(refused).toBe(50);
  expect(tun.told).toBe(50);
  expect(refusal.refuses(0, narrow, MTU + 1, MTU + 1)).toBe(true);
  expect(tun.told).toBe(50);
  // 200 each second.
  expect(refusal.refuses(SECOND / 200, narrow, 1400, 1400)).toBe(true);
  expect(refusal.refuses(SECOND / 200, narrow, 1400, 1400)).toBe(false);
});

test("one session's senders are told, however many of another's send what is too big", () => {
  const tun = tunWith(1400);
  const refusal = new Refusal(environment, tun);
  const [busy, other] = [session("busy", 1300), session("other", 1300)];
  for (let i = 0; i < 1000; i++) refusal.refuses(i, busy, 1400, 1400);
  const before = tun.told;
  expect(refusal.refuses(1000, other, 1400, 1400)).toBe(true);
  expect(tun.told).toBe(before + 1);
});
