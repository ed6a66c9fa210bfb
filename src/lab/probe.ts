/**
 * A steady stream of small UDP packets beside a flow, one way, as a call is: what gets lost, and for how long nothing
 * comes. Sender and receiver are processes of their own and report as JSON lines.
 */
import { createSocket } from "node:dgram";
import { Gaps } from "./gaps.ts";
import { say } from "./say.ts";

/** What the receiver says every 100 ms. */
export interface ProbeReport {
  at: number;
  /** Different packets that have arrived. */
  received: number;
  /** Packets sent up to the newest that has arrived: those of them that never arrive are lost. */
  reached: number;
  duplicates: number;
  gapMs: number;
}

/** What the sender says at its end; that it has begun is {"sending":true}. */
export interface ProbeSent {
  sent: number;
}

const REPORT_MILLIS = 100;

/** Like a packet of speech: 20 ms of a narrow-band codec. */
const PACKET_BYTES = 60;

/** A day of 100 packets per second. */
const MOST_PACKETS = 10_000_000;

/** Sends until standard input closes, then says how many. */
export async function runProbeSender(host: string, port: number, perSecond: number): Promise<void> {
  const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
  // An ICMP error is a lost packet, and counted by its absence.
  socket.on("error", () => {});
  const started = performance.now();
  let sent = 0;
  let left = Promise.resolve();
  const sendDue = (): void => {
    const due = Math.floor(((performance.now() - started) * perSecond) / 1000);
    while (sent < due && sent < MOST_PACKETS) {
      // A buffer of its own: send only queues it while the socket is being bound.
      const packet = Buffer.alloc(PACKET_BYTES);
      packet.writeUInt32BE(sent++);
      left = new Promise((resolve) => socket.send(packet, port, host, () => resolve()));
    }
  };
  const timer = setInterval(sendDue, 1);
  say({ sending: true });
  for await (const _ of Bun.stdin.stream());
  clearInterval(timer);
  sendDue();
  // A socket that is closed takes with it what it was given last.
  await left;
  socket.close();
  say({ sent } satisfies ProbeSent);
}

/** Receives until it is killed. */
export async function runProbeReceiver(port: number): Promise<void> {
  const socket = createSocket({ type: "udp6", ipv6Only: false });
  const seen = new Uint8Array(MOST_PACKETS);
  let received = 0;
  let reached = 0;
  let duplicates = 0;
  let gaps: Gaps | null = null;
  const clock = () => performance.timeOrigin + performance.now();
  socket.on("message", (packet) => {
    if (packet.length !== PACKET_BYTES) return;
    const number = packet.readUInt32BE();
    if (number >= MOST_PACKETS) return;
    gaps ??= new Gaps(clock());
    gaps.arrived(clock());
    if (seen[number]) duplicates++;
    else received++;
    seen[number] = 1;
    reached = Math.max(reached, number + 1);
  });
  await new Promise<void>((bound) => socket.bind(port, "::", bound));
  say({ listening: true });
  setInterval(() => {
    const at = clock();
    say({ at, received, reached, duplicates, gapMs: gaps?.take(at) ?? 0 } satisfies ProbeReport);
  }, REPORT_MILLIS);
  await new Promise(() => {});
}
