/**
 * How large inner packets may be: as large as all paths in use carry whole. Smaller at once, larger when that has held for a
 * while, as the smaller packets of a path that is up again soon are not worth two changes.
 */
import { DATA_OVERHEAD_BYTES, HEADER_BYTES, TAG_BYTES } from "../wire/datagram.ts";
import type { Environment } from "./environment.ts";
import { SECOND } from "./limits.ts";
import type { Path } from "./path.ts";
import { TokenBuckets } from "./ratelimit.ts";

const RAISE_AFTER = 10 * SECOND;
/** RFC 8200 section 5: what every path of IPv6 carries. */
const LEAST_IPV6 = 1280;
/** How often senders are told: somewhat less than what Linux sends of all ICMP (icmp_msgs_per_sec, icmp_msgs_burst). */
const TELLS_PER_SECOND = 200;
const TELLS_BURST = 50;

export class InnerMtu {
  /** The largest packet, but for `of`. */
  value: number;
  /** Senders that may be told of it. A session's own, so that nobody else's packets use them up. */
  readonly tells = new TokenBuckets(1, TELLS_PER_SECOND, TELLS_BURST);
  private readonly most: number;
  private readonly environment: Environment;
  private readonly peer: string;
  /** Since when it could be larger; Infinity when it could not. */
  private roomySince = Number.POSITIVE_INFINITY;

  constructor(environment: Environment, peer: string) {
    this.environment = environment;
    this.peer = peer;
    this.most = environment.mtu;
    this.value = environment.mtu;
  }

  /** `metric`: the lowest of a path that is up; Infinity without any. */
  follow(now: number, paths: readonly Path[], metric: number): void {
    if (metric === Number.POSITIVE_INFINITY) return;
    let mtu = this.most;
    for (let i = 0; i < paths.length; i++) {
      const path = paths[i]!;
      if (path.status !== "up" || (path.metric !== metric && !path.spill)) continue;
      mtu = Math.min(mtu, path.recovery.mtu.found - DATA_OVERHEAD_BYTES);
    }
    if (mtu <= this.value) this.roomySince = Number.POSITIVE_INFINITY;
    else this.roomySince = Math.min(this.roomySince, now);
    if (mtu === this.value || (mtu > this.value && now < this.roomySince + RAISE_AFTER)) return;
    this.value = mtu;
    this.environment.log("info", `all paths in use carry packets of ${mtu} bytes to ${this.peer}`);
  }

  /** The largest packet of an IP version: of IPv6 what every path must carry, if need be in fragments. */
  of(version: number): number {
    return version === 6 ? Math.max(this.value, Math.min(LEAST_IPV6, this.most)) : this.value;
  }
}

/**
 * True for a datagram of so much plaintext that a path is not known to carry whole, and had better not: the first answer to
 * whether it does is awaited; or another that carries is known to, and may send now. While a search is on, fragments may
 * vanish as well: then it is left to the other in any case.
 */
export function isForLarger(now: number, plaintext: number, path: Path, paths: readonly Path[]): boolean {
  const bytes = HEADER_BYTES + plaintext + TAG_BYTES;
  const { mtu } = path.recovery;
  if (bytes <= mtu.limit) return false;
  if (mtu.awaits) return true;
  for (let i = 0; i < paths.length; i++) {
    const other = paths[i]!;
    if (other === path || !other.carries || bytes > other.recovery.mtu.limit) continue;
    if (mtu.searches ? other.status === "up" : other.maySend(now)) return true;
  }
  return false;
}
