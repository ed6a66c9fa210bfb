/** What both portals did to packets during a run: their status before and after it. */
import type { Direction } from "../../src/lab/command.ts";
import { LabError } from "../../src/lab/failure.ts";
import type { Lab } from "../../src/lab/topology.ts";
import type { StatusReport } from "../../src/share/status.ts";

export interface PacketCounts {
  /** Sent by the side that sends the flow's data, on all paths. */
  readonly sent: number;
  /** Of those, lost on the way as their path found. */
  readonly lost: number;
  /** Of those lost, sent again. */
  readonly resent: number;
  /** Arrived before their flow's predecessor and were put in order by the receiving side. */
  readonly held: number;
  /** Predecessors it no longer waited for. */
  readonly givenUp: number;
}

export async function readPackets(lab: Lab, direction: Direction): Promise<PacketCounts> {
  const [local, remote] = await Promise.all([lab.status("local"), lab.status("remote")]);
  if (local === null || remote === null) throw new LabError("a portal does not answer");
  return direction === "up" ? countPackets(local, remote) : countPackets(remote, local);
}

export function countPackets(sender: StatusReport, receiver: StatusReport): PacketCounts {
  const paths = sender.sessions.flatMap((session) => session.paths);
  return {
    sent: sum(paths.map(({ sentPackets }) => sentPackets)),
    lost: sum(paths.map(({ lostPackets }) => lostPackets)),
    resent: sum(paths.map(({ resentPackets }) => resentPackets)),
    held: sum(receiver.sessions.map(({ reorderedPackets }) => reorderedPackets)),
    givenUp: sum(receiver.sessions.map(({ givenUpPackets }) => givenUpPackets)),
  };
}

export function packetsBetween(before: PacketCounts, after: PacketCounts): PacketCounts {
  return {
    sent: after.sent - before.sent,
    lost: after.lost - before.lost,
    resent: after.resent - before.resent,
    held: after.held - before.held,
    givenUp: after.givenUp - before.givenUp,
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
