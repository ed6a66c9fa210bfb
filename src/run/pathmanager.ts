/**
 * The path manager of a local portal: which paths there are. Asked for are those of the configuration and those that
 * `portal path` has added; each is a name or a pattern (config/glob.ts). There is a path for each interface that is both
 * there and asked for, as long as it is both; it ends when the interface is deleted, and begins anew when one of its name
 * is made again.
 *
 * It decides for any kernel: news of interfaces, addresses of the remote and commands come in, and sockets are made by
 * whoever runs it.
 */
import type { CapConfig, PathConfig } from "../config/config.ts";
import { isGlob, means } from "../config/glob.ts";
import { MAX_PATHS } from "../proto/limits.ts";
import type { Endpoint } from "../share/endpoint.ts";
import type { DatagramSocket, InterfaceNews, InterfaceState } from "../share/io.ts";
import type { AskedReport } from "../share/status.ts";
import type { Caps } from "./caps.ts";
import type { Engine, LocalPath, PathUse } from "./engine.ts";
import type { Log } from "./log.ts";

export interface PathSocket extends DatagramSocket {
  /** Its interface had a route to its peer when that was last looked for. */
  readonly routed: boolean;
  /** True when it has one to this address. */
  reaches(remote: Endpoint): boolean;
  close(): void;
}

/** A socket bound to an interface and connected to one of the remote's addresses. Throws when it cannot be had. */
export type OpenSocket<Socket extends PathSocket> = (name: string, remotes: readonly Endpoint[]) => Socket;

/** One `[[path]]`, or what stands in its place. */
interface Asked {
  readonly path: PathConfig;
  readonly by: "configuration" | "command";
}

/** What a command says of an interface or of an entry, beside what was asked for it; of an interface it counts for more. */
interface Said {
  /** Null: nothing. */
  readonly state: "up" | "down" | null;
  /** In place of how the path was asked to be used; null likewise. */
  readonly use: PathUse | null;
}

/** What of an engine has to do with paths. */
export type PathEngine = Pick<
  Engine,
  "addPath" | "removePath" | "changePath" | "changeCap" | "onInterface" | "retryPaths"
>;

/** The data caps of interfaces, each with what it has counted, and of paths that have ended. */
export type PathCaps = Pick<Caps, "of" | "drop">;

interface Interface {
  state: InterfaceState;
  outward: boolean;
}

const FULL = `a session has at most ${MAX_PATHS} paths: leave some interfaces out (exclude)`;

interface Way<Socket> {
  readonly path: LocalPath;
  readonly socket: Socket;
}

export class PathManager<Socket extends PathSocket> {
  /** Counts changes of `sockets`. */
  version = 0;
  private readonly engine: PathEngine;
  private readonly open: OpenSocket<Socket>;
  private readonly caps: PathCaps;
  private readonly log: Log;
  private readonly tunnel: string;
  private asked: Asked[] = [];
  private readonly said = new Map<string, Said>();
  private readonly interfaces = new Map<string, Interface>();
  private readonly ways = new Map<string, Way<Socket>>();
  private remotes: readonly Endpoint[] = [];
  /** Why an interface that should be a path is none; said once. */
  private readonly problems = new Map<string, Error>();
  private toldOfNone = false;

  /** `tunnel`: the name of the TUN, which is never a path. */
  constructor(engine: PathEngine, tunnel: string, open: OpenSocket<Socket>, caps: PathCaps, log: Log) {
    this.engine = engine;
    this.tunnel = tunnel;
    this.open = open;
    this.caps = caps;
    this.log = log;
  }

  get sockets(): Socket[] {
    return [...this.ways.values()].map(({ socket }) => socket);
  }

  /** The paths there are. */
  get paths(): LocalPath[] {
    return [...this.ways.values()].map(({ path }) => path);
  }

  /** The interfaces that are there and asked for, be there a path already or not. */
  get names(): string[] {
    return [...this.interfaces.keys()].filter((name) => {
      const asked = this.askedFor(name);
      return asked !== null && this.wanted(name, asked).state === "up";
    });
  }

