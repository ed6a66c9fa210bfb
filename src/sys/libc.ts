/**
 * Every call into libc that portal makes, in one table, with the reason for each.
 * An FFI call costs about 3 ns in Bun 1.4 (a system call 140-260 ns), so the datagram path calls libc directly.
 *
 * Pointers are numbers. Structures are laid out by hand in blocks (sys/memory.ts); the layouts used are those of
 * 64-bit little-endian Linux, the same on x64 and arm64.
 */
import { dlopen, FFIType, read } from "bun:ffi";

const p = FFIType.ptr;
const i = FFIType.i32;
const n = FFIType.u64_fast;
const l = FFIType.i64_fast;

const table = {
  // Devices: /dev/net/tun, TUNSETIFF and friends, interface flags and MTU.
  open: { args: [p, i], returns: i },
  close: { args: [i], returns: i },
  ioctl: { args: [i, n, p], returns: i },
  read: { args: [i, p, n], returns: l },
  write: { args: [i, p, n], returns: l },
  // A packet from several pieces: virtio header, IP header, payloads.
  writev: { args: [i, p, i], returns: l },
  // Sockets: one per path, bound to its interface; batches by UDP_SEGMENT and UDP_GRO control messages.
  socket: { args: [i, i, i], returns: i },
  bind: { args: [i, p, i], returns: i },
  connect: { args: [i, p, i], returns: i },
  getsockname: { args: [i, p, p], returns: i },
  setsockopt: { args: [i, i, i, p, i], returns: i },
  // Which network namespace this is (SO_NETNS_COOKIE).
  getsockopt: { args: [i, i, i, p, p], returns: i },
  sendmsg: { args: [i, p, i], returns: l },
  recvmsg: { args: [i, p, i], returns: l },
  // Waiting, with nanoseconds.
  ppoll: { args: [p, n, p, p, n], returns: i },
  // Waking a thread that waits there.
  eventfd: { args: [FFIType.u32, i], returns: i },
  // Who owns a journal of host changes: the kernel forgets it with the process, however that ends.
  flock: { args: [i, i], returns: i },
  // Copies between buffers: a typed array's set() would allocate a view each time.
  memcpy: { args: [p, p, n], returns: p },
  // Memory that nobody needs now goes back to the system.
  madvise: { args: [p, n, i], returns: i },
  getpagesize: { args: [], returns: i },
  // Interface names to numbers.
  if_nametoindex: { args: [p], returns: FFIType.u32 },
  // errno is per thread and only valid right after the call.
  __errno_location: { args: [], returns: p },
} as const;

/** glibc and musl name their libc differently. */
const candidates = [
  "libc.so.6",
  `libc.musl-${process.arch === "arm64" ? "aarch64" : "x86_64"}.so.1`,
  "libc.so",
];

function load() {
  let last: unknown;
  for (const name of candidates) {
    try {
      return dlopen(name, table).symbols;
    } catch (error) {
      last = error;
    }
  }
  throw new Error(`cannot load libc (tried ${candidates.join(", ")}): ${String(last)}`);
}

export const libc = load();

const errnoAddress = libc.__errno_location();
if (errnoAddress === null) throw new Error("libc gives no errno");

/** The error number of the libc call just made. */
export function errno(): number {
  return read.i32(errnoAddress!, 0);
}
