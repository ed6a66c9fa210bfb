/**
 * A TCP flow to measure with: a source that sends as fast as the flow takes it, a sink that counts and checks every
 * byte. Either may listen and the other connect. Both run as processes of their own in the laboratory's namespaces
 * and tell what they see as JSON lines on standard output.
 */
import type { Socket } from "bun";
import { Gaps } from "./gaps.ts";
import { seededRandom } from "./random.ts";
import { say } from "./say.ts";

export interface FlowEnd {
  /** Connects there; null = listens. */
  readonly host: string | null;
  readonly port: number;
}

/** What a sink says every 100 ms, and once more when the flow has ended. */
export interface SinkReport {
  /** Milliseconds of a clock that all processes of the machine share. */
  at: number;
  bytes: number;
  /** Longest time without a byte since the last report. */
  gapMs: number;
  /** False: a byte was not the one that was sent. */
  intact: boolean;
  ended: boolean;
}

const REPORT_MILLIS = 100;

/** Bytes of the pattern that the source repeats: prime, so that no packet or buffer size divides it. */
const PATTERN_BYTES = 65_521;

/** The pattern twice, so that a run of it may begin anywhere. */
function pattern(): Buffer {
  const random = seededRandom(PATTERN_BYTES);
  const once = Uint8Array.from({ length: PATTERN_BYTES }, () => random() * 256);
  return Buffer.concat([once, once]);
}

/** Sends `bytes` bytes (Infinity: until it is killed) on each connection, then closes it. */
export async function runSource(end: FlowEnd, bytes: number): Promise<void> {
  const data = pattern();
  const send = (socket: Socket<{ sent: number }>): void => {
    const state = socket.data;
    for (;;) {
      const from = state.sent % PATTERN_BYTES;
      const length = Math.min(PATTERN_BYTES, bytes - state.sent);
      if (length <= 0) {
        socket.end();
        return;
      }
      const taken = socket.write(data, from, length);
      if (taken <= 0) return;
      state.sent += taken;
    }
  };
  await meet(end, () => ({ sent: 0 }), {
    open: send,
    drain: send,
    data: () => {},
  });
}

/** Receives one flow and reports. Exits when it ends. */
export async function runSink(end: FlowEnd): Promise<void> {
  const data = pattern();
  let bytes = 0;
  let intact = true;
  let gaps: Gaps | null = null;
  const report = (ended: boolean): void => {
    if (gaps === null) return;
    const at = clock();
    say({ at, bytes, gapMs: gaps.take(at), intact, ended } satisfies SinkReport);
  };
  const timer = setInterval(() => report(false), REPORT_MILLIS);
  await meet(end, () => ({}), {
    open: () => {
      gaps = new Gaps(clock());
    },
    drain: () => {},
    data: (_socket, received) => {
      gaps?.arrived(clock());
      for (let at = 0; at < received.length; ) {
        const from = (bytes + at) % PATTERN_BYTES;
        const length = Math.min(received.length - at, PATTERN_BYTES);
        if (received.compare(data, from, from + length, at, at + length) !== 0) intact = false;
        at += length;
      }
      bytes += received.length;
    },
  });
  clearInterval(timer);
  report(true);
}

interface Handlers<Data> {
  open(socket: Socket<Data>): void;
  drain(socket: Socket<Data>): void;
  data(socket: Socket<Data>, received: Buffer): void;
}

/** Connects or listens; resolves when a connection has ended, rejects when it cannot be made. */
function meet<Data>(end: FlowEnd, makeData: () => Data, handlers: Handlers<Data>): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const { host, port } = end;
  const socket = {
    ...handlers,
    open(socket: Socket<Data>) {
      socket.data = makeData();
      handlers.open(socket);
    },
    close: (_: unknown, error?: Error) => (error === undefined ? resolve() : reject(error)),
    error: (_: unknown, error: Error) => reject(error),
    connectError: (_: unknown, error: Error) => reject(new Error(`${host} port ${port}: ${error.message}`)),
  };
  if (host === null) {
    Bun.listen<Data>({ hostname: "::", port, socket });
    say({ listening: true });
  } else {
    // The failure arrives as connectError too.
    Bun.connect<Data>({ hostname: host, port, socket }).catch(reject);
  }
  return promise;
}

function clock(): number {
  return performance.timeOrigin + performance.now();
}
