/**
 * The remotes of a local, of which one is used (proto/choice.ts): what their names mean, how the others are asked, and the
 * change from one to another. A change is a new session: the one before ends with a goodbye, and every path begins anew
 * towards the other remote. What portal has changed on the machine names no remote, and stays as it is.
 */
import type { RemoteConfig } from "../config/config.ts";
import { Choice, Standing } from "../proto/choice.ts";
import { SECOND } from "../proto/limits.ts";
import { ONLY_REMOTE, Peer } from "../proto/peer.ts";
import { type Portal, sameBytes } from "../proto/portal.ts";
import { SAME_SUITES } from "../proto/suites.ts";
import type { Endpoint } from "../share/endpoint.ts";
import type { RemoteReport } from "../share/status.ts";
import { formatEndpoint } from "../wire/address.ts";
import { INITIATION_BYTES } from "../wire/handshake.ts";
import type { Engine, LocalPath } from "./engine.ts";
import type { Knocks, Outcome } from "./knocks.ts";
import type { Log } from "./log.ts";
import type { PathManager, PathSocket } from "./pathmanager.ts";
import { type Resolve, Resolver } from "./resolver.ts";

/** While nobody answers, a remote is asked by so many paths at once, and otherwise by one. */
const SPREAD_URGENT = 4;
/** One that has answered before is silent only after so many tries, since a message may be lost. */
const TRIES_STEADY = 3;
/** More than any metric. */
const BEYOND_METRICS = 2 ** 16;

/** What a remote answers that is of no use, for status. */
const MISFITS: { readonly [outcome in Outcome]?: RemoteReport["status"] } = {
  refused: "other cipher",
  unreadable: "other pre-shared key",
};

interface Remote {
  config: RemoteConfig;
  readonly peer: Peer;
  readonly standing: Standing;
  readonly resolver: Resolver;
  endpoints: readonly Endpoint[];
  /** What came of asking it last, and which of its misfits the log has told. */
  outcome: Outcome;
  told: Outcome | null;
  /** How often it has not answered: it is asked by the next of equally good paths then. */
  turns: number;
}

/** What of an engine has to do with remotes. */
export type RemoteEngine = Pick<Engine, "portal" | "changeRemote" | "pathOf">;

/** What remotes stand on. */
export interface Surroundings {
  readonly engine: RemoteEngine;
  readonly paths: Pick<PathManager<PathSocket>, "setRemotes" | "paths" | "names" | "waiting">;
  readonly knocks: Knocks;
  readonly log: Log;
  readonly resolve: Resolve;
  /** Microseconds. */
  readonly clock: () => number;
}

export class Remotes {
  private readonly around: Surroundings;
  private list: Remote[];
  private used: Remote;
  private readonly choice: Choice;

  /** The engine's peer is the first of them. */
  constructor(configs: readonly RemoteConfig[], around: Surroundings) {
    this.around = around;
    const { peers } = around.engine.portal;
    this.list = configs.map((config, i) =>
      this.remoteOf(config, configs.length > 1, i === 0 ? peers[0] : undefined),
    );
    this.used = this.list[0]!;
    this.choice = new Choice(
      around.clock(),
      this.list.map(({ standing }) => standing),
    );
  }

  /** Looks up the name of the one in use. */
  begin(): void {
    this.used.resolver.ask();
  }

  /** Another name server, say, may be in reach. */
  hurry(now: number): void {
    if (this.used.resolver.waits) this.used.resolver.hurry(now);
  }

  /** Every second or so. */
  onTick(now: number): void {
    const { engine, paths, knocks } = this.around;
    const up = engine.portal.sessions[0]?.isUp ?? false;
    this.used.resolver.onTick(now, up);
    // While there is a way to ask: when they are needed there may be none.
    if (up) for (const { resolver } of this.list) if (resolver.waits) resolver.onTick(now, false);
    knocks.onTick(now);
    const able = this.unknown ? paths.names.length > 0 : paths.paths.some(mayCarry);
    const turn = this.choice.onTick(now, up, able);
    if (turn !== null) this.turn(now, this.list.find(({ standing }) => standing === turn.to)!, turn.why);
    for (const due of this.choice.due(now)) {
      this.ask(now, this.list.find(({ standing }) => standing === due)!);
    }
  }

