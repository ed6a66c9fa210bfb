/** The machine around a running portal (src/host): its failures are failures of the start, and it follows the engine. */
import type { Config } from "../config/config.ts";
import { HostFailure } from "../host/failure.ts";
import { Host, recoverHost } from "../host/host.ts";
import type { Engine } from "./engine.ts";
import { FAILED, NOT_PERMITTED, StartFailure } from "./failure.ts";
import type { Log } from "./log.ts";
import type { Opened } from "./opened.ts";

/** Undoes what a portal that was killed has left, but for what this one makes again at once; and that, if it never comes to it. */
export function recover(config: Config, log: Log, opened: Opened): void {
  failing(() => recoverHost(config, log, true));
  opened.push({ close: () => recoverRest(config, log) });
}

function recoverRest(config: Config, log: Log): void {
  try {
    recoverHost(config, log);
  } catch (error) {
    log.warn((error as Error).message);
  }
}

/** Makes the changes; they are undone with what else is `opened`. A local's paths are told of as they come (`setPaths`). */
export function changeHost(config: Config, log: Log, opened: Opened): Host {
  const host = failing(() => new Host(config, [], log));
  opened.push({ close: () => host.end() });
  return host;
}

export function someIsUp(engine: Engine): boolean {
  return engine.portal.sessions.some((session) => session.isUp);
}

function failing<Result>(body: () => Result): Result {
  try {
    return body();
  } catch (error) {
    if (!(error instanceof HostFailure)) throw error;
    throw new StartFailure(error.message, error.notPermitted ? NOT_PERMITTED : FAILED);
  }
}
