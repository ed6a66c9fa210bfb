/**
 * How large inner packets may be: as large as all paths in use carry whole. Smaller at once, larger when that has held for a
 * while, as the smaller packets of a path that is up again soon are not worth two changes.
 */
import { DATA_OVERHEAD_BYTES } from "../wire/datagram.ts";
import { SECOND } from "./limits.ts";
import type { Path } from "./path.ts";

const RAISE_AFTER = 10 * SECOND;
/** RFC 8200 section 5: what every path of IPv6 carries. */
const LEAST_IPV6 = 1280;

export class InnerMtu {
  /** The largest packet, but for `of`. */
  value: number;
  private readonly most: number;
  /** Since when it could be larger; Infinity when it could not. */
  private roomySince = Number.POSITIVE_INFINITY;

  constructor(most: number) {
    this.most = most;
    this.value = most;
  }

  /** `metric`: the lowest of a path that is up; Infinity without any. True when the value has changed. */
  follow(now: number, paths: readonly Path[], metric: number): boolean {
    if (metric === Number.POSITIVE_INFINITY) return false;
    let mtu = this.most;
    for (let i = 0; i < paths.length; i++) {
      const path = paths[i]!;
      if (path.status !== "up" || (path.metric !== metric && !path.spill)) continue;
      mtu = Math.min(mtu, path.recovery.mtu.found - DATA_OVERHEAD_BYTES);
    }
    if (mtu <= this.value) this.roomySince = Number.POSITIVE_INFINITY;
    else this.roomySince = Math.min(this.roomySince, now);
    if (mtu === this.value || (mtu > this.value && now < this.roomySince + RAISE_AFTER)) return false;
    this.value = mtu;
    return true;
  }

  /** The largest packet of an IP version: of IPv6 what every path must carry, if need be in fragments. */
  of(version: number): number {
    return version === 6 ? Math.max(this.value, Math.min(LEAST_IPV6, this.most)) : this.value;
  }
}
