/**
 * Runs one portal from its configuration: sockets, TUN, control socket, loop, and a clean end. What cannot be had is told
 * in one line, and nothing is left behind: descriptors and the TUN end with the process, the control socket is removed,
 * the machine's settings are what they were.
 */
import pkg from "../../package.json";
import type { Config } from "../config/config.ts";
import type { Environment } from "../proto/environment.ts";
import type { StaticKeys } from "../proto/noise.ts";
import { Peer } from "../proto/peer.ts";
import { chooseSuites } from "../sys/aead.ts";
import { createNoiseCrypto } from "../sys/crypto.ts";
import { nativeBlock, nativeCopy, sharedBlock } from "../sys/memory.ts";
import type { Tun } from "../sys/tun.ts";
import type { UdpSocket } from "../sys/udp.ts";
import { serveControl } from "./control.ts";
import { Engine, type LocalPath } from "./engine.ts";
import { FAILED, StartFailure } from "./failure.ts";
import { changeHost, recover, someIsUp } from "./host.ts";
import type { Log } from "./log.ts";
import { micros, runLoop } from "./loop.ts";
import {
  canSegment,
  NO_SEGMENTATION,
  openListeners,
  openLocalPaths,
  openTun,
  watchInterfaces,
} from "./open.ts";
import { base64, Reporter } from "./report.ts";
import { openManager, Supervision } from "./supervision.ts";

/** Runs until SIGTERM or SIGINT. The process's exit code: 0, or why it could not start. */
export async function runPortal(config: Config, log: Log): Promise<number> {
  const opened: { close(): void }[] = [];
  try {
    return await run(config, log, opened);
  } catch (error) {
    if (!(error instanceof StartFailure)) throw error;
    log.error(error.message);
    return error.exitCode;
  } finally {
    for (const thing of opened.reverse()) thing.close();
  }
}

async function run(config: Config, log: Log, opened: { close(): void }[]): Promise<number> {
  let stop = false;
  const signalled = new Promise<null>((resolve) => {
    const onSignal = () => {
      stop = true;
      resolve(null);
    };
    process.on("SIGTERM", onSignal);
    process.on("SIGINT", onSignal);
  });

  recover(config, log);
  const crypto = createNoiseCrypto();
  const { privateKey } = config.keys;
  const statics: StaticKeys = { privateKey, publicKey: crypto.publicKey(privateKey) };
  const suites = chooseSuites();
  const environment: Environment = {
    makeBlock: nativeBlock,
    makeSharedBlock: (length) => sharedBlock(new SharedArrayBuffer(length)),
    copy: nativeCopy,
    crypto,
    suites: [config.tunnel.privacy ? suites.aes : suites.blake2s],
    mtu: config.tunnel.mtu,
    log: (level, message) => log[level](message),
  };

  let sockets: UdpSocket[];
  let paths: LocalPath[] | null = null;
  if (config.role === "local") {
    if (crypto.sharedSecret(privateKey, config.remote.publicKey) === null) {
      const advice = 'write what "portal pubkey" prints of the remote\'s private key';
      throw new StartFailure(`[remote] public_key belongs to no private key: ${advice}`, FAILED);
    }
    // A name server that does not answer may keep us waiting for many seconds.
    const local = await Promise.race([openLocalPaths(config, log, opened), signalled]);
    if (local === null) return 0;
    sockets = local.sockets;
    paths = local.paths;
  } else {
    sockets = openListeners(config, log, opened);
  }
  const tun = openTun(config.tunnel, log, opened);
  const interfaces = config.role === "local" ? watchInterfaces(config, opened) : null;
  const peers = peersOf(config);
  const engine = new Engine({ environment, statics, peers, tun, sockets, paths, interfaces });
  const reporter = new Reporter(engine, factsOf(config, statics, tun, sockets, environment), micros());
  const control = serveControl(config.controlSocket, () => reporter.report(micros()));
  opened.push({ close: () => control.stop() });
  const host = changeHost(config, log, opened);
  const manager = openManager(process.env.NOTIFY_SOCKET, log);
  if (manager !== null) opened.push(manager);
  const supervision = new Supervision(manager);

  log.info(
    `portal ${pkg.version} is running as ${config.role} on ${tun.name} (public key ${base64(statics.publicKey)})`,
  );
  let segments = canSegment(sockets);
  const asked = await runLoop({
    engine,
    tun,
    sockets,
    interfaces,
    stopped: () => stop,
    onTick: (now) => {
      reporter.onTick(now);
      host.onTick(now, someIsUp(engine));
      supervision.onTick(engine.portal, config.role);
      if (segments && !canSegment(sockets)) {
        segments = false;
        log.warn(NO_SEGMENTATION);
      }
      reconnect(engine, sockets);
    },
  });
  supervision.stopping();
  engine.close(micros());
  if (!asked) {
    log.error(`the interface ${tun.name} was deleted: start portal again`);
    return FAILED;
  }
  log.info("stopped");
  return 0;
}

function peersOf(config: Config): Peer[] {
  if (config.role === "remote") {
    return config.peers.map((peer) => new Peer(peer.name, peer.publicKey, peer.presharedKey, peer.addresses));
  }
  // Everything that enters the local's TUN is the remote's, and the remote speaks for the whole Internet.
  const everywhere = [
    { bytes: new Uint8Array(4), length: 0 },
    { bytes: new Uint8Array(16), length: 0 },
  ];
  return [new Peer("remote", config.remote.publicKey, config.remote.presharedKey, everywhere)];
}

/** A path that is not up may have a new address or route since its socket was connected. */
function reconnect(engine: Engine, sockets: readonly UdpSocket[]): void {
  const session = engine.portal.sessions[0];
  for (let i = 0; i < sockets.length; i++) {
    if (session?.paths[i]?.status !== "up") sockets[i]!.reconnect();
  }
}

function factsOf(
  config: Config,
  statics: StaticKeys,
  tun: Tun,
  sockets: readonly UdpSocket[],
  environment: Environment,
) {
  return {
    version: pkg.version,
    role: config.role,
    interface: tun.name,
    mtu: config.tunnel.mtu,
    publicKey: base64(statics.publicKey),
    offloads: {
      tun: tun.offloads,
      get udpSegmentation() {
        return canSegment(sockets);
      },
      udpReceive: sockets.every((socket) => socket.receivesBatches),
    },
    cipher: environment.suites[0]!.name,
  };
}
