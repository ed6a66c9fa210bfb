/**
 * Runs one portal from its configuration: sockets, TUN, control socket, loop, and a clean end. What cannot be had is told
 * in one line, and nothing is left behind: descriptors and the TUN end with the process, the control socket is removed,
 * the machine's settings are what they were.
 */
import pkg from "../../package.json";
import type { Config } from "../config/config.ts";
import type { Host } from "../host/host.ts";
import type { Environment } from "../proto/environment.ts";
import { SECOND } from "../proto/limits.ts";
import type { StaticKeys } from "../proto/noise.ts";
import type { NoiseCrypto } from "../proto/noisecrypto.ts";
import type { Peer } from "../proto/peer.ts";
import { createNoiseCrypto } from "../sys/crypto.ts";
import { nativeBlock, nativeCopy, releaseBlock, sharedBlock } from "../sys/memory.ts";
import type { Tun } from "../sys/tun.ts";
import { Caps, capFiles } from "./caps.ts";
import { serveControl } from "./control.ts";
import { type Crew, openCrew, shared, threadsOf } from "./crew.ts";
import { Engine } from "./engine.ts";
import { FAILED, StartFailure } from "./failure.ts";
import { Footprint } from "./footprint.ts";
import { answerHangups } from "./hangup.ts";
import { changeHost, recover, someIsUp } from "./host.ts";
import { Lease } from "./lease.ts";
import { Local } from "./local.ts";
import type { AdjustableLog, Log } from "./log.ts";
import { micros, runLoop, type Sockets } from "./loop.ts";
import { canSegment, NO_SEGMENTATION, openListeners, openTun } from "./open.ts";
import { closeAll, type Opened } from "./opened.ts";
import { commandsOf } from "./pathcommands.ts";
import { type LoadConfig, peerOf, Reloader } from "./reload.ts";
import { keyProblem, peerFor } from "./remotes.ts";
import { base64, Reporter } from "./report.ts";
import { suitesOf } from "./suites.ts";
import { openManager, Supervision } from "./supervision.ts";
import { TunMtu } from "./tunmtu.ts";

/** Runs until SIGTERM or SIGINT; `load` reads the configuration again. The process's exit code: 0, or why it could not start. */
export async function runPortal(config: Config, log: AdjustableLog, load: LoadConfig): Promise<number> {
  const opened: Opened = [];
  try {
    return await run(config, log, load, opened);
  } catch (error) {
    if (!(error instanceof StartFailure)) throw error;
    log.error(error.message);
    return error.exitCode;
  } finally {
    await closeAll(opened);
  }
}

