/** What a portal is told: the checked configuration, with every default filled in. config/parse.ts makes it from TOML. */

import type { Prefix } from "../wire/address.ts";
import type { CongestionName } from "../wire/control.ts";

/** What `[tunnel] cipher` may be. */
export const CIPHERS = ["auto", "aes-256-gcm", "chacha20-poly1305"] as const;
export type CipherName = (typeof CIPHERS)[number];

export interface TunnelConfig {
  /** Name of the TUN interface; at most 15 bytes. */
  readonly interface: string;
  /** Of a local without any, the remote gives them. */
  readonly addresses: readonly Prefix[];
  /** The largest inner IP packet. */
  readonly mtu: number;
  /** The configuration says so: the TUN keeps it, whatever the paths carry. */
  readonly mtuFixed: boolean;
  /** False: datagrams are authenticated only (keyed BLAKE2s), inner packets cross readable. Both portals must agree. */
  readonly privacy: boolean;
  /** "auto": the handshake chooses what is fastest for the slower of both. With privacy only. */
  readonly cipher: CipherName;
  /** False: the kernel's segmentation offloads (TUN and UDP) stay unused, as on a kernel that lacks them. */
  readonly offloads: boolean;
  /** How long the session is kept while no path is up. */
  readonly keepSeconds: number;
}

export interface KeysConfig {
  /** X25519 private key, 32 bytes. */
  readonly privateKey: Uint8Array;
}

export interface PathConfig {
  /** Network interface to bind to, and the path's name in status and logs; or a pattern (config/glob.ts) for several. */
  readonly interface: string;
  /** Names and patterns of interfaces that the pattern does not mean. */
  readonly exclude: readonly string[];
  /** Paths of a higher metric are used only when no lower one is up. 0..65535. */
  readonly metric: number;
  /** True: also when those of a lower metric are up and full. */
  readonly spill: boolean;
  readonly congestion: CongestionName;
  /** For congestion = "fixed": bytes per second, from and to this portal. */
  readonly upBytesPerSecond: number | null;
  readonly downBytesPerSecond: number | null;
  /** Null without data caps. */
  readonly cap: CapConfig | null;
}

/** How much a path may carry, both directions together. */
export interface CapConfig {
  /** Null for no such cap; one of them is there. */
  readonly monthBytes: number | null;
  readonly dayBytes: number | null;
  /** The day on which a month begins; the last of a shorter month. */
  readonly resetDay: number;
  /** IANA name, of months and days. */
  readonly timeZone: string;
  /** What the path may do over a cap, either way; 0 = nothing. */
  readonly overBytesPerSecond: number;
}

export interface RemoteConfig {
  /** Host name or address of the remote portal. */
  readonly host: string;
  readonly port: number;
  readonly publicKey: Uint8Array;
  /** Pre-shared key, 32 bytes; all zero when none is used (as Noise's psk2 with WireGuard). */
  readonly presharedKey: Uint8Array;
  /** Of several: it must have answered for so long, without a break, before it is used again in place of a later one. */
  readonly returnSeconds: number;
}

export interface ListenConfig {
  /** Addresses to listen on; each becomes a socket. */
  readonly addresses: readonly Uint8Array[];
  readonly port: number;
}

export interface PeerConfig {
  readonly name: string;
  readonly publicKey: Uint8Array;
  readonly presharedKey: Uint8Array;
  /** Inner addresses this peer may use as source, and where packets for them go. */
  readonly addresses: readonly Prefix[];
  /** Those it is told when it asks, with the length of their network; at most one of each family. */
  readonly lease: readonly Prefix[];
}

export interface PortForward {
  readonly protocol: "tcp" | "udp";
  /** Of this machine. */
  readonly port: number;
  readonly address: Uint8Array;
  readonly toPort: number;
}

/** The remote's public address, which somebody behind the local has as its own. */
export interface Handover {
  readonly address: Uint8Array;
  /** What stands for it inside the tunnel. */
  readonly inside: Uint8Array;
  /** On the local: the interface behind which whoever has it is. */
  readonly interface: string | null;
  /** On the remote: what stays with the remote itself. */
  readonly keep: readonly { readonly protocol: "tcp" | "udp"; readonly port: number }[];
}

/** What portal changes on the machine it runs on, besides making its interface. */
export interface HostConfig {
  /** Networks whose packets go into the tunnel. */
  readonly routes: readonly Prefix[];
  /** Networks refused beside those: of a family that the tunnel lacks, which would go past it. */
  readonly refused: readonly Prefix[];
  /** What becomes of `routes` while no path is up. */
  readonly onDown: "block" | "direct";
  /** Let this machine pass on packets between its interfaces. */
  readonly forwarding: boolean;
  /** Packets from these networks get this machine's address: into the tunnel on the local, out of it on the remote. */
  readonly nat: readonly Prefix[];
  /** Tell the TCP of others about the tunnel's smaller packets. */
  readonly clampMss: boolean;
  /** Let the remote's answers come in by any path's interface. */
  readonly looseRpFilter: boolean;
  readonly forwards: readonly PortForward[];
  readonly handovers: readonly Handover[];
}

interface CommonConfig {
  readonly tunnel: TunnelConfig;
  readonly host: HostConfig;
  readonly keys: KeysConfig;
  /** Path of the UNIX control socket. */
  readonly controlSocket: string;
  /** Directory of what outlives a restart. */
  readonly stateDirectory: string;
  readonly logLevel: "error" | "warn" | "info" | "debug";
  /** Threads that carry packets; "auto": as many as this machine's processors suggest. */
  readonly threads: number | "auto";
}

export interface LocalConfig extends CommonConfig {
  readonly role: "local";
  /** One at least; the first that answers is used. */
  readonly remotes: readonly RemoteConfig[];
  readonly paths: readonly PathConfig[];
}

export interface RemotePortalConfig extends CommonConfig {
  readonly role: "remote";
  readonly listen: ListenConfig;
  readonly peers: readonly PeerConfig[];
}

export type Config = LocalConfig | RemotePortalConfig;

export type Role = Config["role"];
