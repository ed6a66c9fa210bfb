/**
 * What a running portal tells the service manager that started it (sd_notify(3)): that it is ready, every second that its
 * loop goes round, and in a few words how it stands. Without NOTIFY_SOCKET it tells nobody.
 */
import type { Portal } from "../proto/portal.ts";
import { NotifySocket } from "../sys/notify.ts";
import type { Log } from "./log.ts";

/** Where lines go; `send` is false when they were not taken. */
export interface Manager {
  send(lines: string): boolean;
  close(): void;
}

/** The manager that the environment names; null when it names none, or one that cannot be. */
export function openManager(path: string | undefined, log: Log): Manager | null {
  if (path === undefined || path === "") return null;
  try {
    return new NotifySocket(path);
  } catch (error) {
    log.warn(`cannot tell the service manager that portal runs: ${(error as Error).message}`);
    return null;
  }
}

export class Supervision {
  private readonly manager: Manager | null;
  private ready = false;
  private told = "";

  constructor(manager: Manager | null) {
    this.manager = manager;
  }

  /** Called by the loop, every second or so: only a loop that goes round is alive. */
  onTick(portal: Portal, role: "local" | "remote"): void {
    if (this.manager === null) return;
    const status = statusLine(portal, role);
    const lines = ["WATCHDOG=1"];
    if (!this.ready) lines.push("READY=1");
    if (status !== this.told) lines.push(`STATUS=${status}`);
    // What the manager did not take now is told again.
    if (!this.manager.send(lines.join("\n"))) return;
    this.ready = true;
    this.told = status;
  }

  stopping(): void {
    this.manager?.send("STOPPING=1");
  }
}

/** `2 of 3 paths up`. */
function statusLine({ peers }: Portal, role: "local" | "remote"): string {
  if (role === "remote") {
    const connected = peers.filter((peer) => peer.session?.isUp === true);
    return `${connected.length} of ${peers.length} ${peers.length === 1 ? "peer" : "peers"} connected`;
  }
  const session = peers[0]!.session;
  if (session === null) return "connecting to the remote portal";
  const { order } = session;
  const up = order.filter((path) => path.status === "up");
  return `${up.length} of ${order.length} ${order.length === 1 ? "path" : "paths"} up`;
}
