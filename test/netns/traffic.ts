/** What clients and servers do across the tunnel: pings, transfers with checked bytes, iperf3. */
import { join } from "node:path";
import type { Direction } from "../../src/lab/command.ts";
import type { SinkReport } from "../../src/lab/flow.ts";
import { ADDRESSES, type Family } from "../../src/lab/namespaces.ts";
import type { LabProcess } from "../../src/lab/process.ts";
import type { Lab } from "../../src/lab/topology.ts";

/** Seconds that what must happen may take on a busy machine. */
export const SOON = 30;

/** True when `count` pings from client to server are answered, in time. `more`: further options of ping. */
export async function pings(
  lab: Lab,
  family: Family,
  count = 3,
  more: readonly string[] = [],
): Promise<boolean> {
  // With a deadline, ping waits for so many answers; without one, for two round trips after the last packet.
  const argv = ["ping", "-q", "-n", "-c", String(count), "-i", "0.02", "-w", String(SOON), ...more];
  return (await lab.exec("client", [...argv, ADDRESSES.server[family]])).code === 0;
}

/** Every flow and server has a port of its own, so that no remains of the one before disturb it. */
let nextPort = 30_000;

export interface FlowOptions {
  family?: Family;
  /** Default: without end. */
  bytes?: number;
}

/** One TCP flow of known bytes between client and server, each byte checked where it arrives. The server listens. */
export class Flow {
  bytes = 0;
  private intact = true;
  private readonly lab: Lab;
  private readonly source: LabProcess;
  private readonly sink: LabProcess;

  private constructor(lab: Lab, source: LabProcess, sink: LabProcess) {
    this.lab = lab;
    this.source = source;
    this.sink = sink;
    sink.onLine((line) => {
      const { bytes, intact } = JSON.parse(line) as Partial<SinkReport>;
      this.bytes = bytes ?? this.bytes;
      this.intact = intact ?? this.intact;
    });
  }

  static async start(lab: Lab, direction: Direction, options: FlowOptions = {}): Promise<Flow> {
    const { family = 4, bytes } = options;
    const port = ["--port", String(nextPort++)];
    const source = ["source", ...(bytes === undefined ? [] : ["--bytes", String(bytes)])];
    const [listens, connects] = direction === "up" ? [["sink"], source] : [source, ["sink"]];
    const first = lab.spawnOwn("server", [...listens, ...port]);
    await first.nextLine();
    const second = lab.spawnOwn("client", [...connects, ...port, "--host", ADDRESSES.server[family]]);
    return direction === "up" ? new Flow(lab, second, first) : new Flow(lab, first, second);
  }

  /** Waits until `bytes` more have arrived. Rejects when the flow breaks or a byte is wrong. */
  async grows(bytes: number, when: string): Promise<void> {
    const goal = this.bytes + bytes;
    await this.lab.waitFor(`${bytes} more bytes ${when}`, SOON, () => {
      for (const end of [this.source, this.sink]) if (!end.running) throw end.failure(-1);
      return this.checked() >= goal;
    });
  }

  /** Waits for the end of a flow of limited length; the bytes that arrived, all of them right. */
  async end(): Promise<number> {
    await this.lab.waitFor("the flow's end", SOON, () => !this.sink.running && !this.source.running);
    await Promise.all([this.source.exited, this.sink.exited]);
    return this.checked();
  }

  /** Nobody reads what comes, so that soon nothing is under way; and goes on reading. */
  pause(): void {
    this.sink.kill("SIGSTOP");
  }

  resume(): void {
    this.sink.kill("SIGCONT");
  }

  async stop(): Promise<void> {
    await Promise.all([this.source.stop("SIGKILL"), this.sink.stop("SIGKILL")]);
    this.checked();
  }

  private checked(): number {
    if (!this.intact) throw new Error("the flow's bytes were changed on the way");
    return this.bytes;
  }
}

/** Sends `bytes` in one TCP flow; the bytes that arrived, all of them right. */
export async function transfer(
  lab: Lab,
  direction: Direction,
  bytes: number,
  family: Family = 4,
): Promise<number> {
  const flow = await Flow.start(lab, direction, { family, bytes });
  return await flow.end();
}

export interface IperfOptions {
  family?: Family;
  bytes: number;
  /** UDP at this rate instead of TCP. */
  udpMbit?: number | undefined;
}

/** The bytes that arrived until the sender had sent all; the last may be under way then, and iperf3 calls them lost. */
export async function iperf3(lab: Lab, direction: Direction, options: IperfOptions): Promise<number> {
  const server = await iperfServer(lab);
  const argv = [...iperfClient(direction, server.port, options), "-J", "-n", String(options.bytes)];
  const { code, stdout, stderr } = await lab.exec("client", argv);
  await server.process.stop("SIGKILL");
  if (code !== 0) throw new Error(`iperf3: ${stderr}${stdout}`);
  return JSON.parse(stdout).end.sum_received.bytes;
}

/** UDP packets at a rate that heeds no loss, until it is stopped. */
export async function startUdp(
  lab: Lab,
  direction: Direction,
  udpMbit: number,
): Promise<{ stop(): Promise<void> }> {
  const server = await iperfServer(lab);
  const client = lab.spawn("client", [...iperfClient(direction, server.port, { udpMbit }), "-t", "0"]);
  return {
    stop: async () => {
      await client.stop("SIGKILL");
      await server.process.stop("SIGKILL");
    },
  };
}

async function iperfServer(lab: Lab): Promise<{ process: LabProcess; port: string }> {
  const port = String(nextPort++);
  const process = lab.spawn("server", ["iperf3", "-s", "-1", "-p", port]);
  await lab.waitFor("iperf3 to listen", SOON, async () => {
    return (await lab.exec("server", ["ss", "-Hltn", "sport", "=", port])).stdout !== "";
  });
  return { process, port };
}

function iperfClient(
  direction: Direction,
  port: string,
  { family = 4, udpMbit }: { family?: Family; udpMbit?: number | undefined },
): string[] {
  const argv = ["iperf3", "-c", ADDRESSES.server[family], "-p", port];
  if (direction === "down") argv.push("-R");
  // Packets that fit into the tunnel, whichever family carries it.
  if (udpMbit !== undefined) argv.push("-u", "-b", `${udpMbit}M`, "-l", "1300");
  return argv;
}

export interface DatagramResult {
  sent: number;
  echoed: number;
  duplicates: number;
  damaged: number;
}

const DATAGRAMS = join(import.meta.dir, "datagrams.ts");

/** Sends `count` UDP packets of many sizes, which the server sends back; what came back, checked. */
export async function echoDatagrams(lab: Lab, count: number, family: Family = 4): Promise<DatagramResult> {
  const port = String(nextPort++);
  const server = lab.spawn("server", [process.execPath, DATAGRAMS, "echo", String(family), port], "echo");
  await server.nextLine();
  const argv = [process.execPath, DATAGRAMS, "send", ADDRESSES.server[family], port, String(count)];
  const { code, stdout, stderr } = await lab.exec("client", argv);
  await server.stop("SIGKILL");
  if (code !== 0) throw new Error(`datagrams: ${stderr}`);
  return JSON.parse(stdout);
}
