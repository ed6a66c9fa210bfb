import { expect, test } from "bun:test";
import { Endpoint } from "../../src/share/endpoint.ts";
import { libc } from "../../src/sys/libc.ts";
import { at, nativeBlock } from "../../src/sys/memory.ts";
import { Poller } from "../../src/sys/poll.ts";
import { endpointOf, UdpSocket } from "../../src/sys/udp.ts";

const LOOPBACK = Uint8Array.of(127, 0, 0, 1);

/** A socket on loopback in which a datagram waits. */
function waiting(): UdpSocket {
  const socket = new UdpSocket({ ipv6: false, address: LOOPBACK, port: 0 });
  const own = new Endpoint(nativeBlock(Endpoint.size));
  own.length = 28;
  libc.getsockname(socket.fd, at(own.block), at(own.block, 28));
  socket.send(nativeBlock(4), 0, 4, 4, endpointOf(LOOPBACK, own.port));
  return socket;
}

test("a descriptor that rests is neither waited for nor readable, and is what it was afterwards", () => {
  const sockets = [waiting(), waiting()];
  const poller = new Poller(2);
  const [first, second] = sockets.map(({ fd }) => poller.add(fd)) as [number, number];
  expect(poller.wait(0)).toBe(2);
  poller.rest(first, true);
  expect(poller.wait(0)).toBe(1);
  expect([poller.readable(first), poller.readable(second)]).toEqual([false, true]);
  expect(poller.failed(first)).toBe(false);
  poller.rest(first, false);
  expect(poller.wait(0)).toBe(2);
  expect(poller.readable(first)).toBe(true);
  for (const socket of sockets) socket.close();
});
