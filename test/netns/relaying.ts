/**
 * Stands in the way between a local portal and the remote, as a NAT does: forwards datagrams both ways, towards the
 * remote from a port of its own for each client. Commands (relay.ts) come on standard input, one JSON object a line.
 *
 *     bun test/netns/relaying.ts HOST PORT REMOTE_PORT [REMOTE_HOST]
 */
import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { createInterface } from "node:readline";
import { say } from "../../src/lab/say.ts";
import type { RelayAnswer, RelayCommand } from "./relay.ts";

/** Datagrams towards the remote that are remembered. */
const KEPT = 1000;

const [host, port, remotePort, remoteHost = host] = process.argv.slice(2);
const near = createSocket("udp4");
/** A socket towards the remote for each client, by its address and port. */
const far = new Map<string, Socket>();
let hold = false;
let seen: string[] = [];

async function farSocket(client: RemoteInfo): Promise<Socket> {
  const key = `${client.address} ${client.port}`;
  const known = far.get(key);
  if (known !== undefined) return known;
  const socket = createSocket("udp4");
  far.set(key, socket);
  socket.on("message", (datagram) => near.send(datagram, client.port, client.address));
  socket.on("error", () => {});
  return socket;
}

near.on("message", async (datagram, client) => {
  if (seen.length < KEPT) seen.push(datagram.toString("hex"));
  if (!hold) (await farSocket(client)).send(datagram, Number(remotePort), remoteHost);
});
near.on("error", () => {});
near.bind(Number(port), host, () => say({ listening: true }));

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line) as RelayCommand;
  if (command.hold !== undefined) hold = command.hold;
  if (command.rebind) {
    for (const socket of far.values()) socket.close();
    far.clear();
  }
  say({ seen: command.seen ? seen : [] } satisfies RelayAnswer);
  if (command.seen) seen = [];
}
process.exit();
