import { beforeEach, describe, expect, test } from "bun:test";
import { affords } from "../../src/proto/budget.ts";
import { Calendar } from "../../src/proto/calendar.ts";
import { Cap, type CapSettings } from "../../src/proto/cap.ts";
import {
  CHALLENGE_INTERVAL,
  DOWN_AFTER,
  LATE_TURN,
  LONG_DOWN_AFTER,
  MAX_EXCUSE,
  MILLISECOND,
  MIN_SUSPECT,
  PATIENCE,
  PROBE_DOWN,
  PROBE_IDLE,
  PROBE_LONG_DOWN,
  PROBE_SUSPECT,
} from "../../src/proto/limits.ts";
import { NewReno } from "../../src/proto/newreno.ts";
import { Path } from "../../src/proto/path.ts";
import { NO_POSITION } from "../../src/proto/sentlog.ts";
import { plainBlock } from "../../src/share/block.ts";
import { Endpoint } from "../../src/share/endpoint.ts";
import type { DatagramSocket } from "../../src/share/io.ts";

const D = 1452;
const RTT = 40_000;
let behind = false;
const nowhere = {
  headerBytes: 28,
  mtu: () => 0,
  get behind() {
    return behind;
  },
} as unknown as DatagramSocket;

let changes: string[] = [];
let lost: number[] = [];
/** Some other path of the session is up. */
let othersUp = true;
/** Some other path was answered what was sent then. */
let peerAliveAt = Number.POSITIVE_INFINITY;
let doubts: number[] = [];

beforeEach(() => {
  changes = [];
  lost = [];
  othersUp = true;
  peerAliveAt = Number.POSITIVE_INFINITY;
  doubts = [];
  behind = false;
});

function endpoint(port: number): Endpoint {
  const made = new Endpoint(plainBlock(Endpoint.size));
  made.block.view.setUint16(0, 2, true);
  made.block.view.setUint16(2, port);
  made.length = 16;
  return made;
}

function makePath(now = 0, connected = false, cap: Cap | null = null, sendsFrom = 0): Path {
  return new Path(
    now,
    {
      id: 0,
      name: "a",
      metric: 0,
      spill: false,
      socket: nowhere,
      congestion: new NewReno(D),
      peerCongestion: "bbr",
      peerRate: 0,
      cap,
      // Of a size that needs no probes (proto/pathmtu.ts).
      datagram: 1200,
      endpoint: endpoint(1000),
      candidate: endpoint(0),
      connected,
      sendsFrom,
      receivesFrom: 10 * sendsFrom,
    },
    { onDelivered: () => {}, onLost: (position) => lost.push(position) },
    {
      get isUp() {
        return othersUp;
      },
      get peerAliveAt() {
        return peerAliveAt;
      },
      onStatus: (_, from, to) => changes.push(`${from} ${to}`),
      onDoubt: (now) => doubts.push(now),
    },
  );
}

/** A path that has joined with a round trip of RTT; what it is probed at first is over. */
function joined(now = 0, connected = false, cap: Cap | null = null, sendsFrom = 0): Path {
  const path = answered(now, connected, cap, sendsFrom);
  for (let i = 0; i < 18; i++) path.onProbeSent(now);
  return path;
}

function answered(now: number, connected = false, cap: Cap | null = null, sendsFrom = 0): Path {
  const path = makePath(now - RTT, connected, cap, sendsFrom);
  path.onChallengeSent(now - RTT, 1, 2);
  path.onAnswer(now, 1, 2);
  changes = [];
  return path;
}

function sendData(path: Path, now: number, position = 7): void {
  path.recovery.onSent(now, D, position, true);
  path.onSent(now);
}

function acknowledge(path: Path, now: number): void {
  const ack = plainBlock(10);
  const largest = path.recovery.log.next - 1;
  ack.view.setUint32(0, largest);
  ack.view.setUint16(8, largest);
  expect(path.recovery.onAck(now, ack, 0, 10)).toBe(true);
  path.onAckReceived(now);
}

