/**
 * A worker: a thread that seals and sends, receives and opens for the portal's own thread (run/handiwork.ts), socket by socket
 * as the crew hands them out (run/crew.ts). It waits in ppoll for its sockets and its bell, and runs its event loop, by which
 * messages come, when the mail flag says so and now and then.
 */
import { Bell } from "../share/bell.ts";
import type { SendResult } from "../share/io.ts";
import { KeyTable } from "../share/keytable.ts";
import { Lane } from "../share/lane.ts";
import { EventFd } from "../sys/eventfd.ts";
import { sharedBlock } from "../sys/memory.ts";
import { Poller } from "../sys/poll.ts";
import { UdpSocket } from "../sys/udp.ts";
import type { Adopted } from "../sys/udpoptions.ts";
import {
  ADDRESSED,
  BATCHES,
  FAILED,
  FRAGMENTS,
  FRAGMENTS_BEFORE,
  FULL,
  GENERATION,
  LENGTH,
  NUMBER,
  numberOf,
  openBatch,
  PLACE,
  RESULT,
  SEGMENT,
  SENT,
  sealTrain,
  TOO_BIG,
  TRAINS,
  UNSEGMENTED,
} from "./handiwork.ts";
import { WorkerKeys } from "./workerkeys.ts";

/** What a worker is told first. */
export interface Setup {
  readonly bell: SharedArrayBuffer;
  readonly bellFd: number;
  readonly keys: SharedArrayBuffer;
  /** `MAIL`, `ENDING` and `BEAT`. */
  readonly flags: SharedArrayBuffer;
}

/** And then: to send or receive for a socket, or to do so no more, which it confirms. */
export type Order =
  | { readonly id: number; readonly socket: Adopted; readonly send: SharedArrayBuffer }
  | {
      readonly id: number;
      readonly socket: Adopted;
      readonly receive: SharedArrayBuffer;
      readonly bell: SharedArrayBuffer;
      readonly bellFd: number;
    }
  | { readonly id: number; readonly drop: true };

/** What a worker says: it is ready, it has dropped a socket, it cannot go on. */
export type Word = "ready" | { readonly dropped: number } | { readonly fault: string };

/** Orders sent so far; whether it is to end; and the worker's own, another at least with every `SLEEP`: it goes round. */
export const MAIL = 0;
export const ENDING = 16;
export const BEAT = 32;
export const FLAGS_BYTES = 192;

/** Trains or batches of one socket in a turn, so that the others get theirs. */
const PER_TURN = 8;
/** Longest sleep, in microseconds, and time between two rounds of the event loop, in nanoseconds: orders come with a ring, these are for the runtime's own needs. */
const SLEEP = 1_000_000;
const EVENT_LOOP_EVERY = 100_000_000;

const OUTCOMES: Readonly<Record<SendResult, number>> = {
  sent: SENT,
  full: FULL,
  tooBig: TOO_BIG,
  failed: FAILED,
};

/** Seals and sends the trains of one socket. */
class Sender {
  private readonly udp: UdpSocket;
  private readonly lane: Lane;
  private readonly keys: WorkerKeys;

  constructor(udp: UdpSocket, lane: Lane, keys: WorkerKeys) {
    this.udp = udp;
    this.lane = lane;
    this.keys = keys;
  }

  /** True when there may be more. */
  turn(): boolean {
    for (let i = 0; i < PER_TURN; i++) {
      const slot = this.lane.peek();
      if (slot === null) return false;
      const { words, block, endpoint } = slot;
      const length = words[LENGTH]!;
      const segment = words[SEGMENT]!;
      const place = words[PLACE]!;
      // The crew frees no key by which a train is still to be sealed.
      if (place >= 0) {
        const aead = this.keys.aeadOf(place, words[GENERATION]!);
        if (aead === null) throw new Error("the key of a train is gone");
        sealTrain(aead, numberOf(words, NUMBER), block, 0, length, segment);
      }
      const to = words[ADDRESSED] === 0 ? null : endpoint;
      this.udp.assume(words[FRAGMENTS_BEFORE]!);
      const result = this.udp.send(block, 0, length, segment, to, words[FRAGMENTS]);
      words[RESULT] = OUTCOMES[result] | (this.udp.segmentation ? 0 : UNSEGMENTED);
      this.lane.release();
    }
    return true;
  }
}

/** Receives and opens the batches of one socket. */
class Receiver {
  /** There is no room for more: the kernel keeps it. */
  resting = false;
  private readonly udp: UdpSocket;
  private readonly lane: Lane;
  private readonly bell: Bell;
  private readonly keys: WorkerKeys;

  constructor(udp: UdpSocket, lane: Lane, bell: Bell, keys: WorkerKeys) {
    this.udp = udp;
    this.lane = lane;
    this.bell = bell;
    this.keys = keys;
  }

