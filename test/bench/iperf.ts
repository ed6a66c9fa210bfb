/** One TCP flow by iperf3 from client to server or back, or between two other namespaces. */
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

interface Report {
  end: {
    sum_received?: { bits_per_second: number };
    sender_tcp_congestion?: string;
  };
  error?: string;
}

/** Mbit/s that arrived. */
export async function iperf(lab: Lab, options: IperfOptions): Promise<number> {
  const port = String(nextPort++);
  const server = await startServer(lab, options.ends ?? BEHIND_PORTALS, port);
  try {
    return await runClient(lab, port, options);
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

async function runClient(lab: Lab, port: string, options: IperfOptions): Promise<number> {
  const { direction, seconds, warmUp, congestion, ends = BEHIND_PORTALS } = options;
  const argv = ["iperf3", "--json", "--client", ends.serverAddress, "--port", port];
  argv.push("--time", String(seconds), "--omit", String(warmUp));
  if (direction === "down") argv.push("--reverse");
  if (congestion !== null) argv.push("--congestion", congestion);
  const { code, stdout, stderr } = await lab.exec(ends.client, argv);
  const { end, error } = parse(stdout);
  if (code !== 0 || end?.sum_received === undefined)
    throw new LabError(`iperf3: ${error ?? (stderr.trim() || "ended without a result")}`);
  const used = end.sender_tcp_congestion;
  if (congestion !== null && used !== undefined && used !== congestion)
    throw new LabError(`iperf3 used ${used} instead of ${congestion}`);
  return end.sum_received.bits_per_second / 1e6;
}

/** What iperf3 says when it fails may be half of an object. */
function parse(text: string): Partial<Report> {
  try {
    return JSON.parse(text) as Partial<Report>;
  } catch {
    return {};
  }
}
