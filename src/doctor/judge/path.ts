/** Judges one path of a local portal: its interface, its way to the remote, what came back by it, and its MTU. */
import type { PathReport } from "../../share/status.ts";
import type { Facts, PathFacts } from "./facts.ts";
import { type Finding, fault, ok, warning } from "./finding.ts";

/** Around an inner packet: IP header, UDP header, and portal's own 32 bytes. */
const OVERHEAD = { 4: 20 + 8 + 32, 6: 40 + 8 + 32 } as const;

/** Strict reverse path filtering (RFC 3704, section 2.2). */
const STRICT = 1;

export function judgePath(facts: Facts, path: PathFacts): Finding[] {
  const subject = `path ${path.interface}`;
  const broken = judgeDevice(subject, facts, path);
  if (broken !== null) return [broken];
  const filter = judgeFilter(subject, facts, path);
  // A filter that drops answers is why there are none.
  const explained = path.exchange?.outcome === "silent" && !path.preferred && filter.length > 0;
  const answer = explained ? [] : judgeAnswer(subject, facts, path);
  return [...filter, ...answer, ...judgeMtu(subject, facts, path)];
}

/** Patterns without an interface: no harm while there are other paths. */
export function judgeAbsent({ absent, paths }: Facts): Finding[] {
  return absent.map((pattern) => {
    const advice = 'plug one in, and it is taken up; "ip link" lists the names of those that are there';
    const message = "no interface has such a name now";
    return paths.length === 0
      ? fault(`path ${pattern}`, `${message}, and there is no other path`, advice)
      : warning(`path ${pattern}`, message, advice);
  });
}

/** What keeps the path from even sending; null when nothing does. */
function judgeDevice(subject: string, { remote }: Facts, path: PathFacts): Finding | null {
  const { device, interface: name } = path;
  if (device === null) {
    return fault(subject, "there is no such interface", 'plug it in, or write a name that "ip link" lists');
  }
  if (!device.up) return fault(subject, "the interface is down", `run: ip link set ${name} up`);
  if (!device.carrier)
    return fault(subject, "the interface has no carrier", "look at its cable, modem or Wi-Fi");
  const family = remote?.ipv6 ? "IPv6" : "IPv4";
  if (path.addresses.length === 0) {
    const advice = remote?.ipv6
      ? "let the network give it one"
      : `let DHCP give it one, or run: ip addr add ADDRESS/LENGTH dev ${name}`;
    return fault(subject, `the interface has no ${family} address`, advice);
  }
  // Null also when the remote's address is not known.
  if (remote?.addresses && (path.way === null || path.way.table === 0)) {
    const advice = `give it a default route of its own, with another metric than the others have: ip route add default via GATEWAY dev ${name} metric 200`;
    return fault(subject, "no route leads to the remote by this interface", advice);
  }
  return null;
}

/** A strict filter drops what comes in by an interface that would not be the way back. */
function judgeFilter(subject: string, { paths, status, host }: Facts, path: PathFacts): Finding[] {
  const { rpFilter, preferred } = path;
  if (rpFilter === null || Math.max(rpFilter.all, rpFilter.own) !== STRICT) return [];
  const where = rpFilter.all === STRICT ? "all" : path.interface;
  const command =
    "run: sysctl -w net.ipv4.conf.all.rp_filter=2 (and write it into /etc/sysctl.d/portal.conf for the next boot)";
  const advice = host.looseRpFilter ? command : `take loose_rp_filter = false out of [host], or ${command}`;
  const message = `net.ipv4.conf.${where}.rp_filter is 1`;
  if (host.looseRpFilter && status === null)
    return [ok(subject, `${message}; for this interface portal sets it to 2 while it runs`)];
  const heard = path.exchange?.outcome === "answered" || reportOf(path, status)?.status === "up";
  if (!preferred && !heard)
    return [fault(subject, `${message}: answers that come in by this interface are dropped`, advice)];
  if (preferred && paths.length === 1) return [];
  const later = `${message}: answers by this interface are dropped when another one is preferred`;
  return [warning(subject, later, advice)];
}

