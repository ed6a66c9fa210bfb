/** Exit codes, the same for every command, and the failure that ends one. */
import { BUSY, FAILED, NOT_PERMITTED } from "../run/failure.ts";

export const EXIT = {
  ok: 0,
  failed: FAILED,
  usage: 2,
  config: 3,
  notPermitted: NOT_PERMITTED,
  busy: BUSY,
} as const;

/** What `--help` says of them. */
export const EXIT_HELP: readonly (readonly [code: number, meaning: string])[] = [
  [EXIT.ok, "success"],
  [EXIT.failed, "failed while running"],
  [EXIT.usage, "wrong command or flag"],
  [EXIT.config, "configuration missing or with faults"],
  [EXIT.notPermitted, "permission missing"],
  [EXIT.busy, "port, interface or control socket in use"],
];

/** Ends the command: one line that says what is wrong and what to do, and the exit code. */
export class Failure extends Error {
  readonly exitCode: number;

  constructor(exitCode: number, message: string) {
    super(message);
    this.name = "Failure";
    this.exitCode = exitCode;
  }
}
