/** What every suite does with a packet before its cipher comes: look at the lengths and make the nonce. */
import type { Block } from "../../share/block.ts";
import { TAG_BYTES } from "../../wire/datagram.ts";
import { nativeBlock } from "../memory.ts";

export const KEY_BYTES = 32;
export const NONCE_BYTES = 12;

/** The nonce of the packet at hand: path id (4), packet number (8), big-endian. One thread, one packet at a time. */
export const nonce = nativeBlock(NONCE_BYTES);

/** Two 32-bit halves: a bigint per packet costs fifty times as much. */
export function setNonce(pathId: number, packetNumber: number): void {
  nonce.view.setUint32(0, pathId);
  nonce.view.setUint32(4, Math.floor(packetNumber / 0x1_0000_0000));
  nonce.view.setUint32(8, packetNumber >>> 0);
}

/** Native code trusts its lengths. Beyond a block is our own bug, never something a stranger sent. */
export function checkSeal(
  out: Block,
  outOffset: number,
  aadLength: number,
  plain: Block,
  plainOffset: number,
  plainLength: number,
): void {
  if (aadLength < 0 || !inside(plain, plainOffset, plainLength))
    throw new RangeError("seal: outside its input");
  if (!inside(out, outOffset, aadLength + plainLength + TAG_BYTES)) {
    throw new RangeError("seal: outside its output");
  }
}

export function checkOpen(datagram: Block, offset: number, length: number): void {
  if (!inside(datagram, offset, length)) throw new RangeError("open: outside its block");
}

function inside(block: Block, offset: number, length: number): boolean {
  return offset >= 0 && length >= 0 && offset + length <= block.bytes.length;
}

/** Our own copy of a key, to be wiped when no longer needed. */
export function ownKey(key: Uint8Array): Block {
  if (key.length !== KEY_BYTES) throw new RangeError(`a key has ${KEY_BYTES} bytes, not ${key.length}`);
  const own = nativeBlock(KEY_BYTES);
  own.bytes.set(key);
  return own;
}
