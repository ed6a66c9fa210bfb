/**
 * Paths that have a way to the remote's address which leads nowhere, as an interface has with an IPv6 address whose router
 * passes none on. Where nothing has answered on a path for some seconds, the remote is asked by the same interface at its
 * next other address (run/knocks.ts), and the path is made anew towards the first one that answers. What is not answered
 * anywhere stays as it is: the line is dead.
 */
import { SECOND } from "../proto/limits.ts";
import type { Endpoint } from "../share/endpoint.ts";
import { INITIATION_BYTES } from "../wire/handshake.ts";
import type { Engine, LocalPath } from "./engine.ts";
import type { Knocks } from "./knocks.ts";
import type { PathManager, PathSocket } from "./pathmanager.ts";

/**
 * Silence before the first question: several handshakes, or probes, are unanswered by then. Doubling up to the longest, which
 * costs 0.3 MB a day.
 */
const PATIENCE = 3 * SECOND;
const PATIENCE_LONGEST = 60 * SECOND;

interface Watched {
  /** Since when it is there without a session; null while there is one. */
  since: number | null;
  /** Until the question after the next, and when the next may be asked. */
  patience: number;
  askAt: number;
  turns: number;
}

export class Detours {
  private readonly engine: Pick<Engine, "portal" | "pathOf">;
  private readonly paths: Pick<PathManager<PathSocket>, "paths" | "elsewhere" | "redirect">;
  private readonly knocks: Pick<Knocks, "begin">;
  private watched = new Map<LocalPath, Watched>();

  constructor(
    engine: Pick<Engine, "portal" | "pathOf">,
    paths: Pick<PathManager<PathSocket>, "paths" | "elsewhere" | "redirect">,
    knocks: Pick<Knocks, "begin">,
  ) {
    this.engine = engine;
    this.paths = paths;
    this.knocks = knocks;
  }

  /** Every second or so. */
  onTick(now: number): void {
    const before = this.watched;
    this.watched = new Map();
    for (const path of this.paths.paths) {
      const each = before.get(path) ?? { since: now, patience: 0, askAt: 0, turns: 0 };
      this.watched.set(path, each);
      if (this.engine.pathOf(path) !== undefined) each.since = null;
      else each.since ??= now;
      if (!this.isSilent(now, path)) {
        each.patience = PATIENCE;
        each.askAt = 0;
      } else if (now >= each.askAt) this.ask(now, path, each);
    }
  }

  /** It could answer, and has not done so for long. One that only rests after failures does. */
  private isSilent(now: number, path: LocalPath): boolean {
    if (path.state !== "up" || path.cap?.affords(INITIATION_BYTES) === false) return false;
    const joined = this.engine.pathOf(path);
    if (joined?.status === "up" || joined?.status === "capped") return false;
    const since = joined?.silence.heardAt ?? this.watched.get(path)?.since ?? now;
    return now >= since + PATIENCE;
  }

  private ask(now: number, path: LocalPath, each: Watched): void {
    each.askAt = now + each.patience;
    each.patience = Math.min(2 * each.patience, PATIENCE_LONGEST);
    const others = this.paths.elsewhere(path.name);
    if (others.length === 0) return;
    const other: Endpoint = others[each.turns++ % others.length]!;
    const remote = this.engine.portal.peers[0]!;
    this.knocks.begin(now, {
      remote,
      endpoints: [other],
      paths: [path],
      spread: 1,
      tries: 1,
      done: (at, outcome) => {
        const same = this.engine.portal.peers[0] === remote && this.paths.paths.includes(path);
        if (outcome === "answered" && same && this.isSilent(at, path)) {
          this.paths.redirect(at, path.name, other);
        }
      },
    });
  }
}
