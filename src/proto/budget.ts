/**
 * What may leave on a path whose data cap ends it: by our own cap on the local, by the credit that it was given on the remote
 * (proto/credit.ts); and the challenges that give it. Without such a cap everything may.
 */
import { CHALLENGE_BYTES, type ChallengeMessage } from "../wire/control.ts";
import { MIN_DATAGRAM_BYTES } from "../wire/datagram.ts";
import type { Cap } from "./cap.ts";
import { ACKS, ANSWERS, type Credit, WORDS } from "./credit.ts";
import { ANSWERED } from "./failure.ts";
import { CHALLENGE_INTERVAL, MILLISECOND } from "./limits.ts";
import type { Path } from "./path.ts";

/** Challenges without an answer after which another one gives some more credit, to answer with. */
const VAIN = 3;
/** The wait for an answer doubles so often: a path that lives again is not to wait for long. */
const MOST_DOUBLINGS = 4;
/** So much longer than two round trips a remote may lack credit before it says so. */
const STARVING = 250 * MILLISECOND;

/** True when a datagram of so many bytes may leave, after `unsent` bytes of IP packets: something is left for what matters more. */
export function affords({ cap, grant, recovery }: Path, bytes: number, unsent = 0): boolean {
  return cap === null
    ? grant.affords(bytes + ANSWERS, recovery)
    : cap.affords(bytes + (cap.ends ? WORDS : 0), unsent);
}

/** True when an answer, or the remote's challenge, may leave: for these it is left. */
export function affordsWord({ cap, grant, recovery }: Path, bytes: number): boolean {
  return cap === null ? grant.affords(bytes, recovery) : cap.affords(bytes);
}

/** True when a full-sized datagram with data may leave, and some acknowledgements after it. */
export function affordsData(path: Path, unsent = 0): boolean {
  return affords(path, path.datagram + ACKS, unsent);
}

/** A challenge is due. True when it may leave; otherwise it waits. */
export function mayChallenge(now: number, path: Path): boolean {
  const { challenge, cap } = path;
  // The answers may have used up the credit that they came with.
  const vain = cap?.ends === true && path.status !== "joining" && cap.credit.tries >= VAIN;
  if (vain && cap.affordsChallenge(true)) challenge.renew(now);
  const bytes = MIN_DATAGRAM_BYTES + CHALLENGE_BYTES;
  if (cap === null ? affordsWord(path, bytes) : cap.affordsChallenge(!challenge.isOpen)) return true;
  challenge.delay(now, CHALLENGE_INTERVAL);
  cap?.onSilenced();
  return false;
}

/** A challenge leaves that gives credit, of a path that is not joining. Each costs of what is left, and a dead path answers none. */
export function onCreditSent(now: number, { challenge, recovery }: Path, credit: Credit): void {
  const interval = CHALLENGE_INTERVAL + 2 * recovery.rtt.srtt;
  challenge.delay(now, interval * 2 ** Math.min(credit.tries++, MOST_DOUBLINGS));
}

/** Fills in what the challenge is to say that leaves. */
export function fillChallenge(
  { challenge, cap, use, metric, spill, socket }: Path,
  to: ChallengeMessage,
): void {
  to.tokenHigh = challenge.tokenHigh;
  to.tokenLow = challenge.tokenLow;
  to.metric = metric;
  to.spill = spill;
  to.metered = cap !== null;
  to.congestion = use.peerCongestion;
  to.rate = use.peerRate;
  to.header = socket.headerBytes;
  to.credit = cap?.ends === true ? cap.credit.given : null;
}

/** The local says how its path is to be used on the way back. False: it has said something newer already. */
export function onTold(path: Path, packetNumber: number, message: ChallengeMessage): boolean {
  if (!path.grant.onChallenge(packetNumber, message, path.recovery)) return false;
  path.metric = message.metric;
  path.spill = message.spill;
  return true;
}

/** The remote asks how a path is to be used: it may have forgotten one that had failed, or want credit. */
export function onAsked(now: number, path: Path): void {
  const { cap, status, reason } = path;
  if (status === "joining") return;
  if (cap?.ends === true ? cap.credit.given === null : reason !== ANSWERED) path.retell(now);
}

/** Something waits that a starved path might carry. The local hears of it, by a challenge, when that lasts: when to look again. */
export function onStarved(now: number, path: Path): number {
  const { recovery, status, challenge } = path;
  if (path.connected) return Number.POSITIVE_INFINITY;
  const lasts = STARVING + 2 * recovery.rtt.srtt;
  if (now < path.starvedSince + lasts) return path.starvedSince + lasts;
  path.starvedSince = now;
  // Answers are to be possible after that.
  if (status === "up" && affordsWord(path, MIN_DATAGRAM_BYTES + CHALLENGE_BYTES + ANSWERS / 2))
    challenge.renew(now);
  return now + lasts;
}

/** The path has another data cap, or none. What the peer was given by the last one it may still send. */
export function changeCap(now: number, path: Path, cap: Cap | null): void {
  const owed = path.cap?.credit.outstanding ?? 0;
  path.cap = cap;
  cap?.begin(now, path.reception.window.largest + 1, path.datagram, true);
  cap?.credit.expect(now, owed);
  path.retell(now);
}

/** What the local's cap, if it has one now, says of its path. `wanted`: something waits to be sent. */
export function heed(now: number, path: Path, wanted: boolean): void {
  const { cap, status, challenge } = path;
  if (cap !== null) {
    cap.credit.wanted = wanted;
    cap.credit.onTimeout(now);
    cap.check(path.datagram);
    if (status === "up" && cap.isCreditDue && challenge.at > now) challenge.renew(now);
  }
  if (cap?.rests !== true && status === "capped") path.rejoin(now, "its data cap allows it again");
  else if (cap?.rests === true && status !== "capped") path.rest(now, cap.reason);
  const rate = cap?.rate ?? 0;
  if (rate === path.use.rate) return;
  path.use.limit(rate);
  path.retell(now);
}
