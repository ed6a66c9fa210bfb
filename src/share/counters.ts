/** Why a packet was not delivered: every drop has one reason and is counted under it, per session or for strangers. */

export const DROPS = [
  // What a stranger may send: no state changes, nothing is answered.
  "malformed", // too short, or lengths that do not add up
  "unknownType",
  "unknownIndex", // no session has this receiver index
  "notAuthentic", // tag, MAC or key wrong
  "replayed", // packet number seen before
  "tooOld", // packet number below the replay window
  "handshakeRefused", // authentic MAC, but unknown key, wrong pre-shared key, or a suite we do not take
  "overloaded", // handshake beyond the rate limit
  "unknownPath", // authenticated, but of a path that has ended, or more paths than a session may have
  // What an authenticated peer may cause.
  "badSource", // inner source address not the peer's
  "badInner", // inner packet is no IP packet, or its length is wrong
  "duplicate", // data sequence already delivered
  "superseded", // an acknowledgement whose successor says all it says
  "tunRefused", // the kernel did not take the packet
  // On the way out.
  "noSession", // no session, or none for this destination
  "noRoute", // destination belongs to no peer
  "tooBig", // larger than the tunnel's MTU
  "overflow", // queue full
  "queueDelay", // waited too long: told to slow down (CoDel)
  "expired", // lost, and sent again as often as is useful
] as const;

export type Drop = (typeof DROPS)[number];

const indexOf = Object.fromEntries(DROPS.map((name, index) => [name, index])) as Record<Drop, number>;

/** Counts drops by reason. One writer. */
export class DropCounters {
  readonly counts = new Float64Array(DROPS.length);

  count(reason: Drop, packets = 1): void {
    this.counts[indexOf[reason]]! += packets;
  }

  of(reason: Drop): number {
    return this.counts[indexOf[reason]]!;
  }

  get total(): number {
    let sum = 0;
    for (let i = 0; i < this.counts.length; i++) sum += this.counts[i]!;
    return sum;
  }

  /** The reasons that have occurred. For status output, not for the datagram path. */
  entries(): Partial<Record<Drop, number>> {
    const result: Partial<Record<Drop, number>> = {};
    for (const name of DROPS) if (this.of(name) > 0) result[name] = this.of(name);
    return result;
  }
}
