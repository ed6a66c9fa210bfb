/**
 * The MTU of the TUN: of a local's, what all paths in use carry, unless the configuration fixes it, so that the machine's own
 * connections and those that pass it begin with packets of the right size. A remote's TUN is that of many locals: it keeps
 * the largest, and senders of larger packets than a session's paths carry are told (proto/refusal.ts).
 */
import type { Config, TunnelConfig } from "../config/config.ts";
import { SysError } from "../sys/errno.ts";
import { setMtu } from "../sys/netlink.ts";
import type { Log } from "./log.ts";

/** Below it a kernel takes IPv6 from an interface. */
const LEAST_IPV6 = 1280;
/** Seconds that it must have been possible to have it larger. */
const RAISE_AFTER = 10;

export class TunMtu {
  value: number;
  private readonly tunnel: TunnelConfig;
  private readonly follows: boolean;
  private readonly least: number;
  private readonly log: Log;
  /** Seconds for which the session could have had a larger one. */
  private roomy = 0;
  private refused = false;

  constructor({ role, tunnel }: Config, log: Log) {
    this.tunnel = tunnel;
    this.value = tunnel.mtu;
    this.follows = role === "local" && !tunnel.mtuFixed;
    // One that asks for its addresses may be given some of IPv6.
    const ipv4 = tunnel.addresses.length > 0 && tunnel.addresses.every(({ bytes }) => bytes.length === 4);
    this.least = ipv4 ? 0 : LEAST_IPV6;
    this.log = log;
  }

  /** Called every second: `wanted` is what the paths of the session carry, if there is one. */
  onTick(wanted: number | undefined): void {
    if (!this.follows || wanted === undefined) return;
    const mtu = Math.max(wanted, this.least);
    this.roomy = mtu > this.value ? this.roomy + 1 : 0;
    if (mtu === this.value || (mtu > this.value && this.roomy < RAISE_AFTER)) return;
    try {
      setMtu(this.tunnel.interface, mtu);
      this.log.info(`${this.tunnel.interface} has an MTU of ${mtu} now, which all paths in use carry`);
      this.value = mtu;
    } catch (error) {
      if (!(error instanceof SysError)) throw error;
      if (!this.refused) this.log.warn(`cannot set the MTU of ${this.tunnel.interface}: ${error.message}`);
      this.refused = true;
    }
  }
}
