/** The whole judgement: facts in, findings out, in the order in which they are read. */
import type { Facts } from "./facts.ts";
import type { Finding, Level } from "./finding.ts";
import { judgeMachine } from "./machine.ts";
import { judgeListen, judgeObstacles, judgeOthers, judgeRemote } from "./network.ts";
import { judgeOther } from "./other.ts";
import { judgeAbsent, judgePath } from "./path.ts";

export function judge(facts: Facts): Finding[] {
  return [
    ...judgeMachine(facts),
    ...judgeListen(facts),
    ...judgeObstacles(facts),
    ...judgeRemote(facts),
    ...facts.others.map((other) => judgeOther(facts, other)),
    ...facts.paths.flatMap((path) => judgePath(facts, path)),
    ...judgeAbsent(facts),
    ...judgeOthers(facts),
    ...judgeSessions(facts),
  ];
}

/** The peers of a remote that runs: that one is away is no fault of this machine's. */
function judgeSessions({ role, status }: Facts): Finding[] {
  if (role !== "remote" || status === null) return [];
  return status.sessions.map(({ peer, status: state }) => ({
    level: "ok",
    subject: `peer ${peer}`,
    message: state === "up" ? "its session is up" : "it has no session now",
    advice: null,
  }));
}

export function countOf(findings: readonly Finding[], level: Level): number {
  return findings.filter((finding) => finding.level === level).length;
}
