/** The cipher suites of a portal that runs, with their speeds. */
import type { TunnelConfig } from "../config/config.ts";
import type { RatedSuite } from "../share/io.ts";
import { rate, takenSuites } from "../sys/aead.ts";
import { FAILED, StartFailure } from "./failure.ts";

/** As the configuration and the machine allow; at least one. */
export function suitesOf(tunnel: TunnelConfig): RatedSuite[] {
  const taken = takenSuites(tunnel);
  if (taken.length > 0) return rate(taken, Bun.nanoseconds);
  const advice = 'install OpenSSL 3 (Debian\'s package libssl3), or set cipher = "aes-256-gcm"';
  throw new StartFailure(`this machine has no ${tunnel.cipher}: ${advice}`, FAILED);
}
