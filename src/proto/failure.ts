/** Why a path was given up, or rests: in words, and as the peer is told (wire/control.ts). */
import type { InterfaceState } from "../share/io.ts";
import type { PathSeen } from "../wire/control.ts";
import { REPORTS } from "./limits.ts";

/** Why a path is up that has joined and not failed since. */
export const ANSWERED = "answered";

export const PEER_SAYS: Readonly<Record<PathSeen, string>> = {
  silent: "the peer says: silent",
  refused: "the peer says: its kernel cannot send on it",
  interfaceDown: "the peer says: its interface is down",
  capped: "the peer says: its data cap is reached",
};

export const INTERFACE_IS: Readonly<Record<InterfaceState, string>> = {
  up: "its interface is up",
  down: "its interface is down",
  "no carrier": "its interface has no carrier",
  missing: "its interface is gone",
};

const INTERFACE_WAS: Readonly<Record<InterfaceState, string>> = {
  up: INTERFACE_IS.up,
  down: "its interface was down",
  "no carrier": "its interface had no carrier",
  missing: "its interface was gone",
};
export const CANNOT_SEND = "the kernel cannot send on it";

/** A path's reason once its interface is up again; `refused`: and once the kernel refuses to send on it all the same. */
export function sinceUp(reason: string | null, refused = false): string | null {
  let text = reason;
  for (const state of ["down", "no carrier", "missing"] as const) {
    if (refused) text = text?.replace(INTERFACE_WAS[state], CANNOT_SEND) ?? null;
    else text = text?.replace(INTERFACE_IS[state], INTERFACE_WAS[state]) ?? null;
  }
  return text;
}

/** What the peer is told, over the other paths, of a path that was given up: REPORTS times, since each may be lost. */
export class FailureReport {
  seen: PathSeen = "silent";
  private left = 0;
  private now = false;

  /** `seen`: what we saw ourselves; null when it was the peer who told us. */
  onGivenUp(seen: PathSeen | null): void {
    this.seen = seen ?? "silent";
    this.left = seen === null ? 0 : REPORTS;
    this.now = true;
  }

  /** Again with the next probes of the path. */
  onProbe(): void {
    this.now = true;
  }

  /** The peer seems not to have heard it: once more. */
  repeat(seen: PathSeen): void {
    this.seen = seen;
    this.left = Math.max(this.left, 1);
    this.now = true;
  }

  get due(): boolean {
    return this.now && this.left > 0;
  }

  onSent(): void {
    this.left--;
    this.now = false;
  }

  onReturned(): void {
    this.left = 0;
  }
}