  /** The interfaces that will be paths once the remote's address is known; not those whose data cap counts by a path. */
  get waiting(): { name: string; cap: null }[] {
    const able = this.names.filter((name) => {
      return this.interfaces.get(name)!.state === "up" && this.askedFor(name)!.path.cap === null;
    });
    return able.filter((name) => !this.ways.has(name)).map((name) => ({ name, cap: null }));
  }

  /** What kept interfaces from becoming paths. */
  get faults(): Error[] {
    return [...this.problems.values()];
  }

  // --- What the world says ---

  onInterface(now: number, { name, state, outward }: InterfaceNews): void {
    if (state === "missing") {
      this.interfaces.delete(name);
      this.problems.delete(name);
      this.end(now, name, "its interface is gone");
    } else {
      const known = this.interfaces.get(name);
      this.interfaces.set(name, { state, outward });
      const way = this.ways.get(name);
      if (way !== undefined) {
        this.engine.onInterface(now, way.path, state);
        if (state === "up") this.reroute(now, name, way.socket);
      } else if (known === undefined || known.state !== state || this.problems.has(name))
        this.settle(now, name);
    }
    this.tellOfNone();
  }

  /**
   * The addresses of the remote in use, as the resolver prefers them. A path to one that is none of them any more is made
   * anew, for this reason.
   */
  setRemotes(now: number, remotes: readonly Endpoint[], reason = "the remote has another address"): void {
    this.remotes = remotes;
    for (const [name, { socket }] of this.ways) {
      const { peer } = socket;
      if (peer !== null && remotes.some((remote) => remote.samePeer(peer))) continue;
      this.end(now, name, reason);
    }
    this.settleAll(now);
    this.tellOfNone();
  }

  /** The other addresses of the remote that the interface of a path has a route to. */
  elsewhere(name: string): Endpoint[] {
    const socket = this.ways.get(name)?.socket;
    const peer = socket?.peer;
    if (socket === undefined || !peer) return [];
    return this.remotes.filter((remote) => !remote.samePeer(peer) && socket.reaches(remote));
  }

  /** The remote answers by this interface, at another of its addresses than the path's: the path is made anew towards that. */
  redirect(now: number, name: string, remote: Endpoint): void {
    this.end(now, name, "the remote answers at another of its addresses");
    this.settle(now, name, remote);
  }

  /** Now and then: what could not be had may be there. */
  onTick(now: number): void {
    this.engine.retryPaths();
    for (const name of [...this.problems.keys()]) this.settle(now, name);
  }

  // --- What the operator says ---

  /** The paths of the configuration. What commands have said is over. */
  configure(now: number, paths: readonly PathConfig[]): void {
    this.asked = paths.map((path) => ({ path, by: "configuration" }));
    this.said.clear();
    this.settleAll(now);
    this.tellOfNone();
  }

  /** A path by command, as if it stood in the configuration. Null, or why not. */
  add(now: number, path: PathConfig): string | null {
    const name = path.interface;
    if (!isGlob(name) && name === this.tunnel) return `${name} is the tunnel itself`;
    if (this.asked.some(({ path: { interface: other } }) => other === name)) {
      if (this.said.get(name)?.state !== "down") {
        return `${name} is a path already: change it with "portal path set ${name}"`;
      }
      return `${name} is a path already, and held down: use it again with "portal path up ${name}"`;
    }
    // What this very name was told before no longer counts.
    this.said.delete(name);
    this.asked.push({ path, by: "command" });
    this.settleAll(now);
    return null;
  }

  /** Removes an entry, or of a pattern's interfaces this one. Null, or why not. */
  remove(now: number, name: string): string | null {
    const at = this.asked.findIndex(({ path }) => path.interface === name);
    if (at < 0) return this.setState(now, name, "down");
    this.asked.splice(at, 1);
    this.said.delete(name);
    // Nor is it to come back by a pattern.
    if (this.askedFor(name) !== null) this.said.set(name, { state: "down", use: null });
    this.settleAll(now);
    this.tellOfNone();
    return null;
  }

