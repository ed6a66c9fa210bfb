/** UDP sockets on a real kernel, over the loopback interface. */
import { expect, test } from "bun:test";
import { nativeBlock } from "../../src/sys/memory.ts";
import { endpointOf, UdpSocket } from "../../src/sys/udp.ts";
import { portOf } from "./port.ts";

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

test("a connected socket is made anew only when its own address is no longer the right one, and keeps its port", async () => {
  const heard: string[] = [];
  const peer = await Bun.udpSocket({
    hostname: "127.0.0.1",
    socket: { data: (_, bytes, port, address) => void heard.push(`${address} ${port} ${bytes.toString()}`) },
  });
  const socket = new UdpSocket({ ipv6: false });
  const text = nativeBlock(1);
  text.bytes[0] = 0x61;
  const say = async () => {
    const before = heard.length;
    expect(socket.send(text, 0, 1, 1, null)).toBe("sent");
    while (heard.length === before) await Bun.sleep(1);
    return heard.at(-1);
  };
  try {
    expect(socket.refresh(true)).toBe("same");
    socket.connect(endpointOf(LOOPBACK, peer.port));
    const first = await say();
    expect(first).toStartWith("127.0.0.1 ");
    expect(socket.refresh(true)).toBe("same");
    expect(await say()).toBe(first);
    expect(socket.refresh(false)).toBe("moved");
    expect(await say()).toBe(first);
  } finally {
    socket.close();
    peer.close();
  }
});

test("counts the IP packets of what it sends and receives, in batches too", () => {
  const there = new UdpSocket({ ipv6: false, address: LOOPBACK, port: 0, packetInfo: true });
  const here = new UdpSocket({ ipv6: false });
  try {
    here.connect(endpointOf(LOOPBACK, portOf(there.fd)));
    const block = nativeBlock(65_536);
    expect(here.send(block, 0, 1000, 1000, null)).toBe("sent");
    // Ten datagrams, the last of which is shorter.
    expect(here.send(block, 0, 9 * 1200 + 7, 1200, null)).toBe("sent");
    const bytes = 1000 + 9 * 1200 + 7 + 11 * 28;
    expect([here.sentWireBytes, here.receivedWireBytes]).toEqual([bytes, 0]);
    while (there.receive(block) > 0);
    expect([there.sentWireBytes, there.receivedWireBytes]).toEqual([0, bytes]);
  } finally {
    here.close();
    there.close();
  }
});
