/** One end of a lane, for lane.test.ts: a producer as a worker is one, or a consumer as the portal's own thread is one. */

import { seededRandom } from "../../src/lab/random.ts";
import { Bell } from "../../src/share/bell.ts";
import type { Block } from "../../src/share/block.ts";
import { Lane, type Shape, type Slot } from "../../src/share/lane.ts";
import { EventFd } from "../../src/sys/eventfd.ts";
import { Poller } from "../../src/sys/poll.ts";

export interface Job {
  readonly role: "producer" | "consumer";
  readonly seed: number;
  readonly packets: number;
  readonly shape: Shape;
  readonly memory: SharedArrayBuffer;
  /** The producer's and the consumer's. */
  readonly bells: readonly { readonly memory: SharedArrayBuffer; readonly fd: number }[];
}

export interface Outcome {
  /** Slots that were not what the producer wrote. */
  readonly torn: number;
  /** Sleeps that nobody ended though there was something to do. */
  readonly missed: number;
}

/** Microseconds after which a sleeper looks by itself; nobody needs so long, on however busy a machine. */
const LONG = 5_000_000;

class End {
  readonly lane: Lane;
  readonly bells: readonly Bell[];
  missed = 0;
  private readonly poller = new Poller(1);
  private readonly draw: (below: number) => number;
  private readonly job: Job;

  constructor(job: Job) {
    this.job = job;
    const own = job.role === "producer" ? 0 : 1;
    const random = seededRandom(job.seed * 2 + own);
    this.draw = (below) => Math.floor(random() * below);
    this.lane = new Lane(blockOver(job.memory), job.shape);
    this.bells = job.bells.map(({ memory, fd }) => new Bell(memory, new EventFd(fd)));
    this.poller.add(job.bells[own]!.fd);
  }

  run(): Outcome {
    const torn = this.job.role === "producer" ? this.produce() : this.consume();
    return { torn, missed: this.missed };
  }

  private produce(): number {
    const { lane, job, draw } = this;
    const [own, other] = this.bells;
    for (let number = 0; number < job.packets; ) {
      this.pause();
      const slot = lane.reserve();
      if (slot !== null) {
        fill(slot, number++, 1 + draw(2048));
        lane.publish();
        other!.ring();
      } else if (lane.waitForRoom() && this.sleep()) {
        if (lane.room > 0) this.missed++;
      } else if (this.poller.readable(0)) own!.hush();
    }
    return 0;
  }

  private consume(): number {
    const { lane, job, draw } = this;
    const [other, own] = this.bells;
    let torn = 0;
    for (let number = 0; number < job.packets; ) {
      if (this.sleep()) {
        if (lane.backlog > 0) this.missed++;
        continue;
      }
      for (let turns = 1 + draw(8); turns > 0; turns--) {
        const slot = lane.next(own!);
        if (slot === null) break;
        if (!isWhole(slot, number)) torn++;
        this.pause();
        // It is ours until we release it.
        if (!isWhole(slot, number)) torn++;
        number++;
        if (lane.release()) other!.ring();
      }
    }
    return torn;
  }

  /** True: it has slept for long, and nobody has woken it. */
  private sleep(): boolean {
    return this.poller.wait(LONG) === 0 && !this.poller.interrupted;
  }

  private pause(): void {
    const { draw } = this;
    if (draw(3) > 0) return;
    const until = Bun.nanoseconds() + draw(draw(20) === 0 ? 100_000 : 3_000);
    while (Bun.nanoseconds() < until);
  }
}

function fill({ words, endpoint, block }: Slot, number: number, length: number): void {
  words[0] = number;
  words[1] = length;
  endpoint.length = number;
  block.bytes.fill((number * 7) & 0xff, 0, length);
}

function isWhole({ words, endpoint, block }: Slot, number: number): boolean {
  if (words[0] !== number || endpoint.length !== number) return false;
  for (let i = 0; i < words[1]!; i++) if (block.bytes[i] !== ((number * 7) & 0xff)) return false;
  return true;
}

function blockOver(buffer: SharedArrayBuffer): Block {
  return { bytes: new Uint8Array(buffer), view: new DataView(buffer), address: 0 };
}

declare const self: Worker;

self.onmessage = ({ data }: MessageEvent<Job>) => postMessage(new End(data).run());
postMessage("ready");
