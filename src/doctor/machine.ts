/** Finds out about the machine: what its kernel has, what this process may do, its clock and its connection tracking. */
import { readFileSync } from "node:fs";
import { release } from "node:os";
import type { RemotePortalConfig, TunnelConfig } from "../config/config.ts";
import { EACCES, EADDRINUSE, EPERM, SysError } from "../sys/errno.ts";
import { listAddresses, listInterfaces } from "../sys/inventory.ts";
import { interfaceIndex } from "../sys/netlink.ts";
import { OPEN_TUN, Tun } from "../sys/tun.ts";
import { UdpSocket } from "../sys/udp.ts";
import { makePrefix, networkOf, prefixesOverlap } from "../wire/address.ts";
import type { Facts, KernelFacts, ListenFacts, RightsFacts, TunnelFacts } from "./judge/facts.ts";

const CAP_NET_BIND_SERVICE = 10;
const CAP_NET_ADMIN = 12;
const CAP_NET_RAW = 13;

export function kernelFacts({ offloads }: TunnelConfig): KernelFacts {
  const socket = new UdpSocket({ ipv6: false });
  const { segmentation: udpSegmentation, receivesBatches: udpReceive } = socket;
  socket.close();
  // What an interface that is made gets; none where the kernel has no IPv6.
  const ipv6 = readNumber("/proc/sys/net/ipv6/conf/default/disable_ipv6") === 0;
  return { release: release(), ...tunFacts(offloads), udpSegmentation, udpReceive, ipv6 };
}

/** Makes a TUN for a moment. */
function tunFacts(offloads: boolean): Pick<KernelFacts, "tun" | "tunOffloads"> {
  try {
    const tun = Tun.open(freeName());
    tun.close();
    return { tun: "ok", tunOffloads: offloads ? tun.offloads : null };
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
    if (error.call !== OPEN_TUN) return { tun: "ok", tunOffloads: null };
    return { tun: error.errno === EACCES || error.errno === EPERM ? "denied" : "missing", tunOffloads: null };
  }
}

function freeName(): string {
  for (let i = 0; ; i++) if (interfaceIndex(`doctor${i}`) === 0) return `doctor${i}`;
}

/** Networks in which both the tunnel and another interface have an address. */
export function clashesOf({ interface: name, addresses }: TunnelConfig): TunnelFacts["clashes"] {
  const interfaces = listInterfaces().filter((device) => device.name !== name);
  return listAddresses().flatMap(({ index, address, prefixLength }) => {
    const device = interfaces.find((entry) => entry.index === index);
    const other = networkOf(makePrefix(address, prefixLength));
    const network = addresses.map(networkOf).find((prefix) => prefixesOverlap(prefix, other));
    if (device === undefined || network === undefined) return [];
    return [{ network: network.text, other: other.text, interface: device.name }];
  });
}

export function rightsFacts(): RightsFacts {
  const effective = BigInt(
    `0x${/^CapEff:\s*([0-9a-f]+)/m.exec(readText("/proc/self/status") ?? "")?.[1] ?? "0"}`,
  );
  const has = (capability: number) => ((effective >> BigInt(capability)) & 1n) === 1n;
  return {
    netAdmin: has(CAP_NET_ADMIN),
    netRaw: has(CAP_NET_RAW),
    netBindService: has(CAP_NET_BIND_SERVICE),
    unprivilegedPort: readNumber("/proc/sys/net/ipv4/ip_unprivileged_port_start") ?? 1024,
  };
}

export function conntrackFacts(): Facts["conntrack"] {
  const count = readNumber("/proc/sys/net/netfilter/nf_conntrack_count");
  const limit = readNumber("/proc/sys/net/netfilter/nf_conntrack_max");
  return count === null || limit === null ? null : { count, limit };
}

/** `runs`: a portal with this configuration has the port, and nobody else is to try. */
export function listenFacts({ listen }: RemotePortalConfig, runs: boolean): ListenFacts {
  return {
    port: listen.port,
    problem: runs ? null : listenProblem(listen),
    forwardsIpv4: readNumber("/proc/sys/net/ipv4/ip_forward") !== 0,
    forwardsIpv6: readNumber("/proc/sys/net/ipv6/conf/all/forwarding") !== 0,
  };
}

function listenProblem({ addresses, port }: RemotePortalConfig["listen"]): ListenFacts["problem"] {
  for (const address of addresses) {
    try {
      new UdpSocket({ ipv6: address.length === 16, address, port }).close();
    } catch (error) {
      if (!(error instanceof SysError)) throw error;
      if (error.errno === EADDRINUSE) return "in use";
      if (error.errno === EACCES || error.errno === EPERM) return "not permitted";
      // A machine without IPv6 is no fault where all addresses are meant.
      if (address.some((byte) => byte !== 0)) return "no such address";
    }
  }
  return null;
}

/** A number in a file of /proc; null when it has none. */
export function readNumber(path: string): number | null {
  const text = readText(path)?.trim() ?? "";
  return /^\d+$/.test(text) ? Number(text) : null;
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
}