function judgeAnswer(subject: string, facts: Facts, path: PathFacts): Finding[] {
  const { exchange, ping } = path;
  const runs = facts.status !== null;
  if (runs && (exchange === null || exchange.outcome === "answered"))
    return [judgeReport(subject, reportOf(path, facts.status), exchange !== null)];
  if (exchange === null) return [];
  const where = `port ${facts.remote!.port}`;
  switch (exchange.outcome) {
    case "answered":
      return [ok(subject, `the remote portal answers within ${exchange.rttMs.toFixed(1)} ms`)];
    case "other cipher":
      return [
        fault(
          subject,
          `the remote portal takes only ${exchange.theirs}, this one does not`,
          "set the same cipher and privacy on both sides",
        ),
      ];
    case "refused":
      return [
        fault(
          subject,
          `the remote machine says that nothing listens at its ${where}`,
          "start portal there, or set [remote] endpoint to its port",
        ),
      ];
    case "unreadable":
      return [
        fault(
          subject,
          "the remote portal has another pre-shared key",
          "set the same preshared_key on both sides",
        ),
      ];
    case "unsent":
      return [
        fault(
          subject,
          `nothing can be sent by it: ${exchange.problem}`,
          "look at [remote] in the configuration, and at this machine's firewall and routes",
        ),
      ];
    case "silent":
      return [judgeSilence(subject, facts, ping?.answered ?? false)];
  }
}

function judgeSilence(subject: string, { paths, remote, status }: Facts, pinged: boolean): Finding {
  const others = paths.some(
    (path) => path.exchange?.outcome === "answered" || reportOf(path, status)?.status === "up",
  );
  const message = pinged
    ? `the remote machine answers pings, but no portal answers at UDP port ${remote!.port}`
    : "nothing comes back from the remote portal";
  if (others) {
    const advice = pinged
      ? "the network of this interface, or a firewall, drops UDP: try another [listen] port on the remote, such as 443"
      : "by another path it answers: look at this interface's own connection (modem, SIM card, cable) and this machine's firewall";
    return fault(subject, message, advice);
  }
  return fault(
    subject,
    message,
    pinged
      ? "see: remote"
      : "see: remote; if pings are answered elsewhere, look at this interface's connection",
  );
}

function reportOf(path: PathFacts, status: Facts["status"]): PathReport | undefined {
  const reports = status?.sessions.flatMap((session) => session.paths) ?? [];
  return reports.find(({ name }) => name === path.interface);
}

/** How a path stands in the portal that runs. `answered`: the remote has just answered by it. */
function judgeReport(subject: string, report: PathReport | undefined, answered: boolean): Finding {
  const now = answered ? ", and the remote portal answers by it now" : "";
  if (report === undefined) {
    const message = `the portal that runs has no session by it${now}`;
    return fault(subject, message, "see: remote, and what its log says");
  }
  const rtt = report.rttMs === null ? "" : `, round trip ${report.rttMs.toFixed(1)} ms`;
  if (report.status === "up") {
    const parked = report.parked ? ` (it carries nothing for a while: ${report.reason})` : "";
    return ok(subject, `up in the portal that runs${rtt}${parked}`);
  }
  const reason = report.reason === null ? "" : `: ${report.reason}`;
  return fault(
    subject,
    `${report.status} in the portal that runs${reason}${now}`,
    answered
      ? "wait a minute; if it stays so, see the log of the portal that runs"
      : "look at this interface's own connection, and at its rp_filter and firewall",
  );
}

/** What every path of IPv6 carries (RFC 8200 section 5). */
const LEAST_IPV6 = 1280;

function judgeMtu(subject: string, { tunnel, remote }: Facts, path: PathFacts): Finding[] {
  const overhead = OVERHEAD[remote?.ipv6 ? 6 : 4];
  const needed = tunnel.mtu + overhead;
  const { device, way, ping } = path;
  const sizes = [device!.mtu, way === null || way.mtu === 0 ? device!.mtu : way.mtu];
  const own = Math.min(...sizes);
  const measured = ping?.answered === true ? Math.min(own, ping.largest) : own;
  if (measured >= needed) {
    const how =
      ping?.answered === true
        ? ""
        : " on this machine (the remote answers no pings that would show the way's)";
    return [ok(subject, `its MTU of ${measured} carries whole datagrams${how}`)];
  }
  const inside = measured - overhead;
  if (tunnel.ipv6 && inside < LEAST_IPV6) {
    const message = `its MTU is ${measured}, and datagrams with IPv6 inside may have ${LEAST_IPV6 + overhead} bytes: those are fragmented, which is slow and often lossy`;
    return [warning(subject, message, "use only IPv4 in [tunnel], or another path")];
  }
  if (!tunnel.mtuFixed) {
    return [ok(subject, `its MTU of ${measured} carries packets of ${inside} bytes: portal finds that out`)];
  }
  const message = `its MTU is ${measured}, and datagrams have up to ${needed} bytes with [tunnel] mtu = ${tunnel.mtu}: only once they are told do senders make smaller ones`;
  return [warning(subject, message, `remove [tunnel] mtu, or set it to ${Math.max(inside, 576)}`)];
}
