import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { libc } from "../../src/sys/libc.ts";
import { at, nativeBlock } from "../../src/sys/memory.ts";
import { NotifySocket } from "../../src/sys/notify.ts";

const folder = mkdtempSync(join(tmpdir(), "portal-notify-"));
afterAll(() => rmSync(folder, { recursive: true }));

const AF_UNIX = 1;
const SOCK_DGRAM_NONBLOCK = 2 | 0o4000;

/** Listens at a name as the kernel has it: a path with its final zero, or a zero and then the abstract name. */
function listen(name: string): number {
  const bytes = new TextEncoder().encode(name);
  const address = nativeBlock(110);
  address.view.setUint16(0, AF_UNIX, true);
  address.bytes.set(bytes, 2);
  const fd = libc.socket(AF_UNIX, SOCK_DGRAM_NONBLOCK, 0);
  expect(libc.bind(fd, at(address), 2 + bytes.length)).toBe(0);
  return fd;
}

function received(fd: number): string | null {
  const block = nativeBlock(1024);
  const bytes = Number(libc.read(fd, at(block), 1024));
  return bytes < 0 ? null : new TextDecoder().decode(block.bytes.subarray(0, bytes));
}

test.each([
  [join(folder, "socket"), `${join(folder, "socket")}\0`],
  [`@portal-test-${process.pid}`, `\0portal-test-${process.pid}`],
])("datagrams arrive at %s", (path, name) => {
  const fd = listen(name);
  const socket = new NotifySocket(path);
  expect(socket.send("READY=1\nSTATUS=ünï")).toBe(true);
  expect(socket.send("WATCHDOG=1")).toBe(true);
  expect([received(fd), received(fd), received(fd)]).toEqual(["READY=1\nSTATUS=ünï", "WATCHDOG=1", null]);
  socket.close();
  libc.close(fd);
});

test("nobody there, and a manager that takes nothing, are no errors and no waits", () => {
  const lonely = new NotifySocket(join(folder, "nobody"));
  expect(lonely.send("READY=1")).toBe(false);
  lonely.close();
  const path = join(folder, "slow");
  const fd = listen(`${path}\0`);
  const socket = new NotifySocket(path);
  // More than any machine keeps for a reader that does not read (net.unix.max_dgram_qlen).
  let taken = 0;
  while (taken < 100_000 && socket.send("WATCHDOG=1")) taken++;
  expect(taken).toBeLessThan(100_000);
  socket.close();
  libc.close(fd);
});

test.each(["", "@", "/", "relative", `/${"x".repeat(107)}`])("%p is no socket's path", (path) => {
  expect(() => new NotifySocket(path)).toThrow(RangeError);
});
