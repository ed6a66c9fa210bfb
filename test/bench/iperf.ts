/** One flow by iperf3, TCP or UDP packets, from client to server or back, or between two other namespaces. */
import { readFileSync } from "node:fs";
import type { Direction } from "../../src/lab/command.ts";
import { LabError } from "../../src/lab/failure.ts";
import { ADDRESSES, type Namespace } from "../../src/lab/namespaces.ts";
import type { LabProcess } from "../../src/lab/process.ts";
import type { Lab } from "../../src/lab/topology.ts";
import type { Congestion } from "./options.ts";

const START_SECONDS = 10;

/** Every flow has a server and a port of its own, so that no remains of a failed one make it busy. */
let nextPort = 5201;

export interface IperfOptions {
  readonly direction: Direction;
  readonly seconds: number;
  /** Whole seconds before those, which do not count. */
  readonly warmUp: number;
  /** Null: the kernel's own choice. */
  readonly congestion: Congestion | null;
  /** Default: client and server. */
  readonly ends?: IperfEnds;
}

export interface IperfEnds {
  readonly client: Namespace;
  readonly server: Namespace;
  readonly serverAddress: string;
}

const BEHIND_PORTALS: IperfEnds = {
  client: "client",
  server: "server",
  serverAddress: ADDRESSES.server[4],
};

/** UDP packets without a rate: as many as the sender can. */
export interface PacketOptions {
  readonly direction: Direction;
  readonly seconds: number;
  /** Of an IPv4 packet. */
  readonly bytes: number;
}

/** Packets per second. */
export interface PacketRates {
  readonly offered: number;
  readonly arrived: number;
}

/** IPv4 and UDP header. */
const UDP_HEADERS = 28;

interface Report {
  end: {
    sum_received?: { bits_per_second: number };
    sum?: { seconds: number; packets: number; lost_packets: number };
    sender_tcp_congestion?: string;
  };
  error?: string;
}

/** Mbit/s that arrived. */
export async function iperf(lab: Lab, options: IperfOptions): Promise<number> {
  const { direction, seconds, warmUp, congestion, ends = BEHIND_PORTALS } = options;
  const words = ["--time", String(seconds), "--omit", String(warmUp)];
  if (congestion !== null) words.push("--congestion", congestion);
  const end = await run(lab, ends, direction, words);
  const used = end.sender_tcp_congestion;
  if (congestion !== null && used !== undefined && used !== congestion)
    throw new LabError(`iperf3 used ${used} instead of ${congestion}`);
  return end.sum_received!.bits_per_second / 1e6;
}

export async function iperfPackets(lab: Lab, options: PacketOptions): Promise<PacketRates> {
  const { direction, seconds, bytes } = options;
  const words = [
    "--udp",
    "--bitrate",
    "0",
    "--length",
    String(bytes - UDP_HEADERS),
    "--time",
    String(seconds),
  ];
  words.push("--window", String(largestBuffer()));
  const { sum } = await run(lab, BEHIND_PORTALS, direction, words);
  if (sum === undefined) throw new LabError("iperf3 counted no packets");
  return { offered: sum.packets / sum.seconds, arrived: (sum.packets - sum.lost_packets) / sum.seconds };
}

/** Bytes that every process may ask for: not the receiver's buffer shall be the limit while it waits for a processor. */
function largestBuffer(): number {
  const limits = ["rmem_max", "wmem_max"].map((name) => readFileSync(`/proc/sys/net/core/${name}`, "utf8"));
  return Math.min(...limits.map(Number));
}

async function run(
  lab: Lab,
  ends: IperfEnds,
  direction: Direction,
  words: readonly string[],
): Promise<Report["end"]> {
  const port = String(nextPort++);
  const server = await startServer(lab, ends, port);
  try {
    return await runClient(lab, ends, port, direction, words);
  } finally {
    await server.stop("SIGKILL");
  }
}

async function startServer(lab: Lab, ends: IperfEnds, port: string): Promise<LabProcess> {
  const server = lab.spawn(ends.server, ["iperf3", "--server", "--one-off", "--port", port]);
  await lab.waitFor("iperf3 to listen", START_SECONDS, async () => {
    if (!server.running) throw server.failure(await server.exited);
    return (await lab.exec(ends.server, ["ss", "-Hltn", "sport", "=", port])).stdout !== "";
  });
  return server;
}

async function runClient(
  lab: Lab,
  ends: IperfEnds,
  port: string,
  direction: Direction,
  words: readonly string[],
): Promise<Report["end"]> {
  const argv = ["iperf3", "--json", "--client", ends.serverAddress, "--port", port, ...words];
  if (direction === "down") argv.push("--reverse");
  const { code, stdout, stderr } = await lab.exec(ends.client, argv);
  const { end, error } = parse(stdout);
  if (code !== 0 || end?.sum_received === undefined)
    throw new LabError(`iperf3: ${error ?? (stderr.trim() || "ended without a result")}`);
  return end;
}

/** What iperf3 says when it fails may be half of an object. */
function parse(text: string): Partial<Report> {
  try {
    return JSON.parse(text) as Partial<Report>;
  } catch {
    return {};
  }
}
