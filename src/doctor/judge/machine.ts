/** Judges the machine: its kernel, our rights on it, its clock, its connection tracking. */
import type { Facts } from "./facts.ts";
import { type Finding, fault, ok, warning } from "./finding.ts";
import { judgeSpeed } from "./speed.ts";

export function judgeMachine(facts: Facts): Finding[] {
  return [
    ...judgeKernel(facts),
    ...judgeRights(facts),
    ...judgeStart(facts),
    judgeClock(facts),
    ...judgeConntrack(facts),
    ...judgeSpeed(facts),
  ];
}

function judgeKernel({ kernel, status, tunnel, host, policyRouting }: Facts): Finding[] {
  const subject = "kernel";
  const findings: Finding[] = [];
  if (kernel.tun === "missing" && status === null) {
    const advice = "run: modprobe tun (in a container, let it have the device /dev/net/tun)";
    findings.push(fault(subject, "there is no /dev/net/tun", advice));
  }
  if (kernel.tun === "denied" && status === null) {
    findings.push(
      fault(
        subject,
        "no permission to open /dev/net/tun",
        "run: chmod 666 /dev/net/tun (to make an interface there takes CAP_NET_ADMIN besides)",
      ),
    );
  }
  const offloads = status?.offloads.tun ?? kernel.tunOffloads;
  const without = [
    offloads === false ? "TUN offloads" : null,
    kernel.udpSegmentation ? null : "sending UDP in batches (UDP_SEGMENT, Linux 4.18)",
    kernel.udpReceive ? null : "receiving UDP in batches (UDP_GRO, Linux 5.0)",
  ].filter((name) => name !== null);
  if (without.length > 0) {
    const message = `Linux ${kernel.release} has no ${without.join(", no ")}`;
    findings.push(
      warning(subject, message, "portal works without, several times slower: a newer kernel has them"),
    );
  }
  if (tunnel.ipv6 && !kernel.ipv6 && status === null) {
    const advice =
      "run: sysctl -w net.ipv6.conf.default.disable_ipv6=0; or take the IPv6 address out of [tunnel] addresses, on both portals";
    findings.push(fault(subject, "IPv6 is off or missing, and [tunnel] addresses has an IPv6 one", advice));
  }
  if (host.routes && !policyRouting) {
    const advice = "take routes out of [host], or use a kernel with CONFIG_IP_MULTIPLE_TABLES";
    findings.push(fault(subject, "it has no policy routing, which routes in [host] needs", advice));
  }
  if (findings.length > 0) return findings;
  const tried = offloads === null ? "" : "TUN with offloads, ";
  return [ok(subject, `Linux ${kernel.release}: ${tried}UDP in batches`)];
}

/** The kernel that lets everybody bind a socket to an interface (Linux c427bfec18f2, 5.7). */
const FREE_BIND = [5, 7] as const;

function judgeRights({ rights, kernel, role, listen, status }: Facts): Finding[] {
  const subject = "permissions";
  const missing: string[] = [];
  if (!rights.netAdmin) missing.push("CAP_NET_ADMIN, for the TUN");
  if (role === "local" && !rights.netRaw && isOlder(kernel.release, FREE_BIND)) {
    missing.push("CAP_NET_RAW, to bind to interfaces on a kernel before 5.7");
  }
  if (listen !== null && listen.port < rights.unprivilegedPort && !rights.netBindService) {
    missing.push(`CAP_NET_BIND_SERVICE, for port ${listen.port}`);
  }
  if (missing.length === 0) return [ok(subject, "all that portal needs")];
  const message = `this process has no ${missing.join("; no ")}`;
  const advice = "run as root, or as a service: portal service systemd --install";
  // The portal that runs has what it needs; only we do not see everything.
  return [
    status === null
      ? fault(subject, message, advice)
      : warning(subject, message, "run as root to see everything"),
  ];
}

function isOlder(release: string, [major, minor]: readonly [number, number]): boolean {
  const [, first, second] = /^(\d+)\.(\d+)/.exec(release) ?? [];
  return Number(first) < major || (Number(first) === major && Number(second) < minor);
}

/** What else would end a start. */
function judgeStart({ tunnel, host }: Facts): Finding[] {
  const findings: Finding[] = [];
  if (tunnel.taken) {
    const message = `there is an interface ${tunnel.interface} already`;
    const advice = `see what it is: ip -details link show ${tunnel.interface}; stop what made it, or choose another [tunnel] interface`;
    findings.push(fault("interface", message, advice));
  }
  if (host.problem !== null) {
    const [what, ...advice] = host.problem.split(": ");
    findings.push(fault("[host]", what!, advice.join(": ")));
  }
  if (host.left > 0) {
    const message = `a portal that was killed left ${host.left} changes on this machine: routes and firewall rules, say, which may hold its traffic back`;
    findings.push(
      warning("[host]", message, 'start portal, which undoes them first: "portal check" lists them'),
    );
  }
  return findings;
}

/** No portal is older: a clock that shows less was never set. */
const YEAR_LEAST = 2025;

function judgeClock({ year, caps }: Facts): Finding {
  if (year >= YEAR_LEAST) {
    return ok(
      "clock",
      caps ? "set; only the data caps' months and days depend on it" : "nothing depends on it",
    );
  }
  if (caps) {
    const message = `it is not set (it shows ${year}): data caps go on counting, and no month or day of theirs ends`;
    return warning("clock", message, "set it: timedatectl set-ntp true; or install an NTP client (chrony)");
  }
  return ok(
    "clock",
    `it is not set (it shows ${year}), but nothing depends on it, only the times in the log`,
  );
}

/** Beyond this share of its limit the table fills up at the next peak, and new flows are dropped. */
const CONNTRACK_FULL = 0.8;

function judgeConntrack({ conntrack }: Facts): Finding[] {
  if (conntrack === null) return [];
  const { count, limit } = conntrack;
  const message = `${count} of ${limit} connections tracked`;
  if (count < limit * CONNTRACK_FULL) return [ok("conntrack", message)];
  const advice = `run: sysctl -w net.netfilter.nf_conntrack_max=${limit * 4}`;
  return [warning("conntrack", `${message}: beyond the limit new flows are dropped`, advice)];
}
