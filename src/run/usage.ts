/**
 * What the paths have used of their data caps, as it stands in a file: JSON, one entry for each interface. Pure.
 *
 *     {"portal": "data caps", "version": 1, "paths": [{"interface": "wwan0", "timeZone": "UTC", "resetDay": 1,
 *       "month": {"limitBytes": 50000000000, "usedBytes": 123, "since": "2026-11-01T00:00:00.000Z",
 *                 "until": "2026-12-01T00:00:00.000Z", "reached": false},
 *       "day": null}]}
 */

export interface Counted {
  readonly limitBytes: number;
  readonly usedBytes: number;
  /** Milliseconds since 1970; null while the date was not known. */
  readonly since: number | null;
  readonly until: number | null;
  readonly reached: boolean;
}

export interface PathUsage {
  readonly interface: string;
  readonly timeZone: string;
  readonly resetDay: number;
  readonly month: Counted | null;
  readonly day: Counted | null;
}

const TITLE = "data caps";
const VERSION = 1;

export function formatUsage(paths: readonly PathUsage[]): string {
  const written = paths.map((path) => ({ ...path, month: writtenOf(path.month), day: writtenOf(path.day) }));
  return `${JSON.stringify({ portal: TITLE, version: VERSION, paths: written }, null, 1)}\n`;
}

/** Null for anything that `formatUsage` does not write. */
export function parseUsage(text: string): PathUsage[] | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (!isRecord(value) || value.portal !== TITLE || value.version !== VERSION) return null;
  if (!Array.isArray(value.paths)) return null;
  const paths = value.paths.map(pathOf);
  return paths.some((path) => path === null) ? null : (paths as PathUsage[]);
}

/** Of two entries for one interface the one of the newer period, and of one period the one with more. */
export function newerOf(a: PathUsage, b: PathUsage): PathUsage {
  const [one, other] = [a.month ?? a.day, b.month ?? b.day];
  if (one === null || other === null) return one === null ? b : a;
  const [since, later] = [one.since ?? 0, other.since ?? 0];
  if (since !== later) return later > since ? b : a;
  return other.usedBytes > one.usedBytes ? b : a;
}

function pathOf(value: unknown): PathUsage | null {
  if (!isRecord(value) || typeof value.interface !== "string" || typeof value.timeZone !== "string")
    return null;
  const { resetDay } = value;
  if (typeof resetDay !== "number" || !Number.isInteger(resetDay)) return null;
  const month = countedOf(value.month);
  const day = countedOf(value.day);
  if (month === undefined || day === undefined) return null;
  return { interface: value.interface, timeZone: value.timeZone, resetDay, month, day };
}

/** Undefined for what is wrong. */
function countedOf(value: unknown): Counted | null | undefined {
  if (value === null) return null;
  if (!isRecord(value) || typeof value.reached !== "boolean") return undefined;
  const { limitBytes, usedBytes, reached } = value;
  if (!isAmount(limitBytes) || !isAmount(usedBytes)) return undefined;
  const since = momentOf(value.since);
  const until = momentOf(value.until);
  if (since === undefined || until === undefined || (since === null) !== (until === null)) return undefined;
  if (since !== null && until !== null && until <= since) return undefined;
  return { limitBytes, usedBytes, since, until, reached };
}

function writtenOf(counted: Counted | null): object | null {
  if (counted === null) return null;
  const iso = (at: number | null) => (at === null ? null : new Date(at).toISOString());
  return { ...counted, since: iso(counted.since), until: iso(counted.until) };
}

function momentOf(value: unknown): number | null | undefined {
  if (value === null) return null;
  const at = typeof value === "string" ? Date.parse(value) : Number.NaN;
  return Number.isNaN(at) ? undefined : at;
}

function isAmount(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value) && value >= 0;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
