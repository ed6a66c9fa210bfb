/**
 * Applies a changed configuration to a running portal, as far as that is possible without ending a flow: paths, peers, the
 * remotes, the log level. What is not possible is said, and waits for a restart. A configuration with faults changes
 * nothing.
 */
import type { Config, LocalConfig, PeerConfig, RemotePortalConfig } from "../config/config.ts";
import { SECOND } from "../proto/limits.ts";
import { Peer } from "../proto/peer.ts";
import type { Reloaded } from "../share/status.ts";
import type { Engine } from "./engine.ts";
import type { Local } from "./local.ts";
import type { AdjustableLog } from "./log.ts";
import { keyProblem } from "./remotes.ts";

/** Reads the configuration again: it, or what is wrong with it, as `portal check` would say it. */
export type LoadConfig = () => { readonly config: Config } | { readonly faults: string };

export class Reloader {
  /** What is in force: of what waits for a restart, the old. */
  private running: Config;
  private readonly load: LoadConfig;
  private readonly engine: Engine;
  private readonly local: Local | null;
  private readonly log: AdjustableLog;
  private readonly clock: () => number;

  constructor(
    config: Config,
    load: LoadConfig,
    engine: Engine,
    local: Local | null,
    log: AdjustableLog,
    clock: () => number,
  ) {
    this.running = config;
    this.load = load;
    this.engine = engine;
    this.local = local;
    this.log = log;
    this.clock = clock;
  }

  /** Does it, and says in the log and to whoever asked what came of it. */
  reload(): Reloaded {
    const loaded = this.checked();
    if ("faults" in loaded) {
      this.log.error("the changed configuration has faults, and the one before stays in force:");
      for (const line of loaded.faults.split("\n")) if (line.trim() !== "") this.log.error(line);
      return { applied: [], waiting: [], faults: loaded.faults };
    }
    const outcome = { ...this.apply(loaded.config), faults: null };
    if (outcome.applied.length + outcome.waiting.length === 0) this.log.info("reloaded: nothing has changed");
    for (const what of outcome.applied) this.log.info(`reloaded: ${what}`);
    for (const what of outcome.waiting) this.log.warn(`not reloaded: ${what} needs a restart`);
    return outcome;
  }

  private checked(): ReturnType<LoadConfig> {
    const loaded = this.load();
    if ("faults" in loaded || loaded.config.role !== "local") return loaded;
    const problem = keyProblem(loaded.config.remotes, this.engine.portal);
    return problem === null ? loaded : { faults: problem };
  }

  private apply(next: Config): { applied: string[]; waiting: string[] } {
    const before = this.running;
    if (before.role !== next.role) return { applied: [], waiting: ["role"] };
    const applied: string[] = [];
    if (before.logLevel !== next.logLevel) {
      applied.push(`log_level ${before.logLevel} -> ${next.logLevel}`);
      this.log.setLevel(next.logLevel);
    }
    if (before.tunnel.keepSeconds !== next.tunnel.keepSeconds) {
      applied.push(`[tunnel] keep_seconds ${before.tunnel.keepSeconds} -> ${next.tunnel.keepSeconds}`);
      this.engine.portal.keep = next.tunnel.keepSeconds * SECOND;
    }
    const common = {
      logLevel: next.logLevel,
      tunnel: { ...before.tunnel, keepSeconds: next.tunnel.keepSeconds },
    };
    if (before.role === "local" && next.role === "local") {
      applied.push(...this.applyLocal(before, next));
      // With another key of its own, or another secret, the remotes are such as fit to that.
      const remotes = same(before.keys, next.keys) ? next.remotes : before.remotes;
      this.running = { ...before, ...common, remotes, paths: next.paths };
    } else if (before.role === "remote" && next.role === "remote") {
      // With another key of its own, or another secret, the peers are such as fit to that.
      const fits = same(before.keys, next.keys);
      if (fits) applied.push(...this.applyPeers(before, next));
      this.running = { ...before, ...common, peers: fits ? next.peers : before.peers };
    }
    return { applied, waiting: differences(this.running, next) };
  }

  private applyLocal(before: LocalConfig, next: LocalConfig): string[] {
    const applied: string[] = [];
    if (same(before.keys, next.keys))
      applied.push(...this.local!.remotes.configure(this.clock(), next.remotes));
    // Also when nothing has changed in them: what commands have said is over.
    this.local!.paths.configure(this.clock(), next.paths);
    this.local!.onAsked();
    applied.push(...changes(before.paths, next.paths, (path) => path.interface, "path"));
    return applied;
  }

  private applyPeers(before: RemotePortalConfig, next: RemotePortalConfig): string[] {
    const { engine } = this;
    const keyOf = ({ publicKey }: { publicKey: Uint8Array }) => publicKey.join();
    const left = new Map(next.peers.map((config) => [keyOf(config), config]));
    for (const peer of [...engine.portal.peers]) {
      const key = keyOf(peer);
      const config = left.get(key);
      if (config === undefined) engine.removePeer(this.clock(), peer, "it is no peer any more");
      else peer.become(config.name, config.presharedKey, config.addresses, config.lease);
      left.delete(key);
    }
    for (const config of left.values()) engine.addPeer(peerOf(config));
    engine.portal.onPeersChanged();
    return changes(before.peers, next.peers, (peer) => peer.name, "peer");
  }
}

export function peerOf({ name, publicKey, presharedKey, addresses, lease }: PeerConfig): Peer {
  return new Peer(name, publicKey, presharedKey, addresses, lease);
}

/** What was added, removed and changed of things with names. */
function changes<T extends object>(
  before: readonly T[],
  next: readonly T[],
  nameOf: (thing: T) => string,
  word: string,
): string[] {
  const find = (list: readonly T[], name: string) => list.find((thing) => nameOf(thing) === name);
  const removed = before.filter((thing) => find(next, nameOf(thing)) === undefined);
  return [
    ...removed.map((thing) => `${word} ${nameOf(thing)} removed`),
    ...next.flatMap((thing) => {
      const name = nameOf(thing);
      const old = find(before, name);
      if (old === undefined) return [`${word} ${name} added`];
      const keys = differences(old, thing);
      return keys.length === 0 ? [] : [`${word} ${name} changed: ${keys.join(", ")}`];
    }),
  ];
}

/** The keys, as the file has them, by which two settings differ: `[tunnel] mtu`. */
function differences(a: object, b: object): string[] {
  const names = new Set([...Object.keys(a), ...Object.keys(b)]);
  const [left, right] = [a, b] as Record<string, unknown>[];
  return [...names].flatMap((name) => {
    const [x, y] = [left![name], right![name]];
    if (same(x, y)) return [];
    if (name !== "cap" && isSection(x) && isSection(y))
      return differences(x, y).map((key) => `[${name}] ${key}`);
    return [wordOf(name)];
  });
}

function isSection(value: unknown): value is object {
  return (
    value !== null && typeof value === "object" && !Array.isArray(value) && !(value instanceof Uint8Array)
  );
}

function same(a: unknown, b: unknown): boolean {
  return Bun.deepEquals(a, b);
}

/** The key of a file that a field comes from, where it is not the same word in lower case. */
const WORDS: Readonly<Record<string, string>> = {
  cap: "data caps",
  lease: "addresses given",
  remotes: "[remote]",
  upBytesPerSecond: "up",
  downBytesPerSecond: "down",
};

function wordOf(field: string): string {
  return WORDS[field] ?? field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
