/** When BBR's startup has found the path's rate: rounds as a path would report them. */
import { expect, test } from "bun:test";
import { ACK_BUDGET } from "../../src/proto/bursts.ts";
import { MILLISECOND } from "../../src/proto/limits.ts";
import { Round } from "../../src/proto/round.ts";
import { Startup } from "../../src/proto/startup.ts";

const RTT = 40 * MILLISECOND;
const RATE = 1_000_000;
/** More in flight than this may be a queue. */
const PIPE = 60_000;

function round(of: Partial<Round>): Round {
  return Object.assign(new Round(), { rtt: RTT, ...of });
}

/** Rounds at the same rate, each as `of` says: how many until startup ends; `most` when it does not. */
function roundsUntilFound(of: Partial<Round>, most = 50): number {
  const startup = new Startup();
  startup.onRound(round({ ...of, mostInFlight: 40_000, limited: true, full: false }), RATE, RTT, PIPE);
  for (let i = 1; i <= most; i++) if (startup.onRound(round(of), RATE, RTT, PIPE)) return i;
  return most;
}

test("three rounds with enough to send that bring no more", () => {
  expect(roundsUntilFound({ limited: false })).toBe(3);
  expect(roundsUntilFound({ limited: true, full: true })).toBe(3);
});

test("never for want of something to send", () => {
  expect(roundsUntilFound({ limited: true, mostInFlight: PIPE - 1 })).toBe(50);
});

test("a rate that grows begins anew", () => {
  const startup = new Startup();
  for (let rate = RATE; rate < 1000 * RATE; rate *= 1.25)
    expect(startup.onRound(round({ limited: false }), rate, RTT, PIPE)).toBe(false);
});

test("a queue in place of a greater rate: more in flight, and all of it takes longer", () => {
  expect(roundsUntilFound({ mostInFlight: PIPE, rtt: 1.1 * RTT + MILLISECOND + 1 })).toBe(2);
  expect(roundsUntilFound({ mostInFlight: PIPE - 1, rtt: 2 * RTT })).toBe(50);
});

test("queues that come and go: six rounds with one", () => {
  expect(roundsUntilFound({ mostInFlight: PIPE })).toBe(6);
});

test("rounds that were held up say nothing, unless it goes on", () => {
  const queue = { mostInFlight: PIPE, rtt: 2 * RTT };
  expect(roundsUntilFound({ limited: false, silence: RTT + ACK_BUDGET })).toBe(3);
  expect(roundsUntilFound({ limited: false, silence: RTT + ACK_BUDGET + 1 })).toBe(6 + 3);
  expect(roundsUntilFound({ ...queue, silence: 2 * RTT })).toBe(6 + 2);
});

test("after `begin` nothing is known", () => {
  const startup = new Startup();
  for (let i = 0; i < 3; i++) startup.onRound(round({ limited: false }), RATE, RTT, PIPE);
  startup.begin();
  expect(startup.onRound(round({ limited: false }), RATE / 10, RTT, PIPE)).toBe(false);
});
