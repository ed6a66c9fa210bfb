/**
 * The emulator: joins pairs of network interfaces by the line model in real time. One process, one thread, many paths.
 *
 *     interface near end ─ read ─> Line "up"   ─> write ─ interface far end
 *                        <─ write ─ Line "down" <─ read ─
 *
 * It makes the interfaces `line0n`, `line0f`, `line1n`, ... in its own network namespace, says {"ready":true} on standard
 * output, and obeys commands (lab/command.ts) on standard input until that closes; the interfaces vanish with it.
 */
import { setPriority } from "node:os";
import { libc } from "../sys/libc.ts";
import { at, nativeBlock } from "../sys/memory.ts";
import { Poller } from "../sys/poll.ts";
import { LineEnd } from "../sys/tap.ts";
import {
  type Direction,
  type EmulatorStats,
  type LineOptions,
  type LineStats,
  lineSettings,
  parseCommand,
} from "./command.ts";
import { Lateness } from "./lateness.ts";
import { Line } from "./line.ts";
import { SLOT_BYTES, SlotPool } from "./pool.ts";
import { type Random, seededRandom } from "./random.ts";
import { say } from "./say.ts";
import { readTrace, traceFrom } from "./trace.ts";

/** Packets read from one interface before the others have their turn and due packets are delivered. */
const READ_BURST = 64;
/** Packets delivered by one line before commands and the other lines have their turn. */
const WRITE_BURST = 64;
/**
 * Rest after a turn that moved packets, so that the next finds several: one path at 400 Mbit/s takes 0.78 of a processor
 * without it and 0.32 with it. Delays are this much less exact; network cards that spare interrupts are no better.
 */
const REST_MICROS = 100;
/** Longest sleep; only so that no arithmetic overflows. */
const LONGEST_SLEEP_MICROS = 10_000_000;

const STDIN = 0;

/** Where packets enter one direction and where they come out. */
interface Way {
  readonly line: Line<number>;
  readonly from: LineEnd;
  readonly to: LineEnd;
  /** Of `from` in the poller. */
  readonly index: number;
  refused: number;
}

interface Path {
  readonly up: Way;
  readonly down: Way;
}

/** Names of the two ends of a path's interfaces: the one that goes to the local portal and the other. */
export function endNames(path: number): { near: string; far: string } {
  return { near: `line${path}n`, far: `line${path}f` };
}

/** Runs until standard input closes. Throws SysError when the interfaces cannot be made. */
export function runEmulator(paths: number, seed: number): void {
  takePriority();
  new Emulator(paths, seededRandom(seed)).run();
}

/**
 * Both portals, source and sink want the same processors, and a packet that is late because of us is our error, not
 * theirs. With two other processes busy on two processors, the 99th percentile of the lateness at 180 Mbit/s was
 * 3,200 us at raised priority and 70 us with real-time scheduling (2 x64 cores, Linux 6.18). Without the right to
 * either, the emulator is only less exact under load.
 */
function takePriority(): void {
  const argv = ["chrt", "--fifo", "--pid", "10", String(process.pid)];
  try {
    if (Bun.spawnSync(argv, { stdio: ["ignore", "ignore", "ignore"] }).exitCode === 0) return;
  } catch {
    // No chrt.
  }
  try {
    setPriority(-15);
  } catch {
    // Not permitted.
  }
}

class Emulator {
  private readonly pool = new SlotPool(nativeBlock);
  private readonly poller: Poller;
  private readonly stdin: number;
  /** For a rest that packets do not end. */
  private readonly rest = new Poller(1);
  private moved = false;
  private readonly paths: Path[] = [];
  private readonly ways: Way[] = [];
  private readonly random: Random;
  private readonly lateness = new Lateness();
  private readonly input = nativeBlock(65_536);
  private readonly decoder = new TextDecoder();
  private line = "";

  constructor(paths: number, random: Random) {
    this.random = random;
    this.poller = new Poller(2 * paths + 1);
    this.stdin = this.poller.add(STDIN);
    this.rest.add(STDIN);
    for (let path = 0; path < paths; path++) {
      const names = endNames(path);
      const near = LineEnd.open(names.near);
      const far = LineEnd.open(names.far);
      this.paths.push({ up: this.way(near, far), down: this.way(far, near) });
    }
  }