  /** The list has changed: what of it, in words. The one in use stays so as long as it stands in the list. */
  configure(now: number, configs: readonly RemoteConfig[]): string[] {
    const several = configs.length > 1;
    const left = [...this.list];
    const take = (fits: (remote: Remote) => boolean): Remote | undefined => {
      const at = left.findIndex(fits);
      return at < 0 ? undefined : left.splice(at, 1)[0];
    };
    // The very same first: of those with one key, one may have moved.
    const same = configs.map((config) =>
      take((old) => sameKey(old.config, config) && textOf(old.config) === textOf(config)),
    );
    const found = configs.map((config, i) => same[i] ?? take((old) => sameKey(old.config, config)));
    const before = this.list;
    const applied = found.flatMap((old, i) => {
      const config = configs[i]!;
      return old === undefined ? [`remote ${textOf(config)} added`] : this.update(old, config, several);
    });
    this.list = found.map((old, i) => old ?? this.remoteOf(configs[i]!, several));
    for (const { config, peer, resolver } of this.list) {
      peer.name = nameOf(config, several);
      resolver.name = labelOf(config, several);
    }
    const stayed = before.filter((each) => this.list.includes(each));
    if (!inOrder(stayed, this.list)) applied.push("remotes in another order");
    this.choice.change(
      now,
      this.list.map(({ standing }) => standing),
    );
    if (!this.list.includes(this.used)) {
      this.lead(now, this.list[0]!, "its remote stands in the configuration no more");
    }
    return [...left.map(({ config }) => `remote ${textOf(config)} removed`), ...applied];
  }

  report(now: number): RemoteReport[] {
    return this.list.map(({ config, standing, outcome }): RemoteReport => {
      const { answers, since, askedAt, rest } = standing;
      const common = { endpoint: textOf(config), returnSeconds: seconds(rest) };
      if (standing === this.choice.used) {
        const sinceSeconds = seconds(now - this.choice.usedSince);
        return { ...common, status: "in use", sinceSeconds, askedSeconds: null };
      }
      if (answers === null) return { ...common, status: "not asked", sinceSeconds: null, askedSeconds: null };
      const status = answers ? "answers" : (MISFITS[outcome] ?? "silent");
      return { ...common, status, sinceSeconds: seconds(now - since), askedSeconds: seconds(now - askedAt) };
    });
  }

  get several(): boolean {
    return this.list.length > 1;
  }

  /** Nobody knows yet where the one in use is: then there is no path either. */
  private get unknown(): boolean {
    return this.used.endpoints.length === 0;
  }

  private remoteOf(config: RemoteConfig, several: boolean, peer?: Peer): Remote {
    const { log, resolve, clock, paths } = this.around;
    const found = (endpoints: Endpoint[]): void => {
      remote.endpoints = endpoints;
      if (remote === this.used) paths.setRemotes(clock(), endpoints);
    };
    const remote: Remote = {
      config,
      peer: peer ?? peerFor(config, several),
      standing: new Standing(config.returnSeconds * SECOND),
      resolver: new Resolver(config.host, config.port, log, found, resolve, labelOf(config, several)),
      endpoints: [],
      outcome: "silent",
      told: null,
      turns: 0,
    };
    return remote;
  }

  private ask(now: number, remote: Remote): void {
    const { standing } = remote;
    remote.resolver.onTick(now, standing.answers === true);
    const { endpoints } = remote;
    const paths = this.unknown ? this.around.paths.waiting : this.ways(remote.turns);
    // Where all paths have data caps, none of them can ask before it has a remote: an address is better than none.
    if (this.unknown && paths.length === 0 && endpoints.length > 0) {
      this.onOutcome(now, remote, "answered");
      return;
    }
    if (endpoints.length === 0 || paths.length === 0) {
      this.onOutcome(now, remote, "silent");
      return;
    }
    const tries = standing.answers === true ? TRIES_STEADY : 1;
    const spread = this.choice.urgent ? SPREAD_URGENT : 1;
    const done = (at: number, outcome: Outcome): void => this.onOutcome(at, remote, outcome);
    // Of several addresses one may lead nowhere: another is the first once every path has had its turn.
    const first = turned(endpoints, Math.floor(remote.turns / paths.length));
    this.around.knocks.begin(now, { remote: remote.peer, endpoints: first, paths, spread, tries, done });
  }

  /** Tells of a remote that answers and is of no use: once, until it is of use. */
  private onOutcome(now: number, remote: Remote, outcome: Outcome): void {
    const { choice } = this;
    const { standing, config, told } = remote;
    remote.outcome = outcome;
    if (outcome === "answered") {
      remote.told = null;
      choice.onAnswer(now, standing);
      return;
    }
    remote.turns++;
    choice.onSilence(now, standing);
    if (outcome === "silent" || outcome === told) return;
    remote.told = outcome;
    const name = textOf(config);
    this.around.log.warn(
      outcome === "refused"
        ? `remote ${name} refuses this portal's cipher: ${SAME_SUITES}`
        : `remote ${name} has another pre-shared key: set the same preshared_key on both sides`,
    );
  }

