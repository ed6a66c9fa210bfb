/** One TCP flow by iperf3 from client to server or back. */
import type { Direction } from "../../src/lab/command.ts";
import { LabError } from "../../src/lab/failure.ts";
import { ADDRESSES } from "../../src/lab/namespaces.ts";
import type { LabProcess } from "../../src/lab/process.ts";
import type { Lab } from "../../src/lab/topology.ts";
import type { Congestion } from "./options.ts";

const START_SECONDS = 10;
const PORT = "5201";

export interface IperfOptions {
  readonly direction: Direction;
  readonly seconds: number;
  /** Whole seconds before those, which do not count. */
  readonly warmUp: number;
  /** Null: the kernel's own choice. */
  readonly congestion: Congestion | null;
}

interface Report {
  end: {
    sum_received: { bits_per_second: number };
    sender_tcp_congestion?: string;
  };
}

export async function startIperfServer(lab: Lab): Promise<LabProcess> {
  const server = lab.spawn("server", ["iperf3", "--server", "--port", PORT]);
  await lab.waitFor("iperf3 to listen", START_SECONDS, async () => {
    if (!server.running) throw server.failure(await server.exited);
    return (await lab.exec("server", ["ss", "-Hltn", "sport", "=", PORT])).stdout !== "";
  });
  return server;
}

/** Mbit/s that arrived. */
export async function iperf(lab: Lab, options: IperfOptions): Promise<number> {
  const { direction, seconds, warmUp, congestion } = options;
  const argv = ["iperf3", "--json", "--client", ADDRESSES.server[4], "--port", PORT];
  argv.push("--time", String(seconds), "--omit", String(warmUp));
  if (direction === "down") argv.push("--reverse");
  if (congestion !== null) argv.push("--congestion", congestion);
  const { code, stdout, stderr } = await lab.exec("client", argv);
  if (code !== 0) throw new LabError(`iperf3: ${/"error":\s*"(.*)"/.exec(stdout)?.[1] ?? stderr.trim()}`);
  const { end } = JSON.parse(stdout) as Report;
  const used = end.sender_tcp_congestion;
  if (congestion !== null && used !== undefined && used !== congestion)
    throw new LabError(`iperf3 used ${used} instead of ${congestion}`);
  return end.sum_received.bits_per_second / 1e6;
}