  run(): void {
    say({ ready: true });
    for (;;) {
      if (this.moved) this.rest.wait(REST_MICROS);
      this.moved = false;
      let next = Number.POSITIVE_INFINITY;
      const now = micros();
      for (const way of this.ways) {
        this.deliver(way, now);
        next = Math.min(next, way.line.nextAt());
      }
      this.poller.wait(Math.min(LONGEST_SLEEP_MICROS, Math.max(0, next - micros())));
      if (this.poller.readable(this.stdin) && !this.readCommands()) return;
      for (const way of this.ways) if (this.poller.readable(way.index)) this.receive(way);
    }
  }

  private way(from: LineEnd, to: LineEnd): Way {
    const line = new Line<number>(this.random, (slot) => this.pool.give(slot));
    const way = { line, from, to, index: this.poller.add(from.fd), refused: 0 };
    this.ways.push(way);
    return way;
  }

  private receive(way: Way): void {
    const now = micros();
    for (let i = 0; i < READ_BURST; i++) {
      const slot = this.pool.take();
      const bytes = way.from.read(this.pool.block(slot), this.pool.offset(slot), SLOT_BYTES);
      const kept = bytes > 0 && way.line.offer(now, bytes, slot) === "queued";
      if (!kept) this.pool.give(slot);
      if (bytes === 0) return;
      this.moved = true;
    }
  }

  private deliver(way: Way, now: number): void {
    const { line, to } = way;
    for (let i = 0; i < WRITE_BURST; i++) {
      const slot = line.poll(now);
      if (slot === undefined) return;
      this.moved = true;
      this.lateness.add(now - line.arrivedAt);
      const block = this.pool.block(slot);
      const offset = this.pool.offset(slot);
      if (line.corrupted) damage(block.view, offset, line.arrivedBytes);
      if (!to.write(block, offset, line.arrivedBytes)) way.refused++;
      if (!line.again) this.pool.give(slot);
    }
  }

  /** False when standard input has closed. */
  private readCommands(): boolean {
    const bytes = Number(libc.read(STDIN, at(this.input), this.input.bytes.length));
    if (bytes <= 0) return false;
    const lines = (
      this.line + this.decoder.decode(this.input.bytes.subarray(0, bytes), { stream: true })
    ).split("\n");
    this.line = lines.pop()!;
    for (const line of lines) say(this.obey(line));
    return true;
  }

  private obey(text: string): object {
    const command = parseCommand(text);
    if (typeof command === "string") return { error: command };
    if (command.kind === "stats") return this.stats();
    const path = this.paths[command.path];
    if (path === undefined) return { error: `no path ${command.path}` };
    try {
      const settings = lineSettings(command.set, traceOf(command.set));
      const directions: Direction[] = command.direction === null ? ["up", "down"] : [command.direction];
      for (const direction of directions) path[direction].line.set(micros(), settings);
      return { ok: true };
    } catch (error) {
      return { error: error instanceof Error ? error.message : String(error) };
    }
  }

  private stats(): EmulatorStats {
    const of = ({ line, refused }: Way): LineStats => ({ ...line.counts, inside: line.inside, refused });
    const { user, system } = process.cpuUsage();
    return {
      paths: this.paths.map(({ up, down }) => ({ up: of(up), down: of(down) })),
      latenessMicros: this.lateness.take(),
      cpuSeconds: (user + system) / 1e6,
    };
  }
}

function micros(): number {
  return Bun.nanoseconds() / 1000;
}

function traceOf({ trace, traceFromMs = 0 }: LineOptions): Float64Array | null {
  if (trace === undefined || trace === null) return null;
  return traceFrom(readTrace(trace), traceFromMs * 1000);
}

/**
 * Damages a packet so that no checksum notices: swaps the last two aligned 16-bit words, whose order the Internet
 * checksum (RFC 1071) does not see. A flipped bit would be thrown away by the kernel and be no more than a loss.
 */
function damage(packet: DataView, offset: number, bytes: number): void {
  const second = offset + (bytes & ~1) - 2;
  const first = second - 2;
  const word = packet.getUint16(first);
  packet.setUint16(first, packet.getUint16(second));
  packet.setUint16(second, word);
}
