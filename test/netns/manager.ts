/**
 * Stands for a service manager: takes what portal tells it on a UNIX datagram socket and writes each datagram as one line
 * of JSON. A path that begins with "@" is one of Linux's abstract name space.
 *
 *     bun test/netns/manager.ts PATH
 */
import { say } from "../../src/lab/say.ts";
import { libc } from "../../src/sys/libc.ts";
import { at, nativeBlock } from "../../src/sys/memory.ts";

const AF_UNIX = 1;
const SOCK_DGRAM = 2;

const path = process.argv[2]!;
const abstract = path.startsWith("@");
const name = new TextEncoder().encode(abstract ? `\0${path.slice(1)}` : path);
const address = nativeBlock(110);
address.view.setUint16(0, AF_UNIX, true);
address.bytes.set(name, 2);
const fd = libc.socket(AF_UNIX, SOCK_DGRAM, 0);
if (libc.bind(fd, at(address), 2 + name.length + (abstract ? 0 : 1)) !== 0)
  throw new Error(`cannot bind ${path}`);
say({ ready: true });
const block = nativeBlock(4096);
for (;;) {
  const bytes = Number(libc.read(fd, at(block), 4096));
  say(new TextDecoder().decode(block.bytes.subarray(0, bytes)).split("\n"));
}