/** Sends what is due, as outbound does, from `now` to `end`; when probes left. */
function run(path: Path, now: number, end: number): number[] {
  const probes: number[] = [];
  for (let at = now; at <= end; ) {
    path.onTimeout(at);
    if (path.challengeDue(at)) path.onChallengeSent(at, 8, 8);
    if (path.probeDue(at)) {
      path.recovery.onSent(at, 26, NO_POSITION, true);
      path.onProbeSent(at);
      probes.push(at);
    }
    expect(path.nextAt).toBeGreaterThan(at);
    at = path.nextAt;
  }
  return probes;
}

describe("joining", () => {
  test("asks at once, and again until it is answered", () => {
    const path = makePath(1000);
    expect(path.challengeDue(1000)).toBe(true);
    path.onChallengeSent(1000, 5, 6);
    expect(path.challengeDue(1000 + CHALLENGE_INTERVAL - 1)).toBe(false);
    expect(path.challengeDue(1000 + CHALLENGE_INTERVAL)).toBe(true);
    expect(path.maySend(1000)).toBe(false);
    expect(path.onAnswer(41_000, 5, 6)).toBe(true);
    expect(changes).toEqual(["joining up"]);
    expect(path.recovery.rtt.srtt).toBe(40_000);
    expect(path.challengeDue(60e6)).toBe(false);
    expect(path.maySend(42_000)).toBe(true);
  });

  test("asks ever less often an address from which nothing comes", () => {
    const path = makePath();
    const asked: number[] = [];
    for (let now = 0; now < 3600e6; now = path.nextAt) {
      expect(path.challengeDue(now)).toBe(true);
      path.onChallengeSent(now, 5, 6);
      asked.push(now);
    }
    expect(asked.at(-1)! - asked.at(-2)!).toBe(PROBE_DOWN);
    expect(asked.length).toBeLessThan(3600e6 / PROBE_DOWN + 30);
    expect(path.onAnswer(3600e6, 5, 6)).toBe(true);
  });

  test("a wrong token, one half right, or an answer to nothing do not count", () => {
    const path = makePath();
    expect(path.onAnswer(0, 0, 0)).toBe(false);
    path.onChallengeSent(0, 5, 6);
    for (const [high, low] of [
      [5, 7],
      [4, 6],
      [0, 0],
    ] as const)
      expect(path.onAnswer(1, high, low)).toBe(false);
    expect(path.onAnswer(2, 5, 6)).toBe(true);
    expect(path.onAnswer(3, 5, 6)).toBe(false);
  });

  test("an answer slower than the interval counts, and gives no round trip (Karn)", () => {
    const path = makePath();
    path.onChallengeSent(0, 5, 6);
    path.onChallengeSent(CHALLENGE_INTERVAL, 50, 60);
    expect([path.challenge.tokenHigh, path.challenge.tokenLow]).toEqual([5, 6]);
    expect(path.onAnswer(600_000, 5, 6)).toBe(true);
    expect(path.recovery.rtt.sampled).toBe(false);
  });
});

describe("another address", () => {
  test("is asked, with another token, before it counts", () => {
    const path = joined();
    path.onNewAddress(1e6, endpoint(2000));
    expect(path.challengeDue(1e6)).toBe(true);
    path.onChallengeSent(1e6, 3, 4);
    expect(path.challenge.toCandidate).toBe(true);
    expect(path.destination!.port).toBe(1000);
    expect(path.onAnswer(1e6 + RTT, 1, 2)).toBe(false);
    expect(path.onAnswer(1e6 + RTT, 3, 4)).toBe(true);
    expect(path.destination!.port).toBe(2000);
    expect(path.challenge.toCandidate).toBe(false);
  });

  test("is asked again while it does not answer, and no more once the proved one is heard", () => {
    const path = joined();
    path.onNewAddress(1e6, endpoint(2000));
    expect(run(path, 1e6, 2e6)).toEqual([]);
    expect(path.nextAt).toBeLessThanOrEqual(2e6 + CHALLENGE_INTERVAL);
    path.onKnownAddress(2e6);
    expect(path.challengeDue(60e6)).toBe(false);
    expect(path.onAnswer(2e6, 8, 8)).toBe(false);
    expect(path.destination!.port).toBe(1000);
  });

  test("heard again and again, it is asked no more often", () => {
    const path = joined();
    let challenges = 0;
    for (let now = 1e6; now < 2e6; now += 1000) {
      path.onNewAddress(now, endpoint(2000));
      if (path.challengeDue(now)) {
        path.onChallengeSent(now, now, now);
        challenges++;
      }
    }
    expect(challenges).toBe(1e6 / CHALLENGE_INTERVAL);
  });

  test("many addresses are asked no faster than four times the interval", () => {
    const path = joined();
    let challenges = 0;
    for (let now = 1e6; now < 2e6; now += 1000) {
      path.onNewAddress(now, endpoint(now / 1000));
      if (path.challengeDue(now)) {
        path.onChallengeSent(now, now, now);
        challenges++;
      }
    }
    expect(challenges).toBeLessThanOrEqual((4 * 1e6) / CHALLENGE_INTERVAL);
  });

  test("while joining, the path goes on asking when the proved one is heard", () => {
    const path = makePath();
    path.onChallengeSent(0, 1, 2);
    path.onNewAddress(10, endpoint(2000));
    path.onKnownAddress(20);
    expect(path.challengeDue(20)).toBe(true);
  });
});

