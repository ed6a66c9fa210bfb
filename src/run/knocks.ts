/**
 * Asks remotes whether they answer, beside the session and without touching it: by a handshake that goes no further
 * (proto/knock.ts), over sockets of its own that live for some seconds. They are looked at once a tick, as nobody is in
 * a hurry. What leaves and comes is charged to the data cap of the path whose interface it was.
 */
import { Knock, type Knocker, type KnownRemote, type Reply } from "../proto/knock.ts";
import { SECOND } from "../proto/limits.ts";
import type { Block } from "../share/block.ts";
import type { Endpoint } from "../share/endpoint.ts";
import { INITIATION_BYTES, RESPONSE_BYTES } from "../wire/handshake.ts";
import type { LocalPath } from "./engine.ts";
import type { PathSocket } from "./pathmanager.ts";

/** Between two tries, and for an answer to the last. */
const TRY_AGAIN = SECOND;
const LONGEST_WAIT = 3 * SECOND;
/** Of IP and UDP around an answer, at most. */
const HEADERS = 48;
/** Messages taken from one socket at once; the rest is no answer. */
const MESSAGES = 8;

/** A socket bound to an interface and connected to the first of these that it has a route to; null when it has none. */
export type OpenKnock = (device: string, remotes: readonly Endpoint[]) => PathSocket | null;

/** What came of a question: of answers by several paths the one that is of use. */
export type Outcome = Exclude<Reply, "cookie" | "foreign"> | "silent";

/** Of a path, or of an interface without one. */
export type Asker = Pick<LocalPath, "name" | "cap">;

export interface Question {
  readonly remote: KnownRemote;
  readonly endpoints: readonly Endpoint[];
  /** By which it is asked: by so many that can send with each try, and then by the next. */
  readonly paths: readonly Asker[];
  readonly spread: number;
  readonly tries: number;
  /** Called once. */
  readonly done: (now: number, outcome: Outcome) => void;
}

interface Way {
  readonly path: Asker;
  readonly socket: PathSocket;
  readonly knock: Knock;
  /** What the path's data cap knows of. */
  charged: number;
}

interface Asked {
  readonly question: Question;
  readonly ways: Way[];
  tries: number;
  next: number;
  triedAt: number;
  outcome: Outcome;
}

export class Knocks {
  private readonly from: Knocker;
  private readonly open: OpenKnock;
  private readonly buffer: Block;
  private readonly asked = new Set<Asked>();

  /** `buffer`: 2 KB, for one message. */
  constructor(from: Knocker, open: OpenKnock, buffer: Block) {
    this.from = from;
    this.open = open;
    this.buffer = buffer;
  }

  begin(now: number, question: Question): void {
    const { tries } = question;
    const asked: Asked = { question, ways: [], tries, next: 0, triedAt: now, outcome: "silent" };
    this.asked.add(asked);
    if (!this.try(now, asked) && asked.tries === 0) this.end(now, asked);
  }

  /** Every second or so. */
  onTick(now: number): void {
    for (const asked of this.asked) {
      // All of them: each charges what it has received.
      for (const way of asked.ways) this.hear(now, asked, way);
      if (asked.outcome === "answered") this.end(now, asked);
      else if (asked.tries > 0 && now >= asked.triedAt + TRY_AGAIN) this.try(now, asked);
      else if (now >= asked.triedAt + LONGEST_WAIT) this.end(now, asked);
    }
  }

  close(): void {
    for (const { ways } of this.asked) for (const { socket } of ways) socket.close();
    this.asked.clear();
  }

  /** False: no path could send. */
  private try(now: number, asked: Asked): boolean {
    const { paths, spread } = asked.question;
    asked.tries--;
    asked.triedAt = now;
    let sent = 0;
    for (let i = 0; i < paths.length && sent < spread; i++) {
      const path = paths[asked.next++ % paths.length]!;
      const way = asked.ways.find((each) => each.path === path) ?? this.openWay(asked, path);
      if (way !== null && this.send(now, way)) sent++;
    }
    return sent > 0;
  }

  private openWay({ question, ways }: Asked, path: Asker): Way | null {
    const socket = this.open(path.name, question.endpoints);
    if (socket === null) return null;
    const way = { path, socket, knock: new Knock(this.from, question.remote), charged: 0 };
    ways.push(way);
    return way;
  }

  private send(now: number, way: Way): boolean {
    if (way.path.cap?.affords(INITIATION_BYTES + RESPONSE_BYTES + HEADERS) === false) return false;
    const message = way.knock.initiation(now);
    this.buffer.bytes.set(message);
    const result = way.socket.send(this.buffer, 0, message.length, message.length, null);
    charge(way);
    way.path.cap?.expect(now, RESPONSE_BYTES);
    return result === "sent";
  }

  private hear(now: number, asked: Asked, way: Way): void {
    const { socket, knock } = way;
    for (let i = 0; i < MESSAGES; i++) {
      const length = socket.receive(this.buffer);
      if (length === 0) break;
      const reply = knock.onMessage(now, this.buffer.bytes.slice(0, length), socket.source);
      // At most one for each cookie that answers a message of ours.
      if (reply === "cookie") this.send(now, way);
      else if (reply !== "foreign" && asked.outcome !== "answered") asked.outcome = reply;
    }
    charge(way);
  }

  private end(now: number, asked: Asked): void {
    this.asked.delete(asked);
    for (const { socket } of asked.ways) socket.close();
    asked.question.done(now, asked.outcome);
  }
}

function charge(way: Way): void {
  const { sentWireBytes, receivedWireBytes } = way.socket;
  way.path.cap?.charge(sentWireBytes + receivedWireBytes - way.charged);
  way.charged = sentWireBytes + receivedWireBytes;
}
