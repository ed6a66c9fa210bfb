/**
 * Sends what it is told to the remote portal, out of one interface. On standard input, one JSON object a line:
 * {"send": ["hexadecimal", ...]}; each is answered by {"sent": n}.
 *
 *     bun test/netns/stranger.ts INTERFACE HOST PORT
 */
import { createInterface } from "node:readline";
import { say } from "../../src/lab/say.ts";
import { nativeBlock } from "../../src/sys/memory.ts";
import { endpointOf, UdpSocket } from "../../src/sys/udp.ts";
import { parseAddress } from "../../src/wire/address.ts";

const [device, host, port] = process.argv.slice(2);
const address = parseAddress(host!)!;
const socket = new UdpSocket({ ipv6: address.length === 16, device: device! });
socket.connect(endpointOf(address, Number(port)));
const block = nativeBlock(65_536);
say({ ready: true });
for await (const line of createInterface({ input: process.stdin })) {
  const { send } = JSON.parse(line) as { send: string[] };
  let sent = 0;
  for (const hex of send) {
    const datagram = Buffer.from(hex, "hex");
    block.bytes.set(datagram);
    if (socket.send(block, 0, datagram.length, datagram.length, null) === "sent") sent++;
    // No faster than a queue of 50 ms at 50 Mbit/s takes them.
    if (sent % 20 === 0) await Bun.sleep(2);
  }
  say({ sent });
}
process.exit();
