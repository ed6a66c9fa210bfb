/** What only a local portal has beside its engine: its paths, the interfaces they hang on, and the remote's addresses. */
import type { LocalConfig } from "../config/config.ts";
import type { InterfaceNews } from "../share/io.ts";
import type { Interfaces } from "../sys/interfaces.ts";
import { resolveName } from "../sys/names.ts";
import type { UdpSocket } from "../sys/udp.ts";
import type { Caps } from "./caps.ts";
import type { Engine } from "./engine.ts";
import { StartFailure } from "./failure.ts";
import type { Log } from "./log.ts";
import type { Sockets } from "./loop.ts";
import { openPathSocket, warnOfOffloads, watchInterfaces } from "./open.ts";
import { PathManager } from "./pathmanager.ts";
import { Resolver } from "./resolver.ts";

export class Local implements Sockets {
  readonly paths: PathManager<UdpSocket>;
  readonly resolver: Resolver;
  readonly interfaces: Interfaces;
  /** Called with the interfaces of the paths before one of them gets a socket, and whenever they may have changed. */
  onPaths: (names: readonly string[]) => void = () => {};
  private readonly engine: Engine;
  private readonly clock: () => number;

  /** `clock`: microseconds. Nothing happens before `begin`. */
  constructor(
    config: LocalConfig,
    engine: Engine,
    caps: Caps,
    log: Log,
    clock: () => number,
    opened: { close(): void }[],
  ) {
    this.engine = engine;
    this.clock = clock;
    let warned = false;
    const open = (name: string, remotes: Parameters<typeof openPathSocket>[1]): UdpSocket => {
      const { offloads } = config.tunnel;
      this.onPaths(this.paths.names);
      const socket = openPathSocket(name, remotes, offloads, log);
      if (offloads && !warned) warnOfOffloads([socket], log);
      warned = true;
      return socket;
    };
    this.paths = new PathManager(engine, config.tunnel.interface, open, caps, log);
    this.paths.configure(clock(), config.paths);
    this.interfaces = watchInterfaces(opened);
    this.resolver = new Resolver(
      config.remote.host,
      config.remote.port,
      log,
      (endpoints) => this.paths.setRemotes(clock(), endpoints),
      (host) => resolveName(host, this.paths.names),
    );
    opened.push({ close: () => this.close() });
  }

  /** Begins with what there is, be it nothing. Throws a `StartFailure` when portal is not permitted to have paths. */
  begin(): void {
    this.onInterfaces(this.clock(), true);
    this.resolver.ask();
    const denied = this.paths.faults.find((fault) => fault instanceof StartFailure);
    if (denied !== undefined) throw denied;
  }

  get sockets(): UdpSocket[] {
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
    if (this.resolver.waits) this.resolver.hurry(now);
  }

  /** The operator has asked for other paths than before. */
  onAsked(): void {
    this.onPaths(this.paths.names);
  }

  onTick(now: number): void {
    this.interfaces.onTick(this.teller(now));
    this.paths.onTick(now);
    this.resolver.onTick(now, this.engine.portal.sessions[0]?.isUp ?? false);
  }

  private teller(now: number): (news: InterfaceNews) => void {
    return (news) => this.paths.onInterface(now, news);
  }

  private close(): void {
    for (const socket of this.sockets) socket.close();
  }
}