describe("silence", () => {
  test("with nothing to acknowledge is none", () => {
    const path = joined();
    const probes = run(path, 0, PROBE_IDLE - 1);
    expect(probes).toEqual([]);
    expect(path.status).toBe("up");
  });

  test("a path that has come up is probed often at first, half a round trip apart, so that it is known how that varies", () => {
    const path = answered(0);
    expect(path.recovery.rtt.srtt).toBe(RTT);
    expect(run(path, 0, 4 * RTT)).toEqual([1, 2, 3, 4, 5, 6, 7, 8].map((i) => (i * RTT) / 2));
  });

  test("an idle path is probed now and then", () => {
    const path = joined();
    path.onTimeout(PROBE_IDLE);
    expect(path.probeDue(PROBE_IDLE)).toBe(true);
  });

  test.each([
    { what: "one packet, after three probe timeouts and a half", packets: 1, timeouts: 3.5 },
    { what: "several packets, after one and a half", packets: 4, timeouts: 1.5 },
  ])("makes it suspect: of $what; they are lost to this path", ({ packets, timeouts }) => {
    const path = joined();
    const limit = 1e6 + Math.max(path.recovery.rtt.pto(10_000) * timeouts, MIN_SUSPECT);
    for (let i = 0; i < packets; i++) sendData(path, 1e6, i);
    path.onTimeout(limit - 1);
    expect(path.status).toBe("up");
    expect(path.nextAt).toBeLessThanOrEqual(limit);
    path.onTimeout(limit);
    expect(changes).toEqual(["up suspect"]);
    expect(lost.length).toBe(packets);
    expect(path.maySend(limit + 1)).toBe(false);
  });

  test("acknowledgements keep it up, though an old packet is missing", () => {
    const path = joined();
    for (let now = 1e6; now < 2e6; now += 20_000) {
      sendData(path, now);
      path.onTimeout(now + 10_000);
      path.onAckReceived(now + 10_000);
    }
    expect(path.status).toBe("up");
  });

  test("a suspect path is probed ever less often, then down", () => {
    const path = joined();
    sendData(path, 1e6);
    const probes = run(path, 1e6 + 1, 1e6 + 2 * DOWN_AFTER);
    expect(changes).toEqual(["up suspect", "suspect down"]);
    const gaps = probes.slice(1).map((at, i) => at - probes[i]!);
    expect(Math.max(...gaps)).toBeLessThanOrEqual(PROBE_DOWN);
    expect(gaps.at(-1)).toBe(PROBE_DOWN);
    expect(gaps).toContain(PROBE_SUSPECT);
    const later = run(path, 1e6 + 2 * DOWN_AFTER + 1, 1e6 + 2 * LONG_DOWN_AFTER);
    expect(later.at(-1)! - later.at(-2)!).toBe(PROBE_LONG_DOWN);
  });

  test.each(["suspect", "down"] as const)(
    "two answers in a row bring a %s path back, one does not",
    (status) => {
      const path = joined();
      sendData(path, 1e6);
      const now = 1e6 + (status === "down" ? 2 * DOWN_AFTER : 500_000);
      run(path, 1e6 + 1, now);
      expect(path.status).toBe(status);
      acknowledge(path, now + 1);
      expect(path.status).toBe(status);
      expect(path.probeDue(now + 1)).toBe(true);
      path.recovery.onSent(now + 1, 26, NO_POSITION, true);
      path.onProbeSent(now + 1);
      acknowledge(path, now + RTT);
      expect(path.status).toBe("up");
    },
  );

  test("a sign of life has it probed soon, not at once each time", () => {
    const path = joined();
    sendData(path, 1e6);
    const now = 1e6 + 2 * DOWN_AFTER;
    const probes = run(path, 1e6 + 1, now);
    path.onSignOfLife(now);
    expect(path.nextAt).toBeLessThanOrEqual(Math.max(now, probes.at(-1)! + 10_000));
  });
});

