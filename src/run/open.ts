/** Opens what a portal needs of the kernel: the TUN, a socket per path or listening address. Says plainly what is missing. */
import type { RemotePortalConfig, TunnelConfig } from "../config/config.ts";
import { keepingAddresses, writeSysctl } from "../host/sysctl.ts";
import type { Endpoint } from "../share/endpoint.ts";
import {
  EACCES,
  EADDRINUSE,
  EADDRNOTAVAIL,
  EAFNOSUPPORT,
  EBUSY,
  ENODEV,
  ENOENT,
  EPERM,
  SysError,
} from "../sys/errno.ts";
import { Interfaces } from "../sys/interfaces.ts";
import { addAddress, bringUp } from "../sys/netlink.ts";
import { OPEN_TUN, Tun } from "../sys/tun.ts";
import { UdpSocket } from "../sys/udp.ts";
import { formatAddress } from "../wire/address.ts";
import type { Crew } from "./crew.ts";
import { BUSY, FAILED, NOT_PERMITTED, StartFailure } from "./failure.ts";
import type { PortalSocket } from "./lanesocket.ts";
import type { Log } from "./log.ts";
import type { Opened } from "./opened.ts";

/** Packets (or 64 KB segments) the kernel keeps for us while all paths are full. */
const TUN_QUEUE = 500;

/** Creates the TUN, gives it its addresses and MTU, and brings it up. */
export function openTun(config: TunnelConfig, log: Log, opened: Opened): Tun {
  const name = config.interface;
  let tun: Tun;
  try {
    tun = Tun.open(name, config.offloads);
  } catch (error) {
    throw tunFailure(error, name);
  }
  opened.push(tun);
  if (config.offloads && !tun.offloads) {
    log.warn("this kernel gives no TUN offloads: portal works without, more slowly");
  }
  keepAddresses(name);
  try {
    bringUp(name, config.mtu, TUN_QUEUE);
    for (const prefix of config.addresses) addAddress(name, prefix.bytes, prefix.length);
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
    throw new StartFailure(
      `cannot set up ${name}: ${error.message}`,
      error.errno === EPERM ? NOT_PERMITTED : FAILED,
    );
  }
  return tun;
}

/** An interface that somebody takes down and up again still has its IPv6 addresses, as it has those of IPv4. */
function keepAddresses(name: string): void {
  try {
    writeSysctl(keepingAddresses(name), "1");
  } catch {
    // No IPv6, a kernel before 4.6, or settings that a container may only read.
  }
}

/** A socket bound to an interface and connected to the first of the remote's addresses that it has a route to, if any. */
export function openPathSocket(
  device: string,
  remotes: readonly Endpoint[],
  offloads: boolean,
  log: Log,
): UdpSocket {
  for (const remote of remotes) {
    const socket = pathSocket(device, remote, offloads);
    try {
      socket.connect(remote);
      return socket;
    } catch (error) {
      if (!(error instanceof SysError)) throw error;
      if (remote === remotes.at(-1)) {
        // Kept all the same: what is missing may come, and is told as it does.
        log.info(`path ${device}: no route to the remote yet (${error.message}); portal keeps trying`);
        return socket;
      }
      socket.close();
    }
  }
  throw new Error("the remote has no address");
}

/** The same for a moment, to ask another remote whether it answers; null where it has no route to any. */
export function openKnock(device: string, remotes: readonly Endpoint[]): UdpSocket | null {
  for (const remote of remotes) {
    let socket: UdpSocket | null = null;
    try {
      socket = new UdpSocket({ ipv6: remote.isIpv6, device, offloads: false });
      socket.connect(remote);
      return socket;
    } catch (error) {
      if (!(error instanceof SysError)) throw error;
      socket?.close();
    }
  }
  return null;
}

function pathSocket(device: string, remote: Endpoint, offloads: boolean): UdpSocket {
  try {
    return new UdpSocket({ ipv6: remote.isIpv6, device, offloads });
  } catch (error) {
    throw pathFailure(error, device);
  }
}

/** Watches this machine's interfaces. */
export function watchInterfaces(opened: Opened): Interfaces {
  try {
    const interfaces = new Interfaces();
    opened.push(interfaces);
    return interfaces;
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
    throw new StartFailure(`cannot watch the interfaces: ${error.message}`, FAILED);
  }
}

/**
 * The remote's sockets, one per listening address, or one per address and worker. An address family this machine lacks is
 * left out when another remains.
 */
