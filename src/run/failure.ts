/** A portal could not start: one line that says what to do, and the process's exit code (cli/exit.ts names them all). */
export class StartFailure extends Error {
  readonly exitCode: number;

  constructor(message: string, exitCode: number) {
    super(message);
    this.name = "StartFailure";
    this.exitCode = exitCode;
  }
}

export const FAILED = 1;
export const NOT_PERMITTED = 4;
export const BUSY = 5;