describe("silence of the peer, or our own, is none of the path", () => {
  const sentAt = 1e6;
  const several = (path: Path) => {
    for (let i = 0; i < 4; i++) sendData(path, sentAt, i);
    return sentAt + Math.max(1.5 * path.recovery.rtt.pto(10_000), MIN_SUSPECT);
  };

  test("without an answer on any path it is borne for a while longer", () => {
    const path = joined();
    const limit = several(path);
    peerAliveAt = sentAt + RTT - 1;
    for (const now of [limit, limit + PATIENCE - 1]) {
      path.onTimeout(now);
      if (path.probeDue(now)) path.onProbeSent(now);
      expect(path.status).toBe("up");
      expect(path.nextAt).toBeLessThanOrEqual(limit + PATIENCE);
      expect(path.nextAt).toBeGreaterThan(now);
    }
    path.onTimeout(limit + PATIENCE);
    expect(path.status).toBe("suspect");
  });

  test("an answer on another path to what was sent later ends the patience", () => {
    const path = joined();
    const limit = several(path);
    peerAliveAt = sentAt;
    path.onTimeout(limit);
    expect(path.status).toBe("up");
    peerAliveAt = sentAt + RTT;
    path.onTimeout(limit + 1);
    expect(path.status).toBe("suspect");
  });

  test("the other paths are asked in time, once for each silence", () => {
    const path = joined();
    const limit = several(path);
    for (let now = sentAt; now < limit; now = path.nextAt) {
      path.onTimeout(now);
      if (path.probeDue(now)) path.onProbeSent(now);
    }
    expect(doubts.length).toBe(1);
    expect(doubts[0]!).toBeLessThan(limit - MIN_SUSPECT / 4);
    path.onAckReceived(limit - 1);
    path.onTimeout(limit + 1e6);
    expect(doubts.length).toBe(2);
  });

  test("is not judged while there is more to read, and no time is lost by that", () => {
    const path = joined();
    const limit = several(path);
    path.onTimeout(limit + 5, true);
    expect(path.status).toBe("up");
    expect(path.nextAt).toBeLessThanOrEqual(limit + 5);
    path.onTimeout(limit + 5);
    expect(path.status).toBe("suspect");
  });

  test("a thread that is behind for a moment delays the judgement by little", () => {
    const path = joined();
    const limit = several(path);
    behind = true;
    path.onTimeout(limit);
    expect(path.status).toBe("up");
    expect(path.nextAt).toBeLessThanOrEqual(limit + MILLISECOND);
    behind = false;
    path.onTimeout(limit + MILLISECOND);
    expect(path.status).toBe("suspect");
  });

  test("time in which a thread stays behind does not count, but only so much of it", () => {
    /** When it is suspect: it is judged every millisecond, and the thread is behind until then. */
    const suspectAt = (path: Path, from: number, behindUntil: number): number => {
      for (let now = from; now < from + 10e6; now += MILLISECOND) {
        behind = now < behindUntil;
        path.onTimeout(now);
        if (path.status === "suspect") return now;
      }
      return Number.POSITIVE_INFINITY;
    };
    const path = joined();
    const limit = several(path);
    expect(suspectAt(path, limit, limit + LATE_TURN)).toBe(limit + LATE_TURN);
    // It did not run until then: the answers may just be under way.
    const excused = joined();
    const at = suspectAt(excused, several(excused), limit + LATE_TURN + 1);
    expect(at).toBeGreaterThanOrEqual(limit + LATE_TURN + MIN_SUSPECT);
    expect(at).toBeLessThanOrEqual(sentAt + MAX_EXCUSE + (limit - sentAt));
    // And one that is always behind hides no dead path.
    const always = joined();
    expect(suspectAt(always, several(always), limit + 10e6)).toBeLessThan(limit + MAX_EXCUSE + 3 * LATE_TURN);
  });

  test("time in which we did not run does not count, but only so much of it", () => {
    const late = 40_000;
    const path = joined();
    const limit = several(path);
    path.onLate(limit + 1, late);
    path.onTimeout(limit + 1);
    expect(path.status).toBe("up");
    path.onTimeout(limit + late - 1);
    expect(path.status).toBe("up");
    path.onTimeout(limit + late);
    expect(path.status).toBe("suspect");

    const always = joined();
    several(always);
    let now = sentAt;
    for (; always.status === "up" && now < sentAt + 10e6; now += 20_000) {
      always.onLate(now, 20_000);
      always.onTimeout(now);
    }
    expect(now).toBeLessThan(limit + MAX_EXCUSE + 40_000);
  });
});

