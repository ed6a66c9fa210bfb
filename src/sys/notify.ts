/**
 * The service manager's datagram socket (sd_notify(3)): lines of NAME=value, to a UNIX socket that NOTIFY_SOCKET names,
 * in the file system or, with "@" in front, in Linux's abstract name space (unix(7)).
 */
import { SysError } from "./errno.ts";
import { errno, libc } from "./libc.ts";
import { at, nativeBlock, writePointer } from "./memory.ts";

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_FLAGS = 0o4000 | 0o2000000; // SOCK_NONBLOCK | SOCK_CLOEXEC
const SUN_PATH = 2;
/** sun_path of sockaddr_un. */
const PATH_BYTES = 108;
const MESSAGE_BYTES = 512;

export class NotifySocket {
  private readonly fd: number;
  // Kept here, because the kernel's structures hold only their addresses.
  private readonly address = nativeBlock(SUN_PATH + PATH_BYTES);
  private readonly text = nativeBlock(MESSAGE_BYTES);
  private readonly iovec = nativeBlock(16);
  private readonly message = nativeBlock(56);

  /** `path` as NOTIFY_SOCKET has it. Throws SysError, and RangeError for what is no path of a socket. */
  constructor(path: string) {
    const name = new TextEncoder().encode(path);
    if (!/^[/@]./.test(path) || name.length >= PATH_BYTES) throw new RangeError(`no socket's path: ${path}`);
    this.fd = libc.socket(AF_UNIX, SOCK_DGRAM | SOCK_FLAGS, 0);
    if (this.fd < 0) throw new SysError("socket", errno());
    // Abstract: a zero byte in place of "@", and the length says where the name ends.
    if (name[0] === 0x40) name[0] = 0;
    const length = SUN_PATH + name.length + (name[0] === 0 ? 0 : 1);
    this.address.view.setUint16(0, AF_UNIX, true);
    this.address.bytes.set(name, SUN_PATH);
    writePointer(this.iovec.view, 0, this.text.address);
    writePointer(this.message.view, 0, this.address.address);
    this.message.view.setUint32(8, length, true);
    writePointer(this.message.view, 16, this.iovec.address);
    this.message.view.setUint32(24, 1, true);
  }

  /** Never waits. False: the manager did not take it. */
  send(lines: string): boolean {
    const { written } = new TextEncoder().encodeInto(lines, this.text.bytes);
    this.iovec.view.setUint32(8, written, true);
    return Number(libc.sendmsg(this.fd, at(this.message), 0)) >= 0;
  }

  close(): void {
    libc.close(this.fd);
  }
}
