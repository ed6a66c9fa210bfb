/** Locks on open files (flock(2)), which end with the process at the latest, and the name of this network namespace. */
import { readlinkSync } from "node:fs";
import { EAGAIN, EINTR, SysError } from "./errno.ts";
import { errno, libc } from "./libc.ts";
import { at, nativeBlock } from "./memory.ts";

const LOCK_EX = 2;
const LOCK_NB = 4;

/** Takes the lock if nobody has it. False: somebody has. Throws SysError. */
export function tryLock(fd: number): boolean {
  if (libc.flock(fd, LOCK_EX | LOCK_NB) === 0) return true;
  const error = errno();
  if (error === EAGAIN) return false;
  throw new SysError("flock", error);
}

/** Waits for the lock. Throws SysError. */
export function lock(fd: number): void {
  while (libc.flock(fd, LOCK_EX) !== 0) {
    const error = errno();
    if (error !== EINTR) throw new SysError("flock", error);
  }
}

const AF_INET = 2;
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
const SOL_SOCKET = 1;
/** Linux 5.14. */
const SO_NETNS_COOKIE = 71;

/**
 * The same for all processes of a network namespace and for no other's. Numbers of namespaces are used again; the cookie,
 * where the kernel has one, is not, until the next boot.
 */
export function networkNamespace(): string {
  const cookie = nativeBlock(8);
  const length = nativeBlock(4);
  length.view.setUint32(0, 8, true);
  const fd = libc.socket(AF_INET, SOCK_DGRAM_CLOEXEC, 0);
  if (fd >= 0) {
    libc.getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, at(cookie), at(length));
    libc.close(fd);
  }
  return `${readlinkSync("/proc/self/ns/net")} ${Array.from(cookie.bytes).join(".")}`;
}
