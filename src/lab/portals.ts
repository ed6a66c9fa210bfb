/** The two portals of the laboratory: their keys and configuration files, their start, their status, their end. */
import { generateKeyPairSync } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import type { StatusReport } from "../share/status.ts";
import {
  ADDRESSES,
  CLIENT_NETWORK,
  type Family,
  TUNNEL_INTERFACE,
  TUNNEL_PORT,
  tunnelRoutes,
} from "./namespaces.ts";
import type { LabProcess } from "./process.ts";
import { selfCommand } from "./self.ts";
import { formatToml, mergeToml, type TomlTable } from "./toml.ts";
import type { Lab } from "./topology.ts";

export type Side = "local" | "remote";
export const SIDES: readonly Side[] = ["local", "remote"];

export interface PortalOptions {
  /** Which of the laboratory's paths are configured; all of them when left out. */
  paths?: readonly number[];
  /** Family that carries the tunnel. Default 4. */
  outer?: Family;
  /** Laid over either portal's configuration. */
  toml?: { local?: TomlTable; remote?: TomlTable };
  /** The words that start either portal, instead of this program: another build, an emulated processor. */
  command?: { local?: readonly string[]; remote?: readonly string[] };
  /** False: started and not waited for. Default: until every path is up. */
  wait?: boolean;
  /** False: nobody routes the client's and the server's traffic into the tunnel, unless the portals do. */
  route?: boolean;
}

/** Bytes around an inner packet: IP and UDP header, and portal's own 32. */
export function overheadBytes(outer: Family): number {
  return (outer === 4 ? 20 : 40) + 8 + 32;
}

const PATH_MTU = 1500;
/** IPv4, and TCP with timestamps. */
const TCP_HEADERS = 20 + 32;

/** How much of a path's rate a TCP flow (over IPv4) can have: payload of a full packet by its size. Null: no tunnel. */
export function goodputShare(outer: Family | null): number {
  const overhead = outer === null ? 0 : overheadBytes(outer);
  return (PATH_MTU - overhead - TCP_HEADERS) / PATH_MTU;
}

/** Below /run, which inside the laboratory is a file system of its own. */
const DIRECTORY = "/run/portal";

/** Seconds in which two portals find each other over every path; a processor emulated in software is slow. */
const UP_SECONDS = 30;

export class Portals {
  readonly local: LabProcess;
  readonly remote: LabProcess;
  private readonly lab: Lab;
  private readonly pathCount: number;

  private constructor(lab: Lab, processes: Record<Side, LabProcess>, pathCount: number) {
    this.lab = lab;
    this.local = processes.local;
    this.remote = processes.remote;
    this.pathCount = pathCount;
  }

  static async start(lab: Lab, options: PortalOptions): Promise<Portals> {
    const paths = options.paths ?? lab.paths.map((_, i) => i);
    const base = configurations(lab, paths, options.outer ?? 4);
    mkdirSync(DIRECTORY, { recursive: true, mode: 0o700 });
    const start = (side: Side): LabProcess => {
      const toml = mergeToml(base[side], options.toml?.[side] ?? {});
      writeFileSync(tomlFile(side), formatToml(toml), { mode: 0o600 });
      const command = options.command?.[side] ?? selfCommand();
      return lab.spawn(side, [...command, "--toml", tomlFile(side)], `${side} portal`);
    };
    const portals = new Portals(lab, { remote: start("remote"), local: start("local") }, paths.length);
    if (options.route ?? true) await portals.route();
    if (options.wait ?? true) await portals.up();
    return portals;
  }

  /** Waits until every path is up on both sides. */
  async up(): Promise<void> {
    await this.waitFor("every path to be up", async () => {
      const reports = await Promise.all(SIDES.map((side) => this.status(side)));
      return reports.every((report) => upPaths(report) === this.pathCount);
    });
  }

  /** What `portal status --json` would say; null when the portal does not answer (yet). */
  async status(side: Side): Promise<StatusReport | null> {
    try {
      const response = await fetch("http://portal/status", { unix: controlSocket(side) });
      return (await response.json()) as StatusReport;
    } catch {
      return null;
    }
  }

  /** As Lab.waitFor; rejects at once when a portal ends. */
  async waitFor(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
    await this.lab.waitFor(what, UP_SECONDS, async () => {
      for (const side of SIDES) {
        if (!this[side].running) throw this[side].failure(await this[side].exited);
      }
      return await condition();
    });
  }

  async stop(): Promise<void> {
    await Promise.all(SIDES.map((side) => this[side].stop()));
  }

  /** Does what the owner of either machine would: once the interface is up, sends the traffic into it. */
  private async route(): Promise<void> {
    for (const side of SIDES) {
      await this.waitFor(`${TUNNEL_INTERFACE} of the ${side} portal`, () =>
        this.lab.isInterfaceUp(side, TUNNEL_INTERFACE),
      );
      await this.lab.ip(side, tunnelRoutes(side, this.lab.ipv6));
    }
  }
}

/** The configuration of the portal that runs, or ran last. */
export function tomlFile(side: Side): string {
  return `${DIRECTORY}/${side}.toml`;
}

function controlSocket(side: Side): string {
  return `${DIRECTORY}/${side}.sock`;
}

function upPaths(report: StatusReport | null): number {
  const paths = report?.sessions.flatMap((session) => session.paths) ?? [];
  return paths.filter(({ status }) => status === "up").length;
}

function configurations(lab: Lab, paths: readonly number[], outer: Family): Record<Side, TomlTable> {
  const keys = { local: keyPair(), remote: keyPair() };
  const mtu = PATH_MTU - overheadBytes(outer);
  const tunnel = (own: { 4: string; 6: string }): TomlTable => ({
    interface: TUNNEL_INTERFACE,
    addresses: lab.ipv6 ? [`${own[4]}/24`, `${own[6]}/64`] : [`${own[4]}/24`],
    mtu,
  });
  const endpoint = ADDRESSES.remoteEndpoint[outer];
  const v6Peer = [`${ADDRESSES.tunnelLocal[6]}/128`, CLIENT_NETWORK[6]];
  return {
    local: {
      role: "local",
      control_socket: controlSocket("local"),
      tunnel: tunnel(ADDRESSES.tunnelLocal),
      keys: { private_key: keys.local.privateKey },
      remote: {
        endpoint: `${outer === 6 ? `[${endpoint}]` : endpoint}:${TUNNEL_PORT}`,
        public_key: keys.remote.publicKey,
      },
      path: paths.map((path) => ({ interface: lab.paths[path]!.name })),
    },
    remote: {
      role: "remote",
      control_socket: controlSocket("remote"),
      tunnel: tunnel(ADDRESSES.tunnelRemote),
      keys: { private_key: keys.remote.privateKey },
      listen: { addresses: lab.ipv6 ? ["0.0.0.0", "::"] : ["0.0.0.0"], port: TUNNEL_PORT },
      peer: [
        {
          name: "home",
          public_key: keys.local.publicKey,
          addresses: [`${ADDRESSES.tunnelLocal[4]}/32`, CLIENT_NETWORK[4], ...(lab.ipv6 ? v6Peer : [])],
        },
      ],
    },
  };
}

function keyPair(): { privateKey: string; publicKey: string } {
  const { d, x } = generateKeyPairSync("x25519").privateKey.export({ format: "jwk" });
  const base64 = (text: string | undefined): string => Buffer.from(text!, "base64url").toString("base64");
  return { privateKey: base64(d), publicKey: base64(x) };
}
