/**
 * The TUN device (Linux Documentation/networking/tuntap.rst): opened by ioctl, with a virtio header in front of every
 * packet and, where the kernel grants it, segmentation offloads (a read or write is up to 64 KB of one flow).
 *
 * A kernel without virtio headers or offloads is noticed at open; the device then hides the difference: `buffer` still
 * begins with a (zero) header, and packets come and go one by one with whole checksums.
 */
import type { Pointer } from "bun:ffi";
import type { Block } from "../share/block.ts";
import type { Gather, TunDevice } from "../share/io.ts";
import { VIRTIO_BYTES } from "../wire/virtio.ts";
import { EBUSY, EINVAL, SysError } from "./errno.ts";
import { errno, libc } from "./libc.ts";
import { at, cString, nativeBlock, writePointer } from "./memory.ts";

const O_RDWR = 2;
const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;

const TUNSETIFF = 0x400454ca;
const TUNSETOFFLOAD = 0x400454d0;
const TUNSETVNETHDRSZ = 0x400454d8;

const IFF_TUN = 0x0001;
const IFF_NO_PI = 0x1000;
const IFF_VNET_HDR = 0x4000;

const TUN_F_CSUM = 0x01;
const TUN_F_TSO4 = 0x02;
const TUN_F_TSO6 = 0x04;
const TUN_F_USO4 = 0x20;
const TUN_F_USO6 = 0x40;

/** Offload sets from the best to none: USO came with Linux 6.2. */
const OFFLOADS = [
  TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_USO4 | TUN_F_USO6,
  TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6,
];

/** The call of a SysError that comes before there is any interface. */
export const OPEN_TUN = "open /dev/net/tun";

/** A virtio header and the largest IP packet. */
const READ_BYTES = VIRTIO_BYTES + 65_536;
const IOVEC_BYTES = 16;
const MAX_PIECES = 80;

export class Tun implements TunDevice {
  readonly fd: number;
  readonly name: string;
  readonly buffer: Block = nativeBlock(READ_BYTES);
  readonly offloads: boolean;
  readonly udpOffloads: boolean;
  private readonly virtio: boolean;
  private readonly iovecs = nativeBlock(MAX_PIECES * IOVEC_BYTES);

  private constructor(fd: number, name: string, virtio: boolean, granted: number) {
    this.fd = fd;
    this.name = name;
    this.virtio = virtio;
    this.offloads = granted !== 0;
    this.udpOffloads = (granted & TUN_F_USO4) !== 0;
  }

  /**
   * Creates the interface `name`; it vanishes with `close` or the process. `offloads` false leaves them off.
   * Throws SysError: EPERM without CAP_NET_ADMIN, EBUSY when the name is taken, ENOENT without the tun module.
   */
  static open(name: string, offloads = true): Tun {
    const fd = libc.open(at(cString("/dev/net/tun")), O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) throw new SysError(OPEN_TUN, errno());
    try {
      const virtio = offloads && attach(fd, name, IFF_VNET_HDR);
      if (!virtio) attach(fd, name, 0);
      return new Tun(fd, name, virtio, virtio ? grant(fd) : 0);
    } catch (error) {
      libc.close(fd);
      throw error;
    }
  }

  read(): number {
    if (this.virtio) return Math.max(Number(libc.read(this.fd, at(this.buffer), READ_BYTES)), 0);
    const bytes = Number(libc.read(this.fd, at(this.buffer, VIRTIO_BYTES), READ_BYTES - VIRTIO_BYTES));
    return bytes > 0 ? bytes + VIRTIO_BYTES : 0;
  }

  write(packet: Gather): boolean {
    const { view } = this.iovecs;
    // Without virtio headers the first piece is ours to leave out: it is the header and nothing else.
    const first = this.virtio ? 0 : 1;
    for (let i = first; i < packet.count; i++) {
      const entry = (i - first) * IOVEC_BYTES;
      writePointer(view, entry, packet.blocks[i]!.address + packet.offsets[i]!);
      view.setUint32(entry + 8, packet.lengths[i]!, true);
      view.setUint32(entry + 12, 0, true);
    }
    return Number(libc.writev(this.fd, at(this.iovecs), packet.count - first)) > 0;
  }

  close(): void {
    libc.close(this.fd);
  }
}

/** TUNSETIFF with these flags. False: this kernel does not know them. */
function attach(fd: number, name: string, flags: number): boolean {
  const request = nativeBlock(40);
  for (let i = 0; i < name.length; i++) request.bytes[i] = name.charCodeAt(i);
  request.view.setUint16(16, IFF_TUN | IFF_NO_PI | flags, true);
  if (libc.ioctl(fd, TUNSETIFF, at(request)) === 0) {
    if (flags === 0) return true;
    const size = nativeBlock(4);
    size.view.setInt32(0, VIRTIO_BYTES, true);
    if (libc.ioctl(fd, TUNSETVNETHDRSZ, at(size)) !== 0) throw new SysError("TUNSETVNETHDRSZ", errno());
    return true;
  }
  const error = errno();
  if (flags !== 0 && error === EINVAL) return false;
  throw new SysError("TUNSETIFF", error === EINVAL ? EBUSY : error);
}

/** Asks for offloads. Those that were granted; 0: none are to be had. */
function grant(fd: number): number {
  return OFFLOADS.find((set) => libc.ioctl(fd, TUNSETOFFLOAD, set as Pointer) === 0) ?? 0;
}
