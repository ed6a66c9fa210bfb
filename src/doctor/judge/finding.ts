/** What the doctor says of one thing. */

export type Level = "ok" | "warning" | "fault";

export interface Finding {
  readonly level: Level;
  /** What it is about: `kernel`, `path eth0`. */
  readonly subject: string;
  /** How it is, without a full stop. */
  readonly message: string;
  /** What to do; null when it is well. */
  readonly advice: string | null;
}

export function ok(subject: string, message: string): Finding {
  return { level: "ok", subject, message, advice: null };
}

export function warning(subject: string, message: string, advice: string): Finding {
  return { level: "warning", subject, message, advice };
}

export function fault(subject: string, message: string, advice: string): Finding {
  return { level: "fault", subject, message, advice };
}