describe("the peer's word", () => {
  test("is taken: what is under way is lost to the path, and the peer is not told in turn", () => {
    const path = joined();
    sendData(path, 1e6, 3);
    path.onPeerGaveUp(1e6, "silent", 0);
    expect(changes).toEqual(["up suspect"]);
    expect(path.reason).toBe("the peer says: silent");
    expect(lost).toEqual([3]);
    expect(path.probeDue(1e6)).toBe(true);
    expect(path.report.due).toBe(false);
  });

  test("is old when the peer has acknowledged something later", () => {
    const path = joined();
    for (let i = 0; i < 5; i++) sendData(path, 1e6 + i, i);
    acknowledge(path, 1e6 + RTT);
    path.onPeerGaveUp(1e6 + RTT, "silent", 3);
    expect(path.status).toBe("up");
    path.onPeerGaveUp(1e6 + RTT, "silent", 4);
    expect(path.status).toBe("suspect");
  });

  test("repeated, or coming when the path has returned, it does no harm", () => {
    const path = joined();
    sendData(path, 1e6);
    path.onPeerGaveUp(1e6, "interfaceDown", 0);
    path.onPeerGaveUp(1e6 + 1, "interfaceDown", 0);
    expect(changes).toEqual(["up suspect"]);
    for (const now of [2e6, 2e6 + RTT]) {
      path.recovery.onSent(now - RTT, 26, NO_POSITION, true);
      acknowledge(path, now);
    }
    expect(path.status).toBe("up");
    path.onPeerGaveUp(3e6, "interfaceDown", 0);
    expect(path.status).toBe("up");
  });

  test("does not bring a path up, nor down before it has joined", () => {
    const path = makePath();
    path.onPeerGaveUp(10, "silent", 0);
    expect(path.status).toBe("joining");
  });

  test("our own is given three times: at once and with the next two probes", () => {
    const path = joined();
    sendData(path, 1e6);
    path.onInterface(1e6, "no carrier");
    expect([path.reason, path.report.seen]).toEqual(["its interface has no carrier", "interfaceDown"]);
    let told = 0;
    for (let now = 1e6; now < 2e6; now = path.nextAt) {
      path.onTimeout(now);
      if (path.probeDue(now)) path.onProbeSent(now);
      if (path.report.due) {
        path.report.onSent();
        told++;
      }
    }
    expect(told).toBe(3);
  });

  test("of an interface that is back it is told what was, and whether the kernel refuses all the same", () => {
    const path = joined();
    path.onInterface(1e6, "no carrier");
    path.onInterface(1.1e6, "up");
    expect([path.status, path.reason]).toEqual(["suspect", "its interface had no carrier"]);
    path.onSendFailed(1.2e6);
    expect([path.status, path.reason]).toEqual(["suspect", "the kernel cannot send on it"]);
  });

  test("it is kept while there is nobody to carry it, and dropped when the path is back", () => {
    const path = joined();
    path.onInterface(1e6, "down");
    run(path, 1e6, 3e6);
    expect(path.report.due).toBe(true);
    for (const now of [3e6, 3e6 + RTT]) {
      path.recovery.onSent(now, 26, NO_POSITION, true);
      acknowledge(path, now);
    }
    expect(path.status).toBe("up");
    expect(path.report.due).toBe(false);
  });
});

