/**
 * One end of an emulated line: a TUN device without offloads or headers, so that the kernel hands over whole IP
 * packets of at most the MTU with finished checksums, and none has to resolve addresses (no ARP, no neighbours).
 *
 * The interface may be moved to another network namespace while it stays open here. For the laboratory only; the
 * portal's own device is sys/tun.ts.
 */
import type { Block } from "../share/block.ts";
import { EBUSY, EINVAL, SysError } from "./errno.ts";
import { errno, libc } from "./libc.ts";
import { at, cString, nativeBlock } from "./memory.ts";

const O_RDWR = 2;
const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;
const TUNSETIFF = 0x400454ca;
const IFF_TUN_NO_PI = 0x1001;

export class LineEnd {
  readonly fd: number;

  private constructor(fd: number) {
    this.fd = fd;
  }

  /** Creates the interface `name` in this network namespace. Throws SysError, as Tun.open does. */
  static open(name: string): LineEnd {
    const fd = libc.open(at(cString("/dev/net/tun")), O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) throw new SysError("open /dev/net/tun", errno());
    // struct ifreq: 16 bytes of name, then the flags.
    const request = nativeBlock(40);
    request.bytes.set(cString(name).bytes.subarray(0, 15));
    request.view.setUint16(16, IFF_TUN_NO_PI, true);
    if (libc.ioctl(fd, TUNSETIFF, at(request)) === 0) return new LineEnd(fd);
    const error = errno();
    libc.close(fd);
    throw new SysError("TUNSETIFF", error === EINVAL ? EBUSY : error);
  }

  /** Reads one IP packet. Its bytes; 0 = nothing waits, or the interface is gone. */
  read(into: Block, offset: number, capacity: number): number {
    return Math.max(0, Number(libc.read(this.fd, at(into, offset), capacity)));
  }

  /** Delivers one IP packet. False: the interface is down or gone. */
  write(from: Block, offset: number, length: number): boolean {
    return Number(libc.write(this.fd, at(from, offset), length)) === length;
  }
}
