/**
 * What must hold after every turn of every portal, looked at from outside. The ledger (inner.ts) checks each delivery; this
 * looks at the portals' state, and at the end accounts for every packet that did not come out.
 */

import { FLOWS, MOST_KEPT } from "../../src/proto/ackfilter.ts";
import { MAX_HELD, MAX_HOLD_OTHER, MAX_HOLD_STREAM } from "../../src/proto/limits.ts";
import type { Path } from "../../src/proto/path.ts";
import type { Session } from "../../src/proto/session.ts";
import { DropCounters } from "../../src/share/counters.ts";
import { Type } from "../../src/wire/datagram.ts";
import { Violation } from "./inner.ts";
import type { Node } from "./node.ts";
import type { World } from "./world.ts";

interface Seen {
  /** Every session this portal ever had, of every run of it. */
  readonly sessions: Set<Session>;
  readonly portals: Set<DropCounters>;
  readonly inFlight: Map<Path, number>;
  readonly givenUp: Map<Session, number>;
}

/** Probes leave whatever the window says; so many bytes of them may be in flight at most, and a few of the path's MTU. */
const PROBES = 64 * 26 + 4 * 9_000;

export class Checker {
  private readonly world: World;
  private readonly seen = new Map<string, Seen>();
  private readonly gaveUpAt = new Map<string, number>();
  private readonly ended = new Set<Session>();
  /** Packets that entered before this may be lost without being counted: a portal or session ended. */
  excusedBefore = -1;

  constructor(world: World) {
    this.world = world;
    world.ledger.gaveUpSince = (host, at) => this.gaveUpSince(host, at);
  }

  /** Before a service: what the paths have in flight. */
  before(node: Node): void {
    const seen = this.of(node);
    seen.inFlight.clear();
    for (const session of seen.sessions)
      for (const path of session.order) seen.inFlight.set(path, path.recovery.log.inFlight);
  }

  /** Notes that a resequencer stopped waiting, which excuses late packets. */
  private sawGiveUps(node: Node): void {
    const { sessions, givenUp } = this.of(node);
    for (const session of node.engine.portal.sessions) sessions.add(session);
    for (const session of sessions) {
      const count = session.resequencer.givenUp;
      if (count > (givenUp.get(session) ?? 0)) this.gaveUpAt.set(node.name, this.world.now);
      givenUp.set(session, count);
    }
  }

  /** True when the portal has given up waiting for some packet since. */
  private gaveUpSince(host: string, at: number): boolean {
    this.sawGiveUps(this.world.nodes.find((node) => node.name === host)!);
    return (this.gaveUpAt.get(host) ?? -1) >= at;
  }

  after(node: Node): void {
    const seen = this.of(node);
    seen.portals.add(node.engine.portal.drops);
    this.sawGiveUps(node);
    for (const session of seen.sessions) {
      if (!session.closed) this.checkSession(node, session, seen);
      else if (!this.ended.has(session)) {
        this.ended.add(session);
        this.excusedBefore = this.world.now;
      }
    }
    for (const { to, bytes } of this.world.strays) {
      if ((bytes[0]! & 15) === Type.data)
        throw new Violation(`${node.name} sent a packet to the stranger ${to}`);
    }
  }

