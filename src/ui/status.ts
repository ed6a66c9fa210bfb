/** The status report as `portal status` prints it. Pure. */
import type { Drop } from "../share/counters.ts";
import type { AskedReport, PathReport, SessionReport, StatusReport } from "../share/status.ts";
import { type Column, renderTable } from "./table.ts";
import { formatBytes, formatCount, formatDuration, formatMillis, formatRate, formatShare } from "./units.ts";

/** What each drop reason means, in the words of an operator. */
const DROP_WORDS: Readonly<Record<Drop, string>> = {
  malformed: "malformed",
  unknownType: "of unknown type",
  unknownIndex: "for no session",
  notAuthentic: "not authentic",
  replayed: "replayed",
  tooOld: "too old",
  handshakeRefused: "handshake refused",
  overloaded: "beyond the handshake rate limit",
  unknownPath: "of a path that is no more",
  badSource: "from a source address not the peer's",
  badInner: "no IP packet inside",
  duplicate: "received twice",
  superseded: "acknowledgements in place of which a newer one went on",
  tunRefused: "refused by the kernel",
  noSession: "without a session",
  noRoute: "for no peer",
  tooBig: "larger than the paths carry",
  overflow: "beyond a full queue",
  queueDelay: "queued too long",
  expired: "lost too often",
};

const COLUMNS: readonly Column[] = [
  { title: "path", align: "left" },
  { title: "status", align: "left" },
  { title: "carries", align: "left" },
  { title: "metric", align: "right" },
  { title: "MTU", align: "right" },
  { title: "RTT", align: "right" },
  { title: "loss", align: "right" },
  { title: "sending", align: "right" },
  { title: "receiving", align: "right" },
  { title: "window", align: "right" },
  { title: "sent", align: "right" },
  { title: "received", align: "right" },
  { title: "endpoint", align: "left" },
];

const CAP_COLUMNS: readonly Column[] = [
  { title: "data cap of", align: "left" },
  { title: "a", align: "left" },
  { title: "used", align: "right" },
  { title: "of", align: "right" },
  { title: "share", align: "right" },
  { title: "over it", align: "left" },
  { title: "until", align: "left" },
];

const REMOTE_COLUMNS: readonly Column[] = [
  { title: "remote", align: "left" },
  { title: "status", align: "left" },
  { title: "for", align: "right" },
  { title: "asked", align: "right" },
  { title: "returns after", align: "right" },
];

/** Lines for a terminal of some 100 columns, the last ended by no line feed. What has no place here is in the JSON form. */
export function renderStatus(report: StatusReport): string {
  const lines = [
    `${report.interface}: ${report.role} portal ${report.version}, running for ${formatDuration(report.uptimeSeconds)}`,
    `  public key   ${report.publicKey}`,
    `  MTU ${report.mtu}, cipher ${report.cipher}, offloads: ${offloadsOf(report)}${threadsOf(report)}`,
  ];
  // An older portal does not tell.
  if (report.addresses?.length > 0) lines.splice(2, 0, `  addresses    ${report.addresses.join(", ")}`);
  lines.push(...remoteLines(report));
  if (report.sessions.length === 0) lines.push("", "no session");
  for (const session of report.sessions) lines.push("", ...sessionLines(session));
  const asked = report.asked.flatMap(askedLine);
  if (asked.length > 0) lines.push("", ...asked);
  lines.push(...capLines(report));
  const strangers = dropLines("dropped outside any session:", report.drops);
  return [...lines, ...(strangers.length > 0 ? ["", ...strangers] : [])].join("\n");
}

/** Said where there are several; an older portal does not tell. */
function threadsOf({ threads }: StatusReport): string {
  return threads > 1 ? `, ${threads} threads` : "";
}

/** What is asked for and is not, or not by the configuration; of the rest the session's paths say enough. */
function askedLine({ interface: name, exclude, by, state, why }: AskedReport): string[] {
  const without = exclude.length > 0 ? ` without ${exclude.join(", ")}` : "";
  const until = "until portal reload or a restart";
  if (state === "down") return [`path ${name}${without} is held down by command, ${until}`];
  const command = by === "command" ? `; added by command, ${until}` : "";
  if (why !== null) return [`path ${name}${without} ${why}${command}`];
  return by === "command" ? [`path ${name}${without} was added by command, ${until}`] : [];
}