describe("its interface", () => {
  test.each(["down", "no carrier", "missing"] as const)("%s: suspect at once", (state) => {
    const path = joined();
    sendData(path, 1e6, 5);
    path.onInterface(1e6, state);
    expect(changes).toEqual(["up suspect"]);
    expect(lost).toEqual([5]);
  });

  test("up: a suspect path is probed at once, a joining one challenged, one that is up left alone", () => {
    const path = joined();
    path.onInterface(1e6, "up");
    expect([changes, path.probeDue(1e6)]).toEqual([[], false]);
    path.onInterface(1e6, "down");
    run(path, 1e6, 30e6);
    expect(path.status).toBe("down");
    const now = path.nextAt - 1;
    expect(path.probeDue(now)).toBe(false);
    path.onInterface(now, "up");
    expect(path.probeDue(now)).toBe(true);
    const joining = makePath();
    joining.onChallengeSent(0, 1, 2);
    joining.onInterface(1, "up");
    expect(joining.challengeDue(1)).toBe(true);
  });

  test("acknowledgements that were under way when it went down are no answers", () => {
    const path = joined();
    for (let i = 0; i < 5; i++) sendData(path, 1e6, i);
    path.onInterface(1e6, "down");
    for (let i = 1; i <= 4; i++) acknowledge(path, 1e6 + i);
    expect(path.status).toBe("suspect");
  });
});

describe("a path that flaps", () => {
  /** Fails at `now` for half a second, then answers probes; when it was up again. */
  function failAndReturn(path: Path, now: number): number {
    path.onInterface(now, "down");
    for (let at = now; at < now + 60e6; at = path.nextAt) {
      path.onTimeout(at);
      if (!path.probeDue(at)) continue;
      path.recovery.onSent(at, 26, NO_POSITION, true);
      path.onProbeSent(at);
      if (at < now + 500_000) continue;
      acknowledge(path, at);
      if (path.status === "up") return at;
    }
    return Number.POSITIVE_INFINITY;
  }

  test("rests for longer each time and says so; not when it is the only one", () => {
    const path = joined();
    const rests: number[] = [];
    const reasons: string[] = [];
    for (let now = 1e6, i = 0; i < 4; i++) {
      path.onInterface(now, "down");
      reasons.push(path.reason!);
      const back = failAndReturn(path, now);
      rests.push(Math.floor((back - now - 500_000) / 1e6));
      now = back + 1e6;
    }
    expect(rests).toEqual([0, 1, 2, 4]);
    expect(reasons[0]).toBe("its interface is down");
    expect(reasons[3]).toBe("its interface is down; flapping: rests for 4 s once it answers");
    othersUp = false;
    expect(failAndReturn(path, 20e6)).toBeLessThan(20e6 + 1.2e6);
  });

  test("it is called up when the last other one fails while it rests", () => {
    const path = joined();
    for (let now = 1e6, i = 0; i < 4; i++) now = failAndReturn(path, now) + 1e6;
    path.onInterface(60e6, "down");
    for (const now of [61e6, 61e6 + RTT]) {
      path.recovery.onSent(now, 26, NO_POSITION, true);
      acknowledge(path, now);
    }
    expect(path.status).toBe("suspect");
    othersUp = false;
    path.onAlone(61e6 + 2 * RTT);
    expect(path.reason).toBe("no other path is up");
    expect(path.status).toBe("up");
  });
});