  /**
   * The paths by which a remote may be asked, the best first: one that is up, of a low metric, without a data cap. At each of
   * the `turns` another one of those is the first that would be used now: the remote may be in reach of one only, also of one
   * with a data cap. Not of a backup path, by which everything would have to go then while a better one is up.
   */
  private ways(turns: number): LocalPath[] {
    const { engine, paths } = this.around;
    const rank = (path: LocalPath): number => {
      const down = engine.pathOf(path)?.status === "up" ? 0 : 1;
      return down * BEYOND_METRICS + path.use.metric;
    };
    const capped = ({ cap }: LocalPath): number => (cap === null ? 0 : 1);
    const able = paths.paths.filter(
      (path) => mayCarry(path) && path.cap?.affords(INITIATION_BYTES) !== false,
    );
    const sorted = able.toSorted((a, b) => rank(a) - rank(b) || capped(a) - capped(b));
    const best = sorted.filter((path) => rank(path) === rank(sorted[0]!));
    return [...turned(best, turns), ...sorted.slice(best.length)];
  }

  private turn(now: number, to: Remote, why: "silent" | "steady"): void {
    const { log } = this.around;
    const [old, other] = [textOf(this.used.config), textOf(to.config)];
    if (why === "silent")
      log.warn(`remote ${old} does not answer any more, and ${other} does: it is used from now on`);
    else
      log.info(
        `remote ${other} has answered for ${seconds(to.standing.rest)} s: it is used again, not ${old}`,
      );
    this.lead(
      now,
      to,
      why === "silent" ? "its remote does not answer any more" : "a remote before it is back",
    );
  }

  private lead(now: number, to: Remote, reason: string): void {
    const { engine, paths } = this.around;
    // What it answered before it was used is no longer so.
    this.used.outcome = "silent";
    this.used = to;
    engine.changeRemote(now, to.peer, reason);
    paths.setRemotes(now, to.endpoints, "another remote is used");
    if (to.endpoints.length === 0) to.resolver.ask();
  }

  private update(remote: Remote, config: RemoteConfig, several: boolean): string[] {
    const before = remote.config;
    const { standing } = remote;
    remote.config = config;
    const applied: string[] = [];
    const whose = several ? `remote ${textOf(config)}: ` : "[remote] ";
    if (textOf(before) !== textOf(config)) {
      applied.push(`[remote] endpoint ${textOf(before)} -> ${textOf(config)}`);
      remote.resolver.change(config.host, config.port);
    }
    if (!sameBytes(before.presharedKey, config.presharedKey)) {
      applied.push(`${whose}preshared_key, with the next handshake`);
      remote.peer.presharedKey = config.presharedKey;
      remote.told = null;
    }
    if (before.returnSeconds !== config.returnSeconds) {
      applied.push(`${whose}return_seconds ${before.returnSeconds} -> ${config.returnSeconds}`);
      standing.settle = config.returnSeconds * SECOND;
      standing.rest = standing.settle;
    }
    return applied;
  }
}

/** Everything that enters the local's TUN is the remote's, and the remote speaks for the whole Internet. */
const EVERYWHERE = [
  { bytes: new Uint8Array(4), length: 0 },
  { bytes: new Uint8Array(16), length: 0 },
];

export function peerFor(config: RemoteConfig, several: boolean): Peer {
  return new Peer(nameOf(config, several), config.publicKey, config.presharedKey, EVERYWHERE);
}

/** What is wrong with the keys of these remotes that only a calculation shows; null when nothing is. */
export function keyProblem(
  remotes: readonly RemoteConfig[],
  { environment: { crypto }, statics: { privateKey } }: Pick<Portal, "environment" | "statics">,
): string | null {
  const wrong = remotes.find(({ publicKey }) => crypto.sharedSecret(privateKey, publicKey) === null);
  if (wrong === undefined) return null;
  const which = remotes.length > 1 ? ` of ${textOf(wrong)}` : "";
  const advice = 'write what "portal pubkey" prints of the remote\'s private key';
  return `[remote] public_key${which} belongs to no private key: ${advice}`;
}

function nameOf(config: RemoteConfig, several: boolean): string {
  return several ? textOf(config) : ONLY_REMOTE;
}

/** In the log. */
function labelOf(config: RemoteConfig, several: boolean): string {
  return several ? `remote ${textOf(config)}` : "the remote";
}

function textOf({ host, port }: RemoteConfig): string {
  return formatEndpoint(host, port);
}

function sameKey(a: RemoteConfig, b: RemoteConfig): boolean {
  return sameBytes(a.publicKey, b.publicKey);
}

function inOrder(some: readonly Remote[], all: readonly Remote[]): boolean {
  return some.every((each, i) => i === 0 || all.indexOf(some[i - 1]!) < all.indexOf(each));
}

/** Its interface is there, and no data cap forbids it. */
function mayCarry({ state, cap }: LocalPath): boolean {
  return state === "up" && cap?.rests !== true;
}

/** The same list, so many places further on. */
function turned<Item>(list: readonly Item[], places: number): Item[] {
  const first = list.length === 0 ? 0 : places % list.length;
  return [...list.slice(first), ...list.slice(0, first)];
}

function seconds(micros: number): number {
  return Math.round(micros / SECOND);
}
