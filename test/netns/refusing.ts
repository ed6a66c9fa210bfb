/**
 * The program on a kernel that lacks offloads, as old ones and containers do: the calls that ask for them are refused.
 *
 *     bun test/netns/refusing.ts WHAT ARGUMENT...    WHAT: some of these words, with commas
 *
 *     headers   no virtio header in front of a TUN's packets
 *     tun       no segmentation and checksum offloads of a TUN
 *     udp       neither UDP_SEGMENT nor UDP_GRO
 *     sending   UDP_SEGMENT is granted, but the interface has no checksum offload, which the kernel says on sending
 */
import { type Pointer, read, toArrayBuffer } from "bun:ffi";
import { main } from "../../src/cli/main.ts";
import { EINVAL, EIO } from "../../src/sys/errno.ts";
import { libc } from "../../src/sys/libc.ts";

const ENOPROTOOPT = 92;
const TUNSETIFF = 0x400454ca;
const TUNSETOFFLOAD = 0x400454d0;
const IFF_VNET_HDR = 0x4000;
const SOL_UDP = 17;
const UDP_SEGMENT = 103;
const UDP_GRO = 104;

const refused = process.argv[2]!.split(",");
const { ioctl, setsockopt, sendmsg } = libc;
const errno = new Int32Array(toArrayBuffer(libc.__errno_location()!, 0, 4));

function refuse(error: number): number {
  errno[0] = error;
  return -1;
}

/** struct ifreq: the flags follow 16 bytes of name. */
function wantsHeaders(request: number, argument: Pointer): boolean {
  return request === TUNSETIFF && (read.u16(argument, 16) & IFF_VNET_HDR) !== 0;
}

/** struct msghdr: control messages at 32, their length at 40; struct cmsghdr: level at 8, type at 12. */
function wantsSegments(message: Pointer): boolean {
  if (read.u32(message, 40) === 0) return false;
  const control = read.ptr(message, 32) as Pointer;
  return read.i32(control, 8) === SOL_UDP && read.i32(control, 12) === UDP_SEGMENT;
}

Object.assign(libc, {
  ioctl: (fd: number, request: number, argument: Pointer) => {
    if (refused.includes("headers") && wantsHeaders(request, argument)) return refuse(EINVAL);
    if (refused.includes("tun") && request === TUNSETOFFLOAD) return refuse(EINVAL);
    return ioctl(fd, request, argument);
  },
  setsockopt: (fd: number, level: number, option: number, value: Pointer, length: number) => {
    const ofUdp = level === SOL_UDP && (option === UDP_SEGMENT || option === UDP_GRO);
    if (refused.includes("udp") && ofUdp) return refuse(ENOPROTOOPT);
    return setsockopt(fd, level, option, value, length);
  },
  sendmsg: (fd: number, message: Pointer, flags: number) => {
    if (refused.includes("sending") && wantsSegments(message)) return refuse(EIO);
    return sendmsg(fd, message, flags);
  },
});

process.exit(await main(process.argv.slice(3)));
