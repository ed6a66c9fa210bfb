/**
 * A block: memory that the kernel, the cipher and JavaScript all see.
 *
 * Pure code reads and writes `bytes` and `view`; `address` is for `sys` only and is 0 where nothing native
 * looks at the block (the simulator). Whoever makes a block owns it for good: blocks are made at start or with
 * a session, never per packet.
 */
export interface Block {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly address: number;
}

/** Copies between blocks without allocating: libc's memcpy in `sys`, a typed-array copy in the simulator. */
export type Copy = (to: Block, toOffset: number, from: Block, fromOffset: number, length: number) => void;

/** Makes blocks: `sys/memory.ts` with addresses, `plainBlock` without. */
export type MakeBlock = (length: number) => Block;

/** A block that no native code sees. */
export function plainBlock(length: number): Block {
  const buffer = new ArrayBuffer(length);
  return { bytes: new Uint8Array(buffer), view: new DataView(buffer), address: 0 };
}

/** Some bytes of a block as a block of their own: the same memory. */
export function partOf({ bytes, address }: Block, offset: number, length: number): Block {
  const part = bytes.subarray(offset, offset + length);
  const view = new DataView(part.buffer, part.byteOffset, length);
  return { bytes: part, view, address: address === 0 ? 0 : address + offset };
}

/** Copies between plain blocks; allocates two views, so not for the real datagram path. */
export const plainCopy: Copy = (to, toOffset, from, fromOffset, length) => {
  to.bytes.set(from.bytes.subarray(fromOffset, fromOffset + length), toOffset);
};