export function openListeners(
  config: RemotePortalConfig,
  crew: Crew | null,
  log: Log,
  opened: Opened,
): PortalSocket[] {
  const { addresses, port } = config.listen;
  const sockets: PortalSocket[] = [];
  for (const address of addresses) {
    const options = {
      ipv6: address.length === 16,
      address,
      port,
      packetInfo: true,
      offloads: config.tunnel.offloads,
    };
    const add = (reusePort: boolean) => {
      const socket = new UdpSocket({ ...options, reusePort });
      const used = crew?.lend(socket) ?? socket;
      opened.push(used);
      sockets.push(used);
    };
    try {
      if (crew === null || crew.workers === 1) add(false);
      else {
        // The port must be ours alone: another portal with workers would have it too, without a word.
        new UdpSocket(options).close();
        for (let i = 0; i < crew.workers; i++) add(true);
      }
    } catch (error) {
      if (error instanceof SysError && isUnspecifiedIpv6(address) && error.errno === EAFNOSUPPORT) continue;
      throw listenFailure(error, address, port);
    }
  }
  if (sockets.length === 0) throw new StartFailure("nothing to listen on: this machine has no IPv6", FAILED);
  if (config.tunnel.offloads) warnOfOffloads(sockets, log);
  return sockets;
}

/** Said once: at the start, or when an interface does not send what the kernel had granted. */
export const NO_SEGMENTATION =
  "this kernel cannot segment UDP (UDP_SEGMENT): portal works without, more slowly";

export function canSegment(sockets: readonly PortalSocket[]): boolean {
  return sockets.every((socket) => socket.segmentation);
}

export function warnOfOffloads(sockets: readonly PortalSocket[], log: Log): void {
  if (!canSegment(sockets)) log.warn(NO_SEGMENTATION);
  if (!sockets.every((socket) => socket.receivesBatches)) {
    log.warn("this kernel cannot receive UDP in batches (UDP_GRO): portal works without, more slowly");
  }
}

function isUnspecifiedIpv6(address: Uint8Array): boolean {
  return address.length === 16 && address.every((byte) => byte === 0);
}

function tunFailure(error: unknown, name: string): unknown {
  if (!(error instanceof SysError)) return error;
  if (error.errno === EACCES && error.call === OPEN_TUN) {
    return new StartFailure(
      "cannot open /dev/net/tun: not permitted; run portal as root, or let its user open it: chmod 666 /dev/net/tun",
      NOT_PERMITTED,
    );
  }
  if (error.errno === EPERM || error.errno === EACCES) {
    return new StartFailure(
      `cannot create the interface ${name}: not permitted; run portal as root or with CAP_NET_ADMIN`,
      NOT_PERMITTED,
    );
  }
  if (error.errno === EBUSY) {
    return new StartFailure(
      `cannot create the interface ${name}: the name is taken; stop what uses it or choose another [tunnel] interface`,
      BUSY,
    );
  }
  if (error.errno === ENOENT || error.errno === ENODEV) {
    return new StartFailure('no /dev/net/tun on this machine: load the module with "modprobe tun"', FAILED);
  }
  return new StartFailure(`cannot create the interface ${name}: ${error.message}`, FAILED);
}

function pathFailure(error: unknown, device: string): unknown {
  if (!(error instanceof SysError)) return error;
  if (error.errno === EPERM) {
    return new StartFailure(
      `cannot bind to interface ${device}: not permitted; run portal as root or with CAP_NET_RAW`,
      NOT_PERMITTED,
    );
  }
  return new StartFailure(`path ${device}: ${error.message}`, FAILED);
}

function listenFailure(error: unknown, address: Uint8Array, port: number): unknown {
  if (!(error instanceof SysError)) return error;
  const where = `${formatAddress(address)} port ${port}`;
  if (error.errno === EADDRINUSE) {
    return new StartFailure(
      `cannot listen on ${where}: it is in use; stop what uses it or choose another [listen] port`,
      BUSY,
    );
  }
  if (error.errno === EADDRNOTAVAIL) {
    return new StartFailure(`cannot listen on ${where}: this machine does not have that address`, FAILED);
  }
  if (error.errno === EACCES || error.errno === EPERM) {
    return new StartFailure(
      `cannot listen on ${where}: not permitted; run portal as root or choose a port above 1023`,
      NOT_PERMITTED,
    );
  }
  return new StartFailure(`cannot listen on ${where}: ${error.message}`, FAILED);
}