  get hasRoom(): boolean {
    return this.lane.room > 0;
  }

  /** True when there may be more. */
  turn(): boolean {
    this.resting = false;
    for (let i = 0; i < PER_TURN; i++) {
      const slot = this.lane.reserve();
      if (slot === null) {
        this.resting = this.lane.waitForRoom();
        return !this.resting;
      }
      const bytes = this.udp.receive(slot.block);
      if (bytes === 0) return false;
      this.keys.refresh();
      slot.endpoint.copyFrom(this.udp.source);
      openBatch(slot, bytes, Math.max(this.udp.segment, 1), this.keys);
      this.lane.publish();
      this.bell.ring();
    }
    return true;
  }
}

class Work {
  private readonly bell: Bell;
  private readonly bellFd: number;
  private readonly flags: Int32Array;
  private readonly keys: WorkerKeys;
  private mail: Order[] = [];
  private mailed = 0;
  private readonly senders = new Map<number, Sender>();
  private readonly receivers = new Map<number, Receiver>();
  private readonly fds = new Map<number, number>();
  private sending: Sender[] = [];
  private receiving: Receiver[] = [];

  constructor(setup: Setup) {
    this.bell = new Bell(setup.bell, new EventFd(setup.bellFd));
    this.bellFd = setup.bellFd;
    this.flags = new Int32Array(setup.flags);
    this.keys = new WorkerKeys(new KeyTable(sharedBlock(setup.keys)));
  }

  onOrder(order: Order): void {
    this.mail.push(order);
    this.mailed++;
  }

  async run(): Promise<void> {
    const poller = new Poller(8);
    const bellIndex = poller.add(this.bellFd);
    const first = bellIndex + 1;
    let busy = false;
    let eventsAt = 0;
    while (Atomics.load(this.flags, ENDING) === 0) {
      Atomics.add(this.flags, BEAT, 1);
      poller.wait(busy ? 0 : SLEEP);
      // Before the look at everything (share/bell.ts).
      if (poller.readable(bellIndex)) this.bell.hush();
      this.keys.refresh();
      busy = this.receive(poller, first);
      for (let i = 0; i < this.sending.length; i++) if (this.sending[i]!.turn()) busy = true;
      const now = Bun.nanoseconds();
      const mailed = Atomics.load(this.flags, MAIL) !== this.mailed;
      if (mailed) busy = true;
      else if (now < eventsAt) continue;
      eventsAt = now + EVENT_LOOP_EVERY;
      await new Promise<void>((resolve) => setImmediate(resolve));
      if (this.mail.length > 0) this.open(poller, first);
    }
  }

  /** Receives at each socket that has something, and room for it. True when there may be more. */
  private receive(poller: Poller, first: number): boolean {
    const { receiving } = this;
    let more = false;
    for (let i = 0; i < receiving.length; i++) {
      const receiver = receiving[i]!;
      const hasRoomAgain = receiver.resting && receiver.hasRoom;
      if (!hasRoomAgain && (receiver.resting || !poller.readable(first + i))) continue;
      if (receiver.turn()) more = true;
      poller.rest(first + i, receiver.resting);
    }
    return more;
  }

  /** Opens the mail, and watches the sockets that there are then. */
  private open(poller: Poller, first: number): void {
    const { mail } = this;
    this.mail = [];
    for (const order of mail) this.follow(order);
    this.sending = [...this.senders.values()];
    this.receiving = [...this.receivers.values()];
    poller.truncate(first);
    for (const [id, receiver] of this.receivers) poller.rest(poller.add(this.fds.get(id)!), receiver.resting);
  }

  private follow(order: Order): void {
    const { id } = order;
    if ("drop" in order) {
      this.senders.delete(id);
      this.receivers.delete(id);
      say({ dropped: id });
    } else if ("send" in order) {
      const lane = new Lane(sharedBlock(order.send), TRAINS);
      this.senders.set(id, new Sender(new UdpSocket(order.socket), lane, this.keys));
    } else {
      const lane = new Lane(sharedBlock(order.receive), BATCHES);
      const bell = new Bell(order.bell, new EventFd(order.bellFd));
      this.fds.set(id, order.socket.fd);
      this.receivers.set(id, new Receiver(new UdpSocket(order.socket), lane, bell, this.keys));
    }
  }
}

declare const self: Worker;

function say(word: Word): void {
  postMessage(word);
}

/** Makes this thread a worker; it then waits to be set up. Returns at once: messages come only once the thread's first file is through. */
export function serve(): void {
  self.onmessage = ({ data }: MessageEvent<Setup>) => {
    const work = new Work(data);
    self.onmessage = (event: MessageEvent<Order>) => work.onOrder(event.data);
    say("ready");
    work.run().then(
      () => process.exit(0),
      (error: unknown) =>
        say({ fault: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
    );
  };
  say("ready");
}
