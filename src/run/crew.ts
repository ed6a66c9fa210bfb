/**
 * The crew: the workers of a portal (run/worker.ts), as its own thread sees them. It starts them one after the other, shares
 * the sockets out among them, and ends the portal when one of them fails.
 *
 *   the portal's thread     TUN, sessions, paths, order, timers: everything that decides
 *   each worker             for some sockets: seals and sends trains, or receives and opens batches
 *
 * So it is the work per byte that leaves the portal's thread: a third to a half of all, by far the most of it where the
 * processor has no instructions for AES. A path's datagrams are sealed by one thread and opened by one other or the same, and
 * stay in order. A remote opens as many sockets on its port as it has workers; the kernel gives the datagrams of a path
 * always to the same one.
 *
 * Only memory, bells and two kinds of lanes are between them: share/bell.ts, share/lane.ts, share/keytable.ts. On the
 * portal's side nothing else knows of workers: they stand behind the interfaces of a socket and an AEAD.
 */
import { availableParallelism } from "node:os";
import { Bell } from "../share/bell.ts";
import type { CipherSuite } from "../share/io.ts";
import { KeyTable } from "../share/keytable.ts";
import { EventFd } from "../sys/eventfd.ts";
import { sharedBlock } from "../sys/memory.ts";
import type { UdpSocket } from "../sys/udp.ts";
import { FAILED, StartFailure } from "./failure.ts";
import { Desk } from "./laneaead.ts";
import { LaneSocket } from "./lanesocket.ts";
import type { Opened } from "./opened.ts";
import { BEAT, ENDING, FLAGS_BYTES, MAIL, type Order, type Setup, type Word } from "./worker.ts";

/** With "auto": a third thread and a fourth are of use with several paths; beyond that the portal's own is the limit. */
const MOST_BY_ITSELF = 4;
/** Milliseconds in which the last trains leave and the workers end. */
const PATIENCE = 1000;

/** Ticks, of a second or more, after which a worker that goes round no more hangs: one that has nothing to do goes round every second. */
const HANGING_TICKS = 10;

/** How many threads a portal has, its own among them. On two processors one thread and the kernel have enough to do. */
export function threadsOf(asked: number | "auto", processors = availableParallelism()): number {
  if (asked !== "auto") return asked;
  return processors <= 2 ? 1 : Math.min(processors, MOST_BY_ITSELF);
}

/** The workers of a portal of so many threads; null for none. */
export async function openCrew(threads: number, opened: Opened): Promise<Crew | null> {
  if (threads === 1) return null;
  const crew = await Crew.start(threads - 1);
  opened.push(crew);
  return crew;
}

/** Cipher suites, with their work shared out where there are workers. */
export function shared<Suite extends CipherSuite>(
  suites: readonly Suite[],
  crew: Crew | null,
): readonly Suite[] {
  return crew === null ? suites : suites.map((suite) => crew.suite(suite));
}

/** A key that is of no use any more, and where the lanes were when it became so. */
interface Retired {
  readonly place: number;
  readonly marks: readonly { readonly socket: LaneSocket; readonly head: number }[];
}

interface Hand {
  readonly worker: Worker;
  readonly bell: Bell;
  readonly waker: EventFd;
  readonly flags: Int32Array;
  /** Sockets it does this for. */
  receives: number;
  sends: number;
  over: boolean;
  /** As it was with the last tick, and in how many ticks it has not changed. */
  beat: number;
  still: number;
}

interface Lent {
  readonly id: number;
  readonly socket: LaneSocket;
  readonly sender: Hand;
  readonly receiver: Hand;
  /** Workers that may still use it. */
  users: number;
}

export class Crew {
  /** Why a worker has ended, once one has. */
  failure: StartFailure | null = null;
  private readonly hands: Hand[] = [];
  private readonly keysMemory = new SharedArrayBuffer(KeyTable.bytes);
  private readonly table = new KeyTable(sharedBlock(this.keysMemory));
  private readonly desk = new Desk(this.table, (place) => this.retire(place));
  private readonly lent = new Map<number, Lent>();
  private readonly retired: Retired[] = [];
  private nextId = 0;
  private ending = false;
  private crowded = false;

  /** `file`: the program's first, which makes itself a worker where it finds that it is not on the main thread. */
  static async start(workers: number, file = Bun.main): Promise<Crew> {
    const crew = new Crew();
    // One after the other: several threads that open their libraries at once have crashed Bun (oven-sh/bun #40972).
    for (let i = 0; i < workers; i++) await crew.hire(file);
    return crew;
  }

  get workers(): number {
    return this.hands.length;
  }

  /** The suite, with its work shared out. */
  suite<Suite extends CipherSuite>(suite: Suite): Suite {
    return this.desk.suite(suite);
  }

