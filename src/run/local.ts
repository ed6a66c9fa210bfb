/** What only a local portal has beside its engine: its paths, the interfaces they hang on, and its remotes. */
import type { LocalConfig } from "../config/config.ts";
import { offerOf } from "../proto/suites.ts";
import type { InterfaceNews } from "../share/io.ts";
import type { Interfaces } from "../sys/interfaces.ts";
import { nativeBlock } from "../sys/memory.ts";
import { resolveName } from "../sys/names.ts";
import type { Caps } from "./caps.ts";
import type { Crew } from "./crew.ts";
import { Detours } from "./detours.ts";
import type { Engine } from "./engine.ts";
import { StartFailure } from "./failure.ts";
import { Knocks } from "./knocks.ts";
import type { PortalSocket } from "./lanesocket.ts";
import type { Log } from "./log.ts";
import type { Sockets } from "./loop.ts";
import { openKnock, openPathSocket, warnOfOffloads, watchInterfaces } from "./open.ts";
import type { Opened } from "./opened.ts";
import { PathManager } from "./pathmanager.ts";
import { Remotes } from "./remotes.ts";

/** For a handshake message. */
const MESSAGE_BYTES = 2048;

export class Local implements Sockets {
  readonly paths: PathManager<PortalSocket>;
  readonly remotes: Remotes;
  readonly interfaces: Interfaces;
  /** Called with the interfaces of the paths before one of them gets a socket, and whenever they may have changed. */
  onPaths: (names: readonly string[]) => void = () => {};
  private readonly knocks: Knocks;
  private readonly detours: Detours;
  private readonly clock: () => number;

  /** `crew`: the workers, if there are any. `clock`: microseconds. Nothing happens before `begin`. */
  constructor(
    config: LocalConfig,
    engine: Engine,
    caps: Caps,
    crew: Crew | null,
    log: Log,
    clock: () => number,
    opened: Opened,
  ) {
    this.clock = clock;
    let warned = false;
    const open = (name: string, remotes: Parameters<typeof openPathSocket>[1]): PortalSocket => {
      const { offloads } = config.tunnel;
      this.onPaths(this.paths.names);
      const socket = openPathSocket(name, remotes, offloads, log);
      if (offloads && !warned) warnOfOffloads([socket], log);
      warned = true;
      return crew?.lend(socket) ?? socket;
    };
    this.paths = new PathManager(engine, config.tunnel.interface, open, caps, log);
    this.paths.configure(clock(), config.paths);
    this.interfaces = watchInterfaces(opened);
    const { environment, statics } = engine.portal;
    const knocker = { crypto: environment.crypto, statics, offer: offerOf(environment.suites) };
    this.knocks = new Knocks(knocker, openKnock, nativeBlock(MESSAGE_BYTES));
    this.detours = new Detours(engine, this.paths, this.knocks);
    this.remotes = new Remotes(config.remotes, {
      engine,
      paths: this.paths,
      knocks: this.knocks,
      log,
      resolve: (host) => resolveName(host, this.paths.names),
      clock,
    });
    opened.push({ close: () => this.close() });
  }

  /** Begins with what there is, be it nothing. Throws a `StartFailure` when portal is not permitted to have paths. */
  begin(): void {
    this.onInterfaces(this.clock(), true);
    this.remotes.begin();
    const denied = this.paths.faults.find((fault) => fault instanceof StartFailure);
    if (denied !== undefined) throw denied;
  }

  get sockets(): PortalSocket[] {
    return this.paths.sockets;
  }

  get version(): number {
    return this.paths.version;
  }

  /** `first`: waits for the list of them all. */
  onInterfaces(now: number, first = false): void {
    if (first) this.interfaces.readFirst(this.teller(now));
    else this.interfaces.read(this.teller(now));
    this.onPaths(this.paths.names);
    // A name server may be in reach now.
    this.remotes.hurry(now);
  }

  /** The operator has asked for other paths than before. */
  onAsked(): void {
    this.onPaths(this.paths.names);
  }

  onTick(now: number): void {
    this.interfaces.onTick(this.teller(now));
    this.paths.onTick(now);
    this.remotes.onTick(now);
    this.detours.onTick(now);
  }

  private teller(now: number): (news: InterfaceNews) => void {
    return (news) => this.paths.onInterface(now, news);
  }

  private close(): void {
    this.knocks.close();
    for (const socket of this.sockets) socket.close();
  }
}
