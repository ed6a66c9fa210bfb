/**
 * Congestion control of one path, by event. An implementation sees what was sent, acknowledged and lost, and answers
 * two questions: how much may be in flight, and how fast it may leave. It keeps no packets and reads no clock.
 *
 * Sizes are bytes of UDP payload; times are microseconds.
 */
import type { RateSample } from "./ratesample.ts";

export interface Congestion {
  readonly name: string;
  /** Bytes that may be in flight. */
  readonly window: number;
  /** True while it has not yet found what the path carries: it sends more each round trip. */
  readonly searching: boolean;
  /** True while it sends little for a moment, to learn the path's least round trip. */
  readonly pausing: boolean;
  /** Its own queue is gone now and then, however long it is busy. */
  readonly drains: boolean;
  /** By how much the delay varies: a round trip takes the least and up to so much longer. Null while that is not known. */
  readonly variation: number | null;
  /** Bytes per second that the path is known to carry. */
  rateKnown(srtt: number): number;
  /** Bytes per second at which they may leave. */
  pacingRate(srtt: number): number;
  /** A packet left. `inFlight` includes it. */
  onSent(now: number, bytes: number, inFlight: number): void;
  /** A packet sent at `sentAt` arrived. `limited`: the window, not a lack of data, held the sender back. */
  onAcked(now: number, bytes: number, sentAt: number, rtt: number, limited: boolean): void;
  /** What is lost from now on may be no sign of congestion. Told before the `onLost` of the first of it. */
  onDoubtfulLoss(): void;
  /** It was none: what has been taken for it since is given back. */
  onNoCongestion(): void;
  /** A packet sent at `sentAt` was lost. */
  onLost(now: number, bytes: number, sentAt: number): void;
  /** An acknowledgement has been taken whole: what it tells of the path's rate. After its `onAcked` and `onLost`. */
  onRate(now: number, sample: RateSample): void;
  /** The path fell silent and everything in flight was given up. */
  onTimeout(now: number): void;
}
