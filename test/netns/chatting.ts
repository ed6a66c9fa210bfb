/**
 * A TCP flow of small messages, as somebody types in a remote shell: each is sent back, and the next follows a little later.
 * Says as JSON lines how many came back, and the longest that one took.
 *
 *     bun test/netns/chatting.ts serve PORT
 *     bun test/netns/chatting.ts type HOST PORT
 */
import { createConnection, createServer } from "node:net";
import { say } from "../../src/lab/say.ts";
import type { ChatReport } from "./chat.ts";

const PAUSE_MILLIS = 30;
const REPORT_MILLIS = 100;

const [word, ...rest] = process.argv.slice(2);

if (word === "serve") {
  const server = createServer({ noDelay: true }, (socket) => {
    socket.pipe(socket);
    socket.on("error", () => process.exit(1));
  });
  server.listen(Number(rest[0]), "::", () => say({ listening: true }));
} else {
  const [host, port] = rest;
  let echoed = 0;
  let longestMs = 0;
  let sentAt = 0;
  let heard = "";
  let typed = "";
  const socket = createConnection({ host: host!, port: Number(port), noDelay: true });
  const type = () => {
    typed = `message ${echoed}\n`;
    heard = "";
    sentAt = performance.now();
    socket.write(typed);
  };
  socket.on("connect", type);
  socket.on("data", (bytes) => {
    heard += bytes.toString();
    if (heard.length < typed.length) return;
    // Anything but what was typed ends it.
    if (heard !== typed) process.exit(2);
    echoed++;
    longestMs = Math.max(longestMs, performance.now() - sentAt);
    setTimeout(type, PAUSE_MILLIS);
  });
  for (const event of ["error", "close"]) socket.on(event, () => process.exit(1));
  setInterval(() => say({ echoed, longestMs } satisfies ChatReport), REPORT_MILLIS);
}
