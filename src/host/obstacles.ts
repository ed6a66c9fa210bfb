/**
 * Other firewalls of this machine that drop what is forwarded unless they are told otherwise, as Docker's and ufw's do: portal
 * leaves their rules as they are. Whether a rule of theirs lets the tunnel's packets through is not followed up: one that names
 * its interface is taken to do so.
 */
import { findProgram, runProgram } from "./command.ts";

/** Where they stand, as "table ip filter, chain FORWARD". Empty, too, for a user who may not ask. */
export function obstaclesTo(tunnel: string): string[] {
  if (findProgram("nft") !== null) return obstaclesIn(runProgram("nft", ["list", "ruleset"]).output, tunnel);
  const { output } = runProgram("iptables", ["-w", "-S"]);
  return /^-P FORWARD DROP$/m.test(output) && !namesIt(output, tunnel) ? ["iptables, chain FORWARD"] : [];
}

/** Of what `nft list ruleset` prints. */
export function obstaclesIn(ruleset: string, tunnel: string): string[] {
  return [...ruleset.matchAll(/^table (\S+ \S+) \{\n([\s\S]*?)^\}/gm)].flatMap(([, table, body]) => {
    const chains = body!.matchAll(/^\tchain (\S+) \{\n\t\ttype filter hook forward [^;]*; policy drop;/gm);
    return namesIt(body!, tunnel) ? [] : [...chains].map(([, chain]) => `table ${table}, chain ${chain}`);
  });
}

function namesIt(rules: string, tunnel: string): boolean {
  return rules.split(/[\s"]+/).includes(tunnel);
}