  private checkSession(node: Node, session: Session, seen: Seen): void {
    const { now } = this.world;
    const { resequencer, ackFilter, ring } = session;
    const fail = (what: string) => {
      throw new Violation(`${node.name} at ${now}: ${what}`);
    };
    if (resequencer.held < 0 || resequencer.held > MAX_HELD) fail(`${resequencer.held} packets held`);
    if (resequencer.held > 0 !== Number.isFinite(resequencer.nextAt)) fail("held packets without a timer");
    if (resequencer.nextAt < now) fail("a packet is held beyond its time");
    if (ackFilter.held < 0 || ackFilter.held > FLOWS) fail(`${ackFilter.held} packets kept`);
    if (ackFilter.held > 0 !== Number.isFinite(ackFilter.nextAt)) fail("packets kept without a timer");
    if (ackFilter.nextAt < now || (ackFilter.held > 0 && ackFilter.nextAt > now + MOST_KEPT))
      fail("a packet is kept beyond its time, or without reason");
    if (resequencer.bounds[0]! > MAX_HOLD_STREAM || resequencer.bounds[1]! > MAX_HOLD_OTHER)
      fail("a hold bound beyond the limit");
    if (ring.backlog < 0 || ring.backlog > ring.slots) fail(`ring backlog ${ring.backlog}`);
    if (session.nextAt < now && session.nextAt !== 0) fail("a timer was left behind");
    for (const path of session.order) this.checkPath(path, seen.inFlight.get(path) ?? 0, fail);
  }

  private checkPath(path: Path, before: number, fail: (what: string) => void): void {
    const { log, congestion } = path.recovery;
    if (log.inFlight < 0) fail(`path ${path.name}: ${log.inFlight} bytes in flight`);
    const limit = Math.max(before, congestion.window + path.datagram) + PROBES;
    if (log.inFlight > limit) fail(`path ${path.name}: ${log.inFlight} bytes in flight, ${limit} allowed`);
    if (log.oldest > log.next) fail(`path ${path.name}: sent log out of order`);
    if (!(congestion.window > 0) || !Number.isFinite(congestion.window)) fail(`window ${congestion.window}`);
    if (!(path.recovery.rtt.srtt >= 0)) fail(`srtt ${path.recovery.rtt.srtt}`);
  }

  /** A portal died or was stopped: what was inside it died with it. */
  onDeath(_node: Node): void {
    this.excusedBefore = this.world.now;
  }

  /** Sum of all drops of one portal, of all its sessions and runs. */
  drops(node: Node): DropCounters {
    const sum = new DropCounters();
    const seen = this.of(node);
    for (const portal of seen.portals) addCounts(sum, portal);
    for (const session of seen.sessions) addCounts(sum, session.drops);
    return sum;
  }

  /** Sessions a portal has had. */
  sessionsOf(node: Node): readonly Session[] {
    return [...this.of(node).sessions];
  }

  /**
   * At the end, with nothing under way any more: every packet came out, or was refused by a full TUN, or died with a
   * session, or is among those counted as dropped.
   */
  account(): void {
    const { ledger, nodes } = this.world;
    for (const node of nodes) {
      for (const session of node.engine.portal.sessions) {
        if (session.ring.backlog > 0 || session.hasWork)
          throw new Violation(`${node.name}: packets left in the ring`);
        if (session.resequencer.held + session.ackFilter.held > 0)
          throw new Violation(`${node.name}: packets still held`);
      }
      if (node.tun.waiting > 0) throw new Violation(`${node.name}: packets left in the TUN`);
    }
    let missing = 0;
    for (const entry of ledger.entries)
      if (entry.fate === "inside" && entry.at > this.excusedBefore) missing++;
    let counted = 0;
    for (const node of nodes) {
      const drops = this.drops(node);
      for (const reason of LOSES) counted += drops.of(reason);
    }
    if (missing > counted)
      throw new Violation(`${missing} packets are gone, and only ${counted} drops were counted`);
  }

  private of(node: Node): Seen {
    let seen = this.seen.get(node.name);
    if (seen === undefined) {
      seen = { sessions: new Set(), portals: new Set(), inFlight: new Map(), givenUp: new Map() };
      this.seen.set(node.name, seen);
    }
    return seen;
  }
}

/** Reasons under which an inner packet of a host disappears. */
const LOSES = [
  "badSource",
  "badInner",
  "superseded",
  "tunRefused",
  "noSession",
  "noRoute",
  "tooBig",
  "overflow",
  "queueDelay",
  "expired",
] as const;

function addCounts(sum: DropCounters, more: DropCounters): void {
  for (let i = 0; i < sum.counts.length; i++) sum.counts[i]! += more.counts[i]!;
}
