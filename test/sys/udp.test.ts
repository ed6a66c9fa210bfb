/** UDP sockets on a real kernel, over the loopback interface. */
import { expect, test } from "bun:test";
import { nativeBlock } from "../../src/sys/memory.ts";
import { UdpSocket } from "../../src/sys/udp.ts";

const LOOPBACK = Uint8Array.of(127, 0, 0, 1);

test("an empty datagram hides none behind it", async () => {
  const sender = await Bun.udpSocket({ hostname: "127.0.0.1" });
  // A port that was free a moment ago.
  const probe = await Bun.udpSocket({ hostname: "127.0.0.1" });
  const { port } = probe;
  probe.close();
  const socket = new UdpSocket({ ipv6: false, address: LOOPBACK, port, packetInfo: true });
  try {
    for (const text of ["", "", "one", "", "three"]) expect(sender.send(text, port, "127.0.0.1")).toBe(true);
    const block = nativeBlock(65_536);
    expect(socket.receive(block)).toBe(3);
    expect(socket.source.port).toBe(sender.port);
    expect(socket.receive(block)).toBe(5);
    expect(socket.receive(block)).toBe(0);
  } finally {
    socket.close();
    sender.close();
  }
});