  /** Hands a socket to the workers. It is theirs and the result's from now on. */
  lend(udp: UdpSocket): LaneSocket {
    const receiver = this.idlest("receives");
    receiver.receives++;
    const sender = this.idlest("sends");
    sender.sends++;
    const id = this.nextId++;
    const bells = { sender: sender.bell, receiver: receiver.bell };
    const socket = new LaneSocket(udp, this.desk, bells, () => this.takeBack(id));
    this.lent.set(id, { id, socket, sender, receiver, users: sender === receiver ? 1 : 2 });
    const common = { id, socket: socket.adopted };
    this.tell(sender, { ...common, send: socket.trainsMemory });
    const bell = { bell: socket.bellMemory, bellFd: socket.fd };
    this.tell(receiver, { ...common, receive: socket.batchesMemory, ...bell });
    return socket;
  }

  /** Every second or so: frees what nobody needs any more, and sees whether all is well. */
  onTick(warn: (message: string) => void): void {
    while (this.retired.length > 0 && isPast(this.retired[0]!))
      this.table.remove(this.retired.shift()!.place);
    for (const hand of this.hands) {
      const beat = Atomics.load(hand.flags, BEAT);
      hand.still = beat === hand.beat ? hand.still + 1 : 0;
      hand.beat = beat;
      if (hand.still >= HANGING_TICKS) this.fail(`it has stood still for ${HANGING_TICKS} s`);
    }
    if (this.crowded || !this.desk.crowded) return;
    this.crowded = true;
    warn(
      "more sessions than portal's worker threads have room for, about 8,000: the others are left to its one main thread; " +
        "give some of the peers a remote portal of their own",
    );
  }

  /** Waits until everything has left, and ends the workers. */
  async end(): Promise<void> {
    const until = Bun.nanoseconds() + PATIENCE * 1e6;
    const waitFor = async (done: () => boolean) => {
      while (!done() && this.failure === null && Bun.nanoseconds() < until) await Bun.sleep(1);
    };
    await waitFor(() => [...this.lent.values()].every(({ socket }) => socket.trains.backlog === 0));
    this.close();
    await waitFor(() => this.hands.every(({ over }) => over));
  }

  /** Ends the workers, as soon as they notice. */
  close(): void {
    this.ending = true;
    for (const { flags, bell } of this.hands) {
      Atomics.store(flags, ENDING, 1);
      bell.ring();
    }
  }

  private async hire(file: string): Promise<void> {
    const waker = new EventFd();
    const setup: Setup = {
      bell: new SharedArrayBuffer(Bell.bytes),
      bellFd: waker.fd,
      keys: this.keysMemory,
      flags: new SharedArrayBuffer(FLAGS_BYTES),
    };
    const bell = new Bell(setup.bell, waker);
    const worker = new Worker(file);
    const flags = new Int32Array(setup.flags);
    const hand: Hand = { worker, bell, waker, flags, receives: 0, sends: 0, over: false, beat: -1, still: 0 };
    await new Promise<void>((resolve) => {
      let words = 0;
      const fail = (why: string) => {
        this.fail(why);
        resolve();
      };
      worker.onerror = ({ message }) => fail(firstLine(message));
      worker.addEventListener("close", () => {
        hand.over = true;
        fail("it has ended");
      });
      worker.onmessage = ({ data }: MessageEvent<Word>) => {
        if (data !== "ready") this.hear(data);
        else if (++words === 1) worker.postMessage(setup);
        else resolve();
      };
    });
    if (this.failure !== null) throw this.failure;
    this.hands.push(hand);
  }

  private hear(word: Exclude<Word, "ready">): void {
    if ("fault" in word) {
      this.fail(word.fault);
      return;
    }
    const lent = this.lent.get(word.dropped);
    if (lent === undefined || --lent.users > 0) return;
    this.lent.delete(lent.id);
    lent.socket.release();
  }

  private fail(why: string): void {
    if (!this.ending) this.failure ??= new StartFailure(`a worker thread has failed: ${why}`, FAILED);
  }

  /** Who does this for the fewest, and of those the least besides: most of what a line carries goes one way. */
  private idlest(kind: "receives" | "sends"): Hand {
    const all = 2 * (this.lent.size + 1);
    const load = (hand: Hand) => hand[kind] * all + hand.receives + hand.sends;
    return this.hands.reduce((best, hand) => (load(hand) < load(best) ? hand : best));
  }

  private tell(hand: Hand, order: Order): void {
    hand.worker.postMessage(order);
    Atomics.add(hand.flags, MAIL, 1);
    hand.bell.ring();
  }

  private takeBack(id: number): void {
    const lent = this.lent.get(id);
    if (lent === undefined) return;
    const { sender, receiver } = lent;
    sender.sends--;
    receiver.receives--;
    for (const hand of new Set([sender, receiver])) this.tell(hand, { id, drop: true });
  }

  private retire(place: number): void {
    const marks = [...this.lent.values()].map(({ socket }) => ({ socket, head: socket.trains.head }));
    this.retired.push({ place, marks });
  }
}

function isPast({ marks }: Retired): boolean {
  return marks.every(({ socket, head }) => socket.ended || ((socket.trains.tail - head) | 0) >= 0);
}

function firstLine(message: string): string {
  return /^(?:error|\w*Error): .*/m.exec(message)?.[0] ?? message.split("\n")[0]!.slice(0, 200);
}
