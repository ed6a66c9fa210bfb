/**
 * A name server that gives every name the address that asks, or one of any family, and somebody who asks it.
 *
 *     bun test/netns/names.ts serve FAMILY [ADDRESS AT]   answers on UDP port 53, of all its addresses or AT
 *     bun test/netns/names.ts ask FAMILY SERVER           prints the address that "who.am.i" has there
 */
import { Resolver } from "node:dns/promises";
import { parseAddress } from "../../src/wire/address.ts";

const TYPE_A = 1;
const TYPE_AAAA = 28;

/** RFC 1035 section 4.1: the question, and one answer that points back to its name. */
function answerTo(query: Buffer, address: Uint8Array): Buffer {
  const type = address.length === 4 ? TYPE_A : TYPE_AAAA;
  const end = query.indexOf(0, 12) + 5;
  const header = Buffer.from([query[0]!, query[1]!, 0x84, 0, 0, 1, 0, 1, 0, 0, 0, 0]);
  // Asked for the other family, it knows the name and nothing of it.
  if (query[end - 3] !== type) return Buffer.concat([header.fill(0, 6, 8), query.subarray(12, end)]);
  const answer = [0xc0, 12, 0, type, 0, 1, 0, 0, 0, 0, 0, address.length, ...address];
  return Buffer.concat([header, query.subarray(12, end), Buffer.from(answer)]);
}

const [what, family, address, at] = process.argv.slice(2);
if (what === "serve") {
  await Bun.udpSocket({
    hostname: at ?? (family === "4" ? "0.0.0.0" : "::"),
    port: 53,
    socket: {
      data: (socket, query, port, from) => {
        socket.send(answerTo(query, parseAddress(address ?? from)!), port, from);
      },
    },
  });
  console.log("listening");
} else {
  const resolver = new Resolver({ timeout: 1000, tries: 5 });
  resolver.setServers([address!]);
  const found = family === "4" ? await resolver.resolve4("who.am.i") : await resolver.resolve6("who.am.i");
  console.log(found[0]);
}
