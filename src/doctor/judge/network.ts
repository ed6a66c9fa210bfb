/** Judges what is around the paths: the remote as a whole, other takers of this machine's packets, a remote's own port. */
import type { Facts } from "./facts.ts";
import { type Finding, fault, ok, warning } from "./finding.ts";

export function judgeRemote({ remote, paths, status, ownPublicKey }: Facts): Finding[] {
  if (remote === null) return [];
  const subject = "remote";
  if (remote.addresses === null) {
    const advice = "check [remote] endpoint and this machine's name servers, or write the address itself";
    return [fault(subject, `${remote.host} has no address: ${remote.problem}`, advice)];
  }
  const findings = [ok(subject, `its address is ${remote.addresses.join(" or ")}`)];
  const tried = paths.filter((path) => path.exchange !== null);
  const silent = tried.every((path) => path.exchange!.outcome === "silent");
  const meets = status?.sessions.some((session) => session.status === "up") ?? false;
  if (meets || !silent || (status === null && tried.length === 0)) return findings;
  const message =
    tried.length > 0 ? "no portal answers by any path" : "the portal that runs has no session with it";
  const advice =
    `check that portal runs there and that its firewall lets UDP port ${remote.port} in; that [remote] public_key here is ` +
    `what "portal pubkey" prints there; that public_key of a [[peer]] there is ${ownPublicKey}; and that privacy and cipher are the same`;
  return [...findings, fault(subject, message, advice)];
}

/** Kinds of interfaces by which VPNs take packets. */
const TUNNELS = ["tun", "wireguard", "ipsec", "vti", "xfrm", "gre", "sit", "ip6tnl", "ipip", "l2tpeth"];

export function judgeOthers({ takers, rules, paths, tunnel }: Facts): Finding[] {
  const findings: Finding[] = [];
  const ours = new Set([tunnel.interface, ...paths.map((path) => path.interface)]);
  const foreign = takers.filter((taker) => taker.kind !== null && TUNNELS.includes(taker.kind));
  for (const name of new Set(foreign.map((taker) => taker.interface))) {
    if (ours.has(name)) continue;
    const { kind } = foreign.find((taker) => taker.interface === name)!;
    const message = `${name} (${kind}) has a route for the whole Internet`;
    const advice = `one of the two takes what the other should have: let ${name} carry less, or stop it; portal's paths themselves keep to their interfaces`;
    findings.push(warning("other tunnels", message, advice));
  }
  for (const { network, other, interface: name } of tunnel.clashes) {
    const message = `the tunnel's network ${network} is also that of ${name} (${other}): what is for one goes to the other`;
    const advice = "write another network into [tunnel] addresses, on both sides";
    findings.push(warning("other networks", message, advice));
  }
  if (findings.length > 0) return findings;
  const text = rules.map(({ priority, table }) => `${priority} (table ${table})`).join(", ");
  const also = rules.length === 0 ? "" : `; policy rules ${text} lead no path elsewhere`;
  const own = paths.filter(({ device }) => device?.kind != null && TUNNELS.includes(device.kind));
  const over = own.map((path) => `; path ${path.interface} goes through one (${path.device!.kind})`);
  return [ok("other tunnels", `none takes the paths' packets${also}${over.join("")}`)];
}

export function judgeListen({ listen, status, tunnel, host }: Facts): Finding[] {
  if (listen === null) return [];
  const findings: Finding[] = [];
  const port = `UDP port ${listen.port}`;
  if (status !== null) findings.push(ok("port", `the portal that runs listens at ${port}`));
  else if (listen.problem === null) findings.push(ok("port", `${port} is free; a firewall must let it in`));
  else if (listen.problem === "in use") {
    findings.push(
      fault(
        "port",
        `${port} is in use`,
        `see who has it: ss -Hulpn sport = ${listen.port}; or choose another [listen] port`,
      ),
    );
  } else if (listen.problem === "not permitted") {
    findings.push(fault("port", `${port} is not permitted`, "run as root, or choose a port above 1023"));
  } else {
    findings.push(
      fault("port", "this machine does not have one of [listen] addresses", 'write its own, or "0.0.0.0"'),
    );
  }
  const off = [
    listen.forwardsIpv4 ? null : "net.ipv4.ip_forward",
    listen.forwardsIpv6 || !tunnel.ipv6 ? null : "net.ipv6.conf.all.forwarding",
  ].filter((name) => name !== null);
  if (off.length === 0) findings.push(ok("forwarding", "on"));
  else if (host.forwarding && status === null) {
    return [...findings, ok("forwarding", "off; portal turns it on while it runs")];
  }
  for (const name of off) {
    const message = `${name} is 0: what comes out of the tunnel goes no further than this machine`;
    const advice = `write nat = true into [host], or forwarding = true; or run: sysctl -w ${name}=1`;
    findings.push(warning("forwarding", message, advice));
  }
  return findings;
}

/** A firewall that portal leaves alone. */
export function judgeObstacles({ host, tunnel }: Facts): Finding[] {
  const name = tunnel.interface;
  return host.obstacles.map((place) => {
    const message = `${place}: drops what is forwarded, and none of its rules names ${name}`;
    const advice = `run: iptables -I FORWARD -i ${name} -j ACCEPT; and the same with -o (with Docker into DOCKER-USER; with ufw: ufw route allow in on ${name})`;
    return warning("firewall", message, advice);
  });
}
