/**
 * A name server that gives every name one IPv4 address. Lines on standard input: the address from now on, or "none", when
 * it answers nothing.
 *
 *     bun test/netns/naming.ts ADDRESS [AT]      answers at the address AT, or at all
 */
import { createSocket } from "node:dgram";
import { createInterface } from "node:readline";
import { say } from "../../src/lab/say.ts";

let address = process.argv[2]!;
const TYPE_A = 1;
const HEADER_BYTES = 12;

const socket = createSocket("udp4");
socket.on("message", (question, client) => {
  say({ asked: true });
  if (address === "none") return;
  let end = HEADER_BYTES;
  while (question[end] !== 0) end += question[end]! + 1;
  const type = question.readUInt16BE(end + 1);
  // RFC 1035, section 4.1: the question as it came, and one answer that refers to its name.
  const answer = Buffer.concat([question.subarray(0, end + 5), Buffer.alloc(16)]);
  answer.writeUInt16BE(0x8580, 2);
  for (const [at, count] of [1, type === TYPE_A ? 1 : 0, 0, 0].entries())
    answer.writeUInt16BE(count, 4 + 2 * at);
  const at = end + 5;
  answer.set([0xc0, HEADER_BYTES, 0, TYPE_A, 0, 1, 0, 0, 0, 0, 0, 4, ...address.split(".").map(Number)], at);
  socket.send(type === TYPE_A ? answer : answer.subarray(0, at), client.port, client.address);
});
socket.bind(53, process.argv[3], () => say({ listening: true }));

for await (const line of createInterface({ input: process.stdin })) address = line;
process.exit();