  /** Asks for a path to be up or down. Null, or why not. */
  setState(now: number, name: string, state: "up" | "down"): string | null {
    const asked = this.askedFor(name);
    if (asked === null) return this.unknown(name);
    this.said.set(name, { state, use: this.said.get(name)?.use ?? null });
    this.settleAll(now);
    this.tellOfNone();
    return null;
  }

  /** Changes how a path is used. Null, or why not. */
  setUse(now: number, name: string, change: (use: PathUse) => PathUse | string): string | null {
    const asked = this.askedFor(name);
    if (asked === null) return this.unknown(name);
    const use = change(this.wanted(name, asked).use);
    if (typeof use === "string") return use;
    this.said.set(name, { state: this.said.get(name)?.state ?? null, use });
    this.settleAll(now);
    return null;
  }

  /** What is asked for, for status: each entry with its paths, then what commands say of single interfaces. */
  report(): AskedReport[] {
    const rows = this.asked.map(({ path, by }): AskedReport => {
      const paths = [...this.ways.keys()].filter((name) => this.askedFor(name)?.path === path);
      const state = this.said.get(path.interface)?.state === "down" ? "down" : "up";
      const why =
        state === "down" ? null : paths.length > 0 ? this.whyNotAll(path) : this.whyNone(path.interface);
      return { interface: path.interface, exclude: [...path.exclude], by, state, paths, why };
    });
    for (const [name, { state }] of this.said) {
      if (state !== "down" || rows.some((row) => row.interface === name)) continue;
      rows.push({ interface: name, exclude: [], by: "command", state: "down", paths: [], why: null });
    }
    return rows;
  }

  // --- Which paths there are ---

  /** The entry that an interface belongs to: the one with its name, else the first pattern that means it. */
  private askedFor(name: string): Asked | null {
    const exact = this.asked.find(({ path }) => path.interface === name);
    if (exact !== undefined) return exact;
    if (name === this.tunnel || this.interfaces.get(name)?.outward === false) return null;
    return this.asked.find(({ path }) => means(path, name)) ?? null;
  }

  /** What becomes of an entry for an interface, with all that commands have said. */
  private wanted(name: string, { path }: Asked): { state: "up" | "down"; use: PathUse } {
    const own = this.said.get(name);
    const entry = this.said.get(path.interface);
    return { state: own?.state ?? entry?.state ?? "up", use: own?.use ?? entry?.use ?? useOf(path) };
  }

  private settleAll(now: number): void {
    for (const name of new Set([...this.ways.keys(), ...this.interfaces.keys()])) this.settle(now, name);
  }

  /** Makes, changes or ends the path of an interface, as it should be. `first`: of the remote's addresses. */
  private settle(now: number, name: string, first: Endpoint | null = null): void {
    const asked = this.askedFor(name);
    const way = this.ways.get(name);
    const there = this.interfaces.get(name);
    const wanted = asked === null ? null : this.wanted(name, asked);
    if (wanted === null || there === undefined || wanted.state === "down") {
      this.problems.delete(name);
      this.end(now, name, wanted === null ? "it is not asked for any more" : "held down by command");
      return;
    }
    const { use } = wanted;
    const { cap } = asked!.path;
    if (way === undefined) this.begin(now, name, use, cap, there.state, first);
    else this.change(now, way, use, cap);
  }

  private begin(
    now: number,
    name: string,
    use: PathUse,
    cap: CapConfig | null,
    state: InterfaceState,
    first: Endpoint | null,
  ): void {
    if (this.remotes.length === 0) return;
    const rest = this.remotes.filter((remote) => first?.samePeer(remote) !== true);
    const remotes = rest.length < this.remotes.length ? [first!, ...rest] : rest;
    const socket = this.tryOpen(now, name, state, remotes);
    if (socket === null) return;
    const path: LocalPath = { name, socket, use, cap: this.caps.of(name, cap, socket), state };
    this.ways.set(name, { path, socket });
    this.version++;
    this.log.info(`path ${name} added`);
    this.engine.addPath(now, path);
  }

