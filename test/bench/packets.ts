/** What portals and flow did to packets during a run: status of the portals and counters of the sender before and after it. */
import type { Direction } from "../../src/lab/command.ts";
import { LabError } from "../../src/lab/failure.ts";
import type { Lab } from "../../src/lab/topology.ts";
import type { StatusReport } from "../../src/share/status.ts";

const OUTWARD_DROPS = ["overflow", "queueDelay", "expired"] as const;

export interface PacketCounts {
  /** Sent by the side that sends the flow's data, on all paths. */
  readonly sent: number;
  /** Of those, lost on the way as their path found. */
  readonly lost: number;
  /** Of those lost, sent again. */
  readonly resent: number;
  /** Inner packets that the sending side let go: its queue was full or too slow, or they were lost too often. */
  readonly dropped: number;
  /** Arrived before their flow's predecessor and were put in order by the receiving side. */
  readonly held: number;
  /** Predecessors it no longer waited for. */
  readonly givenUp: number;
  /** Segments that the TCP of the flow's sender sent again. */
  readonly retransmits: number;
  /** Of those, as its receiver said (RFC 2883), for nothing: the first had arrived. */
  readonly needless: number;
}

export async function readPackets(lab: Lab, direction: Direction): Promise<PacketCounts> {
  const sender = direction === "up" ? "client" : "server";
  const files = ["/proc/net/snmp", "/proc/net/netstat"];
  const [local, remote, { stdout }] = await Promise.all([
    lab.status("local"),
    lab.status("remote"),
    lab.exec(sender, ["cat", ...files]),
  ]);
  if (local === null || remote === null) throw new LabError("a portal does not answer");
  const portals = direction === "up" ? countPackets(local, remote) : countPackets(remote, local);
  const retransmits = kernelCounter(stdout, "Tcp", "RetransSegs");
  return { ...portals, retransmits, needless: kernelCounter(stdout, "TcpExt", "TCPDSACKRecv") };
}

export function countPackets(sender: StatusReport, receiver: StatusReport) {
  const paths = sender.sessions.flatMap((session) => session.paths);
  return {
    sent: sum(paths.map(({ sentPackets }) => sentPackets)),
    lost: sum(paths.map(({ lostPackets }) => lostPackets)),
    resent: sum(paths.map(({ resentPackets }) => resentPackets)),
    dropped: sum(sender.sessions.flatMap(({ drops }) => OUTWARD_DROPS.map((reason) => drops[reason] ?? 0))),
    held: sum(receiver.sessions.map(({ reorderedPackets }) => reorderedPackets)),
    givenUp: sum(receiver.sessions.map(({ givenUpPackets }) => givenUpPackets)),
  };
}

/** Of /proc/net/snmp or netstat: a line `Tcp:` of names, then one of values. */
export function kernelCounter(text: string, group: string, name: string): number {
  const lines = text.split("\n").filter((line) => line.startsWith(`${group}: `));
  const [names = [], values = []] = lines.map((line) => line.split(" "));
  return Number(values[names.indexOf(name)] ?? Number.NaN);
}

export function packetsBetween(before: PacketCounts, after: PacketCounts): PacketCounts {
  return {
    sent: after.sent - before.sent,
    lost: after.lost - before.lost,
    resent: after.resent - before.resent,
    dropped: after.dropped - before.dropped,
    held: after.held - before.held,
    givenUp: after.givenUp - before.givenUp,
    retransmits: after.retransmits - before.retransmits,
    needless: after.needless - before.needless,
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
