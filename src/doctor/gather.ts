/** Gathers all facts, one after the other: those of the network first, then one second of measuring. Changes nothing. */
import type { Config } from "../config/config.ts";
import type { StatusReport } from "../share/status.ts";
import { chooseSuites } from "../sys/aead.ts";
import { createNoiseCrypto } from "../sys/crypto.ts";
import { interfaceIndex } from "../sys/netlink.ts";
import type { Facts, HostFacts } from "./judge/facts.ts";
import { conntrackFacts, kernelFacts, listenFacts, rightsFacts } from "./machine.ts";
import { findRemote, pathFacts, takerFacts } from "./paths.ts";
import { measureSpeed } from "./speed.ts";

/**
 * `status`: what the portal that runs with this configuration says; null when none does. `start`: what it would have
 * to do with the changes of this machine. `year`: the clock's.
 */
export async function gather(
  config: Config,
  status: StatusReport | null,
  start: Pick<HostFacts, "problem" | "left" | "obstacles">,
  year: number,
): Promise<Facts> {
  const { privateKey } = config.keys;
  const crypto = createNoiseCrypto();
  const statics = { privateKey, publicKey: crypto.publicKey(privateKey) };
  const suites = chooseSuites();
  const suite = config.tunnel.privacy ? suites.aes : suites.blake2s;
  const runs = status !== null;
  const ways =
    config.role === "local"
      ? pathFacts(await findRemote(config), { config, crypto, statics, suiteId: suite.id }, runs)
      : { paths: [], absent: [], remote: null };
  return {
    role: config.role,
    status,
    ownPublicKey: Buffer.from(statics.publicKey).toString("base64"),
    tunnel: {
      interface: config.tunnel.interface,
      mtu: config.tunnel.mtu,
      ipv6: config.tunnel.addresses.some(({ bytes }) => bytes.length === 16),
      taken: !runs && interfaceIndex(config.tunnel.interface) !== 0,
    },
    host: {
      forwarding: config.host.forwarding,
      looseRpFilter: config.host.looseRpFilter,
      routes: config.host.routes.length + config.host.handovers.length > 0,
      ...start,
    },
    kernel: kernelFacts(config.tunnel),
    rights: rightsFacts(),
    year,
    caps: config.role === "local" && config.paths.some(({ cap }) => cap !== null),
    conntrack: conntrackFacts(),
    ...ways,
    listen: config.role === "remote" ? listenFacts(config, runs) : null,
    ...takerFacts(),
    speed: measureSpeed(suite, config.tunnel),
  };
}
