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
  /** Called before the interface has these, and no others of their families. */
  onChange: (addresses: readonly Uint8Array[]) => void = () => {};
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
    } else if (lease.length > 0) this.warned = false;
    if (lease.length === 0 || sameText(lease, this.held)) return;
    // One that has none to give of a family, perhaps only now, takes none away.
    const kept = this.held.filter(
      (old) => !lease.some(({ bytes }) => bytes.length === old.bytes.length) || has(lease, old),
    );
    const added = lease.filter((each) => !has(kept, each));
    this.onChange([...kept, ...added].map(({ bytes }) => bytes));
    // The kernel takes all IPv4 routes from an interface with its last IPv4 address, and with an address those of the
    // same network that came after it: in between, each new one stands by itself.
    const alone = added.filter(({ bytes }) => bytes.length === 4).map((each) => ({ ...each, length: 32 }));
    for (const each of alone) this.change("add", addAddress, each);
    for (const old of this.held) if (!has(kept, old)) this.change("remove", removeAddress, old);
    this.held = [...kept, ...added.filter((each) => this.change("add", addAddress, each))];
    for (const each of alone) if (!has(this.held, each)) this.change("remove", removeAddress, each);
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

function has(lease: readonly LeasedAddress[], address: LeasedAddress): boolean {
  return lease.some((each) => textOf(each) === textOf(address));
}

function sameText(a: readonly LeasedAddress[], b: readonly LeasedAddress[]): boolean {
  return a.map(textOf).sort().join() === b.map(textOf).sort().join();
}
