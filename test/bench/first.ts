/**
 * The two ends of footprint.ts's first packet: `receive PORT` says when the first has come, `ADDRESS PORT` sends one every
 * millisecond from before there is a way there.
 */
import { createSocket } from "node:dgram";

const [role, port] = [process.argv[2]!, Number(process.argv[3])];
const socket = createSocket("udp4");
// Without a way there the kernel refuses to send.
socket.on("error", () => {});

if (role === "receive") {
  socket.once("message", () => console.log(performance.timeOrigin + performance.now()));
  socket.bind(port, () => console.log("ready"));
} else {
  socket.bind(0, () => {
    console.log("ready");
    setInterval(() => socket.send("first", port, role, () => {}), 1);
  });
}