describe("many datagrams that need no acknowledgement", () => {
  test("are no unanswered packets: a lone one is still an accident", () => {
    const path = joined();
    sendData(path, 1e6);
    // What a receiver of bulk sends: acknowledgements.
    for (let i = 1; i < 50; i++) path.recovery.onSent(1e6 + i, 60, NO_POSITION, false);
    const timeout = path.recovery.rtt.pto(10_000);
    path.onTimeout(1e6 + 2 * timeout);
    expect(path.status).toBe("up");
    path.onTimeout(1e6 + 3.5 * timeout);
    expect(path.status).toBe("suspect");
  });

  test("do not hide that several packets are unanswered", () => {
    const path = joined();
    for (let i = 0; i < 4; i++) {
      sendData(path, 1e6 + i);
      path.recovery.onSent(1e6 + i, 60, NO_POSITION, false);
    }
    path.onTimeout(1e6 + 3 + 1.5 * path.recovery.rtt.pto(10_000));
    expect(path.status).toBe("suspect");
  });
});

describe("months without an answer", () => {
  test("a path that is down remembers no more than the probes that may still be answered", () => {
    const path = joined();
    sendData(path, 1e6);
    run(path, 1e6 + 1, 3600e6);
    const { log } = path.recovery;
    expect(path.status).toBe("down");
    expect(log.next).toBeGreaterThan(1000);
    expect(log.next - log.oldest).toBeLessThan(5);
  });

  test("a path that never joined is challenged, not probed", () => {
    const path = makePath();
    path.wantProbe(10);
    expect(run(path, 10, 60e6)).toEqual([]);
  });
});

describe("the kernel refuses", () => {
  test("a packet that was taken up after the path became suspect is lost to it too", () => {
    const path = joined();
    sendData(path, 1e6, 1);
    path.onSendFailed(1e6);
    sendData(path, 1e6, 2);
    path.onSendFailed(1e6);
    expect(lost).toEqual([1, 2]);
  });

  test("suspect at once, and left alone for a while", () => {
    const path = joined();
    path.onSendFailed(1e6);
    expect(changes).toEqual(["up suspect"]);
    expect(path.blockedUntil).toBeGreaterThan(1e6);
  });

  test("a full socket delays, no more", () => {
    const path = joined();
    path.blockedUntil = 1e6;
    expect(path.maySend(999_999)).toBe(false);
    expect(path.sendAt(999_999)).toBe(1e6);
    expect(path.maySend(1e6)).toBe(true);
  });
});

test("a connected path has no destination but its socket's", () => {
  expect(makePath(0, true).destination).toBeNull();
});

describe("a path whose id had another before", () => {
  test("goes on with its packet numbers, ours and the peer's", () => {
    const path = joined(0, false, null, 100);
    expect(path.recovery.onSent(0, D, NO_POSITION, true)).toBe(100);
    const { window } = path.reception;
    expect([999, 1000].map((number) => window.check(number))).toEqual(["tooOld", "fresh"]);
    expect([window.lowest, window.largest]).toEqual([1000, 999]);
    acknowledge(path, RTT);
    expect(path.recovery.log.inFlight).toBe(0);
  });

  test("is not given up for what the peer says of the other", () => {
    const path = joined(0, false, null, 100);
    path.onPeerGaveUp(1, "silent", 99);
    expect(path.status).toBe("up");
    path.onPeerGaveUp(1, "silent", 100);
    expect(path.status).toBe("suspect");
  });
});

describe("the peer's data cap", () => {
  test("lets the path rest: what is under way is lost to it, nothing leaves any more, and nothing is due", () => {
    const path = joined();
    sendData(path, 1e6, 3);
    path.onPeerGaveUp(1e6, "capped", 0);
    expect(changes).toEqual(["up capped"]);
    expect(path.reason).toBe("the peer says: its data cap is reached");
    expect(lost).toEqual([3]);
    expect([path.maySend(2e6), path.nextAt, path.report.due]).toEqual([
      false,
      Number.POSITIVE_INFINITY,
      false,
    ]);
    path.wantProbe(2e6);
    expect(path.probeDue(2e6)).toBe(false);
  });

  test("ends with a challenge, or with anything that was sent long after the last word of it", () => {
    const path = joined();
    path.onPeerGaveUp(1e6, "capped", 0);
    path.onSignOfLife(5.9e6);
    expect(path.status).toBe("capped");
    path.onPeerGaveUp(5.9e6, "capped", 0);
    path.onSignOfLife(10e6);
    expect(path.status).toBe("capped");
    path.onSignOfLife(10.9e6);
    expect([path.status, path.challengeDue(10.9e6)]).toEqual(["joining", true]);
    const other = joined();
    other.onPeerGaveUp(1e6, "capped", 0);
    other.onSignOfLife(1.1e6, true);
    expect(other.status).toBe("joining");
  });

  test("is a dead path's too, which is probed no more; an old word of it is none", () => {
    const path = joined();
    path.onPeerGaveUp(1e6, "silent", 0);
    path.onPeerGaveUp(2e6, "capped", 0);
    expect([path.status, path.nextAt]).toEqual(["capped", Number.POSITIVE_INFINITY]);
    const other = joined();
    for (let i = 0; i < 5; i++) sendData(other, 1e6 + i, i);
    acknowledge(other, 1e6 + RTT);
    other.onPeerGaveUp(1e6 + RTT, "capped", 3);
    expect(other.status).toBe("up");
  });

  test("is no word for a local, whose own caps they are", () => {
    const path = joined(0, true);
    path.onPeerGaveUp(1e6, "capped", 0);
    expect(path.status).toBe("suspect");
  });
});