function offloadsOf({ offloads }: StatusReport): string {
  const names = [
    offloads.tun ? "TUN" : null,
    offloads.udpSegmentation ? "UDP send" : null,
    offloads.udpReceive ? "UDP receive" : null,
  ].filter((name) => name !== null);
  return names.length > 0 ? names.join(", ") : "none";
}

function sessionLines(session: SessionReport): string[] {
  const lines = [
    `session with ${session.peer}: ${sessionState(session)}`,
    `  public key   ${session.publicKey}`,
  ];
  if (session.addresses.length > 0) lines.push(`  addresses    ${session.addresses.join(", ")}`);
  if (session.paths.length > 0) lines.push(...renderTable(COLUMNS, session.paths.map(pathCells), "  "));
  for (const { name, status, parked, reason } of session.paths) {
    if (parked) lines.push(`  ${name} is ${status}, but ${reason}`);
    else if (status !== "up" && reason) lines.push(`  ${name} is ${status}: ${reason}`);
  }
  const order = [
    [session.reorderedPackets, "put in order"],
    [session.heldPackets, "held now"],
    [session.givenUpPackets, "given up"],
    [session.duplicatePackets, "received twice"],
  ] as const;
  const counted = order
    .filter(([count]) => count > 0)
    .map(([count, what]) => `${formatCount(count)} ${what}`);
  if (counted.length > 0) lines.push(`  packets      ${counted.join(", ")}`);
  return [...lines, ...dropLines("  dropped     ", session.drops)];
}

function sessionState(session: SessionReport): string {
  const parts: string[] = [session.status];
  if (session.status === "up" && session.establishedSeconds !== null) {
    parts[0] = `up for ${formatDuration(session.establishedSeconds)}`;
  }
  if (session.lastHandshakeSeconds !== null) {
    parts.push(`last handshake ${formatDuration(session.lastHandshakeSeconds)} ago`);
  }
  if (session.suite !== null) parts.push(session.suite);
  return parts.join(", ");
}

function pathCells(path: PathReport): string[] {
  return [
    path.name,
    path.status,
    path.carries ? "yes" : "no",
    String(path.metric),
    // An older portal does not tell.
    String(path.mtu ?? "-"),
    path.rttMs === null ? "-" : formatMillis(path.rttMs),
    formatShare(path.loss),
    formatRate(path.sendBitsPerSecond),
    formatRate(path.receiveBitsPerSecond),
    formatBytes(path.windowBytes),
    formatBytes(path.sentBytes),
    formatBytes(path.receivedBytes),
    path.endpoint ?? "-",
  ];
}

/** Only of several. An older portal does not tell. */
function remoteLines({ remotes }: StatusReport): string[] {
  if (remotes === undefined || remotes.length < 2) return [];
  const rows = remotes.map(({ endpoint, status, sinceSeconds, askedSeconds, returnSeconds }) => [
    endpoint,
    status,
    sinceSeconds === null ? "-" : formatDuration(sinceSeconds),
    askedSeconds === null ? "-" : `${formatDuration(askedSeconds)} ago`,
    formatDuration(returnSeconds),
  ]);
  return ["", ...renderTable(REMOTE_COLUMNS, rows, "")];
}

/** A newer portal than this program's may not tell of caps, nor an older one. */
function capLines({ caps }: StatusReport): string[] {
  if (caps === undefined || caps.length === 0) return [];
  const rows = caps.map((cap) => [
    cap.path,
    cap.period,
    formatBytes(cap.usedBytes),
    formatBytes(cap.limitBytes),
    `${formatShare(cap.usedBytes / cap.limitBytes)}${cap.reached ? ", reached" : ""}`,
    cap.overBitsPerSecond === 0 ? "off" : formatRate(cap.overBitsPerSecond),
    cap.resetsAtLocal === null ? "unknown: the clock is wrong" : `${cap.resetsAtLocal} ${cap.timeZone}`,
  ]);
  return ["", ...renderTable(CAP_COLUMNS, rows, "")];
}

/** The most frequent reason first. */
function dropLines(title: string, drops: StatusReport["drops"]): string[] {
  const entries = Object.entries(drops) as [Drop, number][];
  if (entries.length === 0) return [];
  const sorted = entries.toSorted((a, b) => b[1] - a[1]);
  // A newer portal may know reasons that this program has no words for.
  const words = sorted.map(([reason, count]) => `${formatCount(count)} ${DROP_WORDS[reason] ?? reason}`);
  return [`${title} ${words.join(", ")}`];
}
