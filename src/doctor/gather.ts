/** Gathers all facts, one after the other: those of the network first, then one second of measuring. Changes nothing. */
import type { Config, LocalConfig } from "../config/config.ts";
import type { Knocker } from "../proto/knock.ts";
import { offerOf } from "../proto/suites.ts";
import type { StatusReport } from "../share/status.ts";
import { rate, takenSuites } from "../sys/aead.ts";
import { createNoiseCrypto } from "../sys/crypto.ts";
import { interfaceIndex } from "../sys/netlink.ts";
import type { Facts, HostFacts } from "./judge/facts.ts";
import { clashesOf, conntrackFacts, kernelFacts, listenFacts, rightsFacts } from "./machine.ts";
import { findRemote, otherFacts, pathFacts, takerFacts } from "./paths.ts";
import { measureSpeed } from "./speed.ts";

/** Of the paths to the remote in use, or else to the first, and of the other remotes. */
async function waysOf(config: LocalConfig, knocker: Knocker, status: StatusReport | null) {
  const at = Math.max(0, status?.remotes?.findIndex((remote) => remote.status === "in use") ?? 0);
  const known = config.remotes[at] ?? config.remotes[0]!;
  const found = await findRemote(known, config.paths);
  const reports = status?.sessions.flatMap((session) => session.paths) ?? [];
  const upPaths = reports.filter((report) => report.status === "up").map(({ name }) => name);
  const ways = pathFacts(found, { config, known, ...knocker }, upPaths);
  const others = config.remotes.filter((remote) => remote !== known);
  const askers = others.map((other) => ({ config, known: other, ...knocker }));
  return { ...ways, others: await Promise.all(askers.map((asker) => otherFacts(asker))) };
}

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
  const able = takenSuites(config.tunnel);
  const missing = able.length === 0 ? config.tunnel.cipher : null;
  const taken = missing === null ? able : takenSuites({ privacy: true, cipher: "auto" });
  const offer = offerOf(rate(taken, Bun.nanoseconds));
  const runs = status !== null;
  const knocker = { crypto, statics, offer };
  const ways =
    config.role === "local"
      ? await waysOf(config, knocker, status)
      : { paths: [], absent: [], remote: null, others: [] };
  return {
    role: config.role,
    status,
    ownPublicKey: Buffer.from(statics.publicKey).toString("base64"),
    tunnel: {
      interface: config.tunnel.interface,
      mtu: config.tunnel.mtu,
      mtuFixed: config.tunnel.mtuFixed,
      ipv6: config.tunnel.addresses.some(({ bytes }) => bytes.length === 16),
      taken: !runs && interfaceIndex(config.tunnel.interface) !== 0,
      clashes: clashesOf(config.tunnel),
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
    speed: measureSpeed(taken, missing, config.tunnel),
  };
}
