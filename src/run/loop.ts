/**
 * The loop of one thread: waits for the TUN, the sockets or the next timer, gives the engine its turn, and lets
 * JavaScript's own event loop run now and then, which serves signals and the control socket. A thread that waits in
 * ppoll runs no event loop, so it never waits longer than EVENT_LOOP_EVERY.
 */
import { Poller } from "../sys/poll.ts";
import type { Tun } from "../sys/tun.ts";
import type { UdpSocket } from "../sys/udp.ts";
import type { Engine } from "./engine.ts";

/** Longest time, in microseconds, between two rounds of the event loop: how soon a signal or a status request is seen. */
const EVENT_LOOP_EVERY = 100_000;
/** The same while packets keep the loop busy: a round costs 2 us. */
const EVENT_LOOP_BUSY = 20_000;
/** Interval of `onTick`. */
const TICK = 1_000_000;

/** Microseconds of a clock that never goes back and knows nothing of the time of day. */
export function micros(): number {
  return Bun.nanoseconds() / 1000;
}

export interface LoopParts {
  readonly engine: Engine;
  readonly tun: Tun;
  readonly sockets: readonly UdpSocket[];
  /** True once the loop should end. */
  readonly stopped: () => boolean;
  /** Called every second or so. */
  readonly onTick: (now: number) => void;
}

/** Runs until `stopped`: true. False: the TUN's interface was deleted, and the loop is over. */
export async function runLoop({ engine, tun, sockets, stopped, onTick }: LoopParts): Promise<boolean> {
  const poller = new Poller(sockets.length + 1);
  const tunIndex = poller.add(tun.fd);
  for (const socket of sockets) poller.add(socket.fd);
  let more = false;
  let tickAt = 0;
  let eventsAt = 0;
  while (!stopped()) {
    let now = micros();
    const wait = more ? 0 : Math.min(Math.max(engine.nextAt - now, 0), EVENT_LOOP_EVERY);
    poller.wait(wait);
    if (poller.failed(tunIndex)) return false;
    now = micros();
    more = false;
    for (let i = 0; i < sockets.length; i++) {
      if (poller.readable(tunIndex + 1 + i) && engine.receive(now, i)) more = true;
    }
    if (poller.readable(tunIndex) && engine.stage(now)) more = true;
    engine.service(now);
    if (now >= tickAt) {
      tickAt = now + TICK;
      onTick(now);
    }
    if (poller.interrupted || now >= eventsAt || wait >= EVENT_LOOP_BUSY) {
      await new Promise<void>((resolve) => setImmediate(resolve));
      eventsAt = micros() + EVENT_LOOP_BUSY;
    }
  }
  return true;
}
