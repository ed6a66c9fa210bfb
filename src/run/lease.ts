/**
 * The addresses that the remote gives a local without any of its own: put on the TUN when a session is agreed, and changed when
 * the remote gives others. They stay when the session ends, so that flows outlive it.
 */
import type { TunnelConfig } from "../config/config.ts";
import type { OnLease } from "../proto/dialer.ts";
import { SysError } from "../sys/errno.ts";
import { addAddress, removeAddress } from "../sys/netlink.ts";
import { formatPrefix } from "../wire/address.ts";
import type { LeasedAddress } from "../wire/handshake.ts";
import type { Log } from "./log.ts";

export class Lease {
  private readonly name: string;
  private readonly log: Log;
  private held: readonly LeasedAddress[] = [];
  private warned = false;

  constructor({ interface: name }: TunnelConfig, log: Log) {
    this.name = name;
    this.log = log;
  }

  /** What the interface has of it. */
  get addresses(): string[] {
    return this.held.map(textOf);
  }

  /** `take`, to be given away. */
  readonly onLease: OnLease = (lease) => this.take(lease);

  private take(lease: readonly LeasedAddress[]): void {
    if (lease.length === 0 && !this.warned) {
      this.warned = true;
      const advice = "write pool in [listen] there, or addresses in [tunnel] here";
      this.log.warn(`the remote gives this portal no addresses in the tunnel: ${advice}`);
    }
    // One that has none to give, perhaps only now, takes none away.
    if (lease.length === 0 || sameText(lease, this.held)) return;
    const kept = this.held.filter((old) => lease.some((each) => textOf(each) === textOf(old)));
    for (const old of this.held) {
      if (!kept.includes(old)) this.change("remove", removeAddress, old);
    }
    const added = lease.filter((each) => !kept.some((old) => textOf(old) === textOf(each)));
    this.held = [...kept, ...added.filter((each) => this.change("add", addAddress, each))];
    this.log.info(`the remote gives this portal ${lease.map(textOf).join(" and ")}`);
  }

  private change(what: string, how: typeof addAddress, each: LeasedAddress): boolean {
    try {
      how(this.name, each.bytes, each.length);
      return true;
    } catch (error) {
      if (!(error instanceof SysError)) throw error;
      this.log.warn(`cannot ${what} ${textOf(each)} on ${this.name}: ${error.message}`);
      return false;
    }
  }
}

function textOf({ bytes, length }: LeasedAddress): string {
  return formatPrefix(bytes, length);
}

function sameText(a: readonly LeasedAddress[], b: readonly LeasedAddress[]): boolean {
  return a.map(textOf).sort().join() === b.map(textOf).sort().join();
}
