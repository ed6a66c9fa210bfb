/**
 * What a running portal tells its operator: one line each, on standard error. Under systemd the journal notes the time;
 * elsewhere the line begins with it. No decision of portal depends on that clock.
 */
import { fstatSync, writeSync } from "node:fs";

export const LOG_LEVELS = ["error", "warn", "info", "debug"] as const;

export type LogLevel = (typeof LOG_LEVELS)[number];

export type Log = Readonly<Record<LogLevel, (message: string) => void>>;

/** One whose level may change while it runs. */
export interface AdjustableLog extends Log {
  setLevel(level: LogLevel): void;
}

/** A log that drops what is less urgent than `level`. `write` gets whole lines, without the line feed. */
export function createLog(level: LogLevel, write: (line: string) => void = lineWriter()): AdjustableLog {
  let loudest = LOG_LEVELS.indexOf(level);
  const writerOf = (name: LogLevel, i: number) => (message: string) => {
    // One message, one line, whatever an error message holds.
    if (i <= loudest) write(`${name} ${message.trim().replace(/\s*\n\s*/g, " / ")}`);
  };
  const writers = Object.fromEntries(LOG_LEVELS.map((name, i) => [name, writerOf(name, i)])) as Log;
  return {
    ...writers,
    setLevel: (next) => {
      loudest = LOG_LEVELS.indexOf(next);
    },
  };
}

function lineWriter(): (line: string) => void {
  if (isJournal()) return writeLine;
  return (line) => writeLine(`${new Date().toISOString()} ${line}`);
}

function writeLine(line: string): void {
  try {
    writeSync(2, `${line}\n`);
  } catch {
    // Nobody reads, or not fast enough (EPIPE, EAGAIN): a portal does not end or wait because of its log.
  }
}

/** systemd.exec(5): JOURNAL_STREAM names device and inode of the stream; others may have inherited the variable alone. */
function isJournal(): boolean {
  const stream = process.env.JOURNAL_STREAM;
  if (stream === undefined) return false;
  const { dev, ino } = fstatSync(2);
  return stream === `${dev}:${ino}`;
}
