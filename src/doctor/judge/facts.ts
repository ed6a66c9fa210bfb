/** What `portal doctor` found out about a machine, before anybody judges it. Null where it could not be found out. */
import type { StatusReport } from "../../share/status.ts";

export interface KernelFacts {
  /** As uname gives it: 6.1.0-rpi7. */
  readonly release: string;
  /** What became of opening /dev/net/tun: an interface can be made there, or there is no such device, or we may not. */
  readonly tun: "ok" | "missing" | "denied";
  /** Segmentation offloads and virtio headers of a TUN. Null: none could be made to see. */
  readonly tunOffloads: boolean | null;
  readonly udpSegmentation: boolean;
  readonly udpReceive: boolean;
  /** The tunnel's interface can have IPv6 addresses. */
  readonly ipv6: boolean;
}

/** What this process may do. */
export interface RightsFacts {
  readonly netAdmin: boolean;
  readonly netRaw: boolean;
  readonly netBindService: boolean;
  /** Ports from here on need no right. */
  readonly unprivilegedPort: number;
}

export type Library = "libcrypto" | "libgcrypt" | "fallback";

export interface SuiteFacts {
  readonly name: string;
  /** What does it; `fallback` stands in for a library that is missing. */
  readonly library: Library;
  /** It opens what it sealed. */
  readonly correct: boolean;
  /** Microseconds of one thread per datagram of a full packet. */
  readonly sealMicros: number;
  readonly openMicros: number;
}

export interface SpeedFacts {
  /** What the configuration asks for, and this machine has not; null when it has. */
  readonly missing: string | null;
  /** Those that this portal takes, at least one. */
  readonly suites: readonly SuiteFacts[];
  /** Microseconds of one thread per datagram of a full packet. */
  readonly ringMicros: number;
  /** Into the kernel or out of it, in batches as large as it takes, as portal does. Null: there is no loopback interface to try. */
  readonly kernelMicros: number | null;
  /** The same with one call for each datagram; null where portal does no other. */
  readonly kernelSingleMicros: number | null;
}

/** What came of asking the remote portal for a handshake by one path. */
export type Exchange =
  | {
      readonly outcome: "answered";
      readonly rttMs: number;
      /** What the remote has chosen for a session with us, and what it does of each suite, as far as it tells. */
      readonly suite: string;
      readonly remoteSpeeds: readonly { readonly name: string; readonly mbit: number }[];
    }
  /** The remote takes none of our cipher suites. */
  | { readonly outcome: "other cipher"; readonly theirs: string }
  /** Nothing came back, or nothing of the remote's. */
  | { readonly outcome: "silent" }
  /** The remote machine says that nobody listens at that port. */
  | { readonly outcome: "refused" }
  /** Answered by who knows both keys, but has another pre-shared key. */
  | { readonly outcome: "unreadable" }
  /** The kernel did not take it. */
  | { readonly outcome: "unsent"; readonly problem: string };

export interface WayFacts {
  readonly gateway: boolean;
  /** 0: no route leads there. */
  readonly table: number;
  readonly mtu: number;
}

export interface PathFacts {
  readonly interface: string;
  /** Null: there is no such interface. */
  readonly device: {
    readonly up: boolean;
    readonly carrier: boolean;
    readonly mtu: number;
    readonly kind: string | null;
  } | null;
  /** Its addresses of the remote's family, but for link-local ones. */
  readonly addresses: readonly string[];
  /** The way to the remote out of this interface. */
  readonly way: WayFacts | null;
  /** It is also the way that packets for the remote take which are bound to no interface. */
  readonly preferred: boolean;
  /** Of IPv4 only. */
  readonly rpFilter: { readonly all: number; readonly own: number } | null;
  /** Null: a portal runs with this configuration and was asked instead, or there was no way to try. */
  readonly exchange: Exchange | null;
  /** Pings to the remote by this path: whether one was answered, and the largest IP packet that went unfragmented. */
  readonly ping: { readonly answered: boolean; readonly largest: number } | null;
}

export interface RemoteFacts {
  readonly host: string;
  readonly port: number;
  /** In the resolver's order; null when it has none. */
  readonly addresses: readonly string[] | null;
  readonly problem: string | null;
  readonly ipv6: boolean;
}

/** A remote that is not in use, and by which paths it answers: of those whose interface is up and leads there. */
export interface OtherFacts {
  readonly host: string;
  readonly port: number;
  /** Why its name has no address; null when it has. */
  readonly problem: string | null;
  readonly exchanges: readonly { readonly interface: string; readonly exchange: Exchange }[];
}

/** Something else on this machine that takes packets: an interface with a route for half of the Internet or more. */
export interface TakerFacts {
  readonly interface: string;
  readonly kind: string | null;
  readonly table: number;
}

export interface ListenFacts {
  readonly port: number;
  /** What became of listening there; null when the portal that runs does. */
  readonly problem: "in use" | "not permitted" | "no such address" | null;
  readonly forwardsIpv4: boolean;
  readonly forwardsIpv6: boolean;
}

export interface TunnelFacts {
  readonly interface: string;
  readonly mtu: number;
  /** The configuration says so: it does not follow the paths. */
  readonly mtuFixed: boolean;
  readonly ipv6: boolean;
  /** Some interface has that name already, though no portal runs with this configuration. */
  readonly taken: boolean;
  /** Networks of other interfaces that overlap with one of the tunnel's. */
  readonly clashes: readonly {
    readonly network: string;
    readonly other: string;
    readonly interface: string;
  }[];
}

/** What portal sets on the machine while it runs. */
export interface HostFacts {
  readonly forwarding: boolean;
  readonly looseRpFilter: boolean;
  /** It needs policy rules. */
  readonly routes: boolean;
  /** Why a start would fail to make its changes: "what is wrong: what to do"; null when it would not. */
  readonly problem: string | null;
  /** Chains of other firewalls that drop what is forwarded, and name the tunnel's interface in no rule. */
  readonly obstacles: readonly string[];
  /** Changes that a portal made which was killed, and that still hold. */
  readonly left: number;
}

export interface Facts {
  readonly role: "local" | "remote";
  /** What the portal that runs with this configuration says; null when none does. */
  readonly status: StatusReport | null;
  readonly ownPublicKey: string;
  readonly tunnel: TunnelFacts;
  readonly host: HostFacts;
  readonly kernel: KernelFacts;
  readonly rights: RightsFacts;
  /** The year that this machine's clock shows. */
  readonly year: number;
  /** Some path has a data cap. */
  readonly caps: boolean;
  readonly conntrack: { readonly count: number; readonly limit: number } | null;
  readonly speed: SpeedFacts;
  readonly paths: readonly PathFacts[];
  /** Patterns of [[path]] that mean no interface now. */
  readonly absent: readonly string[];
  /** The one in use, or else the first. */
  readonly remote: RemoteFacts | null;
  /** Those beside it, in the order of the configuration. */
  readonly others: readonly OtherFacts[];
  readonly listen: ListenFacts | null;
  readonly takers: readonly TakerFacts[];
  readonly policyRouting: boolean;
  /** Policy rules besides the kernel's own three and portal's. */
  readonly rules: readonly { readonly priority: number; readonly table: number }[];
}
