/**
 * The network of the laboratory, as text for `ip -batch` and /proc/sys. Pure.
 *
 *      client            local                                           remote            server
 *        eth0 ───────── lan    path0 ═══════ emulated line ═══════ path0   wan ───────────── eth0
 *     10.10.0.2   10.10.0.1    10.20.0.2                      10.20.0.1   10.30.0.1     10.30.0.2
 *    fd10::2        fd10::1    fd20::2                          fd20::1     fd30::1       fd30::2
 *                              path1 ═══════ emulated line ═══════ path1
 *                              10.20.1.2                      10.20.1.1   lo
 *                              fd20:0:0:1::2              fd20:0:0:1::1   192.0.2.1
 *                              ...                                  ...   2001:db8::1
 *                              portal0                          portal0
 *                              10.77.0.2 fd77::2      10.77.0.1 fd77::1
 *
 * The remote portal listens on 192.0.2.1 and 2001:db8::1, which the local reaches over every path (a route each, of
 * rising metric: portal binds to interfaces). Client and server reach each other only through the two portals, unless
 * a test routes them past: no packet crosses by accident. Outside (paths) and inside (client, server, tunnel) both
 * families are always there; which family carries the tunnel is the endpoint's choice.
 */

export const NAMESPACES = ["client", "local", "remote", "server"] as const;
export type Namespace = (typeof NAMESPACES)[number];

export type Family = 4 | 6;

export const TUNNEL_INTERFACE = "portal0";
export const TUNNEL_PORT = 51900;

/** Addresses that tests and portals name. */
export const ADDRESSES = {
  client: { 4: "10.10.0.2", 6: "fd10::2" },
  server: { 4: "10.30.0.2", 6: "fd30::2" },
  remoteEndpoint: { 4: "192.0.2.1", 6: "2001:db8::1" },
  tunnelLocal: { 4: "10.77.0.2", 6: "fd77::2" },
  tunnelRemote: { 4: "10.77.0.1", 6: "fd77::1" },
} as const;

/** Where client and server send everything: the sides' addresses towards them. */
const GATEWAYS = {
  client: { 4: "10.10.0.1", 6: "fd10::1" },
  server: { 4: "10.30.0.1", 6: "fd30::1" },
} as const;

export const CLIENT_NETWORK = { 4: "10.10.0.0/24", 6: "fd10::/64" } as const;
export const SERVER_NETWORK = { 4: "10.30.0.0/24", 6: "fd30::/64" } as const;

/** The two addresses of a path. */
export function pathAddress(path: number, side: "local" | "remote", family: Family): string {
  const host = side === "remote" ? 1 : 2;
  if (family === 4) return `10.20.${path}.${host}`;
  return path === 0 ? `fd20::${host}` : `fd20:0:0:${path.toString(16)}::${host}`;
}

export interface PathEnds {
  readonly name: string;
  /** Names of the emulator's two interfaces; null: a plain virtual cable without any limit. */
  readonly ends: { readonly near: string; readonly far: string } | null;
}

/** Written below /proc/sys/net in every namespace, before it has an interface. */
export function kernelSettings(namespace: Namespace, ipv6: boolean): [file: string, value: string][] {
  const forwards = namespace === "local" || namespace === "remote";
  const settings: [string, string][] = [
    ["ipv4/conf/all/rp_filter", "0"],
    ["ipv4/conf/default/rp_filter", "0"],
    // A flow begins as it would on a fresh machine, not with what the one before it learned.
    ["ipv4/tcp_no_metrics_save", "1"],
    // Not the ends' buffers but the paths shall be the limit: 100 Mbit/s at 640 ms are 8 MB, and half is bookkeeping.
    ["ipv4/tcp_rmem", "4096 131072 67108864"],
    ["ipv4/tcp_wmem", "4096 65536 67108864"],
  ];
  if (forwards) settings.push(["ipv4/ip_forward", "1"]);
  if (!ipv6) return settings;
  for (const scope of ["all", "default"]) {
    settings.push([`ipv6/conf/${scope}/disable_ipv6`, "0"]);
    settings.push([`ipv6/conf/${scope}/accept_ra`, "0"]);
    if (forwards) settings.push([`ipv6/conf/${scope}/forwarding`, "1"]);
  }
  // Addresses are ours to give and usable at once, and they outlive an interface that goes down and comes back.
  settings.push(["ipv6/conf/default/accept_dad", "0"]);
  settings.push(["ipv6/conf/all/keep_addr_on_down", "1"]);
  return settings;
}

