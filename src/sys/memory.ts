/** Blocks with addresses, and copies between them by memcpy. */
import { type Pointer, ptr } from "bun:ffi";
import type { Block, Copy } from "../share/block.ts";
import { libc } from "./libc.ts";

/** 4 KB on x64; also 16 or 64 KB on arm64. */
const SYSTEM_PAGE = libc.getpagesize();
const MADV_DONTNEED = 4;

/**
 * A block the kernel may read and write. The buffer is made first and the address taken once: the address of a
 * small typed array is not stable after its `.buffer` is read, that of an explicit buffer is.
 */
export function nativeBlock(length: number): Block {
  return blockOver(new ArrayBuffer(length));
}

/** A block over shared memory, which other threads may map too. */
export function sharedBlock(buffer: SharedArrayBuffer): Block {
  return blockOver(buffer);
}

/**
 * Gives a block's memory back to the system; it reads zero then, and may be used as before. A kernel that does not take it
 * (memory that is locked) changes nothing.
 */
export function releaseBlock(block: Block): void {
  const from = Math.ceil(block.address / SYSTEM_PAGE) * SYSTEM_PAGE;
  const to = Math.floor((block.address + block.bytes.length) / SYSTEM_PAGE) * SYSTEM_PAGE;
  if (to > from) libc.madvise(from as Pointer, to - from, MADV_DONTNEED);
}

function blockOver(buffer: ArrayBuffer | SharedArrayBuffer): Block {
  const bytes = new Uint8Array(buffer);
  return { bytes, view: new DataView(buffer), address: ptr(bytes) };
}

/** Lengths of a few dozen bytes up to a slot; both ranges must lie inside their blocks. */
export const nativeCopy: Copy = (to, toOffset, from, fromOffset, length) => {
  libc.memcpy(at(to, toOffset), at(from, fromOffset), length);
};

/** The address of a byte of a block, as libc takes it. */
export function at(block: Block, offset = 0): Pointer {
  return (block.address + offset) as Pointer;
}

/** A zero-terminated string for libc. */
export function cString(text: string): Block {
  const bytes = new TextEncoder().encode(text);
  const block = nativeBlock(bytes.length + 1);
  block.bytes.set(bytes);
  return block;
}

/** Writes an address into a structure as two halves: a bigint would be allocated. */
export function writePointer(view: DataView, offset: number, address: number): void {
  view.setUint32(offset, address >>> 0, true);
  view.setUint32(offset + 4, Math.floor(address / 0x1_0000_0000), true);
}
