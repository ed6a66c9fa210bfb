/**
 * The loop of one thread: waits for the TUN, the sockets or the next timer, gives the engine its turn, and lets
 * JavaScript's own event loop run now and then (run/rounds.ts), which serves signals and the control socket. A thread that
 * waits in ppoll runs no event loop.
 */

import type { Interfaces } from "../sys/interfaces.ts";
import { Poller } from "../sys/poll.ts";
import type { Tun } from "../sys/tun.ts";
import type { Engine } from "./engine.ts";
import type { PortalSocket } from "./lanesocket.ts";
import { Rounds } from "./rounds.ts";

/** A wait that ended later than planned by this much: we had no processor, and what came meanwhile is not yet seen. */
const LATE_WAKE = 1_000;
/**
 * While the paths take less than comes, and single packets come faster than this, they wait in the TUN for so long and are
 * read together. At 100,000 small packets per second the local portal then has a quarter of the turns.
 */
const TUN_REST = 250;
/** Interval of `onTick`. */
const TICK = 1_000_000;

/** Microseconds of a clock that never goes back and knows nothing of the time of day. */
export function micros(): number {
  return Bun.nanoseconds() / 1000;
}

/** The sockets of a portal, which come and go with a local's paths. */
export interface Sockets {
  readonly sockets: readonly PortalSocket[];
  /** Another whenever `sockets` are others. */
  readonly version: number;
}

export interface LoopParts {
  readonly engine: Engine;
  readonly tun: Tun;
  readonly sockets: Sockets;
  /** Where the kernel tells of interfaces, and who hears it; null on a remote. */
  readonly interfaces: Interfaces | null;
  readonly onInterfaces: (now: number) => void;
  /** True once the loop should end. */
  readonly stopped: () => boolean;
  /** Called every second or so. */
  readonly onTick: (now: number) => void;
}

/** Runs until `stopped`: true. False: the TUN's interface was deleted, and the loop is over. */
export async function runLoop(parts: LoopParts): Promise<boolean> {
  const { engine, tun, interfaces, onInterfaces, stopped, onTick } = parts;
  const poller = new Poller(8);
  const tunIndex = poller.add(tun.fd);
  const interfacesIndex = interfaces === null ? null : poller.add(interfaces.fd);
  const firstSocket = tunIndex + (interfaces === null ? 1 : 2);
  let sockets: readonly PortalSocket[] = [];
  let version = -1;
  let more = false;
  let tickAt = 0;
  const rounds = new Rounds();
  let stagedAt = 0;
  let restUntil = 0;
  while (!stopped()) {
    if (version !== parts.sockets.version) {
      ({ sockets, version } = parts.sockets);
      poller.truncate(firstSocket);
      for (const socket of sockets) poller.add(socket.fd);
    }
    const before = micros();
    const resting = before < restUntil;
    poller.rest(tunIndex, resting);
    const due = Math.min(engine.nextAt, rounds.nextAt, resting ? restUntil : Number.POSITIVE_INFINITY);
    const wait = more ? 0 : Math.max(due - before, 0);
    let ready = poller.wait(wait);
    const { interrupted } = poller;
    const now = micros();
    const rested = resting && now >= restUntil;
    if (rested) poller.rest(tunIndex, false);
    // The engine takes silence up to `now` for silence: all that came until then must be seen.
    if (rested || now > before + wait + LATE_WAKE) ready = poller.wait(0);
    if (poller.failed(tunIndex)) return false;
    more = false;
    for (let i = 0; i < sockets.length; i++) {
      if (poller.readable(firstSocket + i) && engine.receive(now, sockets[i]!)) more = true;
    }
    const staged = poller.readable(tunIndex);
    const unread = staged && engine.stage(now);
    // After the sockets, some of which it may close.
    if (interfacesIndex !== null && poller.readable(interfacesIndex)) onInterfaces(now);
    engine.service(now);
    if (unread) more = true;
    else if (staged && engine.crowded && now < stagedAt + 2 * TUN_REST) restUntil = now + TUN_REST;
    if (staged) stagedAt = now;
    if (now >= tickAt) {
      tickAt = now + TICK;
      onTick(now);
    }
    if (ready > 0) rounds.onPackets(now);
    if (interrupted || now >= rounds.nextAt) {
      await new Promise<void>((resolve) => setImmediate(resolve));
      rounds.onRound(micros());
    }
  }
  return true;
}
