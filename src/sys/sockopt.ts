/** Options of a socket that are an integer each. */
import { libc } from "./libc.ts";
import { at, nativeBlock } from "./memory.ts";

export const SOL_IP = 0;
export const SOL_SOCKET = 1;
export const SOL_UDP = 17;
export const SOL_IPV6 = 41;

/** The value, and its length. */
const option = nativeBlock(8);

/** True when the kernel took it. */
export function setOption(fd: number, level: number, name: number, value: number): boolean {
  option.view.setInt32(0, value, true);
  return libc.setsockopt(fd, level, name, at(option), 4) === 0;
}

/** Null: the kernel does not say. */
export function optionOf(fd: number, level: number, name: number): number | null {
  option.view.setInt32(4, 4, true);
  const known = libc.getsockopt(fd, level, name, at(option), at(option, 4)) === 0;
  return known ? option.view.getInt32(0, true) : null;
}
