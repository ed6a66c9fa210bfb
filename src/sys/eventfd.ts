/** eventfd(2): a descriptor by which one thread wakes another that waits in ppoll. */
import type { Waker } from "../share/bell.ts";
import { SysError } from "./errno.ts";
import { errno, libc } from "./libc.ts";
import { at, nativeBlock } from "./memory.ts";

const EFD_FLAGS = 0o4000 | 0o2000000; // EFD_NONBLOCK | EFD_CLOEXEC

export class EventFd implements Waker {
  readonly fd: number;
  private readonly one = nativeBlock(8);
  private readonly count = nativeBlock(8);

  /** `fd`: one that another thread has made. Throws SysError: EMFILE, ENFILE, ENOMEM. */
  constructor(fd = libc.eventfd(0, EFD_FLAGS)) {
    if (fd < 0) throw new SysError("eventfd", errno());
    this.fd = fd;
    this.one.view.setUint32(0, 1, true);
  }

  wake(): void {
    libc.write(this.fd, at(this.one), 8);
  }

  clear(): void {
    libc.read(this.fd, at(this.count), 8);
  }

  close(): void {
    libc.close(this.fd);
  }
}