/** Joins the namespaces: run in the one where the emulator's interfaces were made. */
export function cabling(paths: readonly PathEnds[]): string[] {
  const lines = [
    "link add eth0 netns client type veth peer name lan netns local",
    "link add wan netns remote type veth peer name eth0 netns server",
  ];
  for (const { name, ends } of paths) {
    if (ends === null) {
      lines.push(`link add ${name} netns local type veth peer name ${name} netns remote`);
    } else {
      // On an interface with multicast a kernel that forwards joins the group of all routers and says so (MLD), several
      // times within a second: packets that nobody sent, on a line that counts them.
      for (const end of [ends.near, ends.far]) lines.push(`link set ${end} multicast off`);
      // The kernel must not drop what the line's own queue would hold while the emulator waits for a processor.
      lines.push(`link set ${ends.near} netns local name ${name} mtu 1500 txqueuelen 10000`);
      lines.push(`link set ${ends.far} netns remote name ${name} mtu 1500 txqueuelen 10000`);
    }
  }
  return lines;
}

/** Addresses and routes of one namespace. */
export function addressing(namespace: Namespace, paths: readonly PathEnds[], ipv6: boolean): string[] {
  const families: Family[] = ipv6 ? [4, 6] : [4];
  const lines = ["link set lo up"];
  const add = (device: string, address: string, bits: number): void => {
    lines.push(`addr add ${address}/${bits} dev ${device}${address.includes(":") ? " nodad" : ""}`);
  };
  const bits = (family: Family): number => (family === 4 ? 24 : 64);
  const own: Record<Namespace, [device: string, Record<Family, string>]> = {
    client: ["eth0", ADDRESSES.client],
    local: ["lan", GATEWAYS.client],
    remote: ["wan", GATEWAYS.server],
    server: ["eth0", ADDRESSES.server],
  };
  const [device, addresses] = own[namespace];
  for (const family of families) add(device, addresses[family], bits(family));
  lines.push(`link set ${device} up`);
  for (const family of families) {
    if (namespace === "client" || namespace === "server")
      lines.push(`route add default via ${GATEWAYS[namespace][family]}`);
    if (namespace === "remote") add("lo", ADDRESSES.remoteEndpoint[family], family === 4 ? 32 : 128);
  }
  if (namespace !== "local" && namespace !== "remote") return lines;
  for (const [path, { name, ends }] of paths.entries()) {
    // Neighbours are asked for their addresses from a link-local one; an emulated line has no neighbours to ask.
    if (ends !== null) lines.push(`link set ${name} addrgenmode none`);
    for (const family of families) add(name, pathAddress(path, namespace, family), bits(family));
    lines.push(`link set ${name} up`);
    for (const family of families) if (namespace === "local") lines.push(endpointRoute(path, name, family));
  }
  return lines;
}

/**
 * Written below /sys/class/net on the local and the remote: what the emulator writes is received on any processor
 * (receive packet steering), not within the emulator's own call down to the application's socket. At 400 Mbit/s on 2
 * busy x64 cores that brought the 99th percentile of its lateness from some 4 ms to 0.3 ms (Linux 6.18).
 */
export function receiveSteering(
  paths: readonly PathEnds[],
  processors: number,
): [file: string, value: string][] {
  const mask = (2 ** Math.min(processors, 32) - 1).toString(16);
  return paths.flatMap(({ name, ends }) => (ends === null ? [] : [[`${name}/queues/rx-0/rps_cpus`, mask]]));
}

/** The route to the remote portal over one path. */
export function endpointRoute(path: number, name: string, family: Family): string {
  const via = pathAddress(path, "remote", family);
  return `route replace ${ADDRESSES.remoteEndpoint[family]} via ${via} dev ${name} metric ${100 + path}`;
}

/**
 * Gives the TCP flows of client or server a congestion control. By route: outside of the host's own network namespace
 * the sysctl for it takes only those that the host's administrator has allowed to everyone.
 */
export function congestionRoutes(end: "client" | "server", congestion: string, ipv6: boolean): string[] {
  const families: Family[] = ipv6 ? [4, 6] : [4];
  return families.map((family) => `route replace default via ${GATEWAYS[end][family]} congctl ${congestion}`);
}

/** Sends the client's and the server's traffic into the tunnel: what portal's owner would do on either machine. */
export function tunnelRoutes(side: "local" | "remote", ipv6: boolean): string[] {
  const network = side === "local" ? SERVER_NETWORK : CLIENT_NETWORK;
  const families: Family[] = ipv6 ? [4, 6] : [4];
  return families.map((family) => `route replace ${network[family]} dev ${TUNNEL_INTERFACE}`);
}

/** Sends the client's and the server's traffic over one path without any tunnel, to compare with. */
export function plainRoutes(side: "local" | "remote", path: number, name: string, ipv6: boolean): string[] {
  const network = side === "local" ? SERVER_NETWORK : CLIENT_NETWORK;
  const peer = side === "local" ? "remote" : "local";
  const families: Family[] = ipv6 ? [4, 6] : [4];
  return families.map(
    (family) => `route replace ${network[family]} via ${pathAddress(path, peer, family)} dev ${name}`,
  );
}
