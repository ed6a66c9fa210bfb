/** Whether what a UDP socket sends may be fragmented, and which packets the way to its peer carries whole. */
import { optionOf, SOL_IP, SOL_IPV6, setOption } from "./sockopt.ts";

const IP_MTU_DISCOVER = 10;
const IP_PMTUDISC_DONT = 0;
const IP_PMTUDISC_PROBE = 3;
const IP_MTU = 14;
const IPV6_MTU_DISCOVER = 23;
const IPV6_MTU = 24;
const IPV6_DONTFRAG = 62;
const IPV6_LEAST = 1280;

/**
 * `fragments` as `DatagramSocket.send` is told (share/io.ts). Of IPv6, IPV6_DONTFRAG keeps this machine from it, and IPV6_MTU
 * says how small.
 */
export function setFragments(fd: number, ipv6: boolean, fragments: number): void {
  const discover = fragments === 0 ? IP_PMTUDISC_PROBE : IP_PMTUDISC_DONT;
  if (ipv6) {
    setOption(fd, SOL_IPV6, IPV6_MTU_DISCOVER, discover);
    setOption(fd, SOL_IPV6, IPV6_DONTFRAG, fragments === 0 ? 1 : 0);
    setOption(fd, SOL_IPV6, IPV6_MTU, fragments === 0 ? 0 : Math.max(fragments, IPV6_LEAST));
  } else {
    setOption(fd, SOL_IP, IP_MTU_DISCOVER, discover);
  }
}

/** Of a connected socket: bytes of IP packets, as far as the kernel has heard; 0 = it does not say. */
export function knownMtu(fd: number, ipv6: boolean): number {
  return (ipv6 ? optionOf(fd, SOL_IPV6, IPV6_MTU) : optionOf(fd, SOL_IP, IP_MTU)) ?? 0;
}
