/** The port of a socket's own. */
import { libc } from "../../src/sys/libc.ts";
import { at, nativeBlock } from "../../src/sys/memory.ts";

export function portOf(fd: number): number {
  const address = nativeBlock(32);
  address.view.setUint32(28, 28, true);
  libc.getsockname(fd, at(address), at(address, 28));
  return address.view.getUint16(2);
}
