/**
 * Which cipher suite two portals use: the one that is fastest for the slower of the two. Each tells, inside the sealed
 * payloads of the handshake (proto/noise.ts), which suites it takes and how fast it does each; the remote chooses. Who
 * changes any of that on the way breaks a seal, and there is no session.
 *
 *   id  name               bytes
 *    1  aes-256-gcm        sealed
 *    2  blake2s            readable, only where both are configured so: never offered beside another
 *    3  chacha20-poly1305  sealed
 *
 * A portal that knows of no speeds tells one id and nothing else; that one is used, or none.
 */
import type { CipherSuite, RatedSuite } from "../share/io.ts";

export const AES_256_GCM = 1;
export const BLAKE2S = 2;
export const CHACHA20_POLY1305 = 3;

const NAMES: Readonly<Record<number, string>> = {
  [AES_256_GCM]: "aes-256-gcm",
  [BLAKE2S]: "blake2s",
  [CHACHA20_POLY1305]: "chacha20-poly1305",
};

/** Speed classes 1 to 15: from 100 Mbit/s to 70 Gbit/s, each 1.6 times the one before. Less is no difference. */
const SPEED_MOST = 15;
const SPEED_STEP = 1.6;
const SPEED_BASE_MBIT = 60;

/** The class of a speed of one thread. */
export function speedClass(mbit: number): number {
  const found = Math.round(Math.log(mbit / SPEED_BASE_MBIT) / Math.log(SPEED_STEP));
  return Math.min(Math.max(found, 1), SPEED_MOST);
}

/** What a speed class stands for. */
export function speedOfClass(speed: number): number {
  return SPEED_BASE_MBIT * SPEED_STEP ** speed;
}

/** What one portal tells the other: the suite for who knows of no speeds, and the speeds, a half byte each; 0 = not taken. */
export interface Offer {
  readonly suiteId: number;
  readonly aesSpeed: number;
  readonly chachaSpeed: number;
}

/** The offer of these suites; the first is for peers that know of no speeds. */
export function offerOf(suites: readonly RatedSuite[]): Offer {
  const speedOf = (wanted: number) => suites.find(({ id }) => id === wanted)?.speed ?? 0;
  return {
    suiteId: suites[0]!.id,
    aesSpeed: speedOf(AES_256_GCM),
    chachaSpeed: speedOf(CHACHA20_POLY1305),
  };
}

/**
 * The suite for both: the fastest for the slower portal; of equals the fastest for the other one; of equals the first of
 * `own`. Null when there is none that both take.
 */
export function choose<Suite extends CipherSuite & { readonly speed: number }>(
  own: readonly Suite[],
  offer: Offer,
): Suite | null {
  let best: Suite | null = null;
  let slower = 0;
  let faster = 0;
  for (const suite of own) {
    const other = speedIn(offer, suite.id);
    const least = Math.min(suite.speed, other);
    const most = Math.max(suite.speed, other);
    if (other === 0 || least < slower || (least === slower && most <= faster)) continue;
    best = suite;
    slower = least;
    faster = most;
  }
  return best;
}

/** 0: the other portal does not take it. */
function speedIn({ suiteId, aesSpeed, chachaSpeed }: Offer, id: number): number {
  if (aesSpeed === 0 && chachaSpeed === 0) return id === suiteId ? 1 : 0;
  if (id === AES_256_GCM) return aesSpeed;
  return id === CHACHA20_POLY1305 ? chachaSpeed : 0;
}

/** What an operator is to do when there is none that both take. */
export const SAME_SUITES = 'set the same "cipher" and "privacy" on both sides';

/** The suites of an offer in words. */
export function namesIn(offer: Offer): string {
  const ids = [AES_256_GCM, BLAKE2S, CHACHA20_POLY1305].filter((id) => speedIn(offer, id) > 0);
  return ids.length === 0 ? "none that is known here" : ids.map(suiteName).join(" or ");
}

export function suiteName(id: number): string {
  return NAMES[id] ?? `suite ${id}`;
}