  /** Null: it cannot be had now, which is said once. */
  private tryOpen(now: number, name: string, state: InterfaceState, to: readonly Endpoint[]): Socket | null {
    try {
      const full = this.ways.size >= MAX_PATHS;
      const other = full && state === "up" ? this.idle : undefined;
      if (full && other === undefined) throw new Error(FULL);
      const socket = this.open(name, to);
      this.problems.delete(name);
      if (other !== undefined) {
        this.end(now, other, `it gives way to ${name}: ${FULL}`);
        this.problems.set(other, new Error(FULL));
      }
      return socket;
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      if (this.problems.get(name)?.message !== error.message) this.log.warn(`path ${name}: ${error.message}`);
      this.problems.set(name, error);
      return null;
    }
  }

  /**
   * A path whose interface can carry nothing: of more interfaces than a session has paths, one that can goes before it. Whether
   * a path is answered is no reason, as they would take turns.
   */
  private get idle(): string | undefined {
    return [...this.ways.values()].find(({ path }) => path.state !== "up")?.path.name;
  }

  private change(now: number, { path, socket }: Way<Socket>, use: PathUse, config: CapConfig | null): void {
    if (!sameUse(path.use, use)) this.engine.changePath(now, path, use);
    // What it has counted goes on, under whatever settings.
    const cap = this.caps.of(path.name, config, socket);
    if (cap !== path.cap) this.engine.changeCap(now, path, cap);
  }

  private end(now: number, name: string, reason: string): void {
    const way = this.ways.get(name);
    if (way === undefined) return;
    this.ways.delete(name);
    this.version++;
    this.engine.removePath(now, way.path);
    this.caps.drop(name);
    way.socket.close();
    this.log.info(`path ${name} removed: ${reason}`);
  }

  /** A path without a route to the remote's address that it was made for, but with one to another, is made anew. */
  private reroute(now: number, name: string, socket: Socket): void {
    if (socket.routed || this.elsewhere(name).length === 0) return;
    this.end(now, name, "its interface leads to another address of the remote");
    this.settle(now, name);
  }

  private whyNone(name: string): string {
    if (this.remotes.length === 0) return "waits for the remote's address";
    const problem = this.problems.get(name);
    return problem === undefined ? "waits for its interface" : `is refused: ${problem.message}`;
  }

  private whyNotAll(path: PathConfig): string | null {
    const [name, problem] = [...this.problems].find(([each]) => this.askedFor(each)?.path === path) ?? [];
    return problem === undefined ? null : `is refused for ${name}: ${problem.message}`;
  }

  /** Says once that there is no path, and what would be one. */
  private tellOfNone(): void {
    if (this.ways.size > 0) {
      this.toldOfNone = false;
      return;
    }
    if (this.toldOfNone || this.remotes.length === 0 || this.problems.size > 0) return;
    this.toldOfNone = true;
    const waiting = this.report().filter(({ state }) => state === "up");
    const names = waiting.map((row) => row.interface).join(", ");
    this.log.warn(
      names === "" ? "no path: each is removed or held down" : `no path: waiting for an interface ${names}`,
    );
  }

  private unknown(name: string): string {
    const names = [...new Set([...this.ways.keys(), ...this.asked.map(({ path }) => path.interface)])];
    return `no path ${name}: there ${names.length === 1 ? "is" : "are"} ${names.join(", ") || "none"}`;
  }
}

export function useOf(path: PathConfig): PathUse {
  const fixed = path.congestion === "fixed";
  return {
    metric: path.metric,
    spill: path.spill,
    congestion: path.congestion,
    sendRate: fixed ? (path.upBytesPerSecond ?? 0) : 0,
    receiveRate: fixed ? (path.downBytesPerSecond ?? 0) : 0,
  };
}

function sameUse(a: PathUse, b: PathUse): boolean {
  return (Object.keys(a) as (keyof PathUse)[]).every((key) => a[key] === b[key]);
}
