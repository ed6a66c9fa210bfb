/**
 * The ways between client and server that benchmarks compare: plain forwarding, portal in several settings, and every
 * other tunnel that is installed. All use the same namespaces and cables.
 */
import type { PortalOptions } from "../../src/lab/portals.ts";
import type { Lab } from "../../src/lab/topology.ts";
import { chosen, type Options } from "./options.ts";
import { glorytun } from "./tunnel/glorytun.ts";
import { openvpn } from "./tunnel/openvpn.ts";
import { tinc } from "./tunnel/tinc.ts";
import { isInstalled, standUp, type Tunnel } from "./tunnel/tunnel.ts";
import { wireguardGo } from "./tunnel/wireguardgo.ts";

/** What carries the packets while a way is in use. */
export interface Standing {
  /** Its processes of both ends. */
  readonly pids: readonly number[];
  stop(): Promise<void>;
}

export interface Way {
  /** As `--way` names it. */
  readonly name: string;
  readonly title: string;
  stand(lab: Lab): Promise<Standing>;
}

export const PLAIN: Way = {
  name: "plain",
  title: "plain forwarding",
  stand: async (lab) => {
    await lab.stopPortals();
    await lab.route(0);
    return { pids: [], stop: async () => {} };
  },
};

const TUNNELS: readonly Tunnel[] = [wireguardGo, openvpn, tinc, glorytun];

export function portalWay(name: string, title: string, options: PortalOptions): Way {
  return {
    name,
    title,
    stand: async (lab) => {
      const { local, remote } = await lab.startPortals(options);
      return { pids: [local.pid, remote.pid], stop: () => lab.stopPortals() };
    },
  };
}

export const ONE_PATH = portalWay("portal", "portal, one path", { paths: [0] });
export const TWO_PATHS = portalWay("two-paths", "portal, two paths", { paths: [0, 1] });

export const TWO_THREADS = portalWay("two-threads", "portal, one path, two threads at either end", {
  paths: [0],
  toml: { local: { threads: 2 }, remote: { threads: 2 } },
});

/** The program of `--against` over one path. */
function otherPortal(program: string): Way {
  const words = program.endsWith(".ts") ? [process.execPath, program] : [program];
  return portalWay("against", `${program}, one path`, {
    paths: [0],
    command: { local: words, remote: words },
  });
}

function tunnelWay(tunnel: Tunnel): Way {
  return {
    name: tunnel.name,
    title: tunnel.name,
    stand: async (lab) => {
      await lab.stopPortals();
      return await standUp(lab, tunnel);
    },
  };
}

/** Plain forwarding, `portals`, the portal of `--against` and the installed tunnels; of these, those that `--way` names. */
export function waysOf(options: Options, portals: readonly Way[]): readonly Way[] {
  const against = options.against === null ? [] : [otherPortal(options.against)];
  const others = TUNNELS.filter(isInstalled).map(tunnelWay);
  return chosen([PLAIN, ...portals, ...against, ...others], options.ways, "way");
}

/** Runs `body` over a way, and takes down what was stood up for it. */
export async function over<Result>(
  lab: Lab,
  way: Way,
  body: (standing: Standing) => Promise<Result>,
): Promise<Result> {
  const standing = await way.stand(lab);
  try {
    return await body(standing);
  } finally {
    await standing.stop();
  }
}