async function run(config: Config, log: AdjustableLog, load: LoadConfig, opened: Opened): Promise<number> {
  let stop = false;
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.on(signal, () => {
      stop = true;
    });
  }

  recover(config, log, opened);
  const crypto = createNoiseCrypto();
  const crew = await openCrew(threadsOf(config.threads), opened);
  const { privateKey } = config.keys;
  const statics: StaticKeys = { privateKey, publicKey: crypto.publicKey(privateKey) };
  const environment = environmentOf(config, crypto, crew, log);

  const problem = config.role === "local" ? keyProblem(config.remotes, { environment, statics }) : null;
  if (problem !== null) throw new StartFailure(problem, FAILED);
  const listeners = config.role === "remote" ? openListeners(config, crew, log, opened) : [];
  const tun = openTun(config.tunnel, log, opened);
  // Behind the TUN, whose name only one portal has: so has the file.
  const caps = new Caps(capFiles(config), log, Date.now);
  opened.push(caps);
  const lease = config.tunnel.addresses.length === 0 ? new Lease(config.tunnel, log) : null;
  const engine = new Engine({
    environment,
    statics,
    role: config.role,
    peers: peersOf(config),
    tun,
    onLease: lease?.onLease ?? null,
  });
  engine.portal.keep = config.tunnel.keepSeconds * SECOND;
  const local = config.role === "local" ? new Local(config, engine, caps, crew, log, micros, opened) : null;
  const sockets: Sockets = local ?? { sockets: listeners, version: 0 };
  const mtu = new TunMtu(config, log);
  const facts = factsOf(config, crew, statics, tun, mtu, sockets, environment, caps, lease, local);
  const reporter = new Reporter(engine, facts, micros(), local?.paths);
  const reloader = new Reloader(config, load, engine, local, log, micros);
  const commands = { ...commandsOf(local, log, micros), reload: () => reloader.reload() };
  const control = serveControl(config.controlSocket, () => reporter.report(micros()), commands);
  opened.push({ close: () => control.stop() });
  const host = changeHost(config, log, opened);
  if (local !== null) local.onPaths = (names) => host.setPaths(names);
  if (lease !== null && local !== null) tellOfLease(lease, local, host);
  local?.begin();
  const manager = openManager(process.env.NOTIFY_SOCKET, log);
  if (manager !== null) opened.push(manager);
  const supervision = new Supervision(manager);
  const footprint = new Footprint();

  log.info(
    `portal ${pkg.version} is running as ${config.role} on ${tun.name} (public key ${base64(statics.publicKey)})`,
  );
  opened.push(answerHangups(() => reloader.reload()));
  let segments = canSegment(sockets.sockets);
  const asked = await runLoop({
    engine,
    tun,
    sockets,
    interfaces: local?.interfaces ?? null,
    onInterfaces: (now) => local?.onInterfaces(now),
    stopped: () => stop || (crew !== null && crew.failure !== null),
    onTick: (now) => {
      reporter.onTick(now);
      mtu.onTick(engine.portal.sessions[0]?.mtu.value);
      footprint.onTick(now);
      host.onTick(now, someIsUp(engine));
      supervision.onTick(engine.portal, config.role);
      crew?.onTick((message) => log.warn(message));
      if (caps.onTick(now)) engine.onCapLifted(now);
      if (segments && !canSegment(sockets.sockets)) {
        segments = false;
        log.warn(NO_SEGMENTATION);
      }
      local?.onTick(now);
    },
  });
  supervision.stopping();
  engine.close(micros());
  await crew?.end();
  return ended(asked ? null : tun.name, crew, log);
}

/** Of several remotes each gives others: then the kernel is to forget those before, as it does of what it masquerades. */
function tellOfLease(lease: Lease, { remotes }: Local, host: Host): void {
  lease.onChange = (addresses) => host.setLeased(remotes.several ? [] : addresses);
}

/** The exit code. `deleted`: the interface that is gone; null when it was not that. */
function ended(deleted: string | null, crew: Crew | null, log: Log): number {
  const failure = crew?.failure ?? null;
  if (failure !== null) log.error(failure.message);
  else if (deleted !== null) log.error(`the interface ${deleted} was deleted: start portal again`);
  else log.info("stopped");
  return failure === null && deleted === null ? 0 : FAILED;
}

function environmentOf(config: Config, crypto: NoiseCrypto, crew: Crew | null, log: Log): Environment {
  return {
    makeBlock: nativeBlock,
    makeSharedBlock: (length) => sharedBlock(new SharedArrayBuffer(length)),
    releaseBlock,
    copy: nativeCopy,
    crypto,
    suites: shared(suitesOf(config.tunnel), crew),
    mtu: config.tunnel.mtu,
    log: (level, message) => log[level](message),
  };
}

function peersOf(config: Config): Peer[] {
  if (config.role === "remote") return config.peers.map(peerOf);
  return [peerFor(config.remotes[0]!, config.remotes.length > 1)];
}

function factsOf(
  config: Config,
  crew: Crew | null,
  statics: StaticKeys,
  tun: Tun,
  mtu: TunMtu,
  sockets: Sockets,
  environment: Environment,
  caps: Caps,
  lease: Lease | null,
  local: Local | null,
) {
  return {
    version: pkg.version,
    role: config.role,
    interface: tun.name,
    get mtu() {
      return mtu.value;
    },
    threads: 1 + (crew?.workers ?? 0),
    publicKey: base64(statics.publicKey),
    offloads: {
      tun: tun.offloads,
      get udpSegmentation() {
        return config.tunnel.offloads && canSegment(sockets.sockets);
      },
      get udpReceive() {
        return config.tunnel.offloads && sockets.sockets.every((socket) => socket.receivesBatches);
      },
    },
    cipher: environment.suites.map(({ name }) => name).join(" or "),
    get addresses() {
      return lease?.addresses ?? config.tunnel.addresses.map(({ text }) => text);
    },
    get caps() {
      return caps.report();
    },
    get remotes() {
      return local?.remotes.report(micros()) ?? [];
    },
  };
}
