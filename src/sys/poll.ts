/** Waiting for descriptors with microsecond timeouts (ppoll). Descriptors are added once and named by index. */

import type { Block } from "../share/block.ts";
import { EINTR } from "./errno.ts";
import { errno, libc } from "./libc.ts";
import { at, nativeBlock } from "./memory.ts";

const POLLIN = 1;
const POLLERR = 8;
const POLLFD_BYTES = 8;

export class Poller {
  /** True when a signal ended the last wait: JavaScript's handlers want to run. */
  interrupted = false;
  private fds: Block;
  private readonly timeout = nativeBlock(16);
  private readonly watched: number[] = [];
  private count = 0;

  constructor(capacity: number) {
    this.fds = nativeBlock(capacity * POLLFD_BYTES);
  }

  /** Watches only the first `count` any more; the next to be added has that index. */
  truncate(count: number): void {
    this.count = count;
  }

  /** Watches a descriptor for reading; its index. */
  add(fd: number): number {
    const offset = this.count * POLLFD_BYTES;
    if (offset === this.fds.bytes.length) {
      const more = nativeBlock(2 * offset);
      more.bytes.set(this.fds.bytes);
      this.fds = more;
    }
    this.fds.view.setInt32(offset, fd, true);
    this.watched[this.count] = fd;
    this.fds.view.setInt16(offset + 4, POLLIN, true);
    this.fds.view.setInt16(offset + 6, 0, true);
    return this.count++;
  }

  /** While `resting`, the descriptor is neither watched nor readable. */
  rest(index: number, resting: boolean): void {
    // ppoll passes over negative descriptors.
    this.fds.view.setInt32(index * POLLFD_BYTES, resting ? -1 : this.watched[index]!, true);
  }

  /** Waits until a descriptor is readable or `micros` have passed (0 = only look). Number of readable ones. */
  wait(micros: number): number {
    const seconds = Math.floor(micros / 1_000_000);
    this.timeout.view.setUint32(0, seconds, true);
    this.timeout.view.setUint32(8, Math.max(0, Math.floor((micros - seconds * 1_000_000) * 1000)), true);
    const ready = libc.ppoll(at(this.fds), this.count, at(this.timeout), null, 0);
    this.interrupted = ready < 0 && errno() === EINTR;
    if (ready < 0) for (let i = 0; i < this.count; i++) this.fds.view.setInt16(i * POLLFD_BYTES + 6, 0, true);
    return Math.max(ready, 0);
  }

  /** True when the descriptor was readable, or failed (reading it says how). */
  readable(index: number): boolean {
    return this.events(index) !== 0;
  }

  /** True when there is nothing to read and there will not be: what the descriptor stood for is gone. */
  failed(index: number): boolean {
    return (this.events(index) & (POLLIN | POLLERR)) === POLLERR;
  }

  private events(index: number): number {
    return this.fds.view.getInt16(index * POLLFD_BYTES + 6, true);
  }
}
