/**
 * Somebody on the way: hears the datagrams of the tunnel on an interface (packet(7)) and looks for a text in those that are
 * large enough for an inner packet of some size. Tells after each what it has heard so far.
 *
 *     bun test/netns/eavesdropper.ts INTERFACE PORT BYTES TEXT
 */
import { say } from "../../src/lab/say.ts";
import { errno, libc } from "../../src/sys/libc.ts";
import { at, nativeBlock } from "../../src/sys/memory.ts";
import { interfaceIndex } from "../../src/sys/netlink.ts";

/** What was heard in one direction. */
export interface Heard {
  bytes: number;
  /** Several datagrams may still be one packet here: the kernel cuts it later. */
  packets: number;
  /** Those that show the text. */
  readable: number;
}

export interface Overheard {
  up: Heard;
  down: Heard;
}

const AF_PACKET = 17;
/** Packets begin with their IP header. */
const SOCK_DGRAM = 2;
const ETH_P_ALL = 3;
const SOCKADDR_LL_BYTES = 20;
const UDP = 17;

const [device, port, least, text] = process.argv.slice(2);

function listen(): number {
  const fd = libc.socket(AF_PACKET, SOCK_DGRAM, 0);
  const address = nativeBlock(SOCKADDR_LL_BYTES);
  address.view.setUint16(0, AF_PACKET, true);
  address.view.setUint16(2, ETH_P_ALL);
  address.view.setInt32(4, interfaceIndex(device!), true);
  if (libc.bind(fd, at(address), SOCKADDR_LL_BYTES) !== 0) throw new Error(`bind: errno ${errno()}`);
  return fd;
}

const fd = listen();
const block = nativeBlock(65_536);
const heard: Overheard = {
  up: { bytes: 0, packets: 0, readable: 0 },
  down: { bytes: 0, packets: 0, readable: 0 },
};
say({ listening: true });
for (;;) {
  const bytes = Number(libc.read(fd, at(block), block.bytes.length));
  if (bytes < Number(least) || block.bytes[0]! >> 4 !== 4 || block.bytes[9] !== UDP) continue;
  const ports = (block.bytes[0]! & 15) * 4;
  const up = block.view.getUint16(ports + 2) === Number(port);
  if (!up && block.view.getUint16(ports) !== Number(port)) continue;
  const direction = up ? heard.up : heard.down;
  direction.bytes += bytes;
  direction.packets++;
  if (Buffer.from(block.bytes.buffer, 0, bytes).includes(text!)) direction.readable++;
  say(heard);
}
