/** Real workers and real sockets on this machine's loopback. */
import { afterEach, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { Crew, threadsOf } from "../../src/run/crew.ts";
import { FULL, RESULT } from "../../src/run/handiwork.ts";
import type { LaneAead } from "../../src/run/laneaead.ts";
import type { LaneSocket } from "../../src/run/lanesocket.ts";
import type { Aead, CipherSuite } from "../../src/share/io.ts";
import { PLACES } from "../../src/share/keytable.ts";
import { chooseSuites } from "../../src/sys/aead.ts";
import { nativeBlock } from "../../src/sys/memory.ts";
import { Poller } from "../../src/sys/poll.ts";
import { optionOf, SOL_IP } from "../../src/sys/sockopt.ts";
import { endpointOf, UdpSocket } from "../../src/sys/udp.ts";
import { HEADER_BYTES, TAG_BYTES, Type, writeHeader } from "../../src/wire/datagram.ts";
import { portOf } from "../sys/port.ts";

const LOOPBACK = Uint8Array.of(127, 0, 0, 1);
const KEY = new Uint8Array(32).fill(7);
const INDEX = 77;
const PATH = 2;
const SECOND = 1_000_000;

const { aes, chacha, blake2s } = chooseSuites();
const suites: [string, CipherSuite][] = [aes, chacha, blake2s].flatMap((suite) =>
  suite === null ? [] : [[suite.name, suite]],
);

const warnings: string[] = [];
const said = (message: string) => void warnings.push(message);

const crews: Crew[] = [];
afterEach(async () => {
  warnings.length = 0;
  for (const crew of crews.splice(0)) await crew.end();
});

async function hire(workers: number, file = "hand.ts"): Promise<Crew> {
  const crew = await Crew.start(workers, join(import.meta.dir, file));
  crews.push(crew);
  return crew;
}

/** Two ends on loopback: one connected to the other, which answers whoever asks. */
function ends(crew: Crew): { here: LaneSocket; there: LaneSocket } {
  const far = new UdpSocket({ ipv6: false, address: LOOPBACK, port: 0, packetInfo: true });
  const near = new UdpSocket({ ipv6: false });
  near.connect(endpointOf(LOOPBACK, portOf(far.fd)));
  return { here: crew.lend(near), there: crew.lend(far) };
}

const train = nativeBlock(66_000);
const into = nativeBlock(65_536);
const plain = nativeBlock(1500);

/** Makes a train of datagrams of `length` bytes inside, from this packet number on; its bytes. */
function make(aead: Aead, first: number, count: number, length: number): number {
  let bytes = 0;
  for (let i = 0; i < count; i++) {
    plain.bytes.fill(first + i, 0, length);
    writeHeader(train, bytes, Type.data, PATH, first + i, INDEX);
    aead.seal(PATH, first + i, train, bytes, HEADER_BYTES, plain, 0, length);
    bytes += HEADER_BYTES + length + TAG_BYTES;
  }
  return bytes;
}

/** Takes what comes until `packets` have; each is opened, and must be the next. */
function take(socket: LaneSocket, aead: Aead, next: number, packets: number): void {
  const poller = new Poller(1);
  poller.add(socket.fd);
  for (let left = packets; left > 0; ) {
    if (poller.wait(5 * SECOND) === 0) throw new Error(`${left} of ${packets} have not come`);
    for (let turns = 0; turns < 8 && left > 0; turns++) {
      const bytes = socket.receive(into);
      if (bytes === 0) break;
      for (let at = 0; at < bytes; at += socket.segment) {
        const length = Math.min(socket.segment, bytes - at);
        expect(aead.open(PATH, next, into, at, length, HEADER_BYTES)).toBe(true);
        const body = into.bytes.subarray(at + HEADER_BYTES, at + length - TAG_BYTES);
        if (!body.every((byte) => byte === (next & 0xff))) throw new Error(`packet ${next} is another`);
        next++;
        left--;
      }
    }
  }
}

test("how many threads there are", () => {
  expect([1, 2, 4, 32].map((processors) => threadsOf("auto", processors))).toEqual([1, 1, 4, 4]);
  expect([1, 3, 16].map((asked) => threadsOf(asked, 2))).toEqual([1, 3, 16]);
});

test.each([1, 3])("%p workers carry trains of all sizes, both ways, in order", async (workers) => {
  const crew = await hire(workers);
  expect(crew.workers).toBe(workers);
  const { here, there } = ends(crew);
  const suite = crew.suite(aes);
  const [a, b] = [suite.aead(KEY), suite.aead(KEY)];
  let next = 2 ** 32 - 500;
  for (let round = 0; round < 200; round++) {
    const count = 1 + ((round * 7) % 40);
    const length = (round * 131) % 1400;
    for (const [from, to] of [
      [here, there],
      [there, here],
    ] as const) {
      const bytes = make(a, next, count, length);
      const destination = from === here ? null : there.source;
      expect(from.send(train, 0, bytes, bytes / count, destination)).toBe("sent");
      take(to, b, next, count);
      next += count;
    }
  }
  // What a provider bills: the same at both ends.
  expect(here.sentWireBytes).toBe(there.receivedWireBytes);
  expect(there.sentWireBytes).toBe(here.receivedWireBytes);
  expect(crew.failure).toBeNull();
});

test.each(suites)("a worker seals and opens by %s", async (_, suite) => {
  const crew = await hire(1);
  const { here, there } = ends(crew);
  const [a, b] = [crew.suite(suite).aead(KEY), crew.suite(suite).aead(KEY)];
  for (let next = 0; next < 400; next += 40) {
    const bytes = make(a, next, 40, 1400);
    expect(here.send(train, 0, bytes, bytes / 40, null)).toBe("sent");
    take(there, b, next, 40);
  }
  expect(crew.failure).toBeNull();
});

test("each train leaves with what it was told of fragments, whoever sends it", async () => {
  const crew = await hire(1);
  const { here } = ends(crew);
  const aead = crew.suite(aes).aead(KEY);
  const IP_MTU_DISCOVER = 10;
  const asked: (number | null)[] = [];
  // By the worker where it is long, otherwise here.
  for (const [count, fragments] of [
    [40, 1400],
    [1, 1400],
    [1, 0],
    [40, 1400],
    [1, 0],
    [40, 0],
    [1, 1400],
    [40, 0],
  ] as const) {
    const bytes = make(aead, 0, count, 100);
    expect(here.send(train, 0, bytes, bytes / count, null, fragments)).toBe("sent");
    while (here.trains.backlog > 0) Bun.sleepSync(1);
    asked.push(optionOf(here.adopted.fd, SOL_IP, IP_MTU_DISCOVER));
  }
  // IP_PMTUDISC_DONT where fragments are allowed, otherwise IP_PMTUDISC_PROBE.
  expect(asked).toEqual([0, 0, 3, 0, 3, 3, 0, 3]);
});

test("what was too big is told with one that is as large and leaves like it", async () => {
  const crew = await hire(1);
  const { here } = ends(crew);
  const aead = crew.suite(aes).aead(KEY);
  const [huge, whole, inFragments] = [65_520, 0, 65_535];
  const message = (size: number, fragments: number) => {
    train.bytes[0] = Type.initiation;
    return here.send(train, 0, 100, size, null, fragments);
  };
  /** One that no kernel sends goes to the worker, as others are still ahead of it. */
  const sendHuge = () => {
    for (let result = ""; result !== "sent"; ) {
      for (let i = 0; i < 6; i++) {
        const bytes = make(aead, 0, 40, 1400);
        expect(here.send(train, 0, bytes, bytes / 40, null, whole)).toBe("sent");
      }
      train.bytes[0] = Type.initiation;
      result = here.send(train, 0, huge, huge, null, whole);
      while (here.trains.backlog > 0) Bun.sleepSync(1);
    }
  };
  sendHuge();
  expect([message(huge, whole), message(huge, whole)]).toEqual(["tooBig", "sent"]);
  sendHuge();
  expect([message(huge - 1, whole), message(huge, whole)]).toEqual(["sent", "sent"]);
  sendHuge();
  expect([message(huge, inFragments), message(huge, whole)]).toEqual(["sent", "sent"]);
});

test("a lane that is full says so before anything is lost, and goes on", async () => {
  const crew = await hire(1);
  const { here, there } = ends(crew);
  const suite = crew.suite(aes);
  const [a, b] = [suite.aead(KEY), suite.aead(KEY)];
  let [sent, full] = [0, 0];
  // More than the lane holds; the kernel's buffer takes it all.
  for (let trains = 0; trains < 40; ) {
    if (here.full) {
      full++;
      Bun.sleepSync(1);
      continue;
    }
    const bytes = make(a, sent, 40, 1400);
    expect(here.send(train, 0, bytes, bytes / 40, null)).toBe("sent");
    sent += 40;
    trains++;
    if (trains % 20 === 0) take(there, b, sent - 800, 800);
  }
  expect(full).toBeGreaterThan(0);
});

test("what no worker has read yet, for want of room, is known of", async () => {
  const crew = await hire(1);
  const { here, there } = ends(crew);
  const [a, b] = [crew.suite(aes).aead(KEY), crew.suite(aes).aead(KEY)];
  expect([here.behind, there.behind]).toEqual([false, false]);
  for (let i = 0; i < 20; i++) {
    const bytes = make(a, i * 40, 40, 1400);
    while (here.full) Bun.sleepSync(1);
    expect(here.send(train, 0, bytes, bytes / 40, null)).toBe("sent");
  }
  while (here.behind) Bun.sleepSync(1);
  expect(there.behind).toBe(true);
  take(there, b, 0, 800);
  expect(there.behind).toBe(false);
});

test("so is what the kernel has for one that does not run", async () => {
  const crew = await hire(1);
  const { here, there } = ends(crew);
  const aead = crew.suite(aes).aead(KEY);
  await crew.end();
  expect(there.behind).toBe(false);
  const bytes = make(aead, 0, 1, 100);
  expect(here.send(train, 0, bytes, bytes, null)).toBe("sent");
  expect([here.behind, there.behind]).toEqual([false, true]);
});

test("a small train waits its turn behind larger ones", async () => {
  const crew = await hire(1);
  const { here, there } = ends(crew);
  const suite = crew.suite(aes);
  const [a, b] = [suite.aead(KEY), suite.aead(KEY)];
  let sent = 0;
  for (let i = 0; i < 8; i++) {
    const count = i % 2 === 0 ? 40 : 1;
    const bytes = make(a, sent, count, 1400);
    expect(here.send(train, 0, bytes, bytes / count, null)).toBe("sent");
    sent += count;
  }
  take(there, b, 0, sent);
});

test("a handshake message goes as it is, in its turn", async () => {
  const crew = await hire(1);
  const { here, there } = ends(crew);
  const suite = crew.suite(aes);
  const [a, b] = [suite.aead(KEY), suite.aead(KEY)];
  const message = nativeBlock(100).bytes.fill(5);
  message[0] = Type.initiation;
  const poller = new Poller(1);
  poller.add(there.fd);
  // With nothing ahead of it, and behind a train.
  for (const ahead of [0, 40]) {
    if (ahead > 0) {
      const bytes = make(a, 0, ahead, 1400);
      here.send(train, 0, bytes, bytes / ahead, null);
    }
    train.bytes.set(message);
    expect(here.send(train, 0, 100, 100, null)).toBe("sent");
    if (ahead > 0) take(there, b, 0, ahead);
    let came = 0;
    while (came === 0 && poller.wait(5 * SECOND) > 0) came = there.receive(into);
    expect(came).toBe(100);
    expect([...into.bytes.subarray(0, 100)]).toEqual([...message]);
    expect(there.receive(into)).toBe(0);
  }
});

test("what the kernel refuses is told with a later train, to whom it concerns", async () => {
  const crew = await hire(1);
  const { there } = ends(crew);
  const aead = crew.suite(aes).aead(KEY);
  // No broadcast without asking for it.
  const [refused, other] = [Uint8Array.of(255, 255, 255, 255), LOOPBACK].map((to) => endpointOf(to, 9));
  const send = (number: number, to: typeof refused) => {
    const bytes = make(aead, number, 4, 100);
    return there.send(train, 0, bytes, bytes / 4, to!);
  };
  expect(send(0, refused)).toBe("sent");
  while (there.trains.backlog > 0) Bun.sleepSync(1);
  expect([send(4, other), send(8, refused)]).toEqual(["sent", "sent"]);
  while (there.trains.backlog > 0) Bun.sleepSync(1);
  expect(send(12, refused)).toBe("failed");
  // Small ones leave at once, and tell at once.
  const bytes = make(aead, 16, 1, 100);
  expect(there.send(train, 0, bytes, bytes, refused!)).toBe("failed");
});

test("what the kernel had no room for is told with a later train, which leaves all the same", async () => {
  const crew = await hire(1);
  const { here, there } = ends(crew);
  const [a, b] = [crew.suite(aes).aead(KEY), crew.suite(aes).aead(KEY)];
  let next = 0;
  for (const count of [4, 1]) {
    const send = (packets: number) => {
      const bytes = make(a, next, packets, 100);
      const result = here.send(train, 0, bytes, bytes / packets, null);
      take(there, b, next, packets);
      next += packets;
      return result;
    };
    const position = here.trains.head;
    expect(send(4)).toBe("sent");
    while (here.trains.backlog > 0) Bun.sleepSync(1);
    here.trains.at(position).words[RESULT] = FULL;
    expect([send(count), send(count)]).toEqual(["full", "sent"]);
  }
});

test("a socket that is closed is closed once no worker uses it", async () => {
  const crew = await hire(2);
  const { here, there } = ends(crew);
  const { fd } = here.adopted;
  expect(existsSync(`/proc/self/fd/${fd}`)).toBe(true);
  here.close();
  while (!here.ended) await Bun.sleep(1);
  expect(existsSync(`/proc/self/fd/${fd}`)).toBe(false);
  // The other goes on.
  const aead = crew.suite(aes).aead(KEY);
  const bytes = make(aead, 0, 4, 100);
  expect(there.send(train, 0, bytes, bytes / 4, endpointOf(LOOPBACK, 9))).toBe("sent");
  while (there.trains.backlog > 0) await Bun.sleep(1);
});

test("the goodbye under a key that is closed still leaves, and then the key is wiped", async () => {
  const crew = await hire(1);
  const { here, there } = ends(crew);
  const suite = crew.suite(aes);
  const [aead, opener] = [suite.aead(KEY), suite.aead(KEY)];
  for (let i = 0; i < 5; i++) {
    const bytes = make(aead, i * 40, 40, 1400);
    here.send(train, 0, bytes, bytes / 40, null);
  }
  aead.close();
  crew.onTick(said);
  take(there, opener, 0, 200);
  while (here.trains.backlog > 0) await Bun.sleep(1);
  crew.onTick(said);
  // Another has its place, and seals by its own key.
  const again = suite.aead(KEY);
  const bytes = make(again, 200, 4, 100);
  expect(here.send(train, 0, bytes, bytes / 4, null)).toBe("sent");
  take(there, opener, 200, 4);
});

test("a worker that fails is told of with its reason", async () => {
  const crew = await hire(2, "failinghand.ts");
  expect(crew.failure).toBeNull();
  ends(crew);
  const until = Date.now() + 5000;
  while (crew.failure === null && Date.now() < until) await Bun.sleep(1);
  expect(crew.failure?.message).toBe("a worker thread has failed: error: out of luck");
});

test.each([
  [
    "one that hangs is told of",
    "hanginghand.ts",
    5,
    "a worker thread has failed: it has stood still for 10 s",
  ],
  ["one that goes round does not hang", "hand.ts", 5000, undefined],
] as const)("of workers, %s", async (_, file, patience, message) => {
  const crew = await hire(1, file);
  const { here } = ends(crew);
  const aead = crew.suite(aes).aead(KEY);
  for (let i = 0; i < 30; i++) {
    const bytes = make(aead, i * 4, 4, 100);
    here.send(train, 0, bytes, bytes / 4, null);
    for (let wait = 0; wait < patience && here.trains.backlog > 0; wait++) await Bun.sleep(1);
    crew.onTick(said);
  }
  expect(crew.failure?.message).toBe(message!);
});

test("more keys than there is room for: said once, and the others are used here", async () => {
  const crew = await hire(1);
  const { here, there } = ends(crew);
  const suite = crew.suite(aes);
  const keys = Array.from({ length: PLACES }, () => suite.aead(KEY) as LaneAead);
  for (const key of keys) expect(key.share(null)).toBe(true);
  crew.onTick(said);
  expect(warnings).toEqual([]);
  const [a, b] = [suite.aead(KEY), suite.aead(KEY)];
  for (let next = 0; next < 120; next += 40) {
    const bytes = make(a, next, 40, 1400);
    expect(here.send(train, 0, bytes, bytes / 40, null)).toBe("sent");
    take(there, b, next, 40);
    crew.onTick(said);
  }
  expect(warnings.length).toBe(1);
  expect(warnings[0]).toStartWith("more sessions than portal's worker threads have room for");
  for (const key of keys) key.close();
});

test("a worker that does not even begin is why portal does not start", async () => {
  await expect(hire(2, "unreadyhand.ts")).rejects.toThrow("a worker thread has failed: error: no luck today");
});