describe("its own data cap", () => {
  const calendar = new Calendar("UTC", 1);
  const settings = { monthBytes: 1e6, dayBytes: null, overBytesPerSecond: 0, calendar };
  const meter = { sentWireBytes: 0, receivedWireBytes: 0, headerBytes: 28 };

  function capped(change: Partial<CapSettings> = {}): [path: Path, cap: Cap] {
    const cap = new Cap({ ...settings, ...change });
    cap.attach({ ...meter });
    return [joined(0, true, cap), cap];
  }

  test("lets it rest, and the peer hear of it again while it still sends", () => {
    const [path, cap] = capped();
    sendData(path, 1e6, 3);
    cap.allowances[0]!.restore(1e6, null, true, false);
    cap.attach(meter);
    path.onTimeout(1e6);
    expect(changes).toEqual(["up capped"]);
    expect([path.report.seen, path.report.due, affords(path, 1)]).toEqual(["capped", true, false]);
    path.report.onSent();
    path.onSignOfLife(1e6 + 1);
    expect(path.report.due).toBe(false);
    for (let now = 2e6; now < 3e6; now += 1e5) {
      path.onSignOfLife(now);
      expect(path.report.due).toBe(true);
      path.report.onSent();
    }
  });

  test("joins again when the cap allows it, without another word of the old one", () => {
    const [path, cap] = capped();
    sendData(path, 1e6, 3);
    cap.allowances[0]!.restore(1e6, null, true, false);
    cap.attach(meter);
    path.onTimeout(1e6);
    cap.allowances[0]!.restore(0, null, false, false);
    cap.attach(meter);
    path.onTimeout(2e6);
    expect(changes).toEqual(["up capped", "capped joining"]);
    expect([path.challengeDue(2e6), path.report.due]).toEqual([true, false]);
  });

  test("with a rate limits it, tells the peer until it answers, and gives back what was asked for", () => {
    const [path, cap] = capped({ overBytesPerSecond: 32_000 });
    const { congestion } = path.recovery;
    cap.allowances[0]!.restore(1e6, null, true, false);
    cap.attach(meter);
    path.onTimeout(1e6);
    expect([path.status, path.recovery.congestion.name, path.recovery.pacingRate]).toEqual([
      "up",
      "fixed",
      32_000,
    ]);
    expect([path.use.peerCongestion, path.use.peerRate]).toEqual(["fixed", 32_000]);
    for (const now of [1e6, 1e6 + CHALLENGE_INTERVAL]) {
      expect(path.challengeDue(now)).toBe(true);
      path.onChallengeSent(now, 7, 7);
    }
    expect(path.onAnswer(1.6e6, 7, 7)).toBe(true);
    expect(path.challengeDue(1e9)).toBe(false);
    cap.allowances[0]!.restore(0, null, false, false);
    cap.attach(meter);
    path.onTimeout(2e6);
    expect(path.recovery.congestion).toBe(congestion);
    expect([path.use.peerCongestion, path.use.peerRate, path.challengeDue(2e6)]).toEqual(["bbr", 0, true]);
  });
});
